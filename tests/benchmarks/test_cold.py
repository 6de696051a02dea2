"""Cold products and cold users: what is asked, what may be learned from, the comparison, the table."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from benchmarks.cold import measure
from benchmarks.cold.__main__ import main
from benchmarks.cold.questions import COLD_PRODUCTS, COLD_USERS, EVERYBODY, Questions, ask_cold
from benchmarks.dataset import read_dataset
from benchmarks.errors import EmptyTestError
from benchmarks.evaluate.baselines.content import Content
from benchmarks.evaluate.baselines.popularity import Popularity
from benchmarks.evaluate.baselines.scorer import BaselineScorer, observe_task
from benchmarks.evaluate.intervals import estimate_gain
from benchmarks.evaluate.task import Task
from tests.tiny_data import make_events, write_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data", make_events())


def ask(data: Path, out: Path, share: float = 0.2) -> Questions:
    return ask_cold(data, out, hidden_share=share, shortened_share=0.0, seed=1)


def test_a_cold_product_has_no_event_that_may_be_learned_from(data: Path, tmp_path: Path) -> None:
    asked = ask(data, tmp_path / "known")
    events = pyarrow.parquet.read_table(tmp_path / "known" / "interactions.parquet")
    touched = set(events["product_id"].to_pylist())
    task = next(task for task in asked.cold if task.table == COLD_PRODUCTS)
    assert task.data == tmp_path / "known"
    assert asked.cold_product_count == len(set(task.candidates) - touched) >= 12
    assert not touched & frozenset[str]().union(*task.relevant.values())


def test_a_hidden_product_that_a_user_had_is_no_candidate_of_theirs(data: Path, tmp_path: Path) -> None:
    asked = ask(data, tmp_path / "known")
    task = next(task for task in asked.cold if task.table == COLD_PRODUCTS)
    assert any(task.owned[user] & set().union(*task.relevant.values()) for user in task.owned)
    assert not any(task.relevant[user] & task.owned.get(user, frozenset()) for user in task.users)


def test_a_cold_user_has_one_to_three_events_and_is_asked_for_everything(tmp_path: Path) -> None:
    events = make_events()
    early, late = events[0]["event_time"], max(event["event_time"] for event in events)
    few = [{**events[0], "user_id": "new", "event_time": early}]
    few += [{**event, "user_id": "new", "event_time": late} for event in events[1:6]]
    asked = ask(write_data(tmp_path / "data", [*events, *few]), tmp_path / "known", share=0.0)
    task = next(task for task in asked.cold if task.table == COLD_USERS)
    assert set(task.relevant) == {"new"}
    assert task.relevant["new"] == asked.everybody.relevant["new"]


def test_a_shortened_history_ends_as_the_whole_one(data: Path, tmp_path: Path) -> None:
    asked = ask_cold(data, tmp_path / "known", hidden_share=0.0, shortened_share=0.5, seed=1)
    task = next(task for task in asked.cold if task.table == COLD_USERS)
    whole, left = (read_dataset(path) for path in (data, tmp_path / "known"))
    instant = asked.everybody.now.timestamp()
    for user in task.users:
        past = [event for event in whole.history(user) if event.event_time < instant]
        mine = left.history(user)
        assert 1 <= len(mine) <= 3
        assert [event.event_time for event in mine] == [event.event_time for event in past[-len(mine) :]]
        assert {event.product_id for event in past} <= task.owned[user]


def test_data_without_anything_cold_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(EmptyTestError, match="cold"):
        ask(data, tmp_path / "known", share=0.0)


def test_a_gain_is_over_the_same_users() -> None:
    users = [[f"u{row}" for row in range(40)]]
    values = np.linspace(0.1, 0.9, 40)
    gain = estimate_gain(users, [1.5 * values], [values])
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.5, 0.5, 0.5))
    rare = np.zeros(40)
    rare[0] = 1.0
    assert estimate_gain(users, [values], [rare]).high == np.inf
    noisy = estimate_gain(users, [values[::-1].copy()], [values])
    assert noisy.low < 0.0 < noisy.high


class Built:
    """Stands for a model: content first, popularity where contents are alike."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @contextmanager
    def open(self, form: str) -> Iterator["Built"]:
        assert form == "bundle"
        observed = observe_task(self.task)
        self.parts = [BaselineScorer(part, observed) for part in (Content(), Popularity())]
        yield self

    def score(self, users: list[str], products: list[str]) -> np.ndarray:
        first, second = (part.score(users, products) for part in self.parts)
        return first + 1e-3 * second


def test_the_model_is_set_beside_most_popular_and_content(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []

    def build(task: Task, _: Path, *, settings: Path, **__: object) -> Built:
        seeds.append(json.loads(settings.read_text())["seed"])
        return Built(task)

    monkeypatch.setattr(measure, "build_model", build)
    out = tmp_path / "out"
    options = ["--data", str(data), "--out", str(out), "--work", str(tmp_path / "work"), "--hide", "0.2"]
    assert main([*options, "--seeds", "4,5"]) == 0
    assert seeds == [4, 5]
    body = json.loads(next(out.glob("cold-*.json")).read_text())
    rows = {(row["question"], row["scorer"]): row for row in body["rows"]}
    popular = rows[COLD_PRODUCTS, "most popular"]
    # A product that nobody has stands behind all others.
    assert popular["recall"]["mean"] <= rows[COLD_PRODUCTS, "two_tower"]["recall"]["mean"]
    gain = rows[EVERYBODY, "content-kNN"]["ndcg_gain"]
    own, other = (rows[EVERYBODY, name]["ndcg"]["mean"] for name in ("two_tower", "content-kNN"))
    assert gain["mean"] == pytest.approx(own / other - 1)
    text = next(out.glob("cold-*.txt")).read_text()
    assert "cold products @50" in text
    assert "2 draws" in text
    assert next(out.glob("cold-*.png")).stat().st_size > 0


@pytest.mark.parametrize(
    ("option", "value"), [("--seeds", "1,1"), ("--seeds", "a"), ("--hide", "1"), ("--shorten", "-1")]
)
def test_options_out_of_range_are_refused(
    data: Path, tmp_path: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(data), "--out", str(tmp_path / "out"), option, value]) == 1
    assert option in capsys.readouterr().err


def test_nothing_that_was_held_out_reaches_a_scorer(data: Path, tmp_path: Path) -> None:
    asked = ask(data, tmp_path / "known")
    times = pyarrow.parquet.read_table(tmp_path / "known" / "interactions.parquet")["event_time"].to_pylist()
    assert max(times) < asked.everybody.now
