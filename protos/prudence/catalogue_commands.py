"""The commands `prudence catalogue ...`: what patches say of products, and new ones."""

import argparse
from collections.abc import Callable
from pathlib import Path

from google.protobuf import json_format

from prudence.client import Client
from prudence.errors import InputFileError
from prudence.output import Output, to_json
from prudence.v1 import admin_pb2


def add_catalogue_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add: Callable[..., argparse.ArgumentParser],
) -> None:
    """Adds the commands.

    Args:
        commands: what `catalogue` is added to.
        add: adds one command with the options that all have.
    """
    about = "the live catalogue beside its bundle, and patches that tighten it"
    catalogue = commands.add_parser("catalogue", help=about, description=about)
    actions = catalogue.add_subparsers(dest="action", required=True, metavar="ACTION")
    add(actions, "show", _show, "the patches that bind on the bundle that serves")
    patch = add(actions, "patch", _patch, "bring patches into force; exit status 1 if one of them is not")
    patch.add_argument(
        "file", type=Path, metavar="FILE", help="JSON form of prudence.v1.PatchProductsRequest"
    )


def _show(client: Client, _options: argparse.Namespace) -> Output:
    response = client.catalogue()
    lines = [
        f"bundle {response.bundle_version}, catalogue sequence {response.catalogue_sequence}, "
        f"patches bind on {response.patched_count} products"
    ]
    if not response.accepts_patches:
        lines.append("the server keeps no patches and refuses every one")
    return Output("\n".join([*lines, *(to_json(patch) for patch in response.patches)]), to_json(response))


def _patch(client: Client, options: argparse.Namespace) -> Output:
    response = client.patch_products(_read_request(options.file))
    lines = [_describe(verdict) for verdict in response.verdicts]
    again = ", answered as before" if response.repeated_answer else ""
    lines.append(f"catalogue sequence {response.catalogue_sequence}{again}, request {response.request_id}")
    in_force = {admin_pb2.PATCH_OUTCOME_APPLIED, admin_pb2.PATCH_OUTCOME_UNCHANGED}
    good = all(verdict.outcome in in_force for verdict in response.verdicts)
    return Output("\n".join(lines), to_json(response), good=good)


def _describe(verdict: admin_pb2.PatchVerdict) -> str:
    outcome = admin_pb2.PatchOutcome.Name(verdict.outcome).removeprefix("PATCH_OUTCOME_")
    refusals = [
        f"{refusal.field} {_name(refusal)}, {refusal.in_force or 'nothing'} stays"
        for refusal in verdict.refusals
    ]
    return f"{verdict.product_id}: {'; '.join([outcome, *refusals])}"


def _name(refusal: admin_pb2.PatchRefusal) -> str:
    return admin_pb2.PatchRefusalReason.Name(refusal.reason).removeprefix("PATCH_REFUSAL_REASON_")


def _read_request(path: Path) -> admin_pb2.PatchProductsRequest:
    try:
        return json_format.Parse(path.read_text(encoding="utf-8"), admin_pb2.PatchProductsRequest())
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json_format.ParseError) as error:
        raise InputFileError(f"{path}: {error}") from error
