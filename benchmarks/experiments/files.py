"""Writes a report as a page, a table, JSON and one picture of its charts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.report.drawing import draw_overview
from benchmarks.report.page import Heading, write_html, write_text
from benchmarks.report.section import Section
from benchmarks.report_files import write_tables


def write_report(
    out: Path,
    name: str,
    heading: Heading,
    sections: Sequence[Section],
    body: dict[str, Any],
    console: Console,
) -> None:
    """Writes NAME.html, which needs nothing else, NAME.txt, NAME.json and NAME.png.

    Args:
        out: the directory, made where it is not there.
        name: of the files.
        heading: of the page.
        sections: of the page.
        body: all figures.
        console: where the tables are shown as well.
    """
    write_tables(out, name, console, lambda target: write_text(heading, sections, target), body)
    (out / f"{name}.html").write_text(write_html(heading, sections), encoding="utf-8")
    pictures = [picture for section in sections for picture in section.pictures]
    title = "\n".join(filter(None, (heading.title, heading.mark)))
    (out / f"{name}.png").write_bytes(draw_overview(pictures, title))
