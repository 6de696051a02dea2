"""Publishing: CURRENT changes last, to a proven bundle, and only over the one that was judged against."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.__main__ import main
from index.build import build_bundle
from index.bundle import open_bundle, read_current
from index.errors import BundleChecksumError, BundleExistsError, BundleSupersededError
from index.publish import publish_bundle


@pytest.fixture(scope="module")
def candidate(make_export: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(make_export, tmp_path_factory.mktemp("candidate"), "next")


@pytest.fixture
def bundles(tiny_bundles: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundles, tmp_path / "bundles"))


def build(make_export: Callable[..., Any], directory: Path, version: str) -> Path:
    case = make_export(directory)
    bundle = build_bundle(
        export=case.export,
        products=case.products,
        policy=case.policy,
        bundles=directory / "bundles",
        version=version,
    )
    return bundle.path


def test_a_published_bundle_is_copied_and_current(candidate: Path, bundles: Path) -> None:
    published = publish_bundle(candidate, bundles, over="tiny")
    assert read_current(bundles) == published.path == bundles / "next"
    assert open_bundle(bundles / "next").manifest == open_bundle(candidate).manifest
    assert open_bundle(bundles / "tiny").manifest.bundle_version == "tiny"


def test_an_earlier_bundle_can_be_published_again(candidate: Path, bundles: Path) -> None:
    publish_bundle(candidate, bundles)
    publish_bundle(bundles / "tiny", bundles, over="next")
    assert read_current(bundles).name == "tiny"


def test_the_first_bundle_is_published_into_an_empty_directory(candidate: Path, tmp_path: Path) -> None:
    publish_bundle(candidate, tmp_path / "bundles")
    assert read_current(tmp_path / "bundles").name == "next"


def test_publishing_over_another_bundle_is_refused(candidate: Path, bundles: Path) -> None:
    with pytest.raises(BundleSupersededError, match="tiny is current; expected older"):
        publish_bundle(candidate, bundles, over="older")
    assert read_current(bundles).name == "tiny"


def test_a_changed_bundle_is_not_published(candidate: Path, bundles: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(candidate, tmp_path / "next"))
    content = bytearray((copy / "item_vectors.int32.npy").read_bytes())
    content[-1] ^= 1
    (copy / "item_vectors.int32.npy").write_bytes(content)
    with pytest.raises(BundleChecksumError):
        publish_bundle(copy, bundles)
    assert read_current(bundles).name == "tiny"
    assert sorted(path.name for path in bundles.iterdir()) == ["CURRENT", "tiny"]


def test_another_bundle_of_the_same_version_is_refused(
    make_export: Callable[..., Any], catalogue_rows: tuple[dict[str, Any], ...], bundles: Path, tmp_path: Path
) -> None:
    case = make_export(tmp_path, rows=catalogue_rows[:40])
    other = build_bundle(
        export=case.export,
        products=case.products,
        policy=case.policy,
        bundles=tmp_path / "other",
        version="tiny",
    )
    with pytest.raises(BundleExistsError, match="another bundle of this version"):
        publish_bundle(other.path, bundles)


def test_the_command_publishes(candidate: Path, bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", str(candidate), "--to", str(bundles), "--over", "tiny"]) == 0
    told = capsys.readouterr()
    assert "names next" in told.out
    assert "warning: next is not signed: a server with --bundle-keys will refuse it" in told.err
    assert main(["publish", str(candidate), "--to", str(bundles), "--over", "tiny"]) == 1
    assert "BundleSupersededError" in capsys.readouterr().err
