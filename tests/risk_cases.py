"""Borrowers for the tests of risk models: a simulated table, and a scorecard that is added up by hand."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from export.risk_graph import write_points_graph
from index.risk_bins import CategoryBins, NumberBins, Value
from index.risk_json import write_risk_model
from index.risk_model import Calibration, Scorecard
from training.dataset import DataSource
from training.risk.table import BorrowerTable, RiskField

FIELDS = (
    RiskField(name="delay", kind="number", direction=1, reason="RSK_DELAY"),
    RiskField(name="limit", kind="number", direction=-1, reason="RSK_LIMIT"),
    RiskField(name="balance", kind="number", direction=0, reason="RSK_BALANCE"),
    RiskField(name="school", kind="category", reason="RSK_SCHOOL"),
    RiskField(name="sex", kind="category", reason="RSK_SEX", protected=True),
)

SCORECARD = Scorecard(
    name="scorecard",
    source="by hand",
    features=(
        NumberBins("delay", "RSK_DELAY", (0.0, 2.0), missing_bin=2),
        NumberBins("limit", "RSK_LIMIT", (0.1,), missing_bin=0),
        CategoryBins("school", "RSK_SCHOOL", {"1": 0, "2": 1}, missing_bin=1, unseen_bin=1),
    ),
    calibration=Calibration("isotonic", (-100, 0, 50), (100, 1000, 5000)),
    band_limits=(500, 2000),
    reason_texts={
        "RSK_DELAY": ("Late payments.", "逾期。"),
        "RSK_LIMIT": ("The credit limit.", "信用额度。"),
        "RSK_SCHOOL": ("The school.", "学校。"),
    },
    protected_fields=("sex",),
    base_points=-100,
    points=((0, 10, 70), (30, 0), (0, 5)),
    average_points=(10, 12, 2),
)


def write_risk_export(directory: Path, model: Scorecard = SCORECARD, graph: bytes | None = None) -> Path:
    """Writes what `index build --risk-model` reads, as an export does; returns the directory."""
    files = {
        "scorecard.json": write_risk_model(model).encode(),
        "scorecard.onnx": graph or write_points_graph(model),
    }
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (directory / "risk.json").write_text(json.dumps({"format_version": 1, "sha256": digests}))
    return directory


def make_table(count: int = 1500, *, seed: int = 0) -> BorrowerTable:
    """Simulates borrowers who default more with delay, a low limit and school C; one in 50 lacks a limit."""
    rng = np.random.default_rng(seed)
    delay = rng.integers(-2, 6, count).astype(float)
    limit = np.round(rng.lognormal(11, 1, count), -3)
    balance = rng.normal(0, 1000, count)
    school = rng.choice(["A", "B", "C"], count)
    odds = -2.2 + 0.5 * delay - 0.4 * (np.log(limit + 1) - 11) + 1.2 * (school == "C")
    limits: list[Value] = [None if rng.random() < 0.02 else float(one) for one in limit]
    return BorrowerTable(
        source=DataSource("test", simulated=True, licence="", attribution="invented", clock=None),
        split="test",
        fields=FIELDS,
        ids=tuple(str(number) for number in range(count)),
        defaulted=rng.random(count) < 1 / (1 + np.exp(-odds)),
        columns={
            "delay": delay.tolist(),
            "limit": limits,
            "balance": balance.tolist(),
            "school": school.tolist(),
            "sex": rng.choice(["1", "2"], count).tolist(),
        },
    )


def without_limit_gaps(table: BorrowerTable) -> BorrowerTable:
    """Fills the missing limits, for tests that compare with a library which cannot miss."""
    filled = [0.0 if value is None else value for value in table.columns["limit"]]
    return replace(table, columns={**table.columns, "limit": filled})
