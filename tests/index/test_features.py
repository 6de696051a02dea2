"""Feature transforms: what is encoded, what counts as missing, what is refused."""

import json
import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from index.errors import FeatureSchemaError, FeatureValueError
from index.features import (
    EVENT_TYPES,
    HISTORY_LENGTH,
    Event,
    FeatureSpec,
    Vocabulary,
    encode_items,
    encode_users,
    fit_features,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
USERS: list[dict[str, Any]] = [
    {"client_type": "RETAIL", "risk_level": 2, "birth_date": date(1990, 1, 1), "liquid": 1000},
    {"client_type": "PROFESSIONAL", "risk_level": 4, "birth_date": date(1970, 1, 1), "liquid": 50_000},
]
ITEMS: list[dict[str, Any]] = [
    {
        "id": "a",
        "family": "FUND",
        "category": "bond",
        "scale": "CN5",
        "level_issuer": 2,
        "level_distributor": 3,
    },
    {"id": "b", "family": "COURSE", "category": "finance", "risk_score": 5000, "price_minor": 9900},
]
SPEC = fit_features(USERS, ITEMS, NOW)
VOCABULARY = Vocabulary(("a", "b"))


def encode(profile: dict[str, Any] | None, history: list[Event], now: datetime = NOW) -> Any:
    return encode_users(SPEC, VOCABULARY, [profile], [history], now)


def event(product_id: str, days_ago: float, event_type: str = "view") -> Event:
    return Event(product_id, event_type, NOW.timestamp() - days_ago * 86_400)


def test_history_is_encoded_most_recent_first() -> None:
    inputs = encode(None, [event("a", 9.0), event("b", 1.0, "purchase")])
    assert inputs.history_token[0, :3].tolist() == [3, 2, 0]
    assert inputs.history_event[0, :3].tolist() == [EVENT_TYPES.index("purchase") + 1, 1, 0]
    # float32 holds seven digits.
    assert inputs.history_age[0, :3] == pytest.approx([math.log1p(1), math.log1p(9), 0.0], rel=1e-6)


def test_history_keeps_the_latest_events_when_too_long() -> None:
    inputs = encode(None, [event("a", days) for days in range(HISTORY_LENGTH + 7)])
    assert (inputs.history_token[0] == 2).all()
    assert inputs.history_age[0, -1] == pytest.approx(math.log1p(HISTORY_LENGTH - 1), rel=1e-6)


def test_unknown_products_and_events_are_dropped_and_counted() -> None:
    inputs = encode(None, [event("nowhere", 1.0), event("a", 2.0, "teleport"), event("a", 3.0)])
    assert inputs.unknown_count.tolist() == [2]
    assert inputs.history_token[0, :2].tolist() == [2, 0]


def test_an_event_after_now_has_age_zero() -> None:
    assert encode(None, [event("a", -5.0)]).history_age[0, 0] == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, "much", None, True, -5])
def test_a_malformed_profile_value_counts_as_missing_when_serving(bad: Any) -> None:
    inputs = encode({"liquid": bad, "client_type": 7.5}, [])
    assert inputs.user_numeric[0].tolist() == [0.0, 1.0] * 3
    assert inputs.user_categorical[0].tolist() == [0, 0, 0, 0]


def test_a_missing_profile_equals_an_empty_one() -> None:
    absent, empty = encode(None, []), encode({}, [])
    for name, array in absent.feed().items():
        np.testing.assert_array_equal(array, empty.feed()[name])


def test_numeric_features_are_standardised() -> None:
    inputs = encode_users(SPEC, VOCABULARY, USERS, [[], []], NOW)
    # Two users stand at minus and plus one standard deviation.
    assert inputs.user_numeric[:, 0] == pytest.approx([-1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_fit_refuses_a_number_that_is_not_finite_and_names_the_field(bad: float) -> None:
    with pytest.raises(FeatureValueError, match=r"liquid: .* row 1"):
        fit_features([USERS[0], {"liquid": bad}], ITEMS, NOW)
    with pytest.raises(FeatureValueError, match="risk_score"):
        fit_features(USERS, [{"id": "a", "risk_score": bad}], NOW)


def test_fit_accepts_one_user_one_item_and_none() -> None:
    for users, items in (([], []), (USERS[:1], ITEMS[:1])):
        spec = fit_features(users, items, NOW)
        assert np.isfinite(encode_users(spec, VOCABULARY, users, [[]] * len(users), NOW).user_numeric).all()
        assert np.isfinite(encode_items(spec, VOCABULARY, items).item_numeric).all()


def test_a_product_without_an_embedding_has_token_one() -> None:
    assert encode_items(SPEC, Vocabulary(("b",)), ITEMS).item_token.tolist() == [1, 2]


def test_the_effective_level_is_the_higher_one_of_its_scale() -> None:
    assert SPEC.item_categorical["effective_level"] == ("CN5:3",)


@pytest.mark.parametrize("change", [{"scale": None}, {"level_issuer": 6}, {"level_distributor": True}])
def test_an_effective_level_that_the_rules_do_not_know_is_no_category(change: dict[str, Any]) -> None:
    assert fit_features(USERS, [ITEMS[0] | change], NOW).item_categorical["effective_level"] == ()


def test_json_round_trip_encodes_the_same() -> None:
    spec, vocabulary = FeatureSpec.from_json(SPEC.to_json()), Vocabulary.from_json(VOCABULARY.to_json())
    assert spec == SPEC
    assert vocabulary == VOCABULARY
    history = [[event("a", 3.3), event("b", 0.1, "click")], []]
    before = encode_users(SPEC, VOCABULARY, USERS, history, NOW).feed()
    after = encode_users(spec, vocabulary, USERS, history, NOW).feed()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


def test_a_batch_equals_its_single_requests() -> None:
    histories = [[event("a", 1.0)], [event("b", 2.0), event("a", 8.0, "click")]]
    batch = encode_users(SPEC, VOCABULARY, USERS, histories, NOW).feed()
    for row in range(2):
        single = encode_users(SPEC, VOCABULARY, USERS[row : row + 1], histories[row : row + 1], NOW).feed()
        for name, array in single.items():
            np.testing.assert_array_equal(array[0], batch[name][row])


def test_histories_and_profiles_must_have_one_length() -> None:
    with pytest.raises(FeatureValueError, match=r"expected one per profile \(2\), got 1"):
        encode_users(SPEC, VOCABULARY, USERS, [[]], NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"surprise": 1},
        {"user_numeric": {"age_years": [0, 1]}},
        {"user_numeric": {name: [0, 0] for name in SPEC.user_numeric}},
        {"item_categorical": [1]},
        {"user_categorical": {name: [3] for name in SPEC.user_categorical}},
    ],
)
def test_a_spec_of_another_schema_is_refused(change: dict[str, Any]) -> None:
    body = json.loads(SPEC.to_json()) | change
    with pytest.raises(FeatureSchemaError, match="features"):
        FeatureSpec.from_json(json.dumps(body))


@pytest.mark.parametrize("text", ["", "[]", "{", b"\xff", '{"format_version": 1, "product_ids": [2]}'])
def test_a_vocabulary_of_another_schema_is_refused(text: str | bytes) -> None:
    with pytest.raises(FeatureSchemaError, match="vocabulary"):
        Vocabulary.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        SPEC.to_json().replace("{", '{"format_version": 1,', 1),
        SPEC.to_json().replace('"age_years"', '"age_years": [0, 1], "age_years"', 1),
    ],
)
def test_a_spec_that_gives_a_key_twice_is_refused(text: str) -> None:
    with pytest.raises(FeatureSchemaError, match=r"features: .* is there twice"):
        FeatureSpec.from_json(text)


def test_a_vocabulary_that_gives_a_key_twice_is_refused() -> None:
    text = '{"format_version": 1, "product_ids": ["a"], "product_ids": ["b"]}'
    with pytest.raises(FeatureSchemaError, match=r"vocabulary: .*key 'product_ids' is there twice"):
        Vocabulary.from_json(text)


def test_a_vocabulary_with_a_repeated_product_is_refused() -> None:
    with pytest.raises(FeatureSchemaError, match="'a' is listed more than once"):
        Vocabulary(("a", "b", "a"))
