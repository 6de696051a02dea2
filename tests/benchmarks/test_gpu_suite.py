"""The GPU suite says what it could not measure, and its comparisons are right."""

import json
from pathlib import Path

import numpy as np
import pytest

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
from index.bundle import Bundle


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


def test_feeds_and_queries_have_the_batch_asked_for(tiny_bundle: Bundle) -> None:
    assert {values.shape[0] for values in make_feed(tiny_bundle, 7).values()} == {7}
    assert make_queries(tiny_bundle, 7).shape == (7, tiny_bundle.manifest.embedding_dim)


def test_exact_search_ranks_by_inner_product() -> None:
    items = np.array([[1, 0], [3, 0], [2, 5]], np.int16)
    assert search_exactly(np.array([[1, 0]], np.float32), items, 2).tolist() == [[1, 2]]


def test_share_found_counts_expected_rows() -> None:
    expected, found = np.array([[1, 2], [3, 4]]), np.array([[2, 1, -1], [3, 9, -1]])
    assert share_found(expected, found) == pytest.approx(0.75)


def test_relative_difference_is_against_the_expected_length() -> None:
    expected, found = np.array([[3.0, 4.0]], np.float32), np.array([[3.0, 4.5]], np.float32)
    assert relative_difference(expected, found) == pytest.approx(0.1)
