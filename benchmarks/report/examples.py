"""Shows a few lists as they would be served, for a person to judge: drawn by lot, not chosen."""

from collections.abc import Iterator

import numpy as np

from benchmarks.evaluate.metrics import NO_CANDIDATE
from benchmarks.report.groups import (
    HISTORIES,
    LONGEST_HISTORY,
    group_by_age,
    group_by_history,
    group_by_horizon,
)
from benchmarks.report.measured import CHANNEL, SEED, K, Measured, list_best
from benchmarks.report.section import Section, Table
from suitability.evaluate import evaluate
from suitability.ratings import effective_level, is_learning

HISTORY_COUNT = 5
WITHHELD_COUNT = 3
COLUMNS = ("rank", "product", "kind", "level", "owners", "taken later")


def make_examples(measured: Measured) -> Section:
    """Draws one user of each length of history, and shows list, history and what the rules withheld."""
    sentence = f"One user of each length of history, drawn with a fixed seed. Lists are {measured.condition}."
    if measured.policy is not None:
        sentence += (
            " Below each stand the best-scored products that the rules withheld, with the reason codes."
        )
    tables = []
    for row in draw_users(measured):
        caption = describe_user(measured, row)
        tables.append(Table(caption, COLUMNS, tuple(_list_rows(measured, row))))
        withheld = tuple(list_withheld(measured, row))
        if withheld:
            tables.append(Table("Withheld from this user", ("product", "kind", "level", "why"), withheld))
    return Section("examples", "Lists that a person can judge", (sentence,), tuple(tables))


def draw_users(measured: Measured) -> Iterator[int]:
    """Draws a row for each length of history that occurs."""
    groups = group_by_history([len(history) for history in measured.histories])
    rng = np.random.default_rng(SEED)
    for name in (*(name for _, name in HISTORIES), LONGEST_HISTORY):
        rows = [row for row, group in enumerate(groups) if group == name]
        if rows:
            yield int(rng.choice(rows))


def describe_user(measured: Measured, row: int) -> str:
    """Says who a user is without saying who: no id."""
    profile, history = measured.profiles[row], measured.histories[row]
    level = profile.get("risk_level")
    age = group_by_age([profile], measured.clock)[0]
    parts = [
        f"A user with {len(history)} events",
        f"risk level {level}" if level is not None else "no risk level",
        f"age {age}",
        f"horizon {group_by_horizon([profile])[0]}",
    ]
    if history:
        column_of = {product: column for column, product in enumerate(measured.products)}
        last = list(dict.fromkeys(event.product_id for event in reversed(history)))[:HISTORY_COUNT]
        names = [_name(measured, column_of[product]) for product in last if product in column_of]
        parts.append(f"latest first: {'; '.join(names)}")
    return ", ".join(parts)


def list_withheld(measured: Measured, row: int) -> Iterator[tuple[str, ...]]:
    """Lists the best-scored products that the rules withhold, with why."""
    if measured.policy is None:
        return
    scores = np.where(measured.suitable[row], NO_CANDIDATE, measured.scores[row])
    user = {**measured.profiles[row], "pseudonym": measured.users[row].encode()}
    for column in np.argsort(-scores, kind="stable")[:WITHHELD_COUNT].tolist():
        if scores[column] == NO_CANDIDATE:
            return
        product = measured.catalogue[column]
        verdict = evaluate(user, product, measured.policy, measured.clock, CHANNEL)
        yield (*_describe(measured, column), ", ".join(sorted(map(str, verdict))))


def _list_rows(measured: Measured, row: int) -> Iterator[tuple[str, ...]]:
    columns = list_best(measured.scores[row : row + 1], measured.suitable[row : row + 1], k=K)[0]
    for rank, column in enumerate((columns[columns >= 0]).tolist(), start=1):
        taken = "yes" if measured.relevant[row, column] else ""
        yield (str(rank), *_describe(measured, column), f"{measured.owner_counts[column]:,}", taken)


def _describe(measured: Measured, column: int) -> tuple[str, str, str]:
    product = measured.catalogue[column]
    level = effective_level(product)
    kind = product.get("category") if is_learning(product) else product.get("family")
    shown = "-" if level is None else f"{level} of {product['scale']}"
    return _name(measured, column), str(kind or "-"), shown


def _name(measured: Measured, column: int) -> str:
    product = measured.catalogue[column]
    titles = [product.get("title"), product.get("title_alternate")]
    return " / ".join(title for title in titles if title) or measured.products[column]
