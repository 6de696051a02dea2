"""The risk model of a bundle: sealed with golden borrowers, carried on, refused by name when wrong."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from index.__main__ import main
from index.build import build_bundle
from index.bundle import Bundle, open_bundle
from index.errors import (
    BuildInputError,
    BundleChecksumError,
    BundleConsistencyError,
    BundleFormatError,
    BundleNotFoundError,
)
from index.manifest import RISK_FILES, RISK_GOLDEN, RISK_GRAPH, RISK_MODEL
from index.publish import publish_bundle
from index.risk_bins import NumberBins
from index.risk_files import parse_risk, read_risk_export
from index.risk_golden import list_values, make_golden_borrowers, read_golden_borrowers
from index.risk_json import write_risk_model
from index.update import update_bundle
from server.encoder import embed_items
from tests.conftest import MakeExport
from tests.index.conftest import BundleCopy
from tests.risk_cases import SCORECARD, write_risk_export


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return read_risk_export(write_risk_export(tmp_path_factory.mktemp("files") / "export"))


@pytest.fixture(scope="module")
def sealed(make_export: MakeExport, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    directory = tmp_path_factory.mktemp("with-risk")
    case = make_export(directory)
    return build_bundle(
        export=case.export,
        products=case.products,
        policy=case.policy,
        bundles=directory / "bundles",
        version="tiny",
        risk_model=write_risk_export(directory / "risk"),
    )


@pytest.fixture
def damaged(sealed: Bundle, tmp_path: Path) -> BundleCopy:
    path = tmp_path / "bundles" / "tiny"
    shutil.copytree(sealed.path, path)
    return BundleCopy(path)


def test_a_bundle_holds_the_risk_model_that_was_given(sealed: Bundle) -> None:
    risk = open_bundle(sealed.path).risk
    assert risk is not None
    assert risk == sealed.risk
    assert risk.scorecard == SCORECARD
    assert risk.version.startswith("scorecard-")
    assert set(RISK_FILES) <= set(sealed.manifest.files)


def test_a_bundle_of_before_has_no_risk_model(tiny_bundle: Bundle) -> None:
    assert tiny_bundle.risk is None
    assert not set(RISK_FILES) & set(tiny_bundle.manifest.files)


def test_publishing_and_updating_carry_the_risk_model_on(sealed: Bundle, tmp_path: Path) -> None:
    assert publish_bundle(sealed.path, tmp_path).risk == sealed.risk
    removed = tmp_path / "removed.txt"
    removed.write_text(sealed.product_ids[0] + "\n")
    updated, _ = update_bundle(
        parent=sealed.path, products=None, removed=removed, bundles=tmp_path / "new", embed=embed_items
    )
    assert updated.risk == sealed.risk


def test_the_command_line_builds_inspects_and_verifies_it(
    make_export: MakeExport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, risk = make_export(tmp_path), write_risk_export(tmp_path / "risk")
    given = ["--export", str(case.export), "--products", str(case.products), "--policy", str(case.policy)]
    assert main(["build", *given, "--out", str(tmp_path / "b"), "--risk-model", str(risk)]) == 0
    assert "risk model" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "b")]) == 0
    assert RISK_GRAPH in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "b")]) == 0


@pytest.mark.parametrize("name", RISK_FILES)
def test_a_damaged_file_is_refused_by_name_before_it_is_parsed(
    damaged: BundleCopy, name: str, no_parser: None
) -> None:
    content = bytearray((damaged.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged.path / name).write_bytes(content)
    with pytest.raises(BundleChecksumError) as caught:
        open_bundle(damaged.path)
    assert caught.value.file == name


@pytest.mark.parametrize("name", RISK_FILES)
def test_a_file_that_the_manifest_names_and_is_gone_is_named(damaged: BundleCopy, name: str) -> None:
    (damaged.path / name).unlink()
    with pytest.raises(BundleNotFoundError) as caught:
        open_bundle(damaged.path)
    assert caught.value.file == name


@pytest.mark.parametrize("name", RISK_FILES)
def test_a_risk_model_without_one_of_its_files_is_refused(files: dict[str, bytes], name: str) -> None:
    with pytest.raises(BundleConsistencyError, match="a risk model has all its files") as caught:
        parse_risk({other: content for other, content in files.items() if other != name})
    assert caught.value.file == name


def test_a_scorecard_that_answers_otherwise_than_its_golden_borrowers_is_refused(
    files: dict[str, bytes],
) -> None:
    other = replace(SCORECARD, base_points=SCORECARD.base_points + 1)
    with pytest.raises(BundleConsistencyError, match="borrower 0: the table gives another answer"):
        parse_risk({**files, RISK_MODEL: write_risk_model(other).encode()})


def test_golden_borrowers_that_miss_a_bin_are_refused(files: dict[str, bytes]) -> None:
    body = json.loads(files[RISK_GOLDEN])
    body["borrowers"] = [each for each in body["borrowers"] if each["record"]["school"] != "1"]
    with pytest.raises(BundleConsistencyError, match="school: borrowers in 1 bins; expected all 2"):
        parse_risk({**files, RISK_GOLDEN: json.dumps(body).encode()})


def test_golden_borrowers_of_another_model_are_refused(files: dict[str, bytes]) -> None:
    body = json.loads(files[RISK_GOLDEN])
    body["borrowers"][3]["record"]["income"] = 1
    with pytest.raises(BundleConsistencyError, match="borrower 3: income"):
        parse_risk({**files, RISK_GOLDEN: json.dumps(body).encode()})


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(format_version=2),
        lambda body: body.pop("borrowers"),
        lambda body: body["borrowers"].append(None),
        lambda body: body["borrowers"][0].pop("score"),
        lambda body: body["borrowers"][0].update(record=[]),
        lambda body: body["borrowers"][0]["score"].update(band="x"),
    ],
)
def test_a_file_that_holds_no_golden_borrowers_is_refused(
    files: dict[str, bytes], change: Callable[[Any], None]
) -> None:
    body = json.loads(files[RISK_GOLDEN])
    change(body)
    with pytest.raises(BundleFormatError) as caught:
        read_golden_borrowers(json.dumps(body).encode())
    assert caught.value.file == RISK_GOLDEN


def test_a_model_that_reads_a_protected_field_is_not_sealed(files: dict[str, bytes]) -> None:
    model = replace(SCORECARD, protected_fields=("sex", "limit"))
    with pytest.raises(BundleConsistencyError, match="reads limit, which the law protects"):
        parse_risk({**files, RISK_MODEL: write_risk_model(model).encode()})


def test_only_what_the_export_proved_is_built_with(tmp_path: Path) -> None:
    directory = write_risk_export(tmp_path / "risk")
    (directory / "scorecard.onnx").write_bytes(b"another graph")
    with pytest.raises(BuildInputError, match=r"scorecard\.onnx: differs from what risk\.json says"):
        read_risk_export(directory)
    (directory / "risk.json").write_text("{}")
    with pytest.raises(BuildInputError, match=r"scorecard\.json: differs"):
        read_risk_export(directory)
    (directory / "scorecard.json").unlink()
    with pytest.raises(BuildInputError, match=r"scorecard\.json: expected a file that"):
        read_risk_export(directory)


def test_golden_borrowers_sit_on_every_threshold_and_beside_it() -> None:
    golden = make_golden_borrowers(SCORECARD)
    for feature in SCORECARD.features:
        held = {repr(each.record[feature.name]) for each in golden}
        assert {repr(value) for value in list_values(feature)} - held <= {"nan"}
        if isinstance(feature, NumberBins):
            assert all(repr(edge) in held for edge in feature.edges)
    assert make_golden_borrowers(SCORECARD) == golden
