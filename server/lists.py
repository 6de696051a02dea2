"""The one place where response lists are made, and only from the gate's verdicts."""

from functools import partial

import numpy as np

from server.gate import GateUser, count_codes, holds_code, read_codes
from server.messages import ListedProduct, Subject, Verdict, Withheld
from server.retrieval import Rows
from server.search import Found, Scores
from server.snapshot import Snapshot
from suitability.cautions import warnings
from suitability.codes import CODES, waivable

HistoryLevels = frozenset[tuple[str, int]]

_RISK_SCORE_CODE = "MAT_RISK_SCORE_OVER_LIMIT"


def build_list(
    snapshot: Snapshot, subject: Subject, found: Found, k: int, risk_score_limit: int | None
) -> tuple[ListedProduct, ...]:
    """Builds a response list: the eligible rows, score descending, then product id ascending.

    Args:
        snapshot: what the search ran over.
        subject: whom the list is for.
        found: rows with scores and verdicts.
        k: most products.
        risk_score_limit: the request's own limit.
    """
    eligible = ~found.masks.any(axis=1)
    rows, scores = found.rows[eligible], found.scores[eligible]
    best = snapshot.scorer.order(rows, scores, k)
    rows, scores = rows[best], scores[best]
    ends = snapshot.gate.find_valid_until(found.user, rows)
    history_levels = _history_levels(snapshot, subject)
    columns = snapshot.gate.columns
    listed = []
    for row, score, end in zip(rows.tolist(), scores.tolist(), ends, strict=True):
        listed.append(
            ListedProduct(
                product_id=snapshot.bundle.product_ids[row],
                facts=snapshot.facts[row],
                score=score,
                effective_level=columns.levels[row],
                risk_score=columns.risk_scores[row],
                risk_score_limit=found.user.risk_score_limit if columns.rated[row] else None,
                warnings=_warn(snapshot, subject, found.user, row, risk_score_limit, history_levels),
                valid_until=end,
                assumed_fields=_assumed_fields(snapshot, subject, row),
            )
        )
    return tuple(listed)


def count_withheld(snapshot: Snapshot, found: Found, *, with_examples: bool) -> tuple[Withheld, ...]:
    """Counts what the search looked at and the gate removed, by disclosable code.

    Args:
        snapshot: what the search ran over.
        found: rows with scores and verdicts.
        with_examples: whether to name the best-scored product of each code.
    """
    removed = found.masks.any(axis=1)
    masks = found.masks[removed]
    disclosed = [(code, count) for code, count in count_codes(masks) if CODES[code].disclosable]
    if not with_examples:
        return tuple(Withheld(code, count, "", None) for code, count in disclosed)
    rows, scores = found.rows[removed], found.scores[removed]
    withheld = []
    for code, count in disclosed:
        held = holds_code(masks, code)
        example = int(_best_row(snapshot, rows[held], scores[held]))
        score = snapshot.gate.columns.risk_scores[example] if code == _RISK_SCORE_CODE else None
        withheld.append(Withheld(code, count, snapshot.bundle.product_ids[example], score))
    return tuple(withheld)


def judge_named(
    snapshot: Snapshot,
    subject: Subject,
    user: GateUser,
    product_ids: tuple[str, ...],
    *,
    user_initiated: bool,
    risk_score_limit: int | None,
) -> tuple[Verdict, ...]:
    """Returns the verdict on each named product, in the order given."""
    rows = np.array([snapshot.row_of[name] for name in product_ids if name in snapshot.row_of], np.int64)
    masks = snapshot.gate.judge(user, rows)
    eligible_rows = rows[~masks.any(axis=1)]
    ends = dict(zip(eligible_rows.tolist(), snapshot.gate.find_valid_until(user, eligible_rows), strict=True))
    by_row = dict(zip(rows.tolist(), masks, strict=True))
    history_levels = _history_levels(snapshot, subject)
    verdicts = []
    for product_id in product_ids:
        row = snapshot.row_of.get(product_id)
        if row is None:
            verdicts.append(_UNKNOWN(product_id))
            continue
        codes = tuple(code for code in read_codes(by_row[row]) if CODES[code].disclosable)
        verdicts.append(
            Verdict(
                product_id=product_id,
                known=True,
                eligible=row in ends,
                codes=codes,
                valid_until=ends.get(row),
                warnings=_warn(snapshot, subject, user, row, risk_score_limit, history_levels)
                if row in ends
                else (),
                assumed_fields=_assumed_fields(snapshot, subject, row),
                waivable_codes=tuple(
                    code for code in codes if user_initiated and waivable(code, subject.profile)
                ),
            )
        )
    return tuple(verdicts)


_UNKNOWN = partial(
    Verdict,
    known=False,
    eligible=False,
    codes=(),
    valid_until=None,
    warnings=(),
    assumed_fields=(),
    waivable_codes=(),
)


def _warn(
    snapshot: Snapshot,
    subject: Subject,
    user: GateUser,
    row: int,
    risk_score_limit: int | None,
    history_levels: HistoryLevels,
) -> tuple[str, ...]:
    return warnings(
        subject.profile,
        snapshot.bundle.products.rows[row],
        snapshot.policy,
        user.now,
        risk_score_limit=risk_score_limit,
        history_levels=history_levels,
    )


def _best_row(snapshot: Snapshot, rows: Rows, scores: Scores) -> np.int64:
    best: np.int64 = rows[snapshot.scorer.order(rows, scores, 1)[0]]
    return best


def _history_levels(snapshot: Snapshot, subject: Subject) -> HistoryLevels:
    """Returns (scale, effective level) of every financial product in the history."""
    levels = snapshot.gate.columns.levels
    rows = {snapshot.row_of.get(event.product_id) for event in subject.history}
    return frozenset(
        (snapshot.facts[row].scale, level)
        for row in rows
        if row is not None and (level := levels[row]) is not None
    )


def _assumed_fields(snapshot: Snapshot, subject: Subject, row: int) -> tuple[str, ...]:
    """Returns the product's assumed fields, and for financial products the user's."""
    columns = snapshot.gate.columns
    fields = columns.assumed_fields[row]
    return (*fields, *subject.assumed_fields) if columns.financial[row] else fields
