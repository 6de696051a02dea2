"""The plan of the pipeline, and the policy that the real data is shown under."""

import json
from pathlib import Path

import pytest

from benchmarks.demo.settings import read_source
from benchmarks.errors import BenchmarkInputError
from benchmarks.pipeline import (
    DEFAULT_POLICY,
    FAR_TRANS_POLICY,
    Artifacts,
    import_far_trans,
    plan_stages,
    simulate_platform,
)
from suitability import load_policy


def test_each_stage_reads_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    artifacts = Artifacts(tmp_path)
    data = simulate_platform(seed=1, users=10, courses=5, products=5)
    written: set[Path] = {DEFAULT_POLICY}
    for stage in plan_stages(artifacts, data, model="mf", policy=DEFAULT_POLICY):
        assert {path if path in written else path.parent for path in stage.inputs} <= written
        written.add(stage.output)
    assert {artifacts.bundles, artifacts.store} <= written


def test_the_target_of_an_import_stands_before_its_options(tmp_path: Path) -> None:
    data = import_far_trans(tmp_path / "in", tmp_path / "assume.json")
    first = plan_stages(Artifacts(tmp_path), data, model="mf", policy=FAR_TRANS_POLICY)[0]
    assert first.arguments[3:] == (
        str(tmp_path / "in"),
        str(tmp_path / "data"),
        "--assume",
        str(tmp_path / "assume.json"),
    )


def test_the_policy_for_far_trans_differs_from_the_default_in_id_and_first_day_alone() -> None:
    default, other = (json.loads(path.read_text()) for path in (DEFAULT_POLICY, FAR_TRANS_POLICY))
    assert {key for key in default | other if default.get(key) != other.get(key)} == {
        "policy_id",
        "effective_from",
    }
    assert load_policy(FAR_TRANS_POLICY).policy_id == "far-trans-demonstration"


def test_a_source_is_simulated_or_a_directory_of_far_trans(tmp_path: Path) -> None:
    assert read_source("simulated") == ("simulated", None)
    assert read_source(f"far-trans:{tmp_path}") == ("far-trans", tmp_path.resolve())
    for text in ("far-trans", "far-trans:", "other:x", f"far-trans:{tmp_path / 'none'}"):
        with pytest.raises(BenchmarkInputError):
            read_source(text)
