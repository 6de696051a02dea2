"""The file of a risk model: read back as it was written, and refused by key where it is anything else."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from index.errors import BundleFormatError
from index.risk_json import read_risk_model, read_scorecard, write_risk_model
from index.risk_model import RiskModel, Scorecard
from tests.risk_cases import SCORECARD

FILE = "scorecard.json"
TEXT = write_risk_model(SCORECARD)
WITHOUT_POINTS = RiskModel(**{field.name: getattr(SCORECARD, field.name) for field in fields(RiskModel)})


def test_a_scorecard_is_read_back_as_it_was_written() -> None:
    assert read_scorecard(TEXT.encode(), FILE) == SCORECARD


def test_a_model_without_points_is_read_back_and_is_no_scorecard() -> None:
    content = write_risk_model(WITHOUT_POINTS).encode()
    model = read_risk_model(content, FILE)
    assert model == WITHOUT_POINTS
    assert not isinstance(model, Scorecard)
    with pytest.raises(BundleFormatError, match="points is missing"):
        read_scorecard(content, FILE)


def test_a_file_of_an_earlier_export_has_no_texts_and_names_nothing_protected() -> None:
    body = json.loads(TEXT)
    del body["reason_texts"], body["protected_fields"]
    model = read_scorecard(json.dumps(body).encode(), FILE)
    assert (model.reason_texts, model.protected_fields) == ({}, ())


def test_edges_keep_every_digit() -> None:
    assert '"edges": [0.1]' in TEXT
    assert '"edges": [0, 2]' in TEXT


def _set(*path: str | int, to: Any) -> Callable[[Any], None]:
    def change(body: Any) -> None:
        for key in path[:-1]:
            body = body[key]
        body[path[-1]] = to

    return change


FAULTS = {
    "reason_texts": _set("reason_texts", to={"RSK_DELAY": ["Late.", "逾期。"]}),
    "reason_texts ": _set("reason_texts", to=[]),
    "reason_texts.RSK_DELAY": _set("reason_texts", "RSK_DELAY", to=["Late."]),
    "reason_texts.RSK_LIMIT": _set("reason_texts", "RSK_LIMIT", to=["Limit.", ""]),
    "protected_fields": _set("protected_fields", to=["sex", "sex"]),
    "protected_fields ": _set("protected_fields", to="sex"),
    "keys": lambda body: body.pop("source"),
    "unknown": _set("colour", to=1),
    "format_version": _set("format_version", to=2),
    "name": _set("name", to=""),
    "band_limits": _set("band_limits", to=[2000, 500]),
    "band_limits ": _set("band_limits", to=[500, 10_000]),
    "band_limits  ": _set("band_limits", to=[]),
    "calibration": _set("calibration", to=[]),
    "calibration.method": _set("calibration", "method", to="guess"),
    "calibration.scores": _set("calibration", "scores", to=[-100, 0, 0]),
    "calibration.scores ": _set("calibration", "scores", to=[-100, 0, 0.5]),
    "calibration.basis_points": _set("calibration", "basis_points", to=[100, 50, 5000]),
    "calibration.basis_points ": _set("calibration", "basis_points", to=[0, 50, 5000]),
    "calibration.basis_points  ": _set("calibration", "basis_points", to=[1, 50, 10_000]),
    "calibration.basis_points   ": _set("calibration", "basis_points", to=[1, 50]),
    "features": _set("features", 1, "name", to="delay"),
    "features[0]": _set("features", 0, "colour", to=1),
    "features[0].name": _set("features", 0, "name", to=7),
    "features[0].edges": _set("features", 0, "edges", to=[2, 0]),
    "features[0].edges ": _set("features", 0, "edges", to=[2, True]),
    "features[0].edges  ": _set("features", 0, "edges", to=[2, 10**400]),
    "features[0].missing_bin": _set("features", 0, "missing_bin", to=3),
    "features[2].bin_of": _set("features", 2, "bin_of", to={}),
    "features[2].bin_of ": _set("features", 2, "bin_of", "2", to=-1),
    "features[2].unseen_bin": _set("features", 2, "unseen_bin", to=True),
    "points": _set("points", 0, to=[1, 2]),
    "points[1]": _set("points", 1, 0, to=1.5),
    "points[1] ": _set("points", 1, 0, to=2**41),
    "average_points": _set("average_points", to=[1]),
    "base_points": _set("base_points", to="1"),
}


@pytest.mark.parametrize("key", sorted(FAULTS))
def test_a_faulty_file_is_refused_by_key(key: str) -> None:
    body = json.loads(TEXT)
    FAULTS[key](body)
    named = "keys" if key == "unknown" else key.strip()
    with pytest.raises(BundleFormatError) as caught:
        read_risk_model(json.dumps(body).encode(), FILE)
    assert str(caught.value).startswith(f"{FILE}: {named}: expected ")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"name": NaN}', b'{"name": "a", "name": "b"}', b"\xff"]
)
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(BundleFormatError, match=FILE):
        read_risk_model(content, FILE)
