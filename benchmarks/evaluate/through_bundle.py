"""Carries one split through the whole pipeline, cut to seal, and evaluates the bundle."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.dataset import read_dataset, read_json
from benchmarks.evaluate.bundle_scorer import BundleScorer, open_current
from benchmarks.evaluate.far_trans import cut_far_trans
from benchmarks.evaluate.temporal import Split, SplitResult, evaluate_split
from benchmarks.pipeline import Artifacts, import_far_trans, plan_data, plan_model, run_stages
from benchmarks.stages import run_stage


def evaluate_model(
    split: Split, source: Path, work: Path, *, model: str, settings: Path | None, console: Console
) -> SplitResult:
    """Builds a bundle from what is dated before the split's time point and evaluates it.

    Args:
        split: the split.
        source: FAR-Trans directory.
        work: directory for everything made on the way; removed when done.
        model: two_tower or mf.
        settings: JSON file of training settings; None for the defaults.
        console: where progress goes.

    Raises:
        StageFailedError: a command of the pipeline failed.
    """
    artifacts = Artifacts(work)
    cut = work / "cut"
    cut_far_trans(source, cut, split.time_point)
    run_stage(plan_data(artifacts, import_far_trans(cut, None)), artifacts.records, console)
    _set_clock(artifacts.data / "source.json", split.time_point)
    run_stages(plan_model(artifacts, model=model, settings=settings), artifacts.records, console)
    result = evaluate_split(split, _open_scorer(artifacts, split))
    shutil.rmtree(work)
    return result


def _open_scorer(artifacts: Artifacts, split: Split) -> BundleScorer:
    dataset = read_dataset(artifacts.data)
    return BundleScorer(
        open_current(artifacts.bundles),
        profiles=dataset.profiles,
        histories={user: dataset.history(user) for user in split.users},
        now=datetime.fromisoformat(split.time_point).replace(tzinfo=UTC),
    )


def _set_clock(path: Path, time_point: str) -> None:
    """The importer's clock is the end of the published data; a cut ends at its time point."""
    source = read_json(path)
    text = json.dumps({**source, "clock": f"{time_point}T00:00:00Z"}, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
