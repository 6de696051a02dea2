"""The lines of a chained log: each a record in JSON with the SHA-256 of the line before it and one of itself.

A log that was compacted begins with a snapshot in place of its records: the text that they came to, under the
sequence of the last of them and chained to its line, so that the two files prove each other.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_FIRST_LINK: Final = "0" * 64
_CHAIN: Final = frozenset({"sequence", "previous_sha256", "sha256"})
_SNAPSHOT: Final = frozenset({"snapshot"})


@dataclass(frozen=True, slots=True)
class Content:
    """What a file of lines holds.

    Attributes:
        snapshot: what it begins with, None where it begins with the first record of all.
        records: the texts of every record after that.
        first_link: SHA-256 of the line before the first one, hexadecimal.
        first_sequence: how many records came before the file's own.
        link: SHA-256 of the last line, hexadecimal.
    """

    snapshot: str | None
    records: tuple[Mapping[str, str], ...]
    first_link: str
    first_sequence: int
    link: str

    @property
    def sequence(self) -> int:
        """How many records there are with the last one."""
        return self.first_sequence + len(self.records)

    def end(self) -> "Content":
        """Returns where it ends, without what it holds."""
        return Content(None, (), self.link, self.sequence, self.link)


def write_line(sequence: int, texts: Mapping[str, str], link: str) -> bytes:
    """Returns the line of a record, its end included.

    Args:
        sequence: 1 for the first record, then one more each.
        texts: what it says.
        link: SHA-256 of the line before it, hexadecimal.
    """
    fields: dict[str, Any] = {**texts, "sequence": sequence, "previous_sha256": link}
    return _encode(fields | {"sha256": hash_line(_encode(fields))}) + b"\n"


def write_snapshot(sequence: int, snapshot: str, link: str) -> bytes:
    """Returns the first line of a file that goes on after the line of a sequence, which has the link."""
    return write_line(sequence, {"snapshot": snapshot}, link)


def hash_line(line: bytes) -> str:
    """Returns the SHA-256 of a line, hexadecimal."""
    return hashlib.sha256(line).hexdigest()


def read_content(data: bytes, keys: frozenset[str], after: Content | None = None) -> Content:
    """Reads whole lines.

    Args:
        data: a file's bytes up to the end of its last whole line.
        keys: the texts of every record.
        after: what the lines before these hold; None where these are the file's first.

    Raises:
        ValueError: a line is not what was written as this line; the message begins with its number.
    """
    snapshot, first_link, first_sequence = None, _FIRST_LINK, 0
    if after is not None:
        first_link, first_sequence = after.link, after.sequence
    link = first_link
    records: list[Mapping[str, str]] = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            fields = _read_fields(line)
            if number == 1 and after is None and fields.keys() == _SNAPSHOT | _CHAIN:
                snapshot = _read_texts(fields, _SNAPSHOT)["snapshot"]
                # What came before is in another file.
                first_link, first_sequence = fields["previous_sha256"], fields["sequence"]
            else:
                records.append(_read_texts(fields, keys))
                _check_place(fields, first_sequence + len(records), link)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        link = hash_line(line + b"\n")
    return Content(snapshot, tuple(records), first_link, first_sequence, link)


def holds_more_than_a_record(line: bytes) -> bool:
    """Tells whether something follows a whole record."""
    text = line.decode("utf-8", "replace")
    try:
        return json.JSONDecoder().raw_decode(text)[1] < len(text)
    except (ValueError, RecursionError):
        return False


def _read_fields(line: bytes) -> Mapping[str, Any]:
    """Reads a line that says the same as its own hash."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("not a record in JSON") from error
    if not isinstance(fields, Mapping) or not fields.keys() >= _CHAIN:
        raise ValueError(f"expected the keys {', '.join(sorted(_CHAIN))}")
    content = {name: value for name, value in fields.items() if name != "sha256"}
    # Equal bytes, not only equal values: whatever JSON would overlook was not written by us.
    if _encode(fields) != line or hash_line(_encode(content)) != fields["sha256"]:
        raise ValueError("its content differs from its own SHA-256")
    if type(fields["sequence"]) is not int or not isinstance(fields["previous_sha256"], str):
        raise ValueError("expected a whole number in sequence and a text in previous_sha256")
    return fields


def _read_texts(fields: Mapping[str, Any], keys: frozenset[str]) -> Mapping[str, str]:
    if fields.keys() != keys | _CHAIN:
        raise ValueError(f"expected the keys {', '.join(sorted(keys | _CHAIN))}")
    texts = {name: fields[name] for name in keys}
    for name, value in sorted(texts.items()):
        if not isinstance(value, str):
            raise ValueError(f"expected a text in {name}")
    return texts


def _check_place(fields: Mapping[str, Any], sequence: int, link: str) -> None:
    if fields["previous_sha256"] != link:
        raise ValueError(
            f"expected the line before it to have SHA-256 {fields['previous_sha256']}, got {link}"
        )
    if fields["sequence"] != sequence:
        raise ValueError(f"expected sequence {sequence}, got {fields['sequence']}")


def _encode(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode("ascii")
