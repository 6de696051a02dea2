"""The fast judge of a population: what it says, and that the entry point names it."""

import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np

from server.gate import Gate
from server.population import judge
from suitability import default_policy_path, load_policy
from tests.server.cases import CHANNEL, NOW, draw_products, draw_users

POLICY = load_policy(default_policy_path())
ROOT = Path(__file__).resolve().parents[2]


def test_every_pair_of_every_chunk_is_judged_as_the_gate_judges_one_user() -> None:
    random = np.random.default_rng(7)
    users, products = draw_users(random, 13), draw_products(random, 29)
    gate, rows = Gate(products, POLICY), np.arange(29)
    expected = np.stack([gate.masks(user, rows, NOW, CHANNEL, None) for user in users])
    assert (~expected.any(axis=2)).sum() >= 20
    found = list(judge([users[:5], users[5:]], products, POLICY, NOW, CHANNEL))
    assert [masks.shape for masks in found] == [(5, 29, 2), (8, 29, 2)]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_chunks_are_taken_one_at_a_time() -> None:
    random = np.random.default_rng(7)
    users, products = draw_users(random, 2), draw_products(random, 3)
    taken = []

    def read() -> Iterator[list[dict[str, Any]]]:
        for user in users:
            taken.append(user)
            yield [user]

    masks = judge(read(), products, POLICY, NOW, CHANNEL)
    next(masks)
    assert len(taken) == 1


def test_the_entry_point_names_the_judge() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    value = project["entry-points"]["prudence.judges"]["gate"]
    assert EntryPoint("gate", value, "prudence.judges").load() is judge
