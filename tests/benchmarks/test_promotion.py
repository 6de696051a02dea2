"""Promotion: a bundle as good as the one that serves may take its place, and a worse one may not."""

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from rich.console import Console

from benchmarks import retrain
from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.holding import find_instants, hold_out_after
from benchmarks.evaluate.intervals import Estimate
from benchmarks.promotion.__main__ import main
from benchmarks.promotion.limits import Limits, read_limits
from benchmarks.promotion.measure import Measure
from benchmarks.promotion.quality import _judge_everybody, _judge_segment
from benchmarks.promotion.question import find_end
from benchmarks.promotion.soundness import count_golden_faults
from benchmarks.stages import Stage
from export.write import export_run
from index.build import build_bundle
from index.bundle import Bundle, open_bundle, read_current
from suitability.policy import default_policy_path
from training.__main__ import main as training_main
from training.config import make_config
from training.run import train

SILENT = Console(file=io.StringIO())
CLOCK = "2026-11-22T00:00:00Z"
SETTINGS = {"embedding_dim": 16, "epochs": 3, "validation_fraction": 0.0, "hidden_dim": 16}
SIZES = ("--users", "700", "--courses", "40", "--products", "50", "--seed", "3", "--clock", CLOCK)
# So few users cannot rule out a loss of 5 %: the interval of a good model reaches further down.
LIMITS = {"loss_max": 0.25}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated platform; a serving bundle that learned from its first 80 %, in `bundles`."""
    directory = tmp_path_factory.mktemp("platform")
    data = directory / "data"
    assert training_main(["simulate", str(data), *SIZES]) == 0
    for share in (0.8, 0.9):
        [instant] = find_instants(data, share)
        hold_out_after(data, directory / f"first{share}", known_until=instant, tested_from=instant)
    known = directory / "first0.8"
    train(
        known,
        directory / "run",
        make_config("two_tower", SETTINGS),
        resume=False,
        force=False,
        console=SILENT,
    )
    export_run(directory / "run", known, directory / "export", force=False)
    seal(directory / "export", known, directory / "bundles")
    (directory / "limits.json").write_text(json.dumps(LIMITS))
    return directory


@pytest.fixture(scope="module")
def updated(platform: Path) -> Path:
    """A candidate that learned later and ranks as the serving bundle does."""
    return seal_later(platform, "updated", shuffle=False)


@pytest.fixture(scope="module")
def shuffled(platform: Path) -> Path:
    """A candidate that learned later, with each product's vector at another product."""
    return seal_later(platform, "shuffled", shuffle=True)


def seal_later(platform: Path, name: str, *, shuffle: bool) -> Path:
    """Seals the serving model again as one that learned from the first 90 %; exporting takes seconds."""
    known, out = platform / "first0.9", platform / name
    export = Path(shutil.copytree(platform / "export", out / "export"))
    described = read_json(export / "export.json")
    described["source"]["clock"] = read_json(known / "source.json")["clock"]
    (export / "export.json").write_text(json.dumps(described), encoding="utf-8")
    if shuffle:
        vectors = np.load(export / "item_vectors.npy")
        np.save(export / "item_vectors.npy", np.random.default_rng(0).permutation(vectors))
    return seal(export, known, out / "bundles").path


def seal(export: Path, data: Path, bundles: Path) -> Bundle:
    return build_bundle(
        export=export, products=data / "products.parquet", policy=default_policy_path(), bundles=bundles
    )


def judge(platform: Path, candidate: Path, data: Path, out: Path) -> int:
    return main(
        list_options(
            {
                "serving": platform / "bundles",
                "candidate": candidate,
                "data": data,
                "limits": platform / "limits.json",
                "out": out,
            }
        )
    )


def list_options(paths: dict[str, Path]) -> list[str]:
    return ["--users", "300", *(text for name, path in paths.items() for text in (f"--{name}", str(path)))]


def test_a_model_as_good_as_the_serving_one_is_published(
    platform: Path, updated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = Path(shutil.copytree(platform / "bundles", tmp_path / "bundles"))
    ends = [find_end(open_bundle(path)) for path in (read_current(bundles), updated)]
    run_stages_as(monkeypatch, updated)
    assert retrain_night(platform, bundles, tmp_path / "night") == 0
    assert read_current(bundles).name == updated.name
    report = read_json(tmp_path / "night" / "promotion.json")
    assert report["verdict"] == "promote"
    assert report["reasons"] == []
    # What both learned from is no test.
    assert report["known_until"] == ends[1].isoformat() > ends[0].isoformat()
    assert "PROMOTED" in (tmp_path / "night" / "promotion.txt").read_text()


def test_a_model_that_mixed_its_products_up_is_refused(
    platform: Path, shuffled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = Path(shutil.copytree(platform / "bundles", tmp_path / "bundles"))
    before = read_current(bundles).name
    run_stages_as(monkeypatch, shuffled)
    assert retrain_night(platform, bundles, tmp_path / "night") == 3
    assert read_current(bundles).name == before
    assert sorted(path.name for path in bundles.iterdir()) == sorted(["CURRENT", before])
    report = read_json(tmp_path / "night" / "promotion.json")
    assert report["verdict"] == "refuse"
    assert any(reason.startswith("ndcg@10, all users") for reason in report["reasons"])
    assert any("history of > 10" in reason for reason in report["reasons"])
    assert "REFUSED" in (tmp_path / "night" / "promotion.txt").read_text()


def test_data_that_ends_where_the_candidate_does_leaves_nothing_to_judge(
    platform: Path, updated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "serving": platform / "bundles",
        "candidate": updated,
        "data": platform / "first0.9",
        "out": tmp_path,
    }
    assert main([text for name, path in options.items() for text in (f"--{name}", str(path))]) == 1
    assert capsys.readouterr().err.startswith("EmptyTestError")


def test_golden_answers_that_change_are_counted(updated: Path) -> None:
    bundle = open_bundle(updated)
    assert count_golden_faults(bundle) == 0
    first, *rest = bundle.golden.requests
    vector = first.user_vector.copy()
    vector[0] += 99
    changed = replace(bundle.golden, requests=(replace(first, user_vector=vector), *rest))
    assert count_golden_faults(replace(bundle, golden=changed)) == 1


def test_a_candidate_with_a_stale_catalogue_is_refused(platform: Path, updated: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(platform / "data", tmp_path / "data"))
    products = pyarrow.parquet.read_table(data / "products.parquet").to_pylist()
    shown = open_bundle(updated).golden.requests[0].product_ids[0]
    for product in products:
        if product["id"] == shown:
            product["status"] = "SUSPENDED"
    # Of the course that is withdrawn, the bundle still says that it is on sale.
    schema = pyarrow.parquet.read_schema(data / "products.parquet")
    pyarrow.parquet.write_table(pa.Table.from_pylist(products, schema=schema), data / "products.parquet")
    assert judge(platform, updated, data, tmp_path / "out") == 3
    reasons = read_json(tmp_path / "out" / "promotion.json")["reasons"]
    assert any(reason.startswith("shown but not eligible") for reason in reasons)


def run_stages_as(monkeypatch: pytest.MonkeyPatch, candidate: Path) -> None:
    """Lets the chain find a candidate that is there already, and checks what it would have run."""

    def pretend(stages: Sequence[Stage], records: Path, console: Console) -> None:
        assert [stage.arguments[:2] for stage in stages[::2]] == [("training", "update"), ("index", "build")]
        known = Path(stages[0].arguments[5])
        assert read_json(known / "source.json")["clock"] == find_end(open_bundle(candidate)).isoformat()
        shutil.copytree(candidate.parent, stages[-1].output)

    monkeypatch.setattr(retrain, "run_stages", pretend)


def retrain_night(platform: Path, bundles: Path, work: Path) -> int:
    options = {
        "from": platform / "run",
        "data": platform / "data",
        "serving": bundles,
        "work": work,
        "limits": platform / "limits.json",
    }
    return retrain.main(list_options(options))


USERS = [f"u{row}" for row in range(400)]
NOISE = np.random.default_rng(0).normal(0.5, 0.2, len(USERS))


def compare(change: float, users: Sequence[str] = USERS, noise: float = 0.0) -> tuple[Measure, Measure]:
    """Compares values with others that are so much worse, for everybody and as a segment."""
    before = NOISE[: len(users)]
    wobble = noise * np.random.default_rng(1).normal(0.0, 1.0, len(users))
    after = before + change + wobble - wobble.mean()
    values = {"ndcg@10": before}, {"ndcg@10": after}
    [everybody] = _judge_everybody(users, *values, Limits())
    [segment] = _judge_segment("some", users, np.arange(len(users)), *values, Limits())
    return everybody, segment


def test_equal_values_pass() -> None:
    everybody, segment = compare(0.0)
    assert everybody.verdict == segment.verdict == "passed"
    assert everybody.change == Estimate(0.0, 0.0, 0.0)


def test_a_proven_loss_refuses_everywhere() -> None:
    everybody, segment = compare(-0.1, noise=0.01)
    assert everybody.verdict == segment.verdict == "refused"
    assert everybody.change is not None
    assert everybody.change.high < -0.05


def test_a_loss_that_cannot_be_ruled_out_refuses_everybody_and_no_segment() -> None:
    everybody, segment = compare(0.0, noise=0.5)
    assert everybody.verdict == "refused"
    assert segment.verdict == "passed"


def test_a_small_segment_is_shown_and_not_judged() -> None:
    _, segment = compare(-0.2, users=USERS[:49])
    assert segment.verdict == "not judged"
    assert segment.candidate < segment.serving  # type: ignore[operator]


def test_nothing_to_lose_passes() -> None:
    values = {"ndcg@10": np.zeros(3)}, {"ndcg@10": np.ones(3)}
    [everybody] = _judge_everybody(USERS[:3], *values, Limits())
    assert (everybody.change, everybody.verdict) == (None, "passed")


@pytest.mark.parametrize("text", ['{"loss": 1}', '{"loss_max": 2}', '{"loss_max": "0.1"}', "[]", "{"])
def test_bad_limits_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "limits.json").write_text(text)
    with pytest.raises(BenchmarkInputError, match=r"limits\.json"):
        read_limits(tmp_path / "limits.json")
