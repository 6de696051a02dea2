"""Decision trees over bins as plain tables of whole numbers, whichever library grew them."""

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import CheckpointError, MissingFileError

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Trees:
    """Trees, one after the other; the score is the sum of the values of the leaves that are reached.

    Attributes:
        feature, threshold: a node's question: a bin up to the threshold goes left, int64 [nodes].
        left, right: where it leads, always onwards; a leaf leads to itself, int64 [nodes].
        value: of a leaf; 0 elsewhere, int64 [nodes].
        roots: where each tree starts, int64 [trees].
        base: what every borrower starts from, int64 [1].
    """

    feature: Integers
    threshold: Integers
    left: Integers
    right: Integers
    value: Integers
    roots: Integers
    base: Integers

    def measure_depth(self) -> int:
        """Returns how many questions the longest way asks."""
        depth, reached = 0, np.unique(self.roots)
        while (inner := reached[self.left[reached] != reached]).size:
            reached = np.unique(np.concatenate([self.left[inner], self.right[inner]]))
            depth += 1
        return depth

    def score(self, bins: Integers) -> Integers:
        """Scores borrowers, int64 [borrowers], from their bins, int64 [borrowers, features]."""
        node = np.broadcast_to(self.roots, (len(bins), len(self.roots)))  # [borrowers, trees]
        for _ in range(self.measure_depth()):
            asked = np.take_along_axis(bins, self.feature[node], axis=1)
            node = np.where(asked <= self.threshold[node], self.left[node], self.right[node])
        scores: Integers = self.value[node].sum(axis=1) + self.base[0]
        return scores


def write_trees(trees: Trees, path: Path) -> None:
    """Writes the arrays by name."""
    np.savez_compressed(
        path, allow_pickle=False, **{one.name: getattr(trees, one.name) for one in fields(trees)}
    )


def read_trees(path: Path, *, feature_count: int) -> Trees:
    """Reads what `write_trees` wrote.

    Raises:
        MissingFileError: the file is not there.
        CheckpointError: an array is missing, is no table of whole numbers, or leads nowhere.
    """
    if not path.is_file():
        raise MissingFileError(f"expected trees at {path}, found none")
    names = [field.name for field in fields(Trees)]
    try:
        # numpy leaves a file open that it opened and could not read.
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            trees = Trees(**{name: file[name] for name in names})
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{path}: expected the arrays {names}: {error}") from error
    _check(trees, path.name, feature_count)
    return trees


def _check(trees: Trees, file: str, feature_count: int) -> None:
    count = len(trees.feature)
    for field in fields(trees):
        array = getattr(trees, field.name)
        if array.dtype != np.int64 or array.ndim != 1:
            raise CheckpointError(f"{file}: {field.name}: expected one row of whole numbers of 64 bits")
    nodes = np.arange(count)
    tables = (trees.threshold, trees.left, trees.right, trees.value)
    leaf = trees.left == nodes if len(trees.left) == count else np.zeros(0, np.bool_)
    sound = (
        all(len(table) == count for table in tables)
        and len(trees.base) == 1
        and ((trees.feature >= 0) & (trees.feature < feature_count)).all()
        and ((trees.roots >= 0) & (trees.roots < count)).all()
        and (trees.right[leaf] == nodes[leaf]).all()
    )
    # Leading onwards, every way ends.
    for child in (trees.left, trees.right):
        sound = bool(sound and ((child > nodes) | leaf)[:count].all() and (child < count).all())
    if not sound:
        raise CheckpointError(f"{file}: expected trees over {feature_count} features whose ways all end")
