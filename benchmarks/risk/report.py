"""Reports the benchmark of risk models as tables and JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.report_files import write_tables
from benchmarks.risk.drawing import draw
from benchmarks.risk.german import FOLD_COUNT, REPEAT_COUNT, FoldedResult
from benchmarks.risk.groups import MAX_BAND
from benchmarks.risk.measure import LEVEL, CreditResult, Interval, ModelResult
from index.risk_json import write_risk_model
from training.risk.settings import RiskSettings

NAME: Final = "risk"
_TARGETS: Final = "Targets: AUC of the best model at least .785, of the scorecard .76; ECE at most .02."


@dataclass(frozen=True)
class Report:
    """Everything that one run found."""

    machine: Machine
    libraries: dict[str, str]
    settings: RiskSettings
    resample_count: int
    credit: CreditResult
    german: Sequence[FoldedResult]


def write_report(report: Report, out: Path, console: Console) -> None:
    """Prints the tables and writes risk.txt, risk.json, risk.png and the scorecard that was measured."""
    write_tables(out, NAME, console, lambda target: _print(report, target), _to_json(report))
    (out / f"{NAME}-scorecard.json").write_text(write_risk_model(report.credit.scorecard), encoding="utf-8")
    draw(report.credit, f"{report.machine.commit}, {report.machine.date}", out / f"{NAME}.png")


def _to_json(report: Report) -> dict[str, Any]:
    credit = report.credit
    models = []
    for model in credit.models:
        row = {key: value for key, value in vars(model).items() if key != "probability"}
        row["quality"] = {name: asdict(one) for name, one in model.quality.items()}
        row["served"] = None if model.served is None else asdict(model.served)
        models.append(row)
    return {
        "machine": asdict(report.machine),
        "libraries": report.libraries,
        "settings": report.settings.model_dump(),
        "resamples": report.resample_count,
        "borrowers": credit.borrower_count,
        "held_out": len(credit.defaulted),
        "excluded": list(credit.excluded),
        "models": models,
        "cost_of_excluding": {name: asdict(one) for name, one in credit.cost.items()},
        "bands": [asdict(band) for band in credit.bands],
        "limits_by_band": [asdict(cut) for cut in credit.cuts],
        "groups": [asdict(group) for group in credit.groups],
        "feature_psi": dict(credit.feature_psi),
        "first_reasons_of_the_highest_band": dict(credit.reasons),
        "german": [asdict(one) for one in report.german],
    }


def _print(report: Report, console: Console) -> None:
    credit = report.credit
    lines = (
        report.machine.line,
        ", ".join(f"{name} {version}" for name, version in report.libraries.items()),
        f"{credit.name}: {len(credit.defaulted):,} of {credit.borrower_count:,} borrowers held out, "
        f"{np.mean(credit.defaulted):.2%} defaulted; {LEVEL:.0%} bootstrap intervals over them, "
        f"{report.resample_count:,} resamples.",
        f"No input unless asked: {', '.join(credit.excluded)}. Plain logistic reads values and not bins; it "
        "is neither calibrated nor served.",
        _TARGETS,
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    shown = [one for one in credit.models if not one.protected]
    console.print(_tabulate_models(shown))
    console.print(_tabulate_calibration(shown))
    console.print("AUC with the protected fields as inputs, and what leaving them out costs:")
    console.print(_tabulate_cost(credit))
    console.print("Bands of the scorecard, held out, in basis points:")
    console.print(_tabulate_bands(credit))
    console.print("What a limit by band (policy: credit.max_band) would do, held out:")
    console.print(_tabulate_cuts(credit))
    console.print(f"Groups under max_band {MAX_BAND}; protected fields (*) are no inputs:")
    console.print(_tabulate_groups(credit))
    psi = ", ".join(f"{name} {value:.4f}" for name, value in credit.feature_psi.items())
    console.print(f"PSI of the scorecard's features: {psi}", markup=False, soft_wrap=True)
    reasons = ", ".join(f"{name} {count:,}" for name, count in credit.reasons.items())
    console.print(f"First reason in the highest band: {reasons}", markup=False, soft_wrap=True)
    console.print(_describe_served(credit), markup=False, soft_wrap=True)
    if report.german:
        console.print(
            f"German credit, AUC over {REPEAT_COUNT} times {FOLD_COUNT} folds (published: .788 plain):"
        )
        console.print(_tabulate_german(report.german))


def _describe_served(credit: CreditResult) -> str:
    served = [one.served for one in credit.models if one.served is not None]
    probes, thresholds = (
        sum(getattr(one, f"{what}_count") for one in served) for what in ("probe", "threshold")
    )
    return (
        f"ONNX, and the scorecard's JSON, against training: {sum(one.differing_count for one in served)} "
        f"other scores of {len(served) * len(credit.defaulted):,} held out; equal scores for {probes:,} "
        f"records on and beside {thresholds:,} thresholds, missing and unseen values among them."
    )


def _tabulate_models(models: Sequence[ModelResult]) -> Table:
    table = _make_table("model", "inputs", "AUC", "AUC in folds", "KS", "PSI")
    for model in models:
        table.add_row(
            model.name,
            str(model.feature_count),
            _show(model.quality["auc"], 4),
            "" if model.validation_auc is None else f"{model.validation_auc:.4f}",
            _show(model.quality["ks"], 3),
            "" if model.psi is None else f"{model.psi:.4f}",
        )
    return table


def _tabulate_calibration(models: Sequence[ModelResult]) -> Table:
    table = _make_table("model", "Brier", "ECE", "calibration")
    for model in models:
        found = (_show(model.quality[name], 4) for name in ("brier", "ece"))
        table.add_row(model.name, *found, model.calibration or "")
    return table


def _tabulate_cost(credit: CreditResult) -> Table:
    table = _make_table("model", "AUC with them", "cost of leaving them out")
    for model in (one for one in credit.models if one.protected):
        table.add_row(model.name, _show(model.quality["auc"], 4), _show(credit.cost[model.name], 4, sign="+"))
    return table


def _tabulate_bands(credit: CreditResult) -> Table:
    table = _make_table("band", "basis points", "borrowers", "expected", "observed")
    for band in credit.bands:
        observed = f"{band.observed_bps} ({band.low_bps} to {band.high_bps})"
        cells = (band.band, band.limit_bps, f"{band.borrower_count:,}", band.expected_bps, observed)
        table.add_row(*map(str, cells))
    return table


def _tabulate_cuts(credit: CreditResult) -> Table:
    table = _make_table("max_band", "shown", "of them default", "defaulters held", "payers held")
    for cut in credit.cuts:
        shares = (cut.shown, cut.default_rate, cut.defaulters_held, cut.payers_held)
        table.add_row(str(cut.max_band), *(f"{share:.1%}" for share in shares))
    return table


def _tabulate_groups(credit: CreditResult) -> Table:
    table = _make_table("group", "borrowers", "expected", "observed", "AUC", "shown", "ratio", "payers held")
    for group in credit.groups:
        table.add_row(
            f"{group.field}{'*' * group.protected} {group.value}",
            f"{group.count:,}",
            f"{group.expected:.1%}",
            f"{group.observed:.1%} ({group.low:.1%} to {group.high:.1%})",
            f"{group.auc:.3f}",
            f"{group.shown:.1%}",
            f"{group.ratio:.2f}",
            f"{group.payers_held:.1%}",
        )
    return table


def _tabulate_german(results: Sequence[FoldedResult]) -> Table:
    table = _make_table("model", "without protected fields", "with them")
    for name in dict.fromkeys(one.name for one in results):
        found = {one.protected: f"{one.auc:.4f} ± {one.deviation:.4f}" for one in results if one.name == name}
        table.add_row(name, found[False], found[True])
    return table


def _make_table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _show(interval: Interval, digits: int, sign: str = "") -> str:
    value, low, high = (f"{one:{sign}.{digits}f}" for one in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"
