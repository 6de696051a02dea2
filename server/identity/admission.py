"""Admits calls: the caller by the certificate's names, the role that the method asks for, and the quota."""

import threading
from typing import Final

import grpc

from server.errors import RoleMissingError
from server.identity.callers import ANYBODY, Caller, Callers
from server.identity.certificates import read_names
from server.identity.quotas import Quotas
from server.identity.roles import find_roles

_HEALTH: Final = "/grpc.health.v1.Health/"
"""Clients ask for it by themselves; one that is over its quota would take the server for dead."""
_CERTIFICATE: Final = "x509_pem_cert"
_thread: Final = threading.local()


class Admission:
    """Says who calls, and whether they may."""

    def __init__(self, callers: Callers | None) -> None:
        """Keeps the callers.

        Args:
            callers: who is known; None where the port asks for no certificate.
        """
        self._callers = callers
        self._quotas = Quotas()

    def identify(self, context: grpc.ServicerContext) -> Caller:
        """Returns who makes the call.

        Raises:
            CallerUnknownError: the certificate's names belong to nobody, or to several.
        """
        if self._callers is None:
            return ANYBODY
        certificates = context.auth_context().get(_CERTIFICATE, ())
        return self._callers.find([name for pem in certificates for name in read_names(bytes(pem))])

    def admit(self, caller: Caller, method: str) -> None:
        """Lets the call in.

        Raises:
            RoleMissingError: the caller has none of the method's roles.
            QuotaError: the caller made too many calls.
        """
        if self._callers is None:
            return
        wanted = find_roles(method)
        if caller.roles.isdisjoint(wanted):
            names = ", ".join(sorted(wanted)) or "nobody's"
            raise RoleMissingError(f"{method.rpartition('/')[2]} needs the role {names}")
        if not method.startswith(_HEALTH):
            self._quotas.take(caller)


def act_for(caller: Caller) -> None:
    """Makes the caller the one that `current_caller` returns in this thread, until another is named."""
    _thread.caller = caller


def current_caller() -> Caller:
    """Returns who makes the call that this thread answers."""
    caller: Caller = getattr(_thread, "caller", ANYBODY)
    return caller
