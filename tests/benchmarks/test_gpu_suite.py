"""The GPU suite says what it could not measure, and its comparisons are right."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import prefixes, suite
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.suite import (
    NOT_MEASURED,
    make_feed,
    make_queries,
    relative_difference,
    run_suite,
    search_exactly,
    share_found,
)
from index import ann_gpu, tiers
from index.bundle import Bundle
from server.encoder import Encoder
from tests.index.gpu_stand_in import gpu  # noqa: F401 - a fixture.


def test_a_case_is_measured_or_says_why_not(tiny_bundle: Bundle) -> None:
    for case in run_suite(tiny_bundle):
        assert case.note
        if case.status == NOT_MEASURED:
            assert (case.cpu_ms, case.gpu_ms, case.agreement) == (None, None, None)


def test_the_suite_writes_json_also_without_a_gpu(tiny_bundles: Path, tmp_path: Path) -> None:
    assert main(["--bundles", str(tiny_bundles), "--out", str(tmp_path)]) == 0
    body = json.loads((tmp_path / "gpu.json").read_text())
    assert {case["status"] for case in body["cases"]} <= {"measured", NOT_MEASURED}
    assert body["machine"]["commit"]


def test_the_text_says_of_each_case_that_was_not_measured_why(tiny_bundles: Path, tmp_path: Path) -> None:
    assert main(["--bundles", str(tiny_bundles), "--out", str(tmp_path)]) == 0
    text = (tmp_path / "gpu.txt").read_text()
    body = json.loads((tmp_path / "gpu.json").read_text())
    missing = [case for case in body["cases"] if case["status"] == NOT_MEASURED]
    assert text.count(" not measured ") == len(missing)
    assert f"{len(body['cases']) - len(missing)} of {len(body['cases'])} cases measured" in text
    names = {case["name"].split(",")[0] for case in body["cases"]}
    selector = "an IDSelector given to an inverted file on the GPU"
    assert {"inverted file per tier", "matrix", "user tower", selector} <= names


@pytest.fixture
def gpu_stand_in(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A GPU whose memory is the host's, and small catalogues to search there."""
    monkeypatch.setattr(suite, "copy_to_gpu", lambda values: (values.ctypes.data, values))
    monkeypatch.setattr(ann_gpu, "try_selector_on_gpu", lambda: "ignored")
    monkeypatch.setattr(tiers, "FLAT_ROW_COUNT_MAX", 200)
    monkeypatch.setattr(prefixes, "ITEM_COUNTS", (2_000,))
    monkeypatch.setattr(suite, "REPEAT_COUNT", 1)


@pytest.mark.usefixtures("gpu_stand_in")
def test_prefixes_are_searched_by_tier_and_in_the_matrix_and_compared_with_exact_search() -> None:
    cases = prefixes.run_prefixes()
    assert [case.status for case in cases] == ["measured"] * 16
    for case in cases:
        assert None not in (case.cpu_ms, case.gpu_ms)
        assert case.agreement is not None
        assert case.agreement >= (1.0 if case.name.startswith("matrix") else 0.9), case
    assert {case.note for case in cases} == {
        "nested GpuIndexIVFFlat against the same on the CPU",
        "GpuMatrix against the int8 scan of the CPU",
    }


@pytest.mark.usefixtures("gpu_stand_in")
def test_a_hand_over_in_place_finds_what_the_way_through_the_host_does(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnHost(Encoder):
        def __init__(self, tower: bytes, *, device: str, thread_count: int) -> None:
            assert device == "cuda"
            super().__init__(tower, device="cpu", thread_count=thread_count)

        def embed_in_place(self, feed: Mapping[str, Any]) -> Any:
            return self._run_in_place(feed, "cpu")

    monkeypatch.setattr(suite, "Encoder", OnHost)
    cases = [case for case in run_suite(tiny_bundle) if "in place" in case.name]
    assert [(case.status, case.agreement) for case in cases] == [("measured", 1.0)] * 3


def test_feeds_and_queries_have_the_batch_asked_for(tiny_bundle: Bundle) -> None:
    assert {values.shape[0] for values in make_feed(tiny_bundle, 7).values()} == {7}
    assert make_queries(tiny_bundle, 7).shape == (7, tiny_bundle.manifest.embedding_dim)


def test_exact_search_ranks_by_inner_product() -> None:
    items = np.array([[1, 0], [3, 0], [2, 5]], np.int32)
    assert search_exactly(np.array([[1, 0]], np.float32), items, 2).tolist() == [[1, 2]]


def test_share_found_counts_expected_rows() -> None:
    expected, found = np.array([[1, 2], [3, 4]]), np.array([[2, 1, -1], [3, 9, -1]])
    assert share_found(expected, found) == pytest.approx(0.75)


def test_relative_difference_is_against_the_expected_length() -> None:
    expected, found = np.array([[3.0, 4.0]], np.float32), np.array([[3.0, 4.5]], np.float32)
    assert relative_difference(expected, found) == pytest.approx(0.1)
