"""A run of the risk models, from the table to the files that a server reads."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index.risk_json import read_risk_model, read_scorecard
from index.risk_model import Scorecard
from tests.risk_cases import FIELDS, make_table
from training.__main__ import main
from training.errors import EmptyDataError, SettingError
from training.importers.uci_credit import CREDIT_DEFAULT_FIELDS, GERMAN_FIELDS
from training.importers.uci_reasons import REASON_TEXTS
from training.risk.bins import encode
from training.risk.points import fit_logistic
from training.risk.run import choose_fields, score_unseen, split_folds, train_model
from training.risk.settings import RiskSettings, make_settings
from training.risk.table import TableQuality, write_table

QUICK = {"fold_count": 2, "forest_tree_count": 5, "boosting_tree_count": 10, "forest_leaf_size": 10}
SETTINGS = RiskSettings(**QUICK)
TABLE = make_table()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("risk")
    write_table(TABLE, TableQuality(1500, 1500, {}), work / "data", force=False)
    (work / "settings.json").write_text(json.dumps(QUICK))
    arguments = [str(work / "data"), "--out", str(work / "run"), "--config", str(work / "settings.json")]
    assert main(["risk", *arguments]) == 0
    return work / "run"


def test_a_run_holds_every_model_and_tells_them_apart(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "metrics.json", "source.json", "scorecard.json", "logistic.json"),
        *("forest.json", "forest.npz", "boosting.json", "boosting.npz"),
    }
    metrics = json.loads((run / "metrics.json").read_text())
    for name in SETTINGS.models:
        model = read_risk_model((run / f"{name}.json").read_bytes(), f"{name}.json")
        assert model.name == name
        assert isinstance(model, Scorecard) == (name in {"scorecard", "logistic"})
        assert metrics["models"][name]["test"]["auc"] > 0.7


def test_the_scorecard_on_disk_scores_as_the_one_that_was_trained(run: Path) -> None:
    scorecard = read_scorecard((run / "scorecard.json").read_bytes(), "scorecard.json")
    trained = train_model(TABLE, "scorecard", SETTINGS)
    assert scorecard == trained.model
    rows = np.flatnonzero(TABLE.find_held_out())
    test = TABLE.take(rows, choose_fields(TABLE, SETTINGS))
    names = [feature.name for feature in scorecard.features]
    found = [
        scorecard.score({name: test.columns[name][place] for name in names}) for place in range(len(rows))
    ]
    assert [one.score for one in found] == trained.score(test).tolist()
    assert [one.basis_points for one in found] == trained.find_basis_points(test).tolist()
    assert len({one.band for one in found}) > 2
    worst = max(found, key=lambda one: one.score)
    assert worst.reasons[0] in {"RSK_DELAY", "RSK_LIMIT", "RSK_SCHOOL"}


def test_what_is_held_out_is_not_learned_from() -> None:
    held_out = TABLE.find_held_out()
    turned = replace(TABLE, defaulted=np.where(held_out, ~TABLE.defaulted, TABLE.defaulted))
    one, other = (train_model(table, "scorecard", SETTINGS) for table in (TABLE, turned))
    assert one.model == other.model
    assert one.test.auc == pytest.approx(1 - other.test.auc)


def test_no_protected_field_is_read_unless_asked() -> None:
    assert [field.name for field in choose_fields(TABLE, SETTINGS)] == ["delay", "limit", "balance", "school"]
    asked = SETTINGS.model_copy(update={"use_protected": True})
    assert choose_fields(TABLE, asked)[-1].name == "sex"
    with pytest.raises(EmptyDataError, match="a field that is not protected"):
        choose_fields(replace(TABLE, fields=TABLE.fields[-1:]), SETTINGS)


def test_everybody_is_scored_by_a_model_of_the_other_folds() -> None:
    sample = TABLE.take(np.arange(400), TABLE.fields[:1])
    folds = split_folds(sample.defaulted, SETTINGS.fold_count, SETTINGS.seed)
    scores = score_unseen(sample, "logistic", SETTINGS)
    for fold in range(SETTINGS.fold_count):
        features, points = fit_logistic(sample.take(np.flatnonzero(folds != fold)), SETTINGS)
        own = sample.take(np.flatnonzero(folds == fold))
        assert scores[folds == fold].tolist() == points.score(encode(features, own)).tolist()


def test_folds_are_equal_in_size_and_in_defaults() -> None:
    folds = split_folds(TABLE.defaulted, 5, seed=1)
    assert np.bincount(folds).tolist() == [300] * 5
    assert np.ptp([TABLE.defaulted[folds == fold].sum() for fold in range(5)]) <= 1


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"band_limits": [2000, 500]}, "band_limits"),
        ({"band_limits": [1]}, "band_limits"),
        ({"models": ["oracle"]}, "models"),
        ({"models": ["scorecard", "scorecard"]}, "models"),
        ({"colour": 1}, "colour"),
        ({"fold_count": 1}, "fold_count"),
    ],
)
def test_a_bad_setting_is_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(SettingError, match=named):
        make_settings(values)


def test_too_few_outcomes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = replace(make_table(30), defaulted=np.arange(30) < 1)
    with pytest.raises(EmptyDataError, match="expected at least 2 who defaulted"):
        train_model(few, "scorecard", SETTINGS)
    assert main(["risk", str(tmp_path), "--out", str(tmp_path / "run")]) == 1
    assert "fields.json" in capsys.readouterr().err


def test_a_model_takes_the_texts_of_its_reasons_and_names_what_is_protected() -> None:
    texts = {field.reason: (field.name, f"{field.name}。") for field in FIELDS}
    settings = RiskSettings(fold_count=2)
    model = train_model(replace(make_table(), reason_texts=texts), "scorecard", settings).model
    assert model.reason_texts == {one.reason: texts[one.reason] for one in model.features}
    assert model.protected_fields == ("sex",)
    assert "RSK_SEX" not in model.reason_texts
    assert train_model(make_table(), "scorecard", settings).model.reason_texts == {}


def test_every_reason_of_the_published_sets_has_a_text_that_names_no_number() -> None:
    reasons = {field.reason for field in (*CREDIT_DEFAULT_FIELDS, *GERMAN_FIELDS)}
    assert reasons == REASON_TEXTS.keys()
    for english, chinese in REASON_TEXTS.values():
        assert english.endswith(".")
        assert chinese.endswith("。")
        assert not any(letter.isdigit() for letter in english + chinese)
