"""Reads JSON documents strictly and writes their canonical form.

The documents are policies, overlays, signatures, keys and records. What JSON parsers let pass is refused: a
key given twice, NaN and Infinity, a file larger than DOCUMENT_BYTES_MAX, anything but UTF-8. Errors are the
policy's; `errors_as` turns them into those of another document.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from suitability.errors import (
    DocumentError,
    PolicyKeyError,
    PolicyReadError,
    PolicySyntaxError,
    PolicyValueError,
)

DOCUMENT_BYTES_MAX = 1 << 20


def read_document(source: str | Path | bytes) -> Mapping[str, Any]:
    """Reads one JSON object from a file or its bytes.

    Raises:
        PolicyReadError: the file cannot be read or is larger than DOCUMENT_BYTES_MAX.
        PolicySyntaxError: the bytes are not one JSON object in UTF-8.
        PolicyKeyError: a key is given twice.
    """
    with errors_naming(source):
        return _parse(source if isinstance(source, bytes) else read_bytes(Path(source)))


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        # Half a surrogate pair can be written as an escape, but no text with it can be written out again.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise PolicySyntaxError(f"expected JSON in UTF-8, {error}") from error
    if not isinstance(value, dict):
        raise PolicySyntaxError(f"expected one JSON object, got {type(value).__name__}")
    return value


def read_bytes(path: Path) -> bytes:
    """Reads a whole file. Raises: PolicyReadError: it cannot be read or is larger than DOCUMENT_BYTES_MAX."""
    with errors_naming(path):
        try:
            with path.open("rb") as stream:
                data = stream.read(DOCUMENT_BYTES_MAX + 1)
        except OSError as error:
            raise PolicyReadError(f"cannot read the file: {error.strerror}") from error
        if len(data) > DOCUMENT_BYTES_MAX:
            raise PolicyReadError(f"expected at most {DOCUMENT_BYTES_MAX} bytes, got more")
    return data


def canonical_bytes(value: object) -> bytes:
    """Returns the RFC 8785 form of nested mappings, lists, texts, integers, booleans and null.

    Raises:
        PolicyValueError: the value holds another type, or a text that UTF-8 cannot hold.
    """
    try:
        form = json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return form.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PolicyValueError(f"expected text that UTF-8 can hold, {error.reason}") from error


def frozen(value: Any) -> Any:
    """Returns the value with read-only mappings and tuples all the way down."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: frozen(member) for name, member in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(member) for member in value)
    return value


@contextmanager
def errors_naming(source: object) -> Iterator[None]:
    """Lets what goes wrong inside name the file, where the source of the document is one."""
    try:
        yield
    except DocumentError as error:
        if isinstance(source, (str, Path)):
            error.file = Path(source)
        raise


@contextmanager
def errors_as(kind: type[DocumentError]) -> Iterator[None]:
    """Raises what goes wrong inside as an error of another document, with the same message and key path."""
    try:
        yield
    except kind:
        raise
    except DocumentError as error:
        raise kind(error.message, error.path) from error


def _ordered(value: object) -> object:
    if isinstance(value, Mapping):
        # RFC 8785 sorts keys by UTF-16 code units, which differs from code points beyond the basic plane.
        names = sorted(value, key=lambda name: str(name).encode("utf-16-be", "surrogatepass"))
        return {name: _ordered(value[name]) for name in names}
    if isinstance(value, (list, tuple)):
        return [_ordered(member) for member in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    raise PolicyValueError(f"expected a JSON value without fractions, got {type(value).__name__}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for name, value in pairs:
        if name in seen:
            raise PolicyKeyError("expected each key once, got it twice", f"{name:.80}")
        seen[name] = value
    return seen


def _refuse_constant(name: str) -> None:
    raise PolicySyntaxError(f"expected a JSON number, got {name}")
