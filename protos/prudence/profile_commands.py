"""The commands `prudence profile ...`: what is stored about a user, and changes of it."""

import argparse
from collections.abc import Callable
from pathlib import Path

from google.protobuf import json_format

from prudence.client import Client
from prudence.errors import InputFileError
from prudence.output import Output, to_json
from prudence.v1 import profile_pb2
from prudence.v1 import profile_service_pb2 as pb

Changed = (
    pb.PutProfileResponse
    | pb.PatchProfileResponse
    | pb.DeleteProfileResponse
    | pb.SetBlockResponse
    | pb.SetConsentResponse
    | pb.SetPersonalisationResponse
)

_CHOICES = {"on": True, "off": False}


def add_profile_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add: Callable[..., argparse.ArgumentParser],
) -> None:
    """Adds the commands.

    Args:
        commands: what `profile` is added to.
        add: adds one command with the options that all have.
    """
    about = "what the server stores about a user, and changes of it"
    profile = commands.add_parser("profile", help=about, description=about)
    actions = profile.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = add(actions, "show", _show, "the stored profile, holds and choices")
    put = add(actions, "put", _put, "store a whole profile")
    patch = add(actions, "patch", _patch, "change the fields that a file sets")
    delete = add(actions, "delete", _delete, "remove the profile; history, holds and choices stay")
    block = add(actions, "block", _block, "put the user on hold, or lift the hold")
    consent = add(actions, "consent", _consent, "record that consent was given or withdrawn")
    personal = add(actions, "personalisation", _personalisation, "rank by taste, or by popularity alone")
    erase = add(actions, "erase", _erase, "remove all that is stored about the user, for good")
    for command in (show, put, patch, delete, block, consent, personal, erase):
        command.add_argument("--user", required=True, metavar="ID", help="user id")
    for command in (put, patch):
        command.add_argument("file", type=Path, metavar="FILE", help="JSON form of prudence.v1.UserProfile")
    for command in (put, patch, delete):
        command.add_argument(
            "--expected-version", type=int, metavar="N", help="change only this version; 0: no profile yet"
        )
    for command in (block, consent, personal):
        command.add_argument("choice", choices=list(_CHOICES))


def _show(client: Client, options: argparse.Namespace) -> Output:
    response = client.get_profile(pb.GetProfileRequest(user_id=options.user))
    holds = [name for name in ("blocked", "consent_withdrawn") if getattr(response, name)]
    lines = [
        f"version {response.version}, holds: {', '.join(holds) or 'none'}, "
        f"personalisation {'on' if response.personalised else 'off'}",
        to_json(response.profile) if response.HasField("profile") else "no profile",
    ]
    if response.assumed_fields:
        lines.append(f"assumed: {', '.join(response.assumed_fields)}")
    return Output("\n".join(lines), to_json(response))


def _put(client: Client, options: argparse.Namespace) -> Output:
    request = pb.PutProfileRequest(
        user_id=options.user,
        profile=_read_profile(options.file),
        expected_version=options.expected_version,
    )
    return _tell(client.put_profile(request))


def _patch(client: Client, options: argparse.Namespace) -> Output:
    request = pb.PatchProfileRequest(
        user_id=options.user,
        profile=_read_profile(options.file),
        expected_version=options.expected_version,
    )
    return _tell(client.patch_profile(request))


def _delete(client: Client, options: argparse.Namespace) -> Output:
    request = pb.DeleteProfileRequest(user_id=options.user, expected_version=options.expected_version)
    return _tell(client.delete_profile(request))


def _block(client: Client, options: argparse.Namespace) -> Output:
    request = pb.SetBlockRequest(user_id=options.user, blocked=_CHOICES[options.choice])
    return _tell(client.set_block(request))


def _consent(client: Client, options: argparse.Namespace) -> Output:
    request = pb.SetConsentRequest(user_id=options.user, consented=_CHOICES[options.choice])
    return _tell(client.set_consent(request))


def _personalisation(client: Client, options: argparse.Namespace) -> Output:
    request = pb.SetPersonalisationRequest(user_id=options.user, personalised=_CHOICES[options.choice])
    return _tell(client.set_personalisation(request))


def _erase(client: Client, options: argparse.Namespace) -> Output:
    response = client.erase_user(pb.EraseUserRequest(user_id=options.user))
    return Output(f"erased {response.erase_time.ToJsonString()}", to_json(response))


def _tell(response: Changed) -> Output:
    return Output(f"version {response.version} of {response.update_time.ToJsonString()}", to_json(response))


def _read_profile(path: Path) -> profile_pb2.UserProfile:
    profile = profile_pb2.UserProfile()
    try:
        json_format.Parse(path.read_text(encoding="utf-8"), profile)
    except (OSError, UnicodeDecodeError, json_format.ParseError) as error:
        raise InputFileError(f"{path}: expected the JSON form of prudence.v1.UserProfile: {error}") from error
    return profile
