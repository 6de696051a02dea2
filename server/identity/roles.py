"""The role that each method asks for; a method that is not listed here is refused to everybody."""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final


class Role(StrEnum):
    """What a caller may do."""

    CALLER = "caller"
    """Asks for recommendations, scores and verdicts, and reports events."""
    PROFILE_SOURCE = "profile_source"
    """Says who users are: sends profiles inline and writes stored ones."""
    PUBLISHER = "publisher"
    """Changes bundles and the catalogue."""
    AUDITOR = "auditor"
    """Reads policies, decisions and profiles, and changes nothing."""
    ADMIN = "admin"
    """Carries officers' signed changes to the server."""


_EVERY: Final = frozenset(Role)

SERVICE_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "prudence.v1.RecommendationService": frozenset({Role.CALLER}),
    "prudence.v1.FeedbackService": frozenset({Role.CALLER}),
    "prudence.v1.AdminService": frozenset({Role.ADMIN}),
    "prudence.v1.ProfileService": frozenset({Role.PROFILE_SOURCE}),
    # Whoever may say who a user is may ask how risky a borrower is; a shop front may not.
    "prudence.v1.RiskService": frozenset({Role.PROFILE_SOURCE}),
    # Readiness is asked for by balancers that know nothing else.
    "grpc.health.v1.Health": _EVERY,
    "grpc.reflection.v1alpha.ServerReflection": _EVERY,
}
"""Roles of which a caller needs one, by the full name of the service."""

METHOD_ROLES: Final[Mapping[str, frozenset[Role]]] = {
    "/prudence.v1.RecommendationService/GetServingInfo": _EVERY,
    "/prudence.v1.AdminService/GetPolicy": frozenset({Role.ADMIN, Role.AUDITOR}),
    "/prudence.v1.AdminService/PatchProducts": frozenset({Role.PUBLISHER}),
    "/prudence.v1.AdminService/GetCatalogue": frozenset({Role.PUBLISHER, Role.ADMIN, Role.AUDITOR}),
    "/prudence.v1.AdminService/ListBundles": frozenset({Role.PUBLISHER, Role.ADMIN, Role.AUDITOR}),
    **{
        f"/prudence.v1.AdminService/{name}Bundle": frozenset({Role.PUBLISHER, Role.ADMIN})
        for name in ("Load", "Activate", "Rollback", "Pin")
    },
    "/prudence.v1.ProfileService/GetProfile": frozenset({Role.PROFILE_SOURCE, Role.AUDITOR}),
    "/prudence.v1.RiskService/GetRiskModel": frozenset({Role.PROFILE_SOURCE, Role.AUDITOR}),
}
"""The same for methods that differ from their service."""


@lru_cache(maxsize=256)
def find_roles(method: str) -> frozenset[Role]:
    """Returns the roles of which one is needed; none where nobody may call the method.

    Args:
        method: its full name, "/package.Service/Method".
    """
    service = method[1:].rpartition("/")[0]
    return METHOD_ROLES.get(method, SERVICE_ROLES.get(service, frozenset()))
