"""Lists small faults in the gate's C++: each changes an operator, a constant, a code or a statement."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.suitability.python_mutants import Mutant

_OTHER_CODE: Final = "Code::PRD_HALTED"
_OPERATORS: Final[Mapping[str, tuple[str, ...]]] = {
    "<": ("<=", ">"),
    "<=": ("<", ">="),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "==": ("!=",),
    "!=": ("==",),
    "&&": ("||",),
    "||": ("&&",),
    "&": ("|",),
    "|": ("&",),
    "+": ("-",),
    "-": ("+",),
    ">>": ("<<",),
    "<<": (">>",),
    "!": ("",),
    "~": ("",),
    "|=": ("=", "&="),
}
# An operator has blanks around it, a prefix has none behind: so template arguments are not found.
_TOKEN: Final = re.compile(
    r"(?<= )(?P<operator>[<>]=?|[!=]=|&&|\|\||[&|+-]|>>|<<|\|=)(?= )"
    r"|(?<=[ (])(?P<prefix>[!~])(?=[\w(])"
    r"|(?P<code>Code::[A-Z_]+)"
    r"|(?<![\w.:\"])(?P<number>\d+)(?![\w.\"])"
    r"|(?P<statement>^ +add_code\(\w+, check_\w+\(pair\)\);)",
    re.MULTILINE,
)


def list_native_mutants(root: Path, path: str) -> Iterator[Mutant]:
    """Yields the mutants of a header in source order; comments and directives decide nothing.

    Args:
        root: the checkout.
        path: the header, relative to it.
    """
    text = (root / path).read_text(encoding="utf-8")
    lines = text.splitlines()
    for found in _TOKEN.finditer(text):
        number = text.count("\n", 0, found.start())
        line = lines[number]
        before = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        if "//" in before or line.startswith(("#", "inline constexpr", "template")):
            continue
        for other in _others(found):
            yield Mutant(
                path=path,
                line=number + 1,
                context=line.strip(),
                change=f"{found.group().strip()} -> {other or 'nothing'} (column {len(before) + 1})",
                source=text[: found.start()] + other + text[found.end() :],
            )


def _others(found: re.Match[str]) -> tuple[str, ...]:
    text = found.group()
    if found["operator"] or found["prefix"]:
        return _OPERATORS[text]
    if found["code"]:
        return (_OTHER_CODE,) if text == "Code::NONE" else ("Code::NONE", "Code::PRD_STATUS_UNKNOWN")
    if found["number"]:
        return (str(int(text) + 1), str(int(text) - 1) if text != "0" else "(-1)")
    return ("",)
