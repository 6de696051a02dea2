"""Finds what a report is measured on: a sealed bundle, and what its users did after everything it learned.

A demonstration's own bundle learned from all of its data, so nothing is left to test it on. Unless newer data
are given, the last tenth of the events is held out, or where events have no dates one product of each user;
the same model is trained, exported and sealed again on the rest. A few products are held out whole: only
their content can place them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkInputError, EmptyTestError
from benchmarks.evaluate.holding import (
    Products,
    collect_products,
    find_instants,
    forget_products,
    hold_out_after,
    hold_out_drawn,
)
from benchmarks.pipeline import Artifacts, plan_model, run_stages
from training.config import make_config

KNOWN_SHARE: Final = 0.9
COLD_SHARE: Final = 0.02
DEFAULT_MODEL: Final = "two_tower"
SEED: Final = 0
_FOUND: Final = (
    "Products that are new to a user count as found. The report chooses nothing by them; the defaults of "
    "training were chosen on the last events of several data sets, this one perhaps among them."
)

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.


@dataclass(frozen=True)
class HeldOut:
    """A bundle, what it was made of, and what came later.

    Attributes:
        artifacts: of the model that is measured; its data are all that the model knows.
        known_until: the instant of the question: histories end before it.
        clock: the instant at which the profiles are true, and suitability is judged.
        relevant: for each tested user the products that are new to the user afterwards.
        owned: for each user the products from before, which are no candidates.
        looked_at: how the test came about, for people.
    """

    artifacts: Artifacts
    known_until: datetime
    clock: datetime
    relevant: Products
    owned: Products
    looked_at: str


def hold_out(artifacts: Artifacts, work: Path, policy: Path, console: Console) -> HeldOut:
    """Holds out what came last and carries the same model through the pipeline on the rest.

    Args:
        artifacts: of a demonstration; its run names model and settings, without one they are the defaults.
        work: where what is made is kept; a second call with the same inputs computes nothing again.
        policy: the policy under which the bundle's rows are ordered.
        console: where progress goes.

    Raises:
        BenchmarkInputError: the data are missing.
        EmptyTestError: nobody did anything new in the last tenth.
        StageFailedError: a command of the pipeline failed.
    """
    _require_data(artifacts.data)
    values = _read_settings(artifacts)
    measured = Artifacts(work.resolve())
    known_until, relevant, what = _hold_out_events(artifacts.data, measured.data)
    owned = collect_products(measured.data)
    cold_count = forget_products(measured.data, COLD_SHARE, seed=SEED)
    settings = measured.directory / "settings.json"
    given = {name: value for name, value in values.items() if name != "model"}
    settings.write_text(json.dumps(given, sort_keys=True) + "\n", encoding="utf-8")
    stages = plan_model(measured, model=str(values["model"]), policy=policy, settings=settings)
    run_stages(stages, measured.records, console)
    looked_at = (
        f"{what}, and all events of {cold_count} products drawn with seed {SEED}. The model "
        f"{values['model']} with {_describe_settings(str(values['model']), given)} was trained, exported and "
        f"sealed on the rest. {_FOUND}"
    )
    return HeldOut(measured, known_until, _read_clock(artifacts.data), relevant, owned, looked_at)


def compare_with_newer(artifacts: Artifacts, newer: Path) -> HeldOut:
    """Takes the bundle that is there, and what newer data hold beyond the data that it learned from.

    Raises:
        BenchmarkInputError: a file is missing.
        EmptyTestError: the newer data hold nothing that is new to a user.
    """
    _require_data(artifacts.data)
    _require_data(newer)
    times = pyarrow.parquet.read_table(artifacts.data / "interactions.parquet", columns=["event_time"])
    latest_us = pc.max(times["event_time"].cast(pa.int64())).as_py()
    known_until = datetime.fromtimestamp((latest_us + 1) / 1e6, UTC)
    owned = collect_products(artifacts.data)
    relevant = {
        user: new
        for user, products in collect_products(newer).items()
        if (new := products - owned.get(user, frozenset()))
    }
    if not relevant:
        raise EmptyTestError(f"{newer}: expected products new to a user of {artifacts.data}, found none")
    looked_at = (
        f"The bundle as it is; it learned from events before {known_until:%Y-%m-%d %H:%M} UTC, and is "
        f"tested on newer data. {_FOUND}"
    )
    return HeldOut(artifacts, known_until, _read_clock(artifacts.data), relevant, owned, looked_at)


def _read_settings(artifacts: Artifacts) -> dict[str, Any]:
    path = artifacts.run / "config.json"
    return dict(read_json(path)) if path.exists() else {"model": DEFAULT_MODEL}


def _describe_settings(model: str, given: Mapping[str, Any]) -> str:
    """Names the settings that are not the defaults."""
    defaults = make_config(model, {}).model_dump()
    changed = [
        f"{name} {value}"
        for name, value in make_config(model, given).model_dump().items()
        if value != defaults[name]
    ]
    return f"default settings but for {', '.join(changed)}" if changed else "its default settings"


def _hold_out_events(data: Path, out: Path) -> tuple[datetime, Products, str]:
    """Holds out what came last; returns the instant of the question, what is tested, and how, for people."""
    if read_json(data / "source.json").get("dated") is False:
        relevant = hold_out_drawn(data, out, seed=SEED)
        what = f"Events have no dates: one product of each user, drawn with seed {SEED}, was held out"
        return _read_clock(data), relevant, what
    (known_until,) = find_instants(data, KNOWN_SHARE)
    relevant = hold_out_after(data, out, known_until=known_until, tested_from=known_until)
    share = f"{1 - KNOWN_SHARE:.0%}"
    what = f"The last {share} of the events, from {known_until:%Y-%m-%d %H:%M} UTC, were held out"
    return known_until, relevant, what


def _require_data(data: Path) -> None:
    if not (data / "interactions.parquet").is_file():
        raise BenchmarkInputError(f"expected a data set at {data}, found none")


def _read_clock(data: Path) -> datetime:
    clock = read_json(data / "source.json")["clock"]
    return datetime.now(UTC) if clock is None else datetime.fromisoformat(clock)
