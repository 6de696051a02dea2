"""A drawn product stands near a trained one of its own family and level."""

import numpy as np
import pyarrow as pa

from benchmarks.bench.catalogue import _choose_alike


def test_a_drawn_product_is_placed_by_one_of_its_family_and_level() -> None:
    trained = pa.table({"family": ["COURSE", "FUND", "FUND", "TRUST"], "level_issuer": [None, 1, 4, 4]})
    drawn = pa.table({"family": ["FUND", "TRUST", "FUND"], "level_issuer": [4, 4, 1]})
    assert _choose_alike(trained, drawn, np.random.default_rng(1)).tolist() == [2, 3, 1]


def test_a_drawn_product_like_no_other_is_placed_by_a_financial_one() -> None:
    trained = pa.table({"family": ["COURSE", "FUND"], "level_issuer": [None, 1]})
    drawn = pa.table({"family": ["WEALTH"] * 9, "level_issuer": [3] * 9})
    assert set(_choose_alike(trained, drawn, np.random.default_rng(1)).tolist()) == {1}
