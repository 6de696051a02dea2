"""Lists small faults in Python source: each changes one comparison, constant, answer or operator."""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from suitability.codes import CODES_BY_NUMBER


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        path: the file, relative to the checkout.
        line: where the change is, from 1.
        context: the whole line without its indentation: with `change` it identifies a mutant across edits.
        change: what stands there and what is put in its place.
        source: the whole file with the change.
    """

    path: str
    line: int
    context: str
    change: str
    source: str

    @property
    def key(self) -> str:
        """Returns a digest of path and source, by which a mutant is known again."""
        return hashlib.sha256(f"{self.path}\0{self.source}".encode()).hexdigest()


# What a comparison may be mistaken for.
_COMPARED: Final[Mapping[type[ast.cmpop], tuple[str, ...]]] = {
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">="),
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<="),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
}
_OPERATORS: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.FloorDiv: "*",
    ast.BitOr: "&",
    ast.BitAnd: "|",
}
_CALLED: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_CODE_NUMBERS: Final = {code.name: number for number, code in CODES_BY_NUMBER.items()}
_OTHER_CODE: Final = "PRD_HALTED"


def list_mutants(root: Path, path: str) -> Iterator[Mutant]:
    """Yields the mutants of a file in source order.

    Args:
        root: the checkout.
        path: the file, relative to it.
    """
    text = (root / path).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    # Annotations, docstrings and messages of errors decide nothing.
    for node in _deciding_nodes(ast.parse(text)):
        for place, replacement in _replacements(node):
            start, end = _offsets(lines, place)
            yield Mutant(
                path=path,
                line=place.lineno,
                context=lines[place.lineno - 1].strip(),
                change=f"{' '.join(text[start:end].split())} -> {replacement}",
                source=f"{text[:start]}({replacement}){text[end:]}",
            )


def _deciding_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.Assert):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        yield node
        skipped = {id(part) for part in _undeciding_parts(node)}
        pending.extend(
            child for child in reversed(list(ast.iter_child_nodes(node))) if id(child) not in skipped
        )


def _undeciding_parts(node: ast.AST) -> Iterator[ast.AST | None]:
    if isinstance(node, ast.arg | ast.AnnAssign):
        yield node.annotation
    if isinstance(node, ast.FunctionDef):
        yield node.returns
        yield from node.decorator_list
    if isinstance(node, ast.ClassDef):
        yield from node.decorator_list
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot):
        yield from node.comparators  # The comparison itself is changed.
    if _is_predicate_row(node):
        yield from ast.iter_child_nodes(node)  # Numbers and names of what is read are for people.


def _is_predicate_row(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Predicate"


def _replacements(node: ast.AST) -> Iterator[tuple[Any, str]]:
    """Yields the node to replace and its new text."""
    if isinstance(node, ast.Call) and _is_predicate_row(node):
        yield node.args[2], "lambda pair: None"
    elif isinstance(node, ast.If) and isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
        yield node.test, f"not ({ast.unparse(node.test)})"
    elif isinstance(node, ast.Compare):
        yield from ((node, text) for text in _other_comparisons(node))
    elif isinstance(node, ast.Constant):
        yield from ((node, text) for text in _other_constants(node.value))
    elif isinstance(node, ast.BoolOp):
        operator = " or " if isinstance(node.op, ast.And) else " and "
        yield node, operator.join(f"({ast.unparse(value)})" for value in node.values)
        if len(node.values) > 2:
            return
        yield from ((node, ast.unparse(value)) for value in node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, ast.unparse(node.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        operator = _OPERATORS[type(node.op)]
        yield node, f"({ast.unparse(node.left)}) {operator} ({ast.unparse(node.right)})"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLED:
        yield node.func, _CALLED[node.func.id]
    elif isinstance(node, ast.IfExp):
        yield node.test, f"not ({ast.unparse(node.test)})"


def _other_comparisons(node: ast.Compare) -> Iterator[str]:
    """Yields the comparison with one of its operators changed; chains such as a <= b < c have several."""
    operands = [f"({ast.unparse(each)})" for each in (node.left, *node.comparators)]
    operators = [ast.unparse(ast.Compare(ast.Name("a"), [each], [ast.Name("b")]))[2:-2] for each in node.ops]
    for position, operator in enumerate(node.ops):
        for other in _COMPARED[type(operator)]:
            changed = [*operators[:position], other, *operators[position + 1 :]]
            rest = (f"{name} {operand}" for name, operand in zip(changed, operands[1:], strict=True))
            yield f"{operands[0]} {' '.join(rest)}"


def _other_constants(value: object) -> Iterator[str]:
    if value is None:
        yield repr(_OTHER_CODE)
    elif isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield str(value + 1)
        yield str(value - 1)
    elif isinstance(value, str) and value in _CODE_NUMBERS:
        yield "None"
        yield repr(_OTHER_CODE if value != _OTHER_CODE else "PRD_STATUS_UNKNOWN")
    elif isinstance(value, str):
        yield repr(f"{value}!")


def _offsets(lines: list[str], node: Any) -> tuple[int, int]:
    """Returns where a node starts and ends in the text; ast counts columns in bytes of UTF-8."""

    def offset(line: int, column: int) -> int:
        before = sum(len(each) for each in lines[: line - 1])
        return before + len(lines[line - 1].encode()[:column].decode())

    return offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)
