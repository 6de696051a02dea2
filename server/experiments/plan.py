"""Reads which experiments run and what their variants change: one JSON file, read strictly.

A variant may serve another bundle, or change how eligible products are found and ordered. What decides who
may see what cannot be written into this file at all.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from itertools import accumulate, combinations
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.config import RetrieverMode, explain
from server.errors import ExperimentsError
from suitability.errors import DocumentError
from suitability.json_documents import read_bytes, read_document

WHOLE_BPS: Final = 10_000
HOLDBACK: Final = "holdback"
"""The name under which an answer says whether its user is held back from every experiment."""
HELD, OPEN = "held", "open"

_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Salt = Annotated[str, Field(min_length=8, max_length=128)]
_Share = Annotated[int, Field(ge=0, le=WHOLE_BPS)]
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class VariantSettings(_Part):
    """Settings that a variant may change. None of them is read by suitability."""

    diversity_trade_off: Annotated[float, Field(ge=0, le=1)] | None = None
    retriever: RetrieverMode | None = None


class Variant(_Part):
    """One of the things compared. It changes nothing that it does not state.

    Attributes:
        name: what answers and logs call it.
        share_bps: share of the users who get it now.
        share_bps_max: share that it may grow to; None for an equal part of all.
        bundle: version of the bundle it serves; None for the current one.
        settings: what else it changes.
    """

    name: _Name
    share_bps: _Share
    share_bps_max: _Share | None = None
    bundle: str | None = None
    settings: VariantSettings = VariantSettings()

    @property
    def changes(self) -> frozenset[str]:
        """What it changes: "bundle" and names of settings."""
        stated = self.settings.model_dump(exclude_none=True)
        return frozenset(stated) | ({"bundle"} if self.bundle is not None else set())


class Experiment(_Part):
    """Variants of which a user always gets the same one; the first is the control.

    Attributes:
        name: what answers and logs call it.
        salt: draws the users; no other experiment has it.
        start_time, end_time: when it runs, start inclusive, end exclusive; None for without bound.
        variants: two or more.
    """

    name: _Name
    salt: _Salt
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    variants: Annotated[tuple[Variant, ...], Field(min_length=2, max_length=8)]

    @property
    def changes(self) -> frozenset[str]:
        """What any of its variants changes."""
        return frozenset().union(*(variant.changes for variant in self.variants))

    @cached_property
    def room_bps(self) -> tuple[int, ...]:
        """The share that each variant may grow to."""
        part = WHOLE_BPS // len(self.variants)
        return tuple(
            part if variant.share_bps_max is None else variant.share_bps_max for variant in self.variants
        )

    @cached_property
    def starts_bps(self) -> tuple[int, ...]:
        """Where the room of each variant begins, in ten-thousandths of the users."""
        return tuple(accumulate(self.room_bps, initial=0))[:-1]

    def runs_at(self, now: datetime) -> bool:
        """Tells whether users get its variants at an instant."""
        return (self.start_time or _ALWAYS) <= now < (self.end_time or _NEVER)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name == HOLDBACK:
            raise ValueError(f"name: {HOLDBACK!r} is taken; the holdback has a part of its own")
        _refuse_repeated("variants: name", [variant.name for variant in self.variants])
        if (self.start_time or _ALWAYS) >= (self.end_time or _NEVER):
            raise ValueError(f"end_time: expected an instant after start_time, got {self.end_time}")
        if len({variant.share_bps_max is None for variant in self.variants}) > 1:
            raise ValueError("share_bps_max: expected it in every variant or in none")
        for variant, room in zip(self.variants, self.room_bps, strict=True):
            if variant.share_bps > room:
                problem = f"expected at most {room}, its share_bps_max, got {variant.share_bps}"
                raise ValueError(f"variant {variant.name}: share_bps: {problem}")
        if sum(self.room_bps) > WHOLE_BPS:
            raise ValueError(f"share_bps_max: expected at most {WHOLE_BPS} in all, got {sum(self.room_bps)}")
        return self


class Holdback(_Part):
    """Users who get no variant of any experiment, to compare everything tried with nothing tried."""

    salt: _Salt
    share_bps: _Share


class Plan(_Part):
    """All experiments of a server, those to come and those that are over included."""

    experiments: Annotated[tuple[Experiment, ...], Field(max_length=16)] = ()
    holdback: Holdback | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_repeated("experiments: name", [each.name for each in self.experiments])
        salts = [each.salt for each in self.experiments]
        # One salt twice would give the users of one variant all to one variant of the other experiment.
        _refuse_repeated("salt", [*salts, *([self.holdback.salt] if self.holdback is not None else [])])
        for first, second in combinations(self.experiments, 2):
            both = first.changes & second.changes
            if both and _overlap(first, second):
                names = f"{first.name} and {second.name}"
                raise ValueError(f"experiments: {names} run at one time and both change {min(both)}")
        return self


def load_plan(path: Path) -> Plan:
    """Reads an experiments file.

    Raises:
        ExperimentsError: it cannot be read or a field is wrong; the message names the field.
    """
    if path.exists() and not path.is_file():
        # Whoever opened a pipe would wait for its writer, and keep the server from ending.
        raise ExperimentsError(f"experiments: {path}: expected a plain file")
    try:
        content = read_bytes(path)
        read_document(content)  # Refuses what JSON parsers let pass, such as a key given twice.
        return Plan.model_validate_json(content)
    except DocumentError as error:
        key = f"{error.path}: " if error.path else ""
        raise ExperimentsError(f"experiments: {path}: {key}{error.message}") from error
    except ValidationError as error:
        raise ExperimentsError(f"experiments: {path}: {explain(error)}") from error


def list_variants(plan: Plan) -> Iterator[tuple[str, Variant]]:
    """Yields every variant with the name of its place in the file."""
    for experiment in plan.experiments:
        for variant in experiment.variants:
            yield f"experiments: {experiment.name}.{variant.name}", variant


def find_experiment(plan: Plan, name: str) -> Experiment | None:
    """Returns an experiment by its name; the holdback as one of who is held back and who is not."""
    if name == HOLDBACK and plan.holdback is not None:
        held = plan.holdback.share_bps
        shares = {HELD: held, OPEN: WHOLE_BPS - held}
        variants = [Variant(name=each, share_bps=share) for each, share in shares.items()]
        # Its name is one that the file may not give to an experiment.
        return Experiment.model_construct(name=name, salt=plan.holdback.salt, variants=tuple(variants))
    return next((each for each in plan.experiments if each.name == name), None)


def _refuse_repeated(field: str, values: Sequence[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"{field}: expected distinct ones, got {repeated[0]!r} twice")


def _overlap(first: Experiment, second: Experiment) -> bool:
    start = max(first.start_time or _ALWAYS, second.start_time or _ALWAYS)
    return start < min(first.end_time or _NEVER, second.end_time or _NEVER)
