"""Draws each user's variants: a keyed hash of the pseudonym, so that a user always draws the same."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.diversity import WHOLE
from server.errors import ExperimentsError
from server.experiments.plan import (
    HELD,
    HOLDBACK,
    OPEN,
    WHOLE_BPS,
    Experiment,
    Plan,
    Variant,
    list_variants,
)
from server.messages import ExperimentVariant
from server.snapshot import CURRENT

Key = tuple[str | None, str | None]
"""Bundle and retriever that a snapshot serves with; None for what the server serves otherwise."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a user's variants are, and what they change together.

    Attributes:
        variants: one for each experiment that the user takes part in.
        place: of the snapshot that answers.
        trade_off: of score and variety, where the request states none; None for the server's.
    """

    variants: tuple[ExperimentVariant, ...] = ()
    place: int = CURRENT
    trade_off: int | None = None


NO_EXPERIMENT: Final = Assignment()


class Experiments:
    """Assigns users to variants. Safe between threads: it never changes."""

    def __init__(self, plan: Plan, places: Mapping[Key, int]) -> None:
        """Keeps the plan and where each snapshot stands.

        Args:
            plan: the experiments.
            places: the place of every combination of bundle and retriever that a user can draw.
        """
        self.plan = plan
        self._places = places

    def follow(self, plan: Plan) -> "Experiments":
        """Returns what assigns users by another plan, among the snapshots that are there.

        Raises:
            ExperimentsError: a variant asks for a bundle or a way to search that is not open.
        """
        modes = {variant.settings.retriever for _, variant in list_variants(plan)}
        for field, variant in list_variants(plan):
            for mode in sorted(modes | {None}, key=str):
                if (variant.bundle, mode) not in self._places:
                    asked = f"bundle {variant.bundle or 'in force'} with retriever {mode or 'as set'}"
                    raise ExperimentsError(f"{field}: {asked} is not open; a restart opens it")
        return Experiments(plan, self._places)

    def assign(self, pseudonym: bytes, now: datetime) -> Assignment:
        """Returns a user's assignment at an instant."""
        if not self.plan.experiments:
            return NO_EXPERIMENT
        labels: list[ExperimentVariant] = []
        if (holdback := self.plan.holdback) is not None:
            held = draw_bucket(holdback.salt, pseudonym) < holdback.share_bps
            labels.append(ExperimentVariant(HOLDBACK, HELD if held else OPEN))
            if held:
                return Assignment(tuple(labels))
        drawn: list[Variant] = []
        for experiment in self.plan.experiments:
            if experiment.runs_at(now) and (variant := draw_variant(experiment, pseudonym)) is not None:
                labels.append(ExperimentVariant(experiment.name, variant.name))
                drawn.append(variant)
        return self._combine(tuple(labels), drawn)

    def _combine(self, labels: tuple[ExperimentVariant, ...], drawn: list[Variant]) -> Assignment:
        """Puts together what the variants change; no two of them change the same."""
        bundle = retriever = trade_off = None
        for variant in drawn:
            bundle = variant.bundle or bundle
            retriever = variant.settings.retriever or retriever
            if variant.settings.diversity_trade_off is not None:
                trade_off = round(variant.settings.diversity_trade_off * WHOLE)
        return Assignment(labels, self._places[bundle, retriever], trade_off)


def draw_variant(experiment: Experiment, pseudonym: bytes) -> Variant | None:
    """Returns the variant that a user draws, None for a user who takes no part.

    Each variant has room of its own among the buckets and fills it from its beginning, so that a share that
    grows takes users who took no part, and moves nobody.
    """
    bucket = draw_bucket(experiment.salt, pseudonym)
    for start, variant in zip(experiment.starts_bps, experiment.variants, strict=True):
        if start <= bucket < start + variant.share_bps:
            return variant
    return None


def draw_bucket(salt: str, pseudonym: bytes) -> int:
    """Returns a user's bucket under a salt, 0 to 9999: each alike, and independent between salts."""
    digest = hmac.digest(salt.encode(), pseudonym, "sha256")
    # The digest as a fraction of its range; the remainder of a division would prefer some buckets, a little.
    return int.from_bytes(digest[:8], "big") * WHOLE_BPS >> 64
