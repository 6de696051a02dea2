"""Reads the held-out parts of published benchmarks, which the importers leave alone."""

import ast
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkInputError


@dataclass(frozen=True)
class HeldOut:
    """What is held out: products by user, and those to rank them against where the publisher names them."""

    relevant: Mapping[str, frozenset[str]]
    negatives: Mapping[str, frozenset[str]] | None = None


def read_held_out(directory: Path, prefix: str) -> HeldOut:
    """Reads test.txt (lines `user item item ...`), or *.test.rating with *.test.negative.

    Args:
        directory: in the LightGCN or the NCF layout.
        prefix: stands before an item in the ids of products.

    Raises:
        BenchmarkInputError: neither is there, or a line is not of its layout.
    """
    if (directory / "test.txt").is_file():
        return HeldOut(read_lists(directory / "test.txt", prefix))
    ratings = sorted(directory.glob("*.test.rating"))
    if len(ratings) != 1:
        names = [path.name for path in ratings]
        raise BenchmarkInputError(f"expected test.txt or one *.test.rating in {directory}, found {names}")
    negatives = ratings[0].with_name(ratings[0].name.removesuffix(".rating") + ".negative")
    return HeldOut(
        _read_ratings(ratings[0], prefix), _read_negatives(negatives, prefix) if negatives.is_file() else None
    )


def read_lists(path: Path, prefix: str) -> dict[str, frozenset[str]]:
    """Reads lines `user item item ...`; a user without items is left out.

    Raises:
        BenchmarkInputError: a line holds something else than numbers.
    """
    lists: dict[str, frozenset[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split()
        if not all(cell.isascii() and cell.isdigit() for cell in cells):
            raise BenchmarkInputError(f"{path.name}: line {number}: expected numbers, got {line[:80]!r}")
        if len(cells) > 1:
            mine = frozenset(f"{prefix}{item}" for item in cells[1:])
            lists[cells[0]] = lists.get(cells[0], frozenset()) | mine
    return lists


def _read_ratings(path: Path, prefix: str) -> dict[str, frozenset[str]]:
    relevant: dict[str, frozenset[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        cells = line.split("\t")
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise BenchmarkInputError(
                f"{path.name}: line {number}: expected user and item, got {line[:80]!r}"
            )
        relevant[cells[0]] = relevant.get(cells[0], frozenset()) | {f"{prefix}{cells[1]}"}
    return relevant


def _read_negatives(path: Path, prefix: str) -> dict[str, frozenset[str]]:
    """Reads lines `(user,item)<TAB>item<TAB>item ...`; a negative that is the positive is dropped later."""
    negatives: dict[str, frozenset[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        first, *items = line.split("\t")
        try:
            user, _ = ast.literal_eval(first)
        except (ValueError, SyntaxError, TypeError) as error:
            message = f"{path.name}: line {number}: expected (user,item) first, got {first[:80]!r}"
            raise BenchmarkInputError(message) from error
        negatives[str(user)] = frozenset(f"{prefix}{item}" for item in items if item)
    return negatives


def merge_held_out(parts: Sequence[HeldOut]) -> HeldOut:
    """Joins the held-out parts of several domains over shared users."""
    relevant = _unite([part.relevant for part in parts])
    named = [part.negatives for part in parts if part.negatives is not None]
    return HeldOut(relevant, _unite(named) if len(named) == len(parts) else None)


def merge_valid(directory: Path, out: Path) -> Path:
    """Writes a directory in the same layout whose training part holds the validation part too.

    Raises:
        BenchmarkInputError: there is no validation part, or more than one training part.
    """
    valid = sorted([*directory.glob("valid.txt"), *directory.glob("*.valid.rating")])
    if len(valid) != 1:
        raise BenchmarkInputError(
            f"train+valid: expected valid.txt or one *.valid.rating in {directory}, "
            f"found {[path.name for path in valid]}"
        )
    name = valid[0].name.replace("valid", "train")
    train = directory / name
    if not train.is_file():
        raise BenchmarkInputError(f"expected {name} in {directory}, found none")
    if out.exists():
        shutil.rmtree(out)
    shutil.copytree(directory, out)
    parts = [path.read_text(encoding="utf-8").rstrip("\n") for path in (train, valid[0])]
    (out / name).write_text("\n".join(parts) + "\n", encoding="utf-8")
    return out


def _unite(parts: Sequence[Mapping[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    united: dict[str, frozenset[str]] = {}
    for part in parts:
        for user, products in part.items():
            united[user] = united.get(user, frozenset()) | products
    return united
