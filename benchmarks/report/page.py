"""Writes a report as one HTML page that needs nothing else, and as plain text."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table as TextTable

from benchmarks.report.section import Picture, Section, Table

_STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #222222; --faint: #5c5c5c; --line: #dddddd;
  --mark: #7a3b00; --mark-ground: #fff3e0; --link: #00538a; }
@media (prefers-color-scheme: dark) { :root { --ground: #1b1d21; --ink: #e6e6e6; --faint: #a8adb5;
  --line: #3c4047; --mark: #ffc98a; --mark-ground: #3a2a14; --link: #7cc4f0; } }
body { background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  max-width: 62rem; margin: 0 auto; padding: 1rem; }
a { color: var(--link); }
h2 { border-top: 1px solid var(--line); padding-top: 1.2rem; margin-top: 2.2rem; }
.mark { background: var(--mark-ground); color: var(--mark); padding: .5rem .8rem; border-radius: .3rem; }
.faint { color: var(--faint); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .7rem .25rem 0; text-align: left; }
img { max-width: 100%; height: auto; }
"""


@dataclass(frozen=True)
class Heading:
    """What stands above all sections.

    Attributes:
        title: of the page.
        mark: what must not be missed, for example that everything is simulated; "" for nothing.
        facts: name and value, in order.
    """

    title: str
    mark: str
    facts: tuple[tuple[str, str], ...]


def write_html(heading: Heading, sections: Sequence[Section]) -> str:
    """Returns the page: no script, no link to anything outside itself, pictures inlined."""
    links = "".join(f'<li><a href="#{one.name}">{html.escape(one.title)}</a></li>' for one in sections)
    facts = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in heading.facts
    )
    mark = f'<p class="mark" role="note">{html.escape(heading.mark)}</p>' if heading.mark else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{html.escape(heading.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{html.escape(heading.title)}</h1>{mark}"
        f'<div class="wide"><table>{facts}</table></div></header>\n'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n'
        f"<main>\n{''.join(map(_write_section, sections))}</main>\n</body>\n</html>\n"
    )


def write_text(heading: Heading, sections: Sequence[Section], console: Console) -> None:
    """Writes the same without pictures."""
    lines = [heading.title, heading.mark, *(f"{name}: {value}" for name, value in heading.facts)]
    for line in filter(None, lines):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for section in sections:
        console.print(f"\n{section.title}\n{'=' * len(section.title)}", markup=False, highlight=False)
        for sentence in section.sentences:
            console.print(sentence, markup=False, highlight=False)
        for table in section.tables:
            console.print(_make_text_table(table))


def _write_section(section: Section) -> str:
    sentences = "".join(f"<p>{html.escape(sentence)}</p>\n" for sentence in section.sentences)
    pictures = "".join(map(_write_picture, section.pictures))
    tables = "".join(map(_write_table, section.tables))
    title = html.escape(section.title)
    return f'<section id="{section.name}">\n<h2>{title}</h2>\n{sentences}{pictures}{tables}</section>\n'


def _write_picture(picture: Picture) -> str:
    light, dark = _inline(picture.light), _inline(picture.dark)
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}"/>'
        f'<img src="{light}" alt="{html.escape(picture.alt)}"/></picture></figure>\n'
    )


def _inline(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _write_table(table: Table) -> str:
    head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in table.columns)
    body = "".join(
        f"<tr><th scope='row'>{html.escape(first)}</th>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
        + "</tr>"
        for first, *others in table.rows
    )
    caption = html.escape(table.caption)
    return (
        f'<div class="wide"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n"
    )


def _make_text_table(table: Table) -> TextTable:
    made = TextTable(title=table.caption, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for number, name in enumerate(table.columns):
        figures = all(row[number][:1] in "+-0123456789" for row in table.rows)
        made.add_column(name, justify="right" if figures and number else "left", overflow="fold")
    for row in table.rows:
        made.add_row(*row)
    return made
