"""Whom the demonstration shows."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from benchmarks.dataset import DataSet, read_dataset
from benchmarks.demo.people import choose_clicks, choose_pair
from benchmarks.errors import BenchmarkInputError

LEVELS = {"careful": 1, "daring": 5, "other": 5, "middle": 3}
OWNED = {"careful": "abcd", "daring": "abcde", "other": "efgh", "middle": "abcd"}


def write_dataset(directory: Path, *, personas: Mapping[str, str] | None = None) -> DataSet:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [(user, product) for user, products in OWNED.items() for product in products]
    interactions = {
        "user_id": [user for user, _ in rows],
        "product_id": [product for _, product in rows],
        "event_type": ["purchase"] * len(rows),
        "event_time": pa.array([time] * len(rows), pa.timestamp("us", tz="UTC")),
    }
    maps = pa.array([[("FUND", 2)]] * len(LEVELS), pa.map_(pa.string(), pa.int64()))
    profiles = {"user_id": list(LEVELS), "risk_level": list(LEVELS.values()), "knowledge": maps}
    products = {"id": list("abcdefgh"), "category": list("xxxyyyyy")}
    for name, columns in (("interactions", interactions), ("profiles", profiles), ("products", products)):
        pyarrow.parquet.write_table(pa.table(columns), directory / f"{name}.parquet")
    people = "{}" if personas is None else str(dict(personas)).replace("'", '"')
    (directory / "source.json").write_text(f'{{"personas": {people}}}')
    return read_dataset(directory)


def test_the_two_most_alike_of_low_and_high_tolerance_are_chosen(tmp_path: Path) -> None:
    pair = choose_pair(write_dataset(tmp_path))
    assert (pair.cautious_id, pair.bold_id) == ("careful", "daring")
    assert "80%" in pair.how


def test_personas_of_the_data_come_first(tmp_path: Path) -> None:
    pair = choose_pair(write_dataset(tmp_path, personas={"cautious": "middle", "bold": "other"}))
    assert (pair.cautious_id, pair.bold_id) == ("middle", "other")


def test_clicks_are_the_popular_products_of_one_category(tmp_path: Path) -> None:
    clicks = choose_clicks(write_dataset(tmp_path), count=3, now=1000.0)
    assert [click.product_id for click in clicks] == ["a", "b", "c"]
    assert [click.event_time for click in clicks] == [1000.0, 940.0, 880.0]


def test_a_data_set_gives_histories_and_maps_by_user(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path)
    assert [event.product_id for event in dataset.history("other")] == list("efgh")
    assert dataset.history("nobody") == []
    assert dataset.profiles["careful"]["knowledge"] == {"FUND": 2}


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkInputError, match=r"interactions\.parquet"):
        read_dataset(tmp_path)
