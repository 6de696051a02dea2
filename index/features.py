"""Feature transforms, fitted once offline and applied the same way in training, export and serving.

The spec and the vocabulary are saved as JSON in the bundle, so a server encodes a request with exactly the
numbers the model was trained on. NumPy only: training, export and server share this module.
"""

import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from index.errors import FeatureColumnError, FeatureSchemaError, FeatureValueError
from index.feature_json import FORMAT_VERSION, read_categorical, read_numeric, read_object
from index.fields import (
    EMBEDDING,
    ITEM_CATEGORICAL,
    ITEM_NUMERIC,
    USER_CATEGORICAL,
    USER_NUMERIC,
    NumberReader,
    Record,
    TextReader,
    list_item_columns,
)
from index.item_embedding import EmbeddingScale, encode_embedding, fit_embedding
from index.texts import encode_terms

EVENT_TYPES: Final = (
    "view",
    "search",
    "click",
    "enrol",
    "purchase",
    "rating",
    "favourite",
    "dwell",
    "comment",
)
HISTORY_LENGTH: Final = 50
PADDING_TOKEN: Final = 0
UNKNOWN_TOKEN: Final = 1
FIRST_TOKEN: Final = 2
CATEGORY_COUNT_LIMIT: Final = 2000
SECONDS_PER_DAY: Final = 86_400.0

_TABLES: Final = ("user_categorical", "user_numeric", "item_categorical", "item_numeric")
_OPTIONAL: Final = "item_embedding"
# Prices and scores do not age, so products are encoded at a fixed time.
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER_STATED: Final = (0.0, 1.0)  # What is fitted on no value at all.
_EVENT_CODES: Final = {name: code for code, name in enumerate(EVENT_TYPES, start=1)}


@dataclass(frozen=True)
class FeatureSpec:
    """Holds the fitted transforms.

    A categorical value's code is its position plus one; 0 is missing or never seen in training. A numeric
    feature fills two columns: (value - mean) / std, then 1 where the value is missing (the first is 0 there).
    Without a catalogue column of embeddings there is no transform of them.
    """

    user_categorical: Mapping[str, tuple[str, ...]]
    user_numeric: Mapping[str, tuple[float, float]]
    item_categorical: Mapping[str, tuple[str, ...]]
    item_numeric: Mapping[str, tuple[float, float]]
    item_embedding: EmbeddingScale | None = None
    codes: Mapping[str, Mapping[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = {
            name: {value: code for code, value in enumerate(values, start=1)}
            for table in (self.user_categorical, self.item_categorical)
            for name, values in table.items()
        }
        object.__setattr__(self, "codes", MappingProxyType(codes))

    def to_json(self) -> str:
        """Returns the spec as JSON text; `from_json` gives back an equal spec."""
        body = {name: dict(getattr(self, name)) for name in _TABLES}
        if self.item_embedding is not None:
            body[_OPTIONAL] = asdict(self.item_embedding)
        return json.dumps({"format_version": FORMAT_VERSION, **body}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            FeatureSchemaError: the text is no JSON, or a key is missing, unknown, or of another version.
        """
        body = read_object(text, set(_TABLES), what="features", optional={_OPTIONAL})
        return cls(
            user_categorical=read_categorical(body["user_categorical"], USER_CATEGORICAL),
            user_numeric=read_numeric(body["user_numeric"], USER_NUMERIC),
            item_categorical=read_categorical(body["item_categorical"], ITEM_CATEGORICAL),
            item_numeric=read_numeric(body["item_numeric"], ITEM_NUMERIC),
            item_embedding=EmbeddingScale.from_body(body[_OPTIONAL]) if _OPTIONAL in body else None,
        )

    def require_columns(self, names: Collection[str]) -> None:
        """Checks that a catalogue has the columns that the model has learned from.

        Raises:
            FeatureColumnError: one is not there. Its values would count as missing, for every product.
        """
        features = [name for name, values in self.item_categorical.items() if values]
        features += [name for name, fitted in self.item_numeric.items() if fitted != _NEVER_STATED]
        features += [] if self.item_embedding is None else [EMBEDDING]
        missing = [name for each in features for name in list_item_columns(each) if name not in names]
        if missing:
            raise FeatureColumnError(
                f"products: column {missing[0]!r} is missing, which the model has learned from; "
                f"expected {sorted({name for each in features for name in list_item_columns(each)})}"
            )


@dataclass(frozen=True)
class Vocabulary:
    """Maps the products that have an embedding to tokens: product_ids[0] has token 2."""

    product_ids: tuple[str, ...]
    tokens: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tokens = {product_id: token for token, product_id in enumerate(self.product_ids, start=FIRST_TOKEN)}
        if len(tokens) != len(self.product_ids):
            repeated = Counter(self.product_ids).most_common(1)[0][0]
            raise FeatureSchemaError(f"vocabulary: product_id {repeated!r} is listed more than once")
        object.__setattr__(self, "tokens", MappingProxyType(tokens))

    @property
    def token_count(self) -> int:
        """Counts the rows an embedding table needs: padding, unknown, and every product."""
        return len(self.product_ids) + FIRST_TOKEN

    def to_json(self) -> str:
        """Returns the vocabulary as JSON text."""
        body = {"format_version": FORMAT_VERSION, "product_ids": self.product_ids}
        return json.dumps(body, ensure_ascii=False, indent=0)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            FeatureSchemaError: the text is no JSON, or not of this schema.
        """
        product_ids = read_object(text, {"product_ids"}, what="vocabulary")["product_ids"]
        if not isinstance(product_ids, list) or not all(isinstance(value, str) for value in product_ids):
            raise FeatureSchemaError("vocabulary: product_ids must be a list of strings")
        return cls(tuple(product_ids))


class Event(NamedTuple):
    """One interaction of a user; event_time is in seconds since 1970-01-01 UTC.

    No dataclass: every request makes one for each event of a history, in two thirds of the time.
    """

    product_id: str
    event_type: str
    event_time: float


@dataclass(frozen=True)
class UserInputs:
    """Holds the user tower's inputs, most recent event first, and how many events were dropped as unknown."""

    history_token: NDArray[np.int64]  # [batch, HISTORY_LENGTH]
    history_event: NDArray[np.int64]  # [batch, HISTORY_LENGTH]
    history_age: NDArray[np.float32]  # [batch, HISTORY_LENGTH], log1p(days)
    user_categorical: NDArray[np.int64]  # [batch, categorical features]
    user_numeric: NDArray[np.float32]  # [batch, 2 * numeric features]
    unknown_count: NDArray[np.int64]  # [batch]

    def feed(self) -> dict[str, NDArray[Any]]:
        """Returns the tower's inputs by name, ready for an ONNX Runtime session."""
        return {
            "history_token": self.history_token,
            "history_event": self.history_event,
            "history_age": self.history_age,
            "user_categorical": self.user_categorical,
            "user_numeric": self.user_numeric,
        }


@dataclass(frozen=True)
class ItemInputs:
    """Holds the item tower's inputs, one row per product."""

    item_token: NDArray[np.int64]  # [products]
    item_categorical: NDArray[np.int64]  # [products, categorical features]
    item_numeric: NDArray[np.float32]  # [products, 2 * numeric features]
    item_term: NDArray[np.int64]  # [products, TERM_COUNT], hashed tags and words
    item_embedding: NDArray[np.float32] | None = None  # [products, width + 1]; None without the column

    def feed(self) -> dict[str, NDArray[Any]]:
        """Returns the tower's inputs by name, ready for an ONNX Runtime session."""
        feed: dict[str, NDArray[Any]] = {
            "item_token": self.item_token,
            "item_categorical": self.item_categorical,
            "item_numeric": self.item_numeric,
            "item_term": self.item_term,
        }
        return feed if self.item_embedding is None else feed | {_OPTIONAL: self.item_embedding}


def encode_users(
    spec: FeatureSpec,
    vocabulary: Vocabulary,
    profiles: Sequence[Record | None],
    histories: Sequence[Sequence[Event]],
    now: datetime,
) -> UserInputs:
    """Encodes a batch of users.

    An event of a product outside the vocabulary, or of an unknown type, is dropped and counted. A malformed
    profile value counts as missing: a bad field must not fail the request, and the gate judges it anyway.

    Args:
        spec: the transforms of the bundle.
        vocabulary: the tokens of the bundle.
        profiles: one record per user, or None.
        histories: one history per user, in any order; the latest HISTORY_LENGTH known events are used.
        now: the decision time; an event after it has age 0.
    """
    if len(profiles) != len(histories):
        raise FeatureValueError(
            f"histories: expected one per profile ({len(profiles)}), got {len(histories)}"
        )
    shape = (len(profiles), HISTORY_LENGTH)
    token = np.zeros(shape, np.int64)
    event = np.zeros(shape, np.int64)
    seconds = np.zeros(shape, np.float64)
    unknown_count = np.zeros(len(profiles), np.int64)
    for row, history in enumerate(histories):
        known = _known_events(vocabulary.tokens, history)
        unknown_count[row] = len(history) - len(known)
        if known:
            times, tokens, events = zip(*known[:HISTORY_LENGTH], strict=True)
            token[row, : len(times)] = tokens
            event[row, : len(times)] = events
            seconds[row, : len(times)] = times
    age = encode_age(now.timestamp() - seconds)
    age[token == PADDING_TOKEN] = 0.0
    categorical, numeric = encode_profiles(spec, profiles, now)
    return UserInputs(token, event, age, categorical, numeric, unknown_count)


def encode_age(seconds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turns ages in seconds into the tower's log1p(days); negative ages count as 0."""
    return np.log1p(np.maximum(seconds, 0.0) / SECONDS_PER_DAY).astype(np.float32)


def encode_profiles(
    spec: FeatureSpec, profiles: Sequence[Record | None], now: datetime
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Encodes profiles alone: categorical int64 [batch, features], numeric float32 [batch, 2 * features]."""
    records: list[Record] = [profile or {} for profile in profiles]
    categorical = _encode_categorical(spec, spec.user_categorical, USER_CATEGORICAL, records)
    return categorical, _encode_numeric(spec.user_numeric, USER_NUMERIC, records, now)


def encode_items(spec: FeatureSpec, vocabulary: Vocabulary, products: Sequence[Record]) -> ItemInputs:
    """Encodes products; one that training saw no event of has token 1 and is placed by its content.

    Raises:
        FeatureValueError: an embedding is not finite or of another width than the catalogue's.
    """
    tokens = [vocabulary.tokens.get(product["id"], UNKNOWN_TOKEN) for product in products]
    categorical = _encode_categorical(spec, spec.item_categorical, ITEM_CATEGORICAL, products)
    numeric = _encode_numeric(spec.item_numeric, ITEM_NUMERIC, products, _EPOCH)
    embedding = None if spec.item_embedding is None else encode_embedding(spec.item_embedding, products)
    return ItemInputs(np.asarray(tokens, np.int64), categorical, numeric, encode_terms(products), embedding)


def fit_features(users: Sequence[Record], items: Sequence[Record], now: datetime) -> FeatureSpec:
    """Fits the transforms on clean data.

    Raises:
        FeatureValueError: a numeric feature or an embedding is not finite, or embeddings differ in width; the
            message names the field and the row.
    """
    return FeatureSpec(
        user_categorical=_fit_categorical(USER_CATEGORICAL, users),
        user_numeric=_fit_numeric(USER_NUMERIC, users, now),
        item_categorical=_fit_categorical(ITEM_CATEGORICAL, items),
        item_numeric=_fit_numeric(ITEM_NUMERIC, items, now),
        item_embedding=fit_embedding(items),
    )


def _known_events(tokens: Mapping[str, int], history: Sequence[Event]) -> list[tuple[float, int, int]]:
    """Returns (time, token, event code) of the known events, the latest first; ties by token, then code."""
    token_of, code_of = tokens.get, _EVENT_CODES.get
    known = [
        (event.event_time, token, code)
        for event in history
        if (token := token_of(event.product_id)) is not None
        and (code := code_of(event.event_type)) is not None
    ]
    known.sort(reverse=True)
    return known


def _encode_categorical(
    spec: FeatureSpec,
    fitted: Mapping[str, tuple[str, ...]],
    readers: Mapping[str, TextReader],
    records: Sequence[Record],
) -> NDArray[np.int64]:
    encoded = np.zeros((len(records), len(fitted)), np.int64)
    for column, name in enumerate(fitted):
        codes, read = spec.codes[name], readers[name]
        encoded[:, column] = [codes.get(read(record) or "", 0) for record in records]
    return encoded


def _encode_numeric(
    fitted: Mapping[str, tuple[float, float]],
    readers: Mapping[str, NumberReader],
    records: Sequence[Record],
    now: datetime,
) -> NDArray[np.float32]:
    encoded = np.zeros((len(records), 2 * len(fitted)), np.float32)
    for column, (name, (mean, std)) in enumerate(fitted.items()):
        read = readers[name]
        for row, record in enumerate(records):
            value = read(record, now)
            if value is None or not math.isfinite(value):
                encoded[row, 2 * column + 1] = 1.0
            else:
                encoded[row, 2 * column] = (value - mean) / std
    return encoded


def _fit_categorical(
    readers: Mapping[str, TextReader], records: Sequence[Record]
) -> dict[str, tuple[str, ...]]:
    """Keeps the most frequent values of each feature, in ascending order."""
    fitted = {}
    for name, read in readers.items():
        counts = Counter(value for record in records if (value := read(record)))
        ranked = sorted(counts, key=lambda value: (-counts[value], value))
        fitted[name] = tuple(sorted(ranked[:CATEGORY_COUNT_LIMIT]))
    return fitted


def _fit_numeric(
    readers: Mapping[str, NumberReader],
    records: Sequence[Record],
    now: datetime,
) -> dict[str, tuple[float, float]]:
    fitted = {}
    for name, read in readers.items():
        stated = [(row, read(record, now)) for row, record in enumerate(records)]
        for row, value in stated:
            if value is not None and not math.isfinite(value):
                raise FeatureValueError(f"{name}: expected a finite number in row {row}, got {value}")
        values = [value for _, value in stated if value is not None]
        mean = float(np.mean(values)) if values else 0.0
        std = float(np.std(values)) if values else 0.0
        # A constant feature keeps unit scale, so that its column is 0 and no division fails.
        fitted[name] = (mean, std if std > 1e-9 else 1.0)
    return fitted
