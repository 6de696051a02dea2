"""The gRPC service that keeps profiles, holds and choices of users: requests to changes of the store."""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import timestamp_pb2
from prudence.v1 import profile_service_pb2 as pb
from prudence.v1 import profile_service_pb2_grpc

from server.convert import check_id, check_tenant, read_context
from server.errors import (
    InvalidArgumentError,
    NotReadyError,
    ProfileMissingError,
    ProfileRefusedError,
    UserErasedError,
)
from server.profile_convert import read_patch, read_stored_profile, render_profile
from server.users import edits
from server.users.directory import Directory
from server.users.store import ProfileChange

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["ProfileService"].full_name


class ProfileService(profile_service_pb2_grpc.ProfileServiceServicer):
    """Serves the store of users, once it is there."""

    def __init__(self, users: Directory, *, allow_changes: bool) -> None:
        """Answers NOT_READY until `open`.

        Args:
            users: the users and their store.
            allow_changes: whether callers may read and change what is stored.
        """
        self._users = users
        self._allow_changes = allow_changes
        self._opened = False
        self._forget: Callable[[frozenset[str]], None] | None = None

    def open(self, forget: Callable[[frozenset[str]], None] | None = None) -> None:
        """Starts answering.

        Args:
            forget: removes users from the feedback log by their pseudonyms, hexadecimal, and returns once
                that is durable; None where no log is kept.
        """
        self._forget = forget
        self._opened = True

    def PutProfile(
        self, request: pb.PutProfileRequest, context: grpc.ServicerContext
    ) -> pb.PutProfileResponse:
        """Answers PutProfile."""
        self._check(request)
        if not request.HasField("profile"):
            raise InvalidArgumentError("profile", "expected a profile, got none")
        edit = edits.put_profile(read_stored_profile(request.profile))
        return pb.PutProfileResponse(**self._change(request, edit))

    def PatchProfile(
        self, request: pb.PatchProfileRequest, context: grpc.ServicerContext
    ) -> pb.PatchProfileResponse:
        """Answers PatchProfile."""
        self._check(request)
        if not request.HasField("profile") and not request.HasField("update_mask"):
            raise InvalidArgumentError("profile", "expected a profile, got none")
        paths = tuple(request.update_mask.paths) if request.HasField("update_mask") else None
        edit = edits.patch_profile(*read_patch(request.profile, paths))
        return pb.PatchProfileResponse(**self._change(request, edit))

    def GetProfile(
        self, request: pb.GetProfileRequest, context: grpc.ServicerContext
    ) -> pb.GetProfileResponse:
        """Answers GetProfile."""
        self._check(request)
        names = self._users.pseudonyms.derive_all(request.user_id)
        store = self._users.require_store()
        found = store.find(names, with_history=False)
        if found is None and store.is_erased(names):
            raise UserErasedError("user_id: the user was erased; nothing is stored about them")
        if found is None:
            raise ProfileMissingError("user_id: nothing is stored about this user")
        state = found.state
        return pb.GetProfileResponse(
            profile=None if state.profile is None else render_profile(state.profile),
            version=state.version,
            update_time=_to_timestamp(state.update_time_us) if state.update_time_us else None,
            blocked=state.blocked,
            consent_withdrawn=state.consent_withdrawn,
            personalised=state.personalised,
            assumed_fields=state.assumed_fields,
            request_id=read_context(request),
        )

    def DeleteProfile(
        self, request: pb.DeleteProfileRequest, context: grpc.ServicerContext
    ) -> pb.DeleteProfileResponse:
        """Answers DeleteProfile."""
        self._check(request)
        return pb.DeleteProfileResponse(**self._change(request, edits.delete_profile))

    def SetConsent(
        self, request: pb.SetConsentRequest, context: grpc.ServicerContext
    ) -> pb.SetConsentResponse:
        """Answers SetConsent."""
        self._check(request)
        edit = edits.set_consent(_read_choice(request, "consented"))
        return pb.SetConsentResponse(**self._change(request, edit))

    def SetBlock(self, request: pb.SetBlockRequest, context: grpc.ServicerContext) -> pb.SetBlockResponse:
        """Answers SetBlock."""
        self._check(request)
        edit = edits.set_block(_read_choice(request, "blocked"))
        return pb.SetBlockResponse(**self._change(request, edit))

    def SetPersonalisation(
        self, request: pb.SetPersonalisationRequest, context: grpc.ServicerContext
    ) -> pb.SetPersonalisationResponse:
        """Answers SetPersonalisation."""
        self._check(request)
        edit = edits.set_personalisation(_read_choice(request, "personalised"))
        return pb.SetPersonalisationResponse(**self._change(request, edit))

    def EraseUser(self, request: pb.EraseUserRequest, context: grpc.ServicerContext) -> pb.EraseUserResponse:
        """Answers EraseUser."""
        self._check(request)
        request_id = read_context(request)
        time_us = self._users.erase(request.user_id)
        # The store remembers the erasure first: no event of the user is taken while the log is gone through.
        if self._forget is not None:
            self._forget(frozenset(name.hex() for name in self._users.pseudonyms.derive_all(request.user_id)))
        return pb.EraseUserResponse(erase_time=_to_timestamp(time_us), request_id=request_id)

    def _check(self, request: Any) -> None:
        """Refuses what no method takes: callers that are not trusted, another tenant, an id that is none."""
        if not self._opened:
            raise NotReadyError("the server is starting")
        if not self._allow_changes:
            raise ProfileRefusedError("this server lets nobody read or change stored profiles")
        check_tenant(request.tenant_id)
        check_id("user_id", request.user_id)

    def _change(self, request: Any, edit: edits.Edit) -> dict[str, Any]:
        """Makes a change durable and returns the fields that every answer has."""
        request_id = read_context(request)
        key = request.idempotency_key
        if key:
            check_id("idempotency_key", key)
        expected = None
        if "expected_version" in request.DESCRIPTOR.fields_by_name and request.HasField("expected_version"):
            expected = request.expected_version
            if expected < 0:
                raise InvalidArgumentError("expected_version", f"expected 0 or more, got {expected}")
        digest = self._users.pseudonyms.digest
        changed = self._users.require_store().change(
            ProfileChange(
                names=self._users.pseudonyms.derive_all(request.user_id),
                edit=edit,
                request_digest=digest(_write_canonical(request)),
                expected_version=expected,
                idempotency_digest=digest(key.encode()) if key else None,
            )
        )
        return {
            "version": changed.version,
            "update_time": _to_timestamp(changed.update_time_us),
            "request_id": request_id,
        }


def _read_choice(request: Any, field: str) -> bool:
    if not request.HasField(field):
        raise InvalidArgumentError(field, "expected true or false, got nothing")
    return bool(getattr(request, field))


def _write_canonical(request: Any) -> bytes:
    """Writes what a request asks for; tags may differ when it is sent again."""
    asked = type(request)()
    asked.CopyFrom(request)
    asked.ClearField("context")
    text: bytes = asked.SerializeToString(deterministic=True)
    return type(request).__name__.encode() + b"\x00" + text


def _to_timestamp(time_us: int) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000)
