"""Judges which products may be shown to each user, so that no other product becomes a negative.

The gate comes to this package as an entry point, because training must not import the server. A verdict is of
one policy at one time, the data's clock: eligibility has no past, as profiles and catalogue have none.
"""

from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.fields import Record
from suitability.errors import SuitabilityError
from suitability.policy import Policy, load_policy
from training.errors import SettingError
from training.schema import PRODUCTS, PROFILES, Kind, TableSpec

SETTING: Final = "eligible_negatives"
JUDGES: Final = "prudence.judges"
CHANNEL: Final = "app"
PAIR_COUNT_MAX: Final = 2**33  # A bit each: 1 GiB.
_CHUNK_COUNT: Final = 256  # Users judged at once; a verdict takes 16 bytes.

Judge = Callable[
    [Iterable[Sequence[Record]], Sequence[Record], Policy, datetime, str], Iterator[NDArray[np.uint64]]
]


@dataclass(frozen=True)
class Eligibility:
    """Says which products may be shown to each user.

    A user to whom nothing may be shown, for example one without a profile, has all: every product is then a
    negative, because a user without negatives teaches nothing.

    Attributes:
        bits: for each shard of the data, of which there is one where it has none, uint8 [users, products / 8
            rounded up]; the first product is the highest bit of the first byte.
        policy: the policy's SHA-256.
        clock: the time of every verdict, RFC 3339.
        share: the eligible part of the pairs of those users to whom anything may be shown.
        unrestricted_count: how many users nothing may be shown to.
    """

    bits: tuple[NDArray[np.uint8], ...]
    policy: str
    clock: str
    share: float
    unrestricted_count: int

    @property
    def name(self) -> str:
        """Identifies the verdicts together with the data that they are about."""
        return f"{SETTING} {self.policy} {self.clock}"


Users = tuple[Sequence[str], Sequence[Record | None]]
"""Ids of users, and their profiles; None where there is none."""


def judge_eligibility(
    shards: Iterable[Users], user_count: int, products: Sequence[Record], policy: Path, clock: datetime
) -> Eligibility:
    """Judges every user against every product.

    Args:
        shards: the users, shard by shard.
        user_count: how many they are in all.
        products: the catalogue.
        policy: a policy file; its rules count, not its period, which may lie ahead of the data.
        clock: the time of every verdict, aware.

    Raises:
        SettingError: the policy cannot be used, no gate is installed, or there are too many pairs.
    """
    pair_count = user_count * len(products)
    if pair_count > PAIR_COUNT_MAX:
        raise SettingError(
            f"{SETTING}: expected at most {PAIR_COUNT_MAX} pairs of user and product, got {pair_count}"
        )
    judge, given = _find_judge(), _load(policy)
    start = clock.astimezone(UTC).isoformat().replace("+00:00", "Z")
    in_effect = load_policy({**given.values, "effective_from": start, "effective_to": None})
    catalogue = [_to_record(product, PRODUCTS) for product in products]
    bits = []
    eligible_count = nothing_count = 0
    for user_ids, profiles in shards:
        masks_of_chunks = judge(_cut(user_ids, profiles), catalogue, in_effect, clock, CHANNEL)
        packed = [np.packbits(~masks.any(axis=2), axis=1) for masks in masks_of_chunks]
        bits.append(np.concatenate(packed) if packed else np.zeros((0, -(-len(products) // 8)), np.uint8))
        nothing = ~bits[-1].any(axis=1)
        eligible_count += int(np.bitwise_count(bits[-1]).sum())
        nothing_count += int(nothing.sum())
        bits[-1][nothing] = 255
    judged_count = (user_count - nothing_count) * len(products)
    share = eligible_count / max(judged_count, 1)
    return Eligibility(tuple(bits), given.sha256, start, share, nothing_count)


def add_policy(parser: ArgumentParser) -> None:
    """Adds the option that names the policy of the verdicts."""
    parser.add_argument(
        "--eligible-negatives", type=Path, metavar="POLICY", help="no negatives that a policy forbids to show"
    )


def _find_judge() -> Judge:
    found = list(entry_points(group=JUDGES, name="gate"))
    if not found:
        raise SettingError(f"{SETTING}: expected an installed gate, the entry point gate in group {JUDGES}")
    judge: Judge = found[0].load()
    return judge


def _load(policy: Path) -> Policy:
    try:
        return load_policy(policy)
    except SuitabilityError as error:
        raise SettingError(f"{SETTING}: {error}") from error


def _cut(user_ids: Sequence[str], profiles: Sequence[Record | None]) -> Iterator[list[Record]]:
    for first in range(0, len(user_ids), _CHUNK_COUNT):
        rows = range(first, min(first + _CHUNK_COUNT, len(user_ids)))
        # The server derives a pseudonym for every user that it knows; the id stands for it.
        yield [
            {**_to_record(profiles[row] or {}, PROFILES), "pseudonym": user_ids[row].encode()} for row in rows
        ]


def _to_record(values: Record, spec: TableSpec) -> dict[str, Any]:
    """Gives a row of a table the form that the rules read: its maps come as pairs."""
    maps = {field.name for field in spec.fields if field.kind is Kind.INTEGER_MAP}
    return {
        name: dict(value) if name in maps else value for name, value in values.items() if value is not None
    }
