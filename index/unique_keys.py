"""Refuses JSON objects that give a key twice: parsers keep the last value and say nothing."""

from __future__ import annotations

from typing import Any


def require_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its pairs, as `object_pairs_hook` of `json.loads`.

    Raises:
        ValueError: a key is there twice; the message names it.
    """
    body = dict(pairs)
    if len(body) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {repeated!r:.80} is there twice")
    return body
