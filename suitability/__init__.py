"""The rules: who may be shown what.

The entry points are re-exported here; everything else is internal. The package imports nothing of ours, and
the rules use the standard library only: signatures.py is the door to cryptography, tools/ the command line.
"""

from suitability.cautions import warnings
from suitability.codes import CODES, CODES_BY_NUMBER, ReasonCode, code_mask, codes_of_mask, in_order, waivable
from suitability.errors import (
    DocumentError,
    OverlayError,
    PolicyError,
    PolicyKeyError,
    PolicyReadError,
    PolicySyntaxError,
    PolicyValueError,
    RecordError,
    SignatureError,
    SuitabilityError,
)
from suitability.evaluate import evaluate
from suitability.overlay import Overlay, is_tighter, load_overlay, tighten
from suitability.policy import Policy, default_policy_path, load_policy
from suitability.policy_lint import lint
from suitability.predicates.table import LEARNING_PREDICATE_LAST, PREDICATES
from suitability.ratings import (
    applied_risk_score_limit,
    effective_level,
    effective_risk_score,
    is_learning,
    is_rated,
)
from suitability.validity import eligible_until, valid_until

__all__ = [
    "CODES",
    "CODES_BY_NUMBER",
    "LEARNING_PREDICATE_LAST",
    "PREDICATES",
    "DocumentError",
    "Overlay",
    "OverlayError",
    "Policy",
    "PolicyError",
    "PolicyKeyError",
    "PolicyReadError",
    "PolicySyntaxError",
    "PolicyValueError",
    "ReasonCode",
    "RecordError",
    "SignatureError",
    "SuitabilityError",
    "applied_risk_score_limit",
    "code_mask",
    "codes_of_mask",
    "default_policy_path",
    "effective_level",
    "effective_risk_score",
    "eligible_until",
    "evaluate",
    "in_order",
    "is_learning",
    "is_rated",
    "is_tighter",
    "lint",
    "load_overlay",
    "load_policy",
    "tighten",
    "valid_until",
    "waivable",
    "warnings",
]
