"""The one place where response lists are made, and only from the gate's verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from server.diversity import WHOLE, count_pool, diversify
from server.gate import GateUser, Masks, count_codes, find_eligible, holds_code, read_codes
from server.messages import UNAVAILABLE, ListedProduct, ProductSource, Subject, Verdict, Withheld
from server.retrieval import Rows
from server.search import Found, Scores
from server.snapshot import Snapshot
from suitability.codes import CODES, ReasonCode, waivable
from suitability.overlay import Overlay

HistoryLevels = frozenset[tuple[str, int]]

_RISK_SCORE_CODE: Final = "MAT_RISK_SCORE_OVER_LIMIT"


@dataclass(frozen=True, slots=True)
class LastVerdict:
    """The gate's last word on one user and some rows, and the overlay that it was read under."""

    rows: Rows  # [n], distinct
    masks: Masks  # [n, 2]
    overlay: Overlay | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A response list, what it was chosen from, and the verdict on everything found."""

    products: tuple[ListedProduct, ...]
    pool_rows: Rows  # [pool_count or fewer], the best eligible ones; the list's own, unless diversified
    verdict: LastVerdict


def build_list(subject: Subject, found: Found, k: int, trade_off: int = WHOLE) -> Listing:
    """Builds a response list: the eligible rows, score descending, then product id ascending.

    Everything found is judged again, as the last thing: a halt may have come since the search. Diversity
    chooses among what is eligible by that judgement, and its order is the list's.

    Args:
        subject: whom the list is for.
        found: rows with scores; the verdicts of the search do not count.
        k: most products.
        trade_off: of score and variety, as `server.diversity` has it.
    """
    snapshot = found.snapshot
    verdict = judge_last(snapshot, found.user, found.rows)
    eligible = find_eligible(verdict.masks)
    rows, scores = found.rows[eligible], found.scores[eligible]
    pool = chosen = snapshot.scorer.order(rows, scores, count_pool(k, trade_off))
    pool_rows = rows[pool]
    if trade_off != WHOLE:
        chosen = pool[diversify(scores[pool], snapshot.bundle.item_vectors[pool_rows, :-1], k, trade_off)]
    rows, scores = rows[chosen], scores[chosen]
    ends = snapshot.gate.find_valid_until(found.user, rows)
    warned = snapshot.gate.find_warnings(found.user, rows, _history_levels(snapshot, subject))
    columns = snapshot.gate.columns
    antecedents = _find_antecedents(found, rows)
    source = ProductSource.SEGMENT if found.stood_in else ProductSource.MODEL
    listed = []
    for row, score, end, warnings in zip(rows.tolist(), scores.tolist(), ends, warned, strict=True):
        antecedent = antecedents.get(row)
        listed.append(
            ListedProduct(
                product_id=snapshot.bundle.product_ids[row],
                facts=snapshot.facts[row],
                score=score,
                effective_level=columns.levels[row],
                risk_score=columns.risk_scores[row],
                risk_score_limit=found.user.risk_score_limit if columns.rated[row] else None,
                warnings=warnings,
                valid_until=end,
                assumed_fields=_assumed_fields(snapshot, subject, row),
                source=source if antecedent is None else ProductSource.ASSOCIATION,
                antecedent=None if antecedent is None else snapshot.facts[antecedent],
            )
        )
    return Listing(tuple(listed), pool_rows, verdict)


def judge_last(snapshot: Snapshot, user: GateUser, rows: Rows) -> LastVerdict:
    """Judges rows for an answer, and says under which overlay."""
    masks, overlay = snapshot.gate.judge_live(user, rows)
    return LastVerdict(rows, masks, overlay)


def count_withheld(found: Found, verdict: LastVerdict, *, with_examples: bool) -> tuple[Withheld, ...]:
    """Counts what a verdict removed, by disclosable code.

    Args:
        found: the search; examples are ranked by its query.
        verdict: the verdict on the rows to count.
        with_examples: whether to name the best-scored product of each code.
    """
    if not with_examples:
        return _without_examples(count_codes(verdict.masks))
    snapshot = found.snapshot
    removed = ~find_eligible(verdict.masks)
    rows, masks = verdict.rows[removed], verdict.masks[removed]
    scores = snapshot.scorer.score(found.vector, rows)
    withheld = []
    for code, count in count_codes(masks):
        if not CODES[code].disclosable:
            continue
        held = holds_code(masks, code)
        example = int(_best_row(snapshot, rows[held], scores[held]))
        score = snapshot.gate.columns.risk_scores[example] if code == _RISK_SCORE_CODE else None
        withheld.append(Withheld(code, count, snapshot.bundle.product_ids[example], score))
    return tuple(withheld)


def count_withheld_in(
    found: Found, row_start: int, row_stop: int, *, with_examples: bool
) -> tuple[Withheld, ...]:
    """Counts what the rules remove from the rows [row_start, row_stop), looked at or not."""
    gate, row_count = found.snapshot.gate, found.snapshot.bundle.products.count
    if not with_examples and row_stop - row_start == row_count:
        # Counting in the kernel writes no masks, which for a large catalogue is most of the work.
        return _without_examples(gate.count_codes(found.user))
    verdict = judge_last(found.snapshot, found.user, np.arange(row_start, row_stop, dtype=np.int64))
    return count_withheld(found, verdict, with_examples=with_examples)


def explain_named(
    snapshot: Snapshot,
    subject: Subject,
    user: GateUser,
    verdict: LastVerdict,
    product_ids: Sequence[str],
    *,
    user_initiated: bool,
) -> tuple[Verdict, ...]:
    """Puts a verdict into words for each named product, in the order given.

    Args:
        snapshot: what was judged.
        subject: whom the verdict is on.
        user: the same, as the gate took them.
        verdict: the verdict on every named product that the bundle knows.
        product_ids: the products.
        user_initiated: whether the user asked for the products, so that a code may be waivable.
    """
    eligible_rows = verdict.rows[find_eligible(verdict.masks)]
    ends = dict(zip(eligible_rows.tolist(), snapshot.gate.find_valid_until(user, eligible_rows), strict=True))
    warned = snapshot.gate.find_warnings(user, eligible_rows, _history_levels(snapshot, subject))
    warnings = dict(zip(eligible_rows.tolist(), warned, strict=True))
    by_row = dict(zip(verdict.rows.tolist(), verdict.masks, strict=True))
    verdicts = []
    for product_id in product_ids:
        row = snapshot.row_of.get(product_id)
        if row is None:
            verdicts.append(_UNKNOWN(product_id))
            continue
        names = read_codes(by_row[row])
        verdicts.append(
            Verdict(
                product_id=product_id,
                known=True,
                eligible=row in ends,
                codes=_disclose(names),
                valid_until=ends.get(row),
                warnings=warnings.get(row, ()),
                assumed_fields=_assumed_fields(snapshot, subject, row),
                waivable_codes=tuple(
                    name for name in names if user_initiated and waivable(name, subject.profile)
                ),
            )
        )
    return tuple(verdicts)


def _without_examples(counts: Sequence[tuple[str, int]]) -> tuple[Withheld, ...]:
    return tuple(Withheld(code, count, "", None) for code, count in counts if CODES[code].disclosable)


def _disclose(names: Sequence[str]) -> tuple[ReasonCode, ...]:
    """Returns the codes as they may be told: one neutral code in place of those that may not."""
    told = [CODES[name] if CODES[name].disclosable else UNAVAILABLE for name in names]
    return tuple(dict.fromkeys(told))


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


def _best_row(snapshot: Snapshot, rows: Rows, scores: Scores) -> np.int64:
    best: np.int64 = rows[snapshot.scorer.order(rows, scores, 1)[0]]
    return best


def _find_antecedents(found: Found, rows: Rows) -> dict[int, int]:
    """Returns the row of the history whose rule suggests a row, for those that one does."""
    if found.suggested is None:
        return {}
    return found.suggested.find_antecedents(rows)


def _history_levels(snapshot: Snapshot, subject: Subject) -> HistoryLevels:
    """Returns (scale, effective level) of every financial product in the history."""
    columns, row_of = snapshot.gate.columns, snapshot.row_of
    rows = {row_of.get(event.product_id) for event in subject.history}
    rows.discard(None)
    known = np.fromiter(rows, np.int64, len(rows))
    return frozenset(
        (columns.scales[row], columns.levels[row])
        for row in known[columns.financial[known]].tolist()
        if columns.levels[row] is not None
    )


def _assumed_fields(snapshot: Snapshot, subject: Subject, row: int) -> tuple[str, ...]:
    """Returns the product's assumed fields, and for financial products the user's."""
    columns = snapshot.gate.columns
    fields = columns.assumed_fields[row]
    return (*fields, *subject.assumed_fields) if columns.financial[row] else fields
