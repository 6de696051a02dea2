"""Runs refusals at once, on the thread that takes calls from the network."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class InlinePool(ThreadPoolExecutor):
    """Looks like threads to gRPC and has none: what is submitted is done before `submit` returns.

    A refusal has nothing to wait for. Handing it to a thread costs more than the refusal, and the thread
    would have to win Python's lock against those that work.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self._done: Future[Any] = Future()
        self._done.set_result(None)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Calls `fn`; returns what is done already."""
        fn(*args, **kwargs)
        return self._done
