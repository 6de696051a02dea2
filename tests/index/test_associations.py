"""Association rules: what they suggest by the plain definition, and a file that is read strictly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.associations import Associations, Rules, place_rules, read_rules, write_rules
from index.build import build_bundle
from index.bundle import open_bundle
from index.errors import BundleChecksumError, BundleFormatError
from index.manifest import ASSOCIATIONS

IDS = tuple(f"c{number:03}" for number in range(30))


def draw_rules(rule_count: int = 120, seed: int = 3, weight: float = 0.5) -> Rules:
    """Draws rules between the first thirty courses of the tiny catalogue, few counts among them."""
    rng = np.random.default_rng(seed)
    pairs = [(one, other) for one in IDS for other in IDS if one != other]
    chosen = [pairs[place] for place in rng.permutation(len(pairs))[:rule_count]]
    pair = rng.integers(10, 14, rule_count).astype(np.int32)
    return Rules(
        antecedent_ids=tuple(first for first, _ in chosen),
        consequent_ids=tuple(then for _, then in chosen),
        pair_counts=pair,
        antecedent_counts=np.full(rule_count, 20, np.int32),
        consequent_counts=(pair + 5).astype(np.int32),
        user_count=100,
        weight=weight,
    )


def _changed(**change: Any) -> bytes:
    return write_rules(dataclasses.replace(draw_rules(3), **change))


def _suggest_plainly(rules: Rules, history: list[str], steps: float) -> dict[str, tuple[int, str]]:
    """The plain definition: the most confident rule of each consequent, of equal ones the history's first."""
    suggested: dict[str, tuple[int, str]] = {}
    for antecedent in history:
        for place, (first, then) in enumerate(zip(rules.antecedent_ids, rules.consequent_ids, strict=True)):
            confidence = int(rules.pair_counts[place]) / int(rules.antecedent_counts[place])
            boost = round(confidence * (rules.weight * steps))
            if first == antecedent and (then not in suggested or boost > suggested[then][0]):
                suggested[then] = (boost, first)
    return suggested


@pytest.mark.parametrize("history_count", [0, 1, 2, 7, 30])
def test_each_row_has_the_highest_boost_of_its_rules(history_count: int) -> None:
    rules = draw_rules()
    placed = place_rules(rules, IDS, score_scale=40.0)
    for seed in range(20):
        rows = np.random.default_rng(seed).permutation(len(IDS))[:history_count]
        expected = _suggest_plainly(rules, [IDS[row] for row in rows], 40.0)
        found = placed.suggest(rows)
        assert [IDS[row] for row in found.rows] == sorted(expected)
        pairs = zip(found.boosts.tolist(), [IDS[row] for row in found.antecedents], strict=True)
        assert list(pairs) == [expected[name] for name in sorted(expected)]


def test_a_boost_is_found_in_any_order_and_is_zero_elsewhere() -> None:
    found = place_rules(draw_rules(), IDS, score_scale=1000.0).suggest(np.array([3, 4], np.int64))
    boosts = dict(zip(found.rows.tolist(), found.boosts.tolist(), strict=True))
    rows = np.random.default_rng(1).permutation(len(IDS))
    assert found.boost(rows).tolist() == [boosts.get(row, 0) for row in rows.tolist()]
    assert found.boost(np.empty(0, np.int64)).tolist() == []
    assert found.within(5, 20).tolist() == [row for row in found.rows.tolist() if 5 <= row < 20]
    antecedents = dict(zip(found.rows.tolist(), found.antecedents.tolist(), strict=True))
    assert found.find_antecedents(rows) == antecedents


def test_no_rules_suggest_nothing() -> None:
    found = place_rules(draw_rules(0), IDS, score_scale=1.0).suggest(np.arange(30))
    assert (found.rows.tolist(), found.boost(np.arange(3)).tolist()) == ([], [0, 0, 0])


def test_rules_of_products_that_left_the_catalogue_are_left_out() -> None:
    rules, kept = draw_rules(), IDS[5:20]
    placed = place_rules(rules, kept, score_scale=1.0)
    pairs = zip(rules.antecedent_ids, rules.consequent_ids, strict=True)
    assert len(placed.consequents) == sum(first in kept and then in kept for first, then in pairs)
    assert (placed.starts[0], placed.starts[-1]) == (0, len(placed.consequents))


def test_the_order_of_rules_in_the_file_says_nothing() -> None:
    rules = draw_rules()
    order = np.random.default_rng(9).permutation(120)
    turned = Rules(
        tuple(rules.antecedent_ids[place] for place in order),
        tuple(rules.consequent_ids[place] for place in order),
        rules.pair_counts[order],
        rules.antecedent_counts[order],
        rules.consequent_counts[order],
        rules.user_count,
        rules.weight,
    )
    one, other = (place_rules(each, IDS, 7.0) for each in (rules, turned))
    for name in Associations.__slots__:
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


@pytest.mark.parametrize("rule_count", [0, 1, 120])
def test_what_was_written_is_read_back(rule_count: int) -> None:
    rules = draw_rules(rule_count)
    read = read_rules(write_rules(rules))
    assert read.antecedent_ids == rules.antecedent_ids
    assert read.confidences.tolist() == rules.confidences.tolist()
    assert read.lifts.tolist() == rules.lifts.tolist()
    assert (read.user_count, read.weight) == (100, 0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1", "expected a Parquet table"),
        (_changed(pair_counts=np.array([12, 9, 11], np.int32)), "rests on 9 people; expected at least 10"),
        (_changed(antecedent_counts=np.array([20, 9, 20], np.int32)), "fewer people than a rule of it"),
        (_changed(consequent_counts=np.array([20, 101, 20], np.int32)), "more than there are"),
        (_changed(consequent_ids=("c001",) * 3, antecedent_ids=("c002",) * 3), "there twice"),
        (_changed(consequent_ids=("a", "b", "c"), antecedent_ids=("c", "a", "c")), "to itself"),
        (_changed(user_count=-1), "user_count is -1"),
        (_changed(user_count=True), "user_count is True"),
        (_changed(weight=-0.5), r"weight is -0\.5"),
        (_changed(weight=1), "weight is 1"),
        (_changed(weight=float("nan")), "NaN is no JSON number"),
    ],
)
def test_a_file_that_is_no_rules_is_refused_and_named(content: bytes, message: str) -> None:
    with pytest.raises(BundleFormatError, match=message) as caught:
        read_rules(content)
    assert caught.value.file == ASSOCIATIONS


def test_other_columns_missing_values_and_no_header_are_refused() -> None:
    table = pq.read_table(pa.BufferReader(write_rules(draw_rules(3))))

    def write(changed: pa.Table) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(changed, sink)
        return sink.getvalue().to_pybytes()

    with pytest.raises(BundleFormatError, match="columns are"):
        read_rules(write(table.drop_columns(["pair_count"])))
    with pytest.raises(BundleFormatError, match="expected a JSON object"):
        read_rules(write(table.replace_schema_metadata({})))
    holes = table.set_column(0, "antecedent_id", pa.array(["c001", None, "c002"]))
    with pytest.raises(BundleFormatError, match="a value is missing"):
        read_rules(write(holes))


def test_a_weight_beyond_whole_numbers_is_refused() -> None:
    with pytest.raises(BundleFormatError, match="weight is 1e\\+300"):
        place_rules(draw_rules(3, weight=1e300), IDS, score_scale=1e6)


def test_a_bundle_without_rules_opens_and_one_with_them_keeps_them(
    tiny_bundle: Any, copy: Any, make_export: Callable[..., Any], tmp_path: Path
) -> None:
    assert tiny_bundle.associations is None
    case = make_export(tmp_path / "case")
    (case.export / ASSOCIATIONS).write_bytes(write_rules(draw_rules()))
    bundle = build_bundle(
        export=case.export, products=case.products, policy=case.policy, bundles=tmp_path / "built"
    )
    opened = open_bundle(bundle.path).associations
    assert opened is not None
    assert len(opened.consequents) == 120
    assert len(opened.starts) == 61
    assert bundle.evaluation["associations"] == draw_rules().describe()
    assert "associations" not in tiny_bundle.evaluation
    (copy.path / ASSOCIATIONS).write_bytes(b"PAR1")
    with pytest.raises(BundleFormatError, match="not named in the manifest"):
        open_bundle(copy.path)
    copy.replace(ASSOCIATIONS, write_rules(draw_rules()))
    (copy.path / ASSOCIATIONS).write_bytes(write_rules(draw_rules(seed=4)))
    with pytest.raises(BundleChecksumError, match=ASSOCIATIONS):
        open_bundle(copy.path)
