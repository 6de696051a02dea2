"""Strategies that change an eligible pair in one or two fields, often just a little."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st

from suitability.records import PRODUCT_FIELDS, USER_FIELDS, Field, Kind
from tests.suitability.bases import BASES, EXEMPT
from tests.suitability.conftest import NOW

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True, database=None)
# Hypothesis draws constants from whatever modules are loaded, so the count varies with the tests that run.
ELIGIBLE_MIN = 10
TABLES = {"user": USER_FIELDS, "product": PRODUCT_FIELDS}
DELETABLE = [(side, name) for side, fields in TABLES.items() for name in fields if name not in EXEMPT]

_WORDS = st.sampled_from(["GROWTH", "INCOME", "HEALTH", "CN", "HK", "CNY", "USD", "app", "web", "medical"])
_AMOUNTS = st.one_of(st.integers(0, 10**6), st.integers(10**6, 10**8), st.integers(0, 10**15))
_COUNTS = st.dictionaries(
    st.sampled_from(["FUND", "INS_PROTECTION", "INS_LINKED", "issuer-1", "other"]), st.integers(0, 3)
)


def _values(field: Field) -> st.SearchStrategy[object]:
    if field.choices is not None:
        return st.sampled_from(sorted(field.choices))
    return {
        Kind.INTEGER: _AMOUNTS if field.high > 10**6 else st.integers(field.low, field.high),
        Kind.TEXT: _WORDS,
        Kind.FLAG: st.booleans(),
        Kind.INSTANT: st.integers(-100_000, 100_000).map(lambda seconds: NOW + timedelta(seconds=seconds)),
        Kind.DAY: st.one_of(
            st.dates(date(2025, 11, 1), date(2026, 12, 1)), st.dates(date(1940, 1, 1), date(2010, 1, 1))
        ),
        Kind.TEXTS: st.sets(_WORDS, max_size=3),
        Kind.COUNTS: _COUNTS,
        Kind.BYTES: st.binary(max_size=2),
    }[field.kind]


fields = st.sampled_from([(side, name) for side, table in TABLES.items() for name in table])


@st.composite
def pairs(draw, change_count_max=2, bases=tuple(BASES)):
    """Draws user and product: a base with at most so many fields replaced."""
    user, product = BASES[draw(st.sampled_from(bases))]
    records = {"user": dict(user), "product": dict(product)}
    for side, name in draw(st.lists(fields, max_size=change_count_max)):
        records[side][name] = draw(_values(TABLES[side][name]))
    return records["user"], records["product"]


instants = st.datetimes(
    datetime(2026, 2, 1),  # noqa: DTZ001 - the bounds are naive by contract.
    datetime(2027, 1, 3),  # noqa: DTZ001
    timezones=st.just(UTC),
)


class Count:
    """Counts eligible examples, so that a property cannot pass on denied pairs alone."""

    def __init__(self):
        self.eligible = 0

    def see(self, codes):
        self.eligible += not codes
        return codes
