"""Reads and looks up association rules: learners of one product also took another, and how many of them did.

A rule rests on at least PAIR_COUNT_MIN people, and a file with one that rests on fewer is refused. A bundle
keeps the rules in `associations.parquet`; one without that file has none.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from index.errors import BundleFormatError
from index.manifest import ASSOCIATIONS, strict_json

PAIR_COUNT_MIN: Final = 10
"""So many people at least are behind a rule, so that it tells nothing of any one of them."""
RULE_COUNT_MAX: Final = 1_000_000
BOOST_MAX: Final = 1 << 52

_FORMAT_VERSION: Final = 1
_HEADER: Final = b"prudence.associations"
_HEADER_KEYS: Final = {"format_version", "user_count", "weight"}
_USER_COUNT_MAX: Final = 10**9
_COLUMNS: Final[dict[str, pa.DataType]] = {
    "antecedent_id": pa.string(),
    "consequent_id": pa.string(),
    "pair_count": pa.int32(),
    "antecedent_count": pa.int32(),
    "consequent_count": pa.int32(),
}
_SCHEMA: Final = pa.schema(_COLUMNS)

Rows = NDArray[np.int64]
Counts = NDArray[np.int32]


@dataclass(frozen=True)
class Rules:
    """Association rules with the counts of people that they rest on; arrays are [rules].

    Support is pair_count / user_count, confidence pair_count / antecedent_count, and lift confidence over the
    consequent's share of all people.

    Attributes:
        antecedent_ids: products of a history.
        consequent_ids: what is suggested to who has them.
        pair_counts: people who took both.
        antecedent_counts: people who took the antecedent.
        consequent_counts: people who took the consequent.
        user_count: all people.
        weight: what a rule of confidence 1 adds to a score of the model, 0 or more.
    """

    antecedent_ids: tuple[str, ...]
    consequent_ids: tuple[str, ...]
    pair_counts: Counts
    antecedent_counts: Counts
    consequent_counts: Counts
    user_count: int
    weight: float

    @property
    def confidences(self) -> NDArray[np.float64]:
        """The share of those with the antecedent who took the consequent."""
        return self.pair_counts / self.antecedent_counts

    @property
    def lifts(self) -> NDArray[np.float64]:
        """How many times more often than all people those with the antecedent took the consequent."""
        return self.confidences * self.user_count / self.consequent_counts

    def describe(self) -> dict[str, Any]:
        """Returns how many rules there are and what they add, for evaluation.json."""
        return {
            "rule_count": len(self.pair_counts),
            "user_count": self.user_count,
            "weight": self.weight,
            "confidence_median": float(np.median(self.confidences)) if len(self.pair_counts) else None,
            "lift_median": float(np.median(self.lifts)) if len(self.pair_counts) else None,
        }


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What the rules suggest to one history: distinct rows, ascending; arrays are [n]."""

    rows: Rows
    boosts: Rows
    antecedents: Rows  # Rows of the history, by whose rule the boost is.

    def boost(self, rows: Rows) -> Rows:
        """Returns what to add to the score of each row, int64 [any]; 0 where nothing suggests it."""
        if not len(self.rows):
            return np.zeros(len(rows), np.int64)
        places, suggested = self._find(rows)
        return np.where(suggested, self.boosts[places], 0)

    def find_antecedents(self, rows: Rows) -> dict[int, int]:
        """Returns the antecedent of those rows that are suggested."""
        if not len(self.rows):
            return {}
        places, suggested = self._find(rows)
        antecedents = self.antecedents[places[suggested]].tolist()
        return dict(zip(rows[suggested].tolist(), antecedents, strict=True))

    def _find(self, rows: Rows) -> tuple[Rows, NDArray[np.bool_]]:
        """Returns where each row would stand, and whether it is there; there is at least one."""
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return places, self.rows[places] == rows

    def within(self, row_start: int, row_stop: int) -> Rows:
        """Returns the rows of a range."""
        first, stop = np.searchsorted(self.rows, (row_start, row_stop))
        return self.rows[first:stop]


@dataclass(frozen=True, slots=True)
class Associations:
    """Rules by the row of their antecedent."""

    starts: Rows  # [products + 1], where each row's rules begin.
    consequents: Rows  # [rules]
    boosts: Rows  # [rules], what each adds to a score, in steps of scores.

    def suggest(self, history: Rows) -> Suggestions:
        """Returns what the rules suggest, each row with the highest boost of its rules.

        Args:
            history: distinct rows, int64 [any]; of equal boosts the rule of the first is taken.
        """
        firsts = self.starts[history]
        counts = self.starts[history + 1] - firsts
        places = (firsts - counts.cumsum() + counts).repeat(counts)
        places += np.arange(len(places))
        rows, boosts = self.consequents[places], self.boosts[places]
        order = np.lexsort((-boosts, rows))  # Stable, so that equal ones stay in the order of the history.
        rows = rows[order]
        best = np.ones(len(rows), np.bool_)
        np.not_equal(rows[1:], rows[:-1], out=best[1:])
        order = order[best]
        return Suggestions(rows[best], boosts[order], history.repeat(counts)[order])


def write_rules(rules: Rules) -> bytes:
    """Returns the rules as Parquet; `read_rules` gives back the same."""
    header = {"format_version": _FORMAT_VERSION, "user_count": rules.user_count, "weight": rules.weight}
    columns = [
        pa.array(rules.antecedent_ids, pa.string()),
        pa.array(rules.consequent_ids, pa.string()),
        *(
            pa.array(counts)
            for counts in (rules.pair_counts, rules.antecedent_counts, rules.consequent_counts)
        ),
    ]
    schema = _SCHEMA.with_metadata({_HEADER: json.dumps(header, sort_keys=True).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink)
    return sink.getvalue().to_pybytes()


def read_rules(content: bytes) -> Rules:
    """Reads what `write_rules` wrote.

    Raises:
        BundleFormatError: it is anything else, a rule rests on too few people, or counts contradict each
            other; the message says which.
    """
    try:
        table = pq.read_table(pa.BufferReader(content), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise BundleFormatError(ASSOCIATIONS, f"expected a Parquet table: {error}") from error
    if not table.schema.equals(_SCHEMA):
        _refuse(f"columns are {table.schema.names}; expected {_SCHEMA.names} of texts and int32")
    if len(table) > RULE_COUNT_MAX:
        _refuse(f"{len(table)} rules; expected at most {RULE_COUNT_MAX}")
    if any(column.null_count for column in table.columns):
        _refuse("a value is missing; expected none")
    user_count, weight = _read_header((table.schema.metadata or {}).get(_HEADER, b""))
    rules = Rules(
        antecedent_ids=_read_texts(table["antecedent_id"]),
        consequent_ids=_read_texts(table["consequent_id"]),
        pair_counts=table["pair_count"].to_numpy(),
        antecedent_counts=table["antecedent_count"].to_numpy(),
        consequent_counts=table["consequent_count"].to_numpy(),
        user_count=user_count,
        weight=weight,
    )
    _check_counts(rules)
    return rules


def place_rules(rules: Rules, product_ids: Sequence[str], score_scale: float) -> Associations:
    """Puts rules where a catalogue has their products; those of products that it lacks are left out.

    Args:
        rules: the rules.
        product_ids: the id of each row.
        score_scale: steps of a score per unit of the model's.

    Raises:
        BundleFormatError: the weight is beyond what whole numbers of 64 bits add without loss.
    """
    if not rules.weight * score_scale <= BOOST_MAX:
        _refuse(f"weight is {rules.weight}; expected at most {BOOST_MAX / score_scale:g}")
    row_of = {product_id: row for row, product_id in enumerate(product_ids)}
    pairs = zip(rules.antecedent_ids, rules.consequent_ids, strict=True)
    rows = np.array([(row_of.get(first, -1), row_of.get(then, -1)) for first, then in pairs], np.int64)
    rows = rows.reshape(-1, 2)
    boosts = np.rint(rules.confidences * (rules.weight * score_scale)).astype(np.int64)
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    order = order[(rows[order] >= 0).all(axis=1)]
    starts = np.searchsorted(rows[order, 0], np.arange(len(product_ids) + 1))
    return Associations(starts.astype(np.int64), rows[order, 1], boosts[order])


def _read_texts(column: Any) -> tuple[str, ...]:
    return tuple(cast("list[str]", column.to_pylist()))


def _read_header(content: bytes) -> tuple[int, float]:
    header = strict_json(content, ASSOCIATIONS)
    if header.keys() != _HEADER_KEYS or header["format_version"] != _FORMAT_VERSION:
        _refuse(f"header is {header!r:.120}; expected {sorted(_HEADER_KEYS)} of version {_FORMAT_VERSION}")
    user_count, weight = header["user_count"], header["weight"]
    if type(user_count) is not int or not 0 <= user_count <= _USER_COUNT_MAX:
        _refuse(f"user_count is {user_count!r:.80}; expected 0 to {_USER_COUNT_MAX}")
    if type(weight) is not float or not (math.isfinite(weight) and weight >= 0):
        _refuse(f"weight is {weight!r:.80}; expected a finite number of 0 or more")
    return user_count, weight


def _check_counts(rules: Rules) -> None:
    if len(rules.pair_counts) and int(rules.pair_counts.min()) < PAIR_COUNT_MIN:
        _refuse(f"a rule rests on {rules.pair_counts.min()} people; expected at least {PAIR_COUNT_MIN}")
    for counts in (rules.antecedent_counts, rules.consequent_counts):
        if (counts < rules.pair_counts).any() or (counts > rules.user_count).any():
            _refuse("a product has fewer people than a rule of it, or more than there are")
    pairs = set(zip(rules.antecedent_ids, rules.consequent_ids, strict=True))
    if len(pairs) < len(rules.antecedent_ids):
        _refuse("a rule is there twice")
    if any(first == then for first, then in pairs):
        _refuse("a rule leads from a product to itself")


def _refuse(problem: str) -> NoReturn:
    raise BundleFormatError(ASSOCIATIONS, problem)
