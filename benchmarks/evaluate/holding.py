"""Holds out part of a data set and writes the rest: what scorers may know, and nothing else.

Nothing that is dated after what was held out reaches the part that is written: whatever happens there, the
written tables stay the same, byte for byte.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from benchmarks.dataset import read_json
from benchmarks.errors import EmptyTestError

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

Products = Mapping[str, frozenset[str]]


def hold_out_last(data: Path, out: Path) -> Products:
    """Holds out each user's last new product and everything that the user did from then on.

    A user with one product is not tested and is kept whole. Of products that are new at the same time, the
    one with the largest id is the last.

    Args:
        data: the data set.
        out: where to write what remains; replaced.

    Returns:
        For each tested user the product held out.
    """
    events = _read_events(data)
    users, products = _list_ids(events)
    times = events["event_time"].cast(pa.int64()).to_numpy()
    first: dict[str, dict[str, int]] = defaultdict(dict)
    for user, product, time in zip(users, products, times, strict=True):
        mine = first[user]
        mine[product] = min(time, mine.get(product, time))
    last = {
        user: max((time, product) for product, time in mine.items())
        for user, mine in first.items()
        if len(mine) > 1
    }
    kept = [
        user not in last or (time <= last[user][0] and product != last[user][1])
        for user, product, time in zip(users, products, times, strict=True)
    ]
    _write_rest(data, out, events.filter(pa.array(kept)), now=_read_clock(data))
    return {user: frozenset({product}) for user, (_, product) in last.items()}


def hold_out_drawn(data: Path, out: Path, *, seed: int) -> Products:
    """Holds out one product of each user, drawn by lot: for events whose order may say nothing.

    A user with one product is not tested and is kept whole.

    Args:
        data: the data set.
        out: where to write what remains; replaced.
        seed: of the draw.

    Returns:
        For each tested user the product held out.
    """
    events = _read_events(data)
    rng = np.random.default_rng(seed)
    drawn = {
        user: sorted(mine)[rng.integers(len(mine))]
        for user, mine in sorted(_collect(events).items())
        if len(mine) > 1
    }
    kept = [drawn.get(user) != product for user, product in zip(*_list_ids(events), strict=True)]
    _write_rest(data, out, events.filter(pa.array(kept)), now=_read_clock(data))
    return {user: frozenset({product}) for user, product in drawn.items()}


def hold_out_after(data: Path, out: Path, *, known_until: datetime, tested_from: datetime) -> Products:
    """Writes what is dated before an instant; later products that are new to their user are tested.

    Args:
        data: the data set.
        out: where to write what is known; replaced.
        known_until: what is dated before it is known.
        tested_from: what is dated from here on is tested; not before `known_until`.

    Returns:
        For each tested user the products.

    Raises:
        EmptyTestError: nothing is known, or nothing is left to test.
    """
    assert known_until <= tested_from, "what is tested lies after what is known"
    events = _read_events(data)
    known = events.filter(pc.less(events["event_time"], pa.scalar(known_until)))
    later = events.filter(pc.greater_equal(events["event_time"], pa.scalar(tested_from)))
    had = _collect(known)
    tested = {
        user: new for user, all_ in _collect(later).items() if (new := all_ - had.get(user, frozenset()))
    }
    if not tested or not had:
        raise EmptyTestError(
            f"{data}: expected events before {known_until} and new products after {tested_from}"
        )
    _write_rest(data, out, known, now=known_until)
    return tested


def forget_products(data: Path, share: float, *, seed: int) -> int:
    """Takes every event of some products out of a data set, in place; returns the number of products."""
    path = data / "interactions.parquet"
    events = pyarrow.parquet.read_table(path, use_threads=False)
    products = sorted(pc.unique(events["product_id"]).to_pylist())
    count = int(share * len(products))
    cold = np.random.default_rng(seed).choice(products, count, replace=False).tolist()
    kept = pc.invert(pc.is_in(events["product_id"], pa.array(sorted(cold), pa.string())))
    pyarrow.parquet.write_table(events.filter(kept), path)
    return count


def shorten_histories(data: Path, share: float, lengths: Sequence[int], *, seed: int) -> int:
    """Takes all but the last few events of some users out of a data set, in place; returns how many users.

    Args:
        data: the data set.
        share: of the users with events.
        lengths: how many events a user keeps is drawn from these.
        seed: of both draws.
    """
    path = data / "interactions.parquet"
    events = pyarrow.parquet.read_table(path, use_threads=False)
    users, _ = _list_ids(events)
    rng = np.random.default_rng(seed)
    names = sorted(set(users))
    drawn = rng.choice(names, int(share * len(names)), replace=False).tolist()
    if not drawn:
        return 0
    left = dict(zip(drawn, rng.choice(list(lengths), len(drawn)).tolist(), strict=True))
    kept = np.ones(len(users), np.bool_)
    for row in np.argsort(-events["event_time"].cast(pa.int64()).to_numpy(), kind="stable").tolist():
        if users[row] in left:
            left[users[row]] -= 1
            kept[row] = left[users[row]] >= 0
    pyarrow.parquet.write_table(events.filter(pa.array(kept)), path)
    return len(drawn)


def find_instants(data: Path, *shares: float) -> list[datetime]:
    """Finds the instants before which these shares of the events lie."""
    times = np.sort(_read_events(data)["event_time"].cast(pa.int64()).to_numpy())
    places = [min(len(times) - 1, round(share * len(times))) for share in shares]
    return [datetime.fromtimestamp(int(times[place]) / 1e6, UTC) for place in places]


def collect_products(data: Path) -> Products:
    """Returns each user's products."""
    return _collect(_read_events(data))


def _collect(events: pa.Table) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for user, product in zip(*_list_ids(events), strict=True):
        found[user].add(product)
    return {user: frozenset(products) for user, products in found.items()}


def _list_ids(events: pa.Table) -> tuple[list[str], list[str]]:
    users: Any = events["user_id"].to_pylist()
    products: Any = events["product_id"].to_pylist()
    return users, products


def _read_events(data: Path) -> pa.Table:
    return pyarrow.parquet.read_table(data / "interactions.parquet", use_threads=False)


def _read_clock(data: Path) -> datetime:
    clock = read_json(data / "source.json")["clock"]
    return datetime.now(UTC) if clock is None else datetime.fromisoformat(clock)


def _write_rest(data: Path, out: Path, events: pa.Table, *, now: datetime) -> None:
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    for name in ("products.parquet", "profiles.parquet"):
        shutil.copyfile(data / name, out / name)
    order: Any = [("user_id", "ascending"), ("event_time", "ascending"), ("product_id", "ascending"),
                  ("event_type", "ascending")]  # fmt: skip
    pyarrow.parquet.write_table(events.sort_by(order), out / "interactions.parquet")
    source = {**read_json(data / "source.json"), "clock": now.isoformat()}
    (out / "source.json").write_text(
        json.dumps(source, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
