"""The commands `prudence bundle ...`: which bundles are there, which serves, and orders to change that."""

import argparse
from collections.abc import Callable, Iterable

from prudence.client import Client
from prudence.output import Output, to_json
from prudence.v1 import admin_pb2


def add_bundle_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add: Callable[..., argparse.ArgumentParser],
) -> None:
    """Adds the commands.

    Args:
        commands: what `bundle` is added to.
        add: adds one command with the options that all have.
    """
    about = "the bundles of a server: which serves, and orders to change that"
    actions = commands.add_parser("bundle", help=about, description=about).add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    add(actions, "list", _list, "the bundles that are there, youngest first")
    load = add(actions, "load", _load, "open and judge a bundle beside the one that serves")
    activate = add(actions, "activate", _activate, "let a bundle serve; an older one is refused")
    back = add(actions, "rollback", _roll_back, "let an earlier bundle serve; CURRENT does not undo it")
    pin = add(actions, "pin", _pin, "leave CURRENT alone until it is unpinned")
    unpin = add(actions, "unpin", _unpin, "follow CURRENT again")
    for command in (load, activate):
        command.add_argument("version", metavar="VERSION", help="version of the bundle")
    back.add_argument(
        "version", nargs="?", default="", metavar="VERSION", help="default: the one that served before"
    )
    activate.add_argument(
        "--allow-worse", action="store_true", help="also where it is worse than the bundle that serves"
    )
    for command in (activate, back, pin, unpin):
        command.add_argument("--expect", default="", metavar="VERSION", help="only while this one serves")
        command.add_argument("--why", default="", metavar="TEXT", help="for the record")


def _list(client: Client, _options: argparse.Namespace) -> Output:
    response = client.list_bundles()
    pinned = ", pinned" if response.pinned else ""
    lines = [f"{response.serving_bundle_version} serves{pinned}; CURRENT names {_current(response)}"]
    if not response.kept_over_restart:
        lines.append("the server keeps no record: a restart serves what CURRENT names")
    return Output("\n".join([*lines, *map(_describe_entry, response.bundles)]), to_json(response))


def _load(client: Client, options: argparse.Namespace) -> Output:
    response = client.load_bundle(admin_pb2.LoadBundleRequest(bundle_version=options.version))
    lines = [f"{options.version} is loaded", *_describe_findings(response.findings)]
    return Output("\n".join(lines), to_json(response), good=all(each.passed for each in response.findings))


def _activate(client: Client, options: argparse.Namespace) -> Output:
    request = admin_pb2.ActivateBundleRequest(
        bundle_version=options.version,
        expected_bundle_version=options.expect,
        allow_worse=options.allow_worse,
        explanation=options.why,
    )
    return _describe_move(client.activate_bundle(request))


def _roll_back(client: Client, options: argparse.Namespace) -> Output:
    request = admin_pb2.RollbackBundleRequest(
        bundle_version=options.version, expected_bundle_version=options.expect, explanation=options.why
    )
    return _describe_move(client.roll_back_bundle(request))


def _pin(client: Client, options: argparse.Namespace) -> Output:
    return _set_pin(client, options, pinned=True)


def _unpin(client: Client, options: argparse.Namespace) -> Output:
    return _set_pin(client, options, pinned=False)


def _set_pin(client: Client, options: argparse.Namespace, *, pinned: bool) -> Output:
    request = admin_pb2.PinBundleRequest(
        pinned=pinned, expected_bundle_version=options.expect, explanation=options.why
    )
    response = client.pin_bundle(request)
    state = "pinned" if response.pinned else "not pinned"
    return Output(f"{response.bundle_version} serves, {state}{_kept(response)}", to_json(response))


def _describe_move(
    response: admin_pb2.ActivateBundleResponse | admin_pb2.RollbackBundleResponse,
) -> Output:
    version, before = response.bundle_version, response.previous_bundle_version
    if response.repeated_answer:
        line = f"carried out before: {version} took the place of {before}"
    elif version == before:
        line = f"{version} serves already"
    else:
        line = f"{version} serves, {before} did before{_kept(response)}"
    return Output("\n".join([line, *_describe_findings(response.findings)]), to_json(response))


def _kept(
    response: admin_pb2.ActivateBundleResponse
    | admin_pb2.RollbackBundleResponse
    | admin_pb2.PinBundleResponse,
) -> str:
    return "" if response.kept_over_restart else "; a restart forgets it"


def _current(response: admin_pb2.ListBundlesResponse) -> str:
    named = response.current_bundle_version or "nothing that can be read"
    if not response.current_refusal_reason:
        return named
    return f"{named}, refused: {response.current_refusal_reason}: {response.current_refusal_message}"


def _describe_entry(entry: admin_pb2.BundleEntry) -> str:
    state = admin_pb2.BundleState.Name(entry.state).removeprefix("BUNDLE_STATE_")
    if entry.refusal_reason:
        return f"{state:9} {entry.bundle_version}: {entry.refusal_reason}: {entry.refusal_message}"
    signed = f", signed by {', '.join(entry.signers)}" if entry.signers else ""
    rolled_back = ", rolled back from" if entry.rolled_back else ""
    created = entry.create_time.ToJsonString()
    return f"{state:9} {entry.bundle_version} of {created}{signed}{rolled_back}"


def _describe_findings(findings: Iterable[admin_pb2.BundleFinding]) -> list[str]:
    return [
        f"{'ok  ' if each.passed else 'BAD '} {each.gate} {each.figure:.6g}, "
        f"expected {'at least ' if each.comparative else ''}{each.limit:.6g}"
        for each in findings
    ]
