"""Properties of the verdict, from an eligible pair by one or two changes; eligible examples are counted."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from suitability import CODES, default_policy_path, evaluate, load_policy, valid_until
from suitability.records import PRODUCT_FIELDS, USER_FIELDS

POLICY = load_policy(default_policy_path())
MICROSECOND = timedelta(microseconds=1)
EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True, database=None)
ELIGIBLE_MIN = 30

levels = st.integers(0, 5)
product_levels = st.integers(1, 7)
scores = st.integers(0, 10_000)
days = st.dates(date(2025, 10, 1), date(2026, 12, 31))
instants = st.datetimes(datetime(2026, 11, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds are naive by contract.
junk = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3), st.just([]), st.just({})
)

user_changes = st.one_of(
    st.fixed_dictionaries({"risk_level": levels}),
    st.fixed_dictionaries({"assessed_on": days}),
    st.fixed_dictionaries({"assessments_today": st.integers(0, 3)}),
    st.fixed_dictionaries({"level_changed": st.booleans(), "level_confirmed": st.booleans()}),
    st.fixed_dictionaries({"profile_as_of": instants}),
)
product_changes = st.one_of(
    st.fixed_dictionaries({"level_issuer": product_levels, "level_distributor": product_levels}),
    st.fixed_dictionaries({"risk_score": st.one_of(st.none(), scores)}),
    st.fixed_dictionaries({"sale_end": instants}),
    st.fixed_dictionaries({"licence_until": instants}),
    st.fixed_dictionaries({"family": st.sampled_from(["FUND", "INS_PROTECTION", "INS_LINKED", "COURSE"])}),
    st.fixed_dictionaries({"scale": st.just("SRI7"), "level_distributor": product_levels}),
)


class Count:
    """Counts eligible examples, so that a property cannot pass on denied pairs alone."""

    def __init__(self):
        self.eligible = 0

    def see(self, codes):
        self.eligible += not codes
        return codes


def test_lower_tolerance_never_adds_a_product(user, product, now):
    count = Count()

    @EXAMPLES
    @given(levels, levels, product_changes)
    def holds(one, other, change):
        changed = {**product, **change}
        low = evaluate({**user, "risk_level": min(one, other)}, changed, POLICY, now, "app")
        high = evaluate({**user, "risk_level": max(one, other)}, changed, POLICY, now, "app")
        assert not low <= set() or not count.see(high)

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_a_higher_product_level_or_score_never_adds_a_product(user, product, now):
    count = Count()

    @EXAMPLES
    @given(st.sampled_from(["level_issuer", "level_distributor", "risk_score"]), scores, scores, user_changes)
    def holds(name, one, other, change):
        if name != "risk_score":
            one, other = one % 5 + 1, other % 5 + 1
        changed = {**user, **change}
        low = evaluate(changed, {**product, name: min(one, other)}, POLICY, now, "app")
        high = evaluate(changed, {**product, name: max(one, other)}, POLICY, now, "app")
        assert high or not count.see(low)

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_a_requests_limit_never_adds_a_product(user, product, now):
    count = Count()

    @EXAMPLES
    @given(st.one_of(st.integers(4000, 10_000), st.none(), scores, junk), user_changes, product_changes)
    def holds(limit, user_change, product_change):
        pair = ({**user, **user_change}, {**product, **product_change})
        tightened = evaluate(*pair, POLICY, now, "app", limit)
        assert count.see(tightened) >= evaluate(*pair, POLICY, now, "app")

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_deleting_a_field_never_adds_a_product(user, product, now):
    count = Count()
    names = [("user", name) for name in USER_FIELDS]
    names += [("product", name) for name in PRODUCT_FIELDS if name not in {"dup_group", "risk_score"}]

    @EXAMPLES
    @given(st.sampled_from(names), user_changes, product_changes)
    def holds(name, user_change, product_change):
        records = {"user": {**user, **user_change}, "product": {**product, **product_change}}
        before = count.see(evaluate(records["user"], records["product"], POLICY, now, "app"))
        records[name[0]] = {key: value for key, value in records[name[0]].items() if key != name[1]}
        after = evaluate(records["user"], records["product"], POLICY, now, "app")
        assert after or not before

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_junk_never_raises_and_at_most_one_code_per_predicate_results(user, product, now):
    names = [("user", name) for name in USER_FIELDS] + [("product", name) for name in PRODUCT_FIELDS]

    @EXAMPLES
    @given(st.lists(st.tuples(st.sampled_from(names), junk), max_size=5), junk, junk)
    def holds(changes, channel, limit):
        records = {"user": dict(user), "product": dict(product)}
        for (side, name), value in changes:
            records[side][name] = value
        codes = evaluate(records["user"], records["product"], POLICY, now, channel, limit)
        assert codes <= CODES.keys()
        assert len(codes) <= 8

    holds()


def test_an_eligible_verdict_holds_until_its_end(user, product, now):
    count = Count()

    @EXAMPLES
    @given(user_changes, product_changes, st.floats(0, 1))
    def holds(user_change, product_change, share):
        pair = ({**user, **user_change}, {**product, **product_change})
        end = valid_until(*pair, POLICY, now, "app")
        if count.see(evaluate(*pair, POLICY, now, "app")):
            assert end == now
            return
        assert end > now
        between = now + (end - MICROSECOND - now) * share
        assert evaluate(*pair, POLICY, between, "app") == frozenset()
        assert evaluate(*pair, POLICY, end - MICROSECOND, "app") == frozenset()

    holds()
    assert count.eligible >= ELIGIBLE_MIN


def test_halting_and_capping_never_add_a_product(user, product, now):
    count = Count()
    overlays = st.one_of(
        st.fixed_dictionaries({"halted_products": st.lists(st.sampled_from(["fund-1", "x"]))}),
        st.fixed_dictionaries({"halted_issuers": st.lists(st.sampled_from(["issuer-1", "x"]))}),
        st.fixed_dictionaries({"level_cap": st.integers(0, 7)}),
    )

    @EXAMPLES
    @given(overlays, user_changes, product_changes)
    def holds(overlay, user_change, product_change):
        pair = ({**user, **user_change}, {**product, **product_change})
        before = count.see(evaluate(*pair, POLICY, now, "app"))
        assert evaluate(*pair, load_policy({**POLICY.values, **overlay}), now, "app") or not before

    holds()
    assert count.eligible >= ELIGIBLE_MIN
