"""The risk model of a bundle: its files, where they come from, and what must hold between them.

A bundle has all three files or none: the scorecard, the ONNX graph from bins to the score, and golden
borrowers. Nothing here runs the graph: `python -m export risk` proved it equal to the scorecard and recorded
the digests that a build insists on, and a server proves it again with the golden borrowers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from index.errors import BuildInputError, BundleConsistencyError, BundleError
from index.manifest import RISK_FILES, RISK_GOLDEN, RISK_GRAPH, RISK_MODEL, strict_json
from index.risk_golden import (
    GoldenBorrower,
    check_golden_borrowers,
    make_golden_borrowers,
    read_golden_borrowers,
    write_golden_borrowers,
)
from index.risk_json import MODEL_BYTES_MAX, read_scorecard
from index.risk_model import Scorecard

DESCRIPTION: Final = "risk.json"
EXPORTED: Final[Mapping[str, str]] = {RISK_MODEL: "scorecard.json", RISK_GRAPH: "scorecard.onnx"}
"""By file of a bundle, the file of an export: the scorecard is what is served, because it has reasons."""
_DIGEST_COUNT: Final = 12


@dataclass(frozen=True)
class BundledRisk:
    """A risk model as a bundle holds it.

    Attributes:
        scorecard: bins, points, calibration, bands and reasons.
        graph: ONNX from bins to the score.
        golden: borrowers with their answers.
        version: the model's name and the first digits of its file's SHA-256.
    """

    scorecard: Scorecard
    graph: bytes
    golden: tuple[GoldenBorrower, ...]
    version: str


def read_risk_export(directory: Path) -> dict[str, bytes]:
    """Reads what `python -m export risk` wrote and makes the files of a bundle.

    Raises:
        BuildInputError: a file is missing, or differs from what the export proved; the message names it.
    """
    try:
        description = strict_json(_read(directory / DESCRIPTION), DESCRIPTION)
        proven = description.get("sha256")
        content = {name: _read(directory / exported) for name, exported in EXPORTED.items()}
        for name, exported in EXPORTED.items():
            digest = hashlib.sha256(content[name]).hexdigest()
            if not isinstance(proven, dict) or proven.get(exported) != digest:
                raise BuildInputError(f"{exported}: differs from what {DESCRIPTION} says was proven of it")
        scorecard = read_scorecard(content[RISK_MODEL], EXPORTED[RISK_MODEL])
    except BundleError as error:
        raise BuildInputError(str(error)) from error
    return content | {RISK_GOLDEN: write_golden_borrowers(make_golden_borrowers(scorecard))}


def parse_risk(files: Mapping[str, bytes]) -> BundledRisk | None:
    """Parses the risk model of a bundle and proves its golden borrowers; None where it has none.

    Raises:
        BundleFormatError: a file is not what its name says.
        BundleConsistencyError: a file is missing beside the others, the model reads what the law protects,
            or it answers otherwise than it did when the bundle was built.
    """
    found = [name for name in RISK_FILES if name in files]
    if not found:
        return None
    missing = [name for name in RISK_FILES if name not in files]
    if missing:
        raise BundleConsistencyError(missing[0], f"missing beside {found[0]}; a risk model has all its files")
    scorecard = read_scorecard(files[RISK_MODEL], RISK_MODEL)
    protected = [one.name for one in scorecard.features if one.name in scorecard.protected_fields]
    if protected:
        raise BundleConsistencyError(
            RISK_MODEL, f"reads {protected[0]}, which the law protects; train without --use-protected"
        )
    golden = read_golden_borrowers(files[RISK_GOLDEN])
    check_golden_borrowers(scorecard, golden)
    digest = hashlib.sha256(files[RISK_MODEL]).hexdigest()
    version = f"{scorecard.name}-{digest[:_DIGEST_COUNT]}"
    return BundledRisk(scorecard, files[RISK_GRAPH], golden, version)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BuildInputError(
            f"{path}: expected a file that `python -m export risk` wrote: {error.strerror}"
        ) from error
    if not 0 < len(content) <= MODEL_BYTES_MAX:
        raise BuildInputError(f"{path}: {len(content)} bytes; expected 1 to {MODEL_BYTES_MAX}")
    return content
