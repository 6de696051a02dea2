"""Writes what a benchmark found: its tables on the console and in a file, and all of it as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console

WIDTH: Final = 130


def write_tables(
    out: Path, name: str, console: Console, show: Callable[[Console], None], body: dict[str, Any]
) -> None:
    """Shows tables and writes them as NAME.txt, and the figures as NAME.json, into a directory.

    Args:
        out: the directory, made where it is not there.
        name: of the files.
        console: where the tables are shown as well.
        show: prints the tables.
        body: all figures.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{name}.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=WIDTH, highlight=False, emoji=False)):
            show(target)
    text = json.dumps(body, indent=1, ensure_ascii=False)
    (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
