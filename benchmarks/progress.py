"""Shows that something is under way: a bar or spinner on a terminal, one plain line elsewhere.

Bars run on a console of their own, so that a recorded transcript holds results and no animation.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Advance = Callable[[int], None]


@contextmanager
def show_bar(console: Console, text: str, total: int) -> Iterator[Advance]:
    """Yields a function to call with the number of things done since the last call.

    Args:
        console: gets the plain line where it is no terminal.
        text: what is under way.
        total: number of things.
    """
    if not console.is_terminal:
        console.print(f"  {text} …", markup=False, highlight=False)
        yield lambda count: None
        return
    with Progress(*_columns(), transient=True) as progress:
        task = progress.add_task(text, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def show_step(console: Console, text: str) -> Iterator[Callable[[int | None], None]]:
    """Yields a function to call with the percentage done, or None where it cannot be told."""
    if not console.is_terminal:
        console.print(f"  {text} …", markup=False, highlight=False)
        yield lambda percent: None
        return
    with Progress(*_columns(), transient=True) as progress:
        task = progress.add_task(text, total=None)

        def update(percent: int | None) -> None:
            progress.update(task, completed=percent or 0, total=None if percent is None else 100)

        yield update


def _columns() -> tuple[SpinnerColumn, TextColumn, BarColumn, TimeElapsedColumn]:
    return SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
