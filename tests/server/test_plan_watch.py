"""The experiments file is followed while the server runs, and its variants are counted."""

import gc
import json
import os
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from server.config import Settings
from server.experiments import plan_watch
from server.experiments.assignment import Experiments
from server.experiments.metrics import ExperimentMetrics
from server.experiments.opening import read_plan
from server.experiments.plan import Plan
from server.experiments.plan_watch import PlanWatch
from server.messages import ExperimentVariant

PLACES = {(None, None): 0, ("new", None): 1}


@dataclass(eq=False)
class Served:
    experiments: Experiments | None


def experiment(name: str = "tower", share_bps: int = 100, **of_second: Any) -> dict[str, Any]:
    second = {"name": "second", "share_bps": share_bps, **of_second}
    return {
        "name": name,
        "salt": f"salt of {name}",
        "variants": [{"name": "control", "share_bps": 100}, second],
    }


class Scene:
    """A file, what is served, and a watch on both."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "experiments.json"
        self.write(experiment())
        self.settings = Settings(bundles=folder, experiments=self.path, pseudonym_keys=folder / "keys.json")
        self.served = Served(Experiments(read_plan(self.settings), PLACES))
        self.registry = CollectorRegistry()
        self.metrics = ExperimentMetrics(self.registry)
        self.told: list[Plan] = []
        self.watch = PlanWatch(self.settings, lambda: self.served, self.told.append, self.metrics)
        self.watch.look()

    def write(self, *experiments: dict[str, Any], **more: Any) -> None:
        self.path.write_text(json.dumps({"experiments": experiments, **more}))

    def shares(self) -> list[int]:
        assert self.served.experiments is not None
        plan = self.served.experiments.plan
        return [each.variants[1].share_bps for each in plan.experiments]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def refused(self) -> tuple[float | None, float | None]:
        count = self.value("prudence_experiments_files_total", outcome="refused")
        return count, self.value("prudence_experiments_file_refused")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_a_changed_file_is_in_force_at_the_next_look(scene: Scene, logs: list[Any]) -> None:
    scene.write(
        experiment(share_bps=2500, bundle="new"), holdback={"salt": "held since 2026", "share_bps": 7}
    )
    assert scene.shares() == [100]
    scene.watch.look()
    assert scene.shares() == [2500]
    assert scene.served.experiments is not None
    assert scene.served.experiments.plan.holdback is not None
    assert scene.told == [scene.served.experiments.plan]
    assert [line["event"] for line in logs] == ["experiments read"]
    assert scene.value("prudence_experiments_files_total", outcome="taken") == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "experiments.json"),
        (json.dumps({"experiments": [experiment(share_bps=9999)]}), "share_bps"),
        (json.dumps({"experiments": [experiment(bundle="newer")]}), "bundle newer with retriever as set"),
        (json.dumps({"experiments": [experiment(settings={"retriever": "exact"})]}), "retriever exact"),
        (json.dumps({"experiments": [experiment(settings={"retriever": "gpu"})]}), "gpu needs device cuda"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing_and_is_said_once(
    scene: Scene, logs: list[Any], text: str, named: str
) -> None:
    scene.path.write_text(text)
    for _ in range(3):
        scene.watch.look()
    assert scene.shares() == [100]
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("experiments unchanged", "error")
    assert named in line["problem"]
    assert scene.refused() == (1, 1)
    scene.write(experiment())
    scene.watch.look()
    assert scene.refused() == (1, 0)


def test_a_file_that_comes_back_as_it_was_is_refused_no_longer(scene: Scene) -> None:
    aside = scene.path.rename(scene.path.with_suffix(".aside"))
    scene.watch.look()
    assert scene.refused() == (1, 1)
    aside.rename(scene.path)
    scene.watch.look()
    assert scene.refused() == (1, 0)


def test_a_refused_file_keeps_nothing_that_is_served_no_longer(scene: Scene) -> None:
    before = weakref.ref(scene.served)
    scene.path.write_text("{")
    scene.watch.look()
    scene.served = Served(scene.served.experiments)
    scene.watch.look()
    gc.collect()
    assert before() is None


def test_a_file_that_is_gone_changes_nothing(scene: Scene, logs: list[Any]) -> None:
    scene.path.unlink()
    scene.watch.look()
    assert scene.shares() == [100]
    assert [line["event"] for line in logs] == ["experiments unchanged"]


def test_a_pipe_in_place_of_the_file_is_refused_and_keeps_nobody_waiting(
    scene: Scene, logs: list[Any]
) -> None:
    scene.path.unlink()
    os.mkfifo(scene.path)
    looking = threading.Thread(target=scene.watch.look, daemon=True)
    looking.start()
    looking.join(timeout=20)
    assert not looking.is_alive()
    assert "expected a plain file" in logs[0]["problem"]
    assert scene.shares() == [100]


def test_what_is_served_anew_follows_the_file_too(scene: Scene) -> None:
    scene.write(experiment(share_bps=300))
    scene.watch.look()
    before = read_plan(scene.settings)
    scene.served = Served(Experiments(before.model_copy(update={"experiments": ()}), PLACES))
    scene.watch.look()
    assert scene.shares() == [300]


def test_the_thread_looks_by_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_watch, "LOOK_INTERVAL_S", 0.01)
    scene.watch.start()
    scene.write(experiment(share_bps=400))
    while scene.shares() != [400]:
        pass
    scene.watch.close()


def test_the_thread_outlives_a_look_that_fails_unforeseen(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Settings) -> Plan:
        monkeypatch.setattr(plan_watch, "read_plan", read_plan)
        raise MemoryError

    monkeypatch.setattr(plan_watch, "LOOK_INTERVAL_S", 0.01)
    monkeypatch.setattr(plan_watch, "read_plan", fail)
    scene.write(experiment(share_bps=400))
    scene.watch.start()
    while scene.shares() != [400]:
        pass
    scene.watch.close()


def test_answers_are_counted_by_variant_and_variants_of_the_past_are_dropped(scene: Scene) -> None:
    labels = {"experiment": "tower", "variant": "second"}
    scene.metrics.observe([ExperimentVariant("tower", "second"), ExperimentVariant("no", "such")], 0.004, 12)
    assert scene.value("prudence_experiment_answers_total", **labels) == 1
    assert scene.value("prudence_experiment_products_withheld_total", **labels) == 12
    assert scene.value("prudence_experiment_answer_seconds_sum", **labels) == 0.004
    assert scene.value("prudence_experiment_answers_total", experiment="no", variant="such") is None
    assert scene.value("prudence_experiment_answers_total", experiment="tower", variant="control") == 0
    scene.write(experiment("search"), holdback={"salt": "held since 2026", "share_bps": 7})
    scene.watch.look()
    assert scene.value("prudence_experiment_answers_total", **labels) is None
    assert scene.value("prudence_experiment_answers_total", experiment="search", variant="second") == 0
    assert scene.value("prudence_experiment_answers_total", experiment="holdback", variant="held") == 0
