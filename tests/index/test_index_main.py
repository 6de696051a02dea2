"""The command line of the index package: exit codes and what it prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.__main__ import main
from index.manifest import FILE_BYTES_MAX, MANIFEST


def _build_arguments(case: Any, bundles: Path) -> list[str]:
    options = {"export": case.export, "products": case.products, "policy": case.policy, "out": bundles}
    return ["build", *(text for name, path in options.items() for text in (f"--{name}", str(path)))]


def test_build_prints_what_it_sealed(
    make_export: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundles = tmp_path / "bundles"
    assert main([*_build_arguments(make_export(tmp_path), bundles), "--version", "one"]) == 0
    out = capsys.readouterr().out
    assert f"sealed {bundles / 'one'}" in out
    assert "60 (30 learning)" in out
    assert re.search(r"IndexFlatIP +\[0, 60\) +1 +1", out)
    assert re.search(r"learning +\[0, 30\) +100% +1\.0000", out)
    assert re.search(r"both +\[0, 60\) +100% +1\.0000", out)


def test_build_refuses_with_one_line(
    make_export: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = make_export(tmp_path)
    (case.export / "export.json").unlink()
    assert main(_build_arguments(case, tmp_path / "bundles")) == 1
    assert capsys.readouterr().err.startswith("BuildInputError: export.json: expected a file")


def test_bad_usage_is_refused_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["build", "--index", "annoy"])
    assert caught.value.code == 2
    assert "invalid choice: 'annoy'" in capsys.readouterr().err


def test_inspect_prints_a_bundle_and_its_files(
    tiny_bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(tiny_bundles / "tiny")]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in FILE_BYTES_MAX)


def test_verify_follows_current(tiny_bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny_bundles)]) == 0
    assert "tiny: all 12 files match the manifest" in capsys.readouterr().out


def test_verify_names_every_file_that_differs(copy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("golden.json", "index.faiss"):
        content = bytearray((copy.path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy.path / name).write_bytes(content)
    assert main(["verify", str(copy.path)]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("BundleChecksumError") == 2
    assert "golden.json: SHA-256 is" in captured.err
    assert "index.faiss: SHA-256 is" in captured.err
    assert captured.out == ""


def test_verify_refuses_an_unreadable_manifest(copy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (copy.path / MANIFEST).write_bytes(b"{")
    assert main(["verify", str(copy.path)]) == 1
    assert "BundleFormatError: manifest.json: expected a JSON object" in capsys.readouterr().err


def test_verify_refuses_files_that_do_not_fit(copy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    copy.edit_manifest(lambda body: body.update(learning_count=1))
    assert main(["verify", str(copy.path)]) == 1
    assert "BundleConsistencyError: products.parquet: learning_count is 30" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_missing_bundle_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(tmp_path / "none")]) == 1
    assert "BundleNotFoundError" in capsys.readouterr().err
