"""Golden borrowers of a risk model: on every threshold and beside it, with what the scorecard says of each.

They are made from the model alone, and a bundle keeps them with their answers. Opening it proves that the
table still gives these answers here; a server proves it of the ONNX graph before it serves.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from index.errors import BundleConsistencyError, BundleFormatError, RiskFieldError
from index.manifest import RISK_GOLDEN, strict_json
from index.risk_bins import FeatureBins, NumberBins, Record, Value
from index.risk_model import RiskScore, Scorecard

FORMAT_VERSION: Final = 1
UNSEEN: Final = "a category that training never saw"


@dataclass(frozen=True)
class GoldenBorrower:
    """A record, and what the scorecard said of it when the bundle was built."""

    record: Record
    score: RiskScore


def make_golden_borrowers(model: Scorecard) -> tuple[GoldenBorrower, ...]:
    """Makes borrowers who sit on every threshold of a model, one ulp to either side, miss values, or are new.

    Each value of a feature stands among other values of the others, in turn. There is no NaN among them,
    because JSON has none; it counts as missing, like null.
    """
    values = {
        feature.name: [value for value in list_values(feature) if not _is_nan(value)]
        for feature in model.features
    }
    made: list[GoldenBorrower] = []
    for name, mine in values.items():
        for value in mine:
            turn = len(made)
            others = {other: theirs[turn * 7 % len(theirs)] for other, theirs in values.items()}
            record = {**others, name: value}
            made.append(GoldenBorrower(record, model.score(record)))
    return tuple(made)


def list_values(feature: FeatureBins) -> list[Value]:
    """Lists what could be misread: every threshold, one ulp to either side of it, what is missing or new."""
    if not isinstance(feature, NumberBins):
        return [None, UNSEEN, *feature.bin_of]
    values: list[Value] = [None, math.nan, 0.0, -0.0]
    for edge in feature.edges:
        values += [math.nextafter(edge, -math.inf), edge, math.nextafter(edge, math.inf)]
    return values


def write_golden_borrowers(golden: Sequence[GoldenBorrower]) -> bytes:
    """Returns the JSON bytes, one borrower a line."""
    lines = ",\n".join(json.dumps(asdict(each), ensure_ascii=False, allow_nan=False) for each in golden)
    return f'{{"format_version": {FORMAT_VERSION}, "borrowers": [\n{lines}\n]}}\n'.encode()


def read_golden_borrowers(content: bytes) -> tuple[GoldenBorrower, ...]:
    """Reads what `write_golden_borrowers` wrote.

    Raises:
        BundleFormatError: it is not that.
    """
    body = strict_json(content, RISK_GOLDEN)
    if body.get("format_version") != FORMAT_VERSION:
        raise BundleFormatError(
            RISK_GOLDEN, f"format_version is {body.get('format_version')!r:.80}; expected {FORMAT_VERSION}"
        )
    try:
        return tuple(_read_borrower(each) for each in body["borrowers"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleFormatError(RISK_GOLDEN, f"expected golden borrowers: {error!r:.200}") from error


def check_golden_borrowers(model: Scorecard, golden: Sequence[GoldenBorrower]) -> None:
    """Proves that the borrowers reach every bin of the model, and that its table answers as it did.

    Raises:
        BundleConsistencyError: a bin has no borrower, or an answer differs.
    """
    reached: list[set[int]] = [set() for _ in model.features]
    for position, each in enumerate(golden):
        try:
            found, bins = model.score(each.record), model.find_bins(each.record)
        except RiskFieldError as error:
            raise BundleConsistencyError(RISK_GOLDEN, f"borrower {position}: {error}") from error
        if found != each.score:
            raise BundleConsistencyError(
                RISK_GOLDEN, f"borrower {position}: the table gives another answer than the recorded one"
            )
        for seen, place in zip(reached, bins, strict=True):
            seen.add(place)
    for feature, seen in zip(model.features, reached, strict=True):
        wanted = {feature.find(value) for value in list_values(feature)}
        if seen != wanted:
            raise BundleConsistencyError(
                RISK_GOLDEN, f"{feature.name}: borrowers in {len(seen)} bins; expected all {len(wanted)}"
            )


def _read_borrower(body: Mapping[str, Any]) -> GoldenBorrower:
    score, record = body["score"], body["record"]
    if not isinstance(record, dict):
        raise TypeError("record is no object")
    return GoldenBorrower(
        record,
        RiskScore(
            score=int(score["score"]),
            basis_points=int(score["basis_points"]),
            band=int(score["band"]),
            reasons=tuple(score["reasons"]),
            missing=tuple(score["missing"]),
        ),
    )


def _is_nan(value: Value) -> bool:
    return isinstance(value, float) and math.isnan(value)
