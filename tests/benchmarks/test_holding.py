"""What is held out of a data set, what is left, and that nothing later reaches what is left."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from benchmarks.dataset import read_json
from benchmarks.errors import EmptyTestError
from benchmarks.evaluate.holding import collect_products, find_instants, hold_out_after, hold_out_last
from tests.tiny_data import START, make_events, write_data


def event(user: str, product: str, day: int, kind: str = "view") -> dict[str, Any]:
    time = START + timedelta(days=day)
    return {"user_id": user, "product_id": product, "event_type": kind, "event_time": time, "weight": 1.0}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_the_last_new_product_is_held_out_with_what_followed(tmp_path: Path) -> None:
    events = [event("u", "a", 1), event("u", "b", 2), event("u", "a", 3), event("u", "b", 4)]
    data = write_data(tmp_path / "data", events)
    assert hold_out_last(data, tmp_path / "known") == {"u": frozenset({"b"})}
    left = pyarrow.parquet.read_table(tmp_path / "known" / "interactions.parquet").to_pylist()
    assert [(row["product_id"], row["event_time"]) for row in left] == [("a", START + timedelta(days=1))]


def test_a_user_with_one_product_is_kept_and_not_tested(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", [event("u", "a", 1), event("u", "a", 2), event("v", "a", 3)])
    assert hold_out_last(data, tmp_path / "known") == {}
    assert collect_products(tmp_path / "known") == {"u": frozenset({"a"}), "v": frozenset({"a"})}


def test_of_products_new_at_one_time_the_largest_id_is_held_out(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", [event("u", name, 1) for name in "bca"])
    assert hold_out_last(data, tmp_path / "known") == {"u": frozenset({"c"})}
    assert collect_products(tmp_path / "known") == {"u": frozenset({"a", "b"})}


def test_events_that_repeat_change_nothing(tmp_path: Path) -> None:
    events = [event("u", "a", 1), event("u", "b", 2)]
    once = hold_out_last(write_data(tmp_path / "once", events), tmp_path / "known1")
    twice = hold_out_last(write_data(tmp_path / "twice", events * 2), tmp_path / "known2")
    assert once == twice


def test_only_later_products_that_are_new_are_tested(tmp_path: Path) -> None:
    events = [event("u", "a", 1), event("u", "a", 9), event("u", "b", 9), event("v", "c", 9)]
    cut = START + timedelta(days=5)
    data = write_data(tmp_path / "data", events)
    tested = hold_out_after(data, tmp_path / "known", known_until=cut, tested_from=cut)
    assert tested == {"u": frozenset({"b"}), "v": frozenset({"c"})}
    assert collect_products(tmp_path / "known") == {"u": frozenset({"a"})}
    assert datetime.fromisoformat(read_json(tmp_path / "known" / "source.json")["clock"]) == cut


def test_an_event_at_the_cut_is_tested_and_not_known(tmp_path: Path) -> None:
    cut = START + timedelta(days=5)
    data = write_data(tmp_path / "data", [event("u", "a", 4), event("u", "b", 5)])
    assert hold_out_after(data, tmp_path / "known", known_until=cut, tested_from=cut) == {"u": frozenset("b")}


def test_what_lies_between_known_and_tested_is_in_neither(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", [event("u", "a", 1), event("u", "b", 5), event("u", "c", 9)])
    instants = {"known_until": START + timedelta(days=3), "tested_from": START + timedelta(days=8)}
    assert hold_out_after(data, tmp_path / "known", **instants) == {"u": frozenset({"c"})}
    assert collect_products(tmp_path / "known") == {"u": frozenset({"a"})}


@pytest.mark.parametrize("day", [-1, 99])
def test_nothing_known_or_nothing_to_test_is_refused(day: int, tmp_path: Path) -> None:
    cut = START + timedelta(days=day)
    data = write_data(tmp_path / "data", [event("u", "a", 1), event("u", "b", 2)])
    with pytest.raises(EmptyTestError):
        hold_out_after(data, tmp_path / "known", known_until=cut, tested_from=cut)


def shuffle_after(events: Sequence[dict[str, Any]], cut: datetime, seed: int) -> list[dict[str, Any]]:
    """Gives what is dated from the cut on to other users, products and later times, in another order."""
    rng = np.random.default_rng(seed)
    before = [one for one in events if one["event_time"] < cut]
    after = [one for one in events if one["event_time"] >= cut]
    users, products = rng.permutation(len(after)), rng.permutation(len(after))
    shuffled = [
        {
            **one,
            "user_id": after[users[place]]["user_id"],
            "product_id": after[products[place]]["product_id"],
            "event_time": one["event_time"] + timedelta(days=int(rng.integers(0, 400))),
        }
        for place, one in enumerate(after)
    ]
    mixed = [*before, *shuffled]
    return [mixed[place] for place in rng.permutation(len(mixed))]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shuffling_what_is_dated_after_the_cut_changes_nothing_before_it(seed: int, tmp_path: Path) -> None:
    events, cut = make_events(), START + timedelta(days=40)
    products = [{"id": f"p{row:03}", "family": "FUND"} for row in range(61)]
    shuffled = shuffle_after(events, cut, seed)
    assert sorted(map(repr, shuffled)) != sorted(map(repr, events))
    known = []
    for name, rows in (("plain", events), ("shuffled", shuffled)):
        data = write_data(tmp_path / name, rows, products=products, profiles=[])
        hold_out_after(data, tmp_path / f"{name}-known", known_until=cut, tested_from=cut)
        known.append(contents(tmp_path / f"{name}-known"))
    assert known[0] == known[1]


def test_a_future_event_shifts_no_other_users_past(tmp_path: Path) -> None:
    events = make_events()
    later = [*events, event("u000", "p060", 36_500)]
    outs = []
    for name, rows in (("plain", events), ("later", later)):
        hold_out_last(write_data(tmp_path / name, rows), tmp_path / f"{name}-known")
        outs.append(collect_products(tmp_path / f"{name}-known"))
    assert {user: mine for user, mine in outs[0].items() if user != "u000"} == {
        user: mine for user, mine in outs[1].items() if user != "u000"
    }
    assert "p060" not in outs[1]["u000"]


def test_instants_lie_where_the_shares_of_the_events_do(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", [event("u", f"p{day}", day) for day in range(10)])
    assert find_instants(data, 0.5, 0.9) == [START + timedelta(days=5), START + timedelta(days=9)]
    assert find_instants(data, 0.0)[0].tzinfo == UTC


def test_other_tables_are_taken_over_as_they_are(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", make_events())
    hold_out_last(data, tmp_path / "known")
    for name in ("products.parquet", "profiles.parquet"):
        assert (tmp_path / "known" / name).read_bytes() == (data / name).read_bytes()
    assert pa.types.is_timestamp(
        pyarrow.parquet.read_schema(tmp_path / "known" / "interactions.parquet").field("event_time").type
    )
