"""The stages of requests are summarised as what they took and their part of the whole."""

import numpy as np
import pytest

from benchmarks.bench.stage_times import summarise


def test_stages_have_their_median_their_tail_and_their_part_of_the_whole() -> None:
    times_s = np.array([[1e-6, 3e-6], [2e-6, 6e-6], [3e-6, 9e-6]])
    first, second = summarise(("user", "rest"), times_s)
    assert (first.stage, second.stage) == ("user", "rest")
    assert (first.p50_us, second.p50_us) == pytest.approx((2.0, 6.0))
    assert first.p95_us == pytest.approx(2.9)
    assert (first.share, second.share) == pytest.approx((0.25, 0.75))
