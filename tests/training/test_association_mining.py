"""Mined rules are those of the plain definition, whatever the order of the events."""

from collections import defaultdict
from itertools import permutations

import numpy as np
import pytest

from training import associations
from training.associations import MinedRules, mine_rules
from training.histories import Interactions, sort_interactions

EVERY = 10**9


def _draw(user_count: int, item_count: int, event_count: int, seed: int = 1) -> Interactions:
    rng = np.random.default_rng(seed)
    items = np.minimum(rng.geometric(0.2, event_count) - 1, item_count - 1)
    return sort_interactions(
        rng.integers(0, user_count, event_count),
        items,
        rng.integers(1, 10, event_count),
        rng.integers(0, 50, event_count).astype(np.float64),
        user_count=user_count,
        item_count=item_count,
    )


def _mine(
    events: Interactions, *, count_min: int = 2, rule_count_max: int = EVERY, rank: np.ndarray | None = None
) -> MinedRules:
    return mine_rules(
        events,
        taken=events.event_code > 2,
        allowed=np.arange(events.item_count) != 1,
        id_rank=np.arange(events.item_count) if rank is None else rank,
        pair_count_min=count_min,
        rule_count_max=rule_count_max,
    )


def _mine_plainly(events: Interactions, count_min: int, per_product: int) -> list[tuple[int, int, int]]:
    """The plain definition: sets of users, every ordered pair, lift above 1, the most confident ones."""
    users: dict[int, set[int]] = defaultdict(set)
    for user, item, code in zip(events.user_row, events.item_row, events.event_code, strict=True):
        if code > 2 and item != 1:
            users[int(item)].add(int(user))
    users = {item: mine for item, mine in users.items() if len(mine) >= count_min}
    everybody = len(set().union(*users.values()))
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for first, then in permutations(sorted(users), 2):
        both = len(users[first] & users[then])
        lift = both * everybody / (len(users[first]) * len(users[then]))
        if both >= count_min and lift > 1 + 1e-12:
            found[first].append((first, then, both))
    best = [sorted(mine, key=lambda rule: (-rule[2], rule[1]))[:per_product] for mine in found.values()]
    return [rule for mine in best for rule in mine]


def _list(mined: MinedRules) -> list[tuple[int, int, int]]:
    return list(
        zip(mined.antecedents.tolist(), mined.consequents.tolist(), mined.pair_counts.tolist(), strict=True)
    )


@pytest.mark.parametrize(("users", "items", "events"), [(40, 12, 400), (101, 31, 1500), (13, 7, 60)])
def test_the_rules_are_those_of_the_plain_definition(
    users: int, items: int, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(associations, "RULES_PER_PRODUCT_MAX", 3)
    monkeypatch.setattr(associations, "_ANTECEDENTS_TOGETHER", 4)
    drawn = _draw(users, items, events)
    expected = _mine_plainly(drawn, 2, 3)
    assert expected
    assert _list(_mine(drawn)) == expected


def test_counts_are_of_people_and_not_of_events() -> None:
    drawn = _draw(40, 12, 400)
    doubled = sort_interactions(
        *(np.repeat(values, 2) for values in (drawn.user_row, drawn.item_row, drawn.event_code)),
        np.repeat(drawn.event_time, 2),
        user_count=40,
        item_count=12,
    )
    one, other = _mine(drawn), _mine(doubled)
    assert _list(one) == _list(other)
    assert one.antecedent_counts.tolist() == other.antecedent_counts.tolist()


def test_no_rule_rests_on_fewer_people_than_asked_for() -> None:
    mined = _mine(_draw(101, 31, 1500), count_min=10)
    assert len(mined.pair_counts)
    assert mined.pair_counts.min() >= 10
    assert not np.isin(1, np.concatenate([mined.antecedents, mined.consequents]))


def test_of_equally_confident_rules_the_smaller_id_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(associations, "RULES_PER_PRODUCT_MAX", 1)
    users = np.repeat(np.arange(8), 3)
    items = np.where(np.repeat(np.arange(8) < 4, 3), np.tile([0, 2, 3], 8), np.tile([4, 5, 6], 8))
    events = sort_interactions(users, items, np.full(24, 5), np.zeros(24), user_count=8, item_count=7)
    assert _list(_mine(events))[0] == (0, 2, 4)
    rank = np.arange(7)[::-1].copy()
    assert _list(_mine(events, rank=rank))[0] == (0, 3, 4)


def test_of_too_many_rules_those_of_most_people_are_kept() -> None:
    drawn = _draw(101, 31, 1500)
    kept, every = _list(_mine(drawn, rule_count_max=7)), _list(_mine(drawn))
    assert len(kept) == 7
    assert min(pair for *_, pair in kept) >= sorted((pair for *_, pair in every), reverse=True)[6]
    assert kept == sorted(kept, key=lambda rule: (rule[0], -rule[2], rule[1]))


def test_only_the_latest_products_of_a_user_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(associations, "PRODUCTS_PER_USER_MAX", 2)
    # Three products each in this order, and three users beside them, so that lifts are above 1.
    users, items = np.array([0, 0, 0, 1, 1, 1, 2, 3]), np.array([2, 3, 4, 2, 3, 4, 2, 2])
    times = np.array([0, 1, 2, 0, 1, 2, 0, 0], np.float64)
    events = sort_interactions(users, items, np.full(8, 5), times, user_count=4, item_count=5)
    assert _list(_mine(events)) == [(3, 4, 2), (4, 3, 2)]


@pytest.mark.parametrize("event_count", [0, 1])
def test_nobody_and_one_user_give_no_rule(event_count: int) -> None:
    assert _list(_mine(_draw(1, 3, event_count))) == []
