"""Proves a catalogue log: every line chained, and every snapshot what the records before it come to."""

from dataclasses import dataclass
from pathlib import Path

from server.catalogue.kept import Kept
from server.catalogue.state import FILE_NAME, LOG_KIND, NO_PATCH
from server.chain_lines import Content, read_content
from server.chained_log import list_archives
from server.errors import CatalogueStateError


@dataclass(frozen=True, slots=True)
class Audit:
    """What was proven.

    Attributes:
        file_count: the log and the files that it was compacted from.
        sequence: of the last record.
        proven_from: the sequence before the first record that is there: 0 if all of them are. What that many
            records came to is taken on the word of a snapshot.
        product_count: products that were ever patched.
    """

    file_count: int
    sequence: int
    proven_from: int
    product_count: int


def audit(folder: Path) -> Audit:
    """Reads the files of a folder that no server changes meanwhile.

    Raises:
        CatalogueStateError: a file cannot be read, a line is wrong, a file between two others is missing, or
            a snapshot says something else than the records before it.
    """
    path = folder / FILE_NAME
    paths = [*list_archives(path), path]
    before: Content | None = None
    kept = Kept()
    for each in paths:
        content = _read(each)
        try:
            kept = _follow(content, before, kept)
        except NO_PATCH as error:
            raise CatalogueStateError(f"{each}: {error}") from error
        if before is None:
            proven_from = content.first_sequence
        before = content
    return Audit(len(paths), kept.sequence, proven_from, len(kept.stated))


def _read(path: Path) -> Content:
    try:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            raise CatalogueStateError(
                f"{path}: its last line has no end: a server is writing, or died writing"
            )
        return read_content(data, LOG_KIND.keys)
    except OSError as error:
        raise CatalogueStateError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CatalogueStateError(f"{path}: {error}") from error


def _follow(content: Content, before: Content | None, kept: Kept) -> Kept:
    """Returns what a file comes to after the one before it. Raises NO_PATCH."""
    if before is None:
        if content.snapshot is not None:
            kept = Kept.read(content.snapshot, content.first_sequence)
    elif (content.first_sequence, content.first_link) != (before.sequence, before.link):
        raise ValueError(
            f"line 1: goes on after sequence {content.first_sequence}; expected {before.sequence}, and the "
            "link of the last line of the file before"
        )
    elif content.snapshot != kept.write():
        raise ValueError("line 1: the snapshot says something else than the records before it")
    for texts in content.records:
        kept.follow(texts)
    return kept
