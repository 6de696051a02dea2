"""Mutation of what packs users and products for the gate: with a fault in it, the battery is judged."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.suitability.batches import HISTORY_LEVELS, Batch, open_gate, put_under_overlay
from benchmarks.suitability.by_columns import store_by_columns
from benchmarks.suitability.changes import CHANNEL, NOW
from benchmarks.suitability.mutation import imported
from benchmarks.suitability.pairs import eligible_product, eligible_user
from benchmarks.suitability.python_mutants import Mutant
from suitability import default_policy_path, evaluate, load_policy
from suitability.codes import CODES_BY_NUMBER, codes_of_mask
from suitability.records import RISK_SCORE_MAX

PACKING_FILES: Final = ("server/columns.py", "server/set_bits.py", "server/user_record.py", "server/gate.py")
_MANY: Final = 257
# What concerns the user alone, the assessment or the score: a row with such a code may be cut off.
_CUTTING: Final = frozenset(
    {
        *("SYS_CLOCK_INVALID", "SYS_POLICY_NOT_EFFECTIVE", "USR_NOT_FOUND", "USR_RESTRICTED"),
        *("USR_CONSENT_MISSING", "USR_PROFILE_AGE_UNKNOWN", "USR_PROFILE_STALE", "USR_CAPACITY_UNKNOWN"),
        *("USR_NO_CIVIL_CAPACITY", "USR_AGE_UNKNOWN", "USR_JURISDICTION_UNKNOWN", "USR_CURRENCY_UNKNOWN"),
        *("USR_ASSESSMENT_MISSING", "USR_ASSESSMENT_EXPIRED", "USR_CHANGE_REPORTED"),
        *("PRD_RISK_SCORE_UNKNOWN", "MAT_RISK_SCORE_OVER_LIMIT"),
    }
)


@dataclass(frozen=True)
class Stop:
    """Where a search among the first products may stop for a user.

    Attributes:
        user: the user's record.
        limit: the request's own limit.
        rows: after how many rows, by the number of products in the catalogue less 1.
    """

    user: Mapping[str, Any]
    limit: int | None
    rows: tuple[int, ...]


def list_stop_products() -> list[dict[str, Any]]:
    """Returns products in an order in which each may be the last that suits somebody."""
    rated = eligible_product("x1")
    return [
        eligible_product("x2", "INS_PROTECTION"),
        eligible_product("x0", "COURSE"),
        rated | {"risk_score": 0},
        rated | {"risk_score": 1},
        rated | {"risk_score": RISK_SCORE_MAX},
        rated | {"risk_score": "0"},
        rated | {"risk_score": 1},
        eligible_product("x3", "COURSE"),
        eligible_product("x4", "INS_LINKED") | {"risk_score": 0},
    ]


def list_stops() -> list[Stop]:
    """Returns where the definition lets a search stop: after the last row that holds no code of _CUTTING."""
    policy, products = load_policy(default_policy_path()), list_stop_products()
    changes: list[dict[str, Any]] = [
        *({}, {"blocked": True}, {"pseudonym": b""}, {"profile_as_of": None}, {"capacity": "NONE"}),
        *({"capacity": None}, {"birth_date": None}, {"jurisdiction": None}, {"currencies": None}),
        *(
            {"change_reported": True},
            {"risk_level": None},
            {"assessed_on": None},
            {"consent_sensitive": None},
        ),
    ]
    stops = []
    for change in changes:
        for limit in (None, 0, 1, -1, RISK_SCORE_MAX) if not change else (None,):
            user = eligible_user() | change
            codes = [evaluate(user, product, policy, NOW, CHANNEL, limit) for product in products]
            last, ends = 0, []
            for row, each in enumerate(codes):
                last = last if each & _CUTTING else row + 1
                ends.append(last)
            stops.append(Stop(user, limit, tuple(ends)))
    return stops


def packing_notices(batches: Sequence[Batch], stops: Sequence[Stop], mutant: Mutant) -> bool:
    """Tells whether the gate with the mutant in its packing differs from the battery on any case."""
    with imported(mutant):
        return _stops_differ(stops) or any(_gate_differs(batch) for batch in batches)


def _stops_differ(stops: Sequence[Stop]) -> bool:
    module, products = importlib.import_module("server.gate"), list_stop_products()
    policy = importlib.import_module("suitability").load_policy(default_policy_path())
    gates = [module.Gate(products[: count + 1], policy) for count in range(len(products))]
    nobody = np.zeros(0, np.int64)
    return gates[0].judge_many([], nobody, nobody).shape != (0, 2) or any(
        gate.admit(stop.user, NOW, CHANNEL, stop.limit).row_stop != row
        for stop in stops
        for gate, row in zip(gates, stop.rows, strict=True)
    )


def _gate_differs(batch: Batch) -> bool:
    gate, users = open_gate(batch)
    if not np.array_equal(gate.judge_many(users, batch.user_of_pair, batch.rows), batch.expected):
        return True
    if any(_listing_differs(gate, user, batch, number) for number, user in enumerate(users)):
        return True
    if _facts_differ(gate.columns, batch) or _counts_differ(gate, users[0]) or _columns_differ(batch):
        return True
    put_under_overlay(gate, batch)
    count = len(batch.under_overlay)
    under = gate.judge_many(users, batch.user_of_pair[:count], batch.rows[:count])
    return not np.array_equal(under, batch.under_overlay)


def _listing_differs(gate: Any, user: Any, batch: Batch, number: int) -> bool:
    """Tells whether what a list shows of a user and the eligible rows differs from the definition's."""
    eligible = [
        place for place in np.nonzero(batch.user_of_pair == number)[0] if not batch.cases[place].codes
    ]
    rows = batch.rows[eligible]
    return bool(
        rows.max(initial=-1) >= user.row_stop
        or gate.find_valid_until(user, rows) != [batch.cases[place].valid_until for place in eligible]
        or gate.find_warnings(user, rows, HISTORY_LEVELS) != [batch.warned[place] for place in eligible]
    )


def _facts_differ(columns: Any, batch: Batch) -> bool:
    """Tells whether what a list shows of products differs from the definition's, or could be written to."""
    ratings = importlib.import_module("suitability.ratings")
    policy = importlib.import_module("suitability").load_policy(batch.policy)
    for row, product in enumerate(batch.products):
        sold = not ratings.is_learning(product)
        shown = columns.levels[row], columns.risk_scores[row], columns.assumed_fields[row]
        level = ratings.effective_level(product) if sold else None
        score = ratings.effective_risk_score(product, policy) if sold else None
        if shown != (level, score, tuple(product.get("assumed", ()))):
            return True
    return bool(columns.records.flags.writeable)


def _columns_differ(batch: Batch) -> bool:
    """Tells whether products by columns are packed otherwise than one by one, some of them halted."""
    module = importlib.import_module("server.columns")
    halts = {"halted_products": ["x1", "x8"], "halted_issuers": ["issuer 0"]}
    policy = importlib.import_module("suitability").load_policy({**batch.policy, **halts})
    rows = store_by_columns(batch.products)
    found, expected = (module.compile_columns(products, policy) for products in (rows, list(rows)))
    return bool(
        found.records.tobytes() != expected.records.tobytes()
        or found.sets.words.tobytes() != expected.sets.words.tobytes()
        or (found.sets.bits, found.issuers, found.dup_groups)
        != (expected.sets.bits, expected.issuers, expected.dup_groups)
        or any(
            getattr(found, name).tolist() != getattr(expected, name).tolist()
            for name in ("levels", "risk_scores", "scales", "assumed_fields")
        )
    )


def _counts_differ(gate: Any, user: Any) -> bool:
    """Tells whether what the gate counts and reads for one user differs from its own masks."""
    module = importlib.import_module("server.gate")
    masks = gate.judge(user, np.arange(len(gate.columns.records), dtype=np.int64))
    codes = [codes_of_mask(int(low) | int(high) << 64) for low, high in masks.tolist()]
    totals = {code.name: sum(code.name in each for each in codes) for code in CODES_BY_NUMBER.values()}
    counts = [(name, count) for name, count in totals.items() if count]
    # A code that more pairs hold than a byte counts.
    many = module.count_codes(np.repeat(masks, _MANY, axis=0))
    return bool(
        gate.count_codes(user) != counts
        or module.count_codes(masks) != counts
        or many != [(name, _MANY * count) for name, count in counts]
        or module.find_eligible(masks).tolist() != [not each for each in codes]
        or any(frozenset(module.read_codes(mask)) != each for mask, each in zip(masks, codes, strict=True))
        or any(module.holds_code(masks, name).sum() != count for name, count in counts)
    )
