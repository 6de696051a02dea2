"""Shows progress of long data steps: a bar on a terminal, one plain line per tenth elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def show_progress(console: Console, *, text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of things done since the last call."""
    if not console.is_terminal:
        yield _plain_lines(console, text, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(text, total=total)

        def advance(count: int) -> None:
            progress.advance(task, count)

        yield advance


@contextmanager
def show_step(console: Console, text: str) -> Iterator[None]:
    """Shows that one step is under way, where its length cannot be told beforehand."""
    if not console.is_terminal:
        console.print(text, highlight=False)
        yield
        return
    with console.status(text):
        yield


def _plain_lines(console: Console, text: str, total: int) -> Callable[[int], None]:
    done, shown = 0, 0

    def advance(count: int) -> None:
        nonlocal done, shown
        done += count
        tenths = done * 10 // max(total, 1)
        if tenths > shown:
            shown = tenths
            console.print(f"{text}: {tenths * 10} %", highlight=False)

    return advance
