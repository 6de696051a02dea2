"""Command line for calling a Prudence server: `prudence recommend --target HOST:PORT --user ID`.

Exit status: 0 done, 1 the server refused or cannot be reached, 2 wrong usage.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from prudence import render, requests
from prudence.bundle_commands import add_bundle_commands
from prudence.catalogue_commands import add_catalogue_commands
from prudence.channels import read_credentials
from prudence.client import RECOMMENDATION_SERVICE, Client
from prudence.errors import CallError, InputFileError
from prudence.output import Output, to_json
from prudence.profile_commands import add_profile_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if "user_file" in options and options.user is None and options.user_file is None:
        parser.error(f"{options.command} needs --user or --user-file")
    run: Callable[[Client, argparse.Namespace], Output] = options.run
    try:
        credentials = _read_credentials(options)
        with Client(options.target, timeout_s=options.timeout, credentials=credentials) as client:
            output = run(client, options)
    except InputFileError as error:
        sys.stderr.write(f"prudence: {error}\n")
        return 2
    except CallError as error:
        sys.stderr.write(f"prudence: {options.target}: {error}\n")
        return 1
    sys.stdout.write((output.json if options.json else output.text) + "\n")
    return 0 if output.good else 1


def _read_credentials(options: argparse.Namespace) -> grpc.ChannelCredentials | None:
    files = {"--ca": options.ca, "--certificate": options.certificate, "--key": options.key}
    missing = [name for name, path in files.items() if path is None]
    if len(missing) == len(files):
        return None
    if missing:
        raise InputFileError(f"{missing[0]} is missing; a server with TLS needs {', '.join(files)}")
    return read_credentials(options.ca, options.certificate, options.key)


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of every command."""
    parser = argparse.ArgumentParser(prog="prudence", description="Calls a Prudence server.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    recommend = _add_command(
        commands, "recommend", _recommend, "up to k products that suit the user, best first"
    )
    _add_user(recommend)
    _add_list_options(recommend)
    recommend.add_argument(
        "--include", action="append", default=[], metavar="ID", help="consider only these products"
    )
    recommend.add_argument(
        "--exclude", action="append", default=[], metavar="ID", help="do not consider these products"
    )
    recommend.add_argument(
        "--allow-seen", action="store_true", help="products of the history may be shown again"
    )
    recommend.add_argument("--trace", action="store_true", help="show stages, times and what was removed")
    recommend.add_argument(
        "--count-all", action="store_true", help="count what is withheld of the whole domain, by reason"
    )
    recommend.add_argument(
        "--diversity",
        type=float,
        metavar="TRADE_OFF",
        help="weight of score against variety, 0 to 1; 1 is score alone (default: the server's)",
    )

    score = _add_command(
        commands, "score", _score, "scores of named products, reasons for those not eligible"
    )
    _add_user(score)
    score.add_argument("product_ids", nargs="+", metavar="PRODUCT")

    eligible = _add_command(
        commands, "eligible", _eligible, "whether named products suit the user, and why not"
    )
    _add_user(eligible)
    eligible.add_argument("--intent", choices=sorted(requests.INTENTS), default="recommendation")
    eligible.add_argument("product_ids", nargs="+", metavar="PRODUCT")

    similar = _add_command(commands, "similar", _similar, "eligible products close to one product")
    _add_user(similar)
    _add_list_options(similar)
    similar.add_argument("product_id", metavar="PRODUCT")

    _add_policy_commands(commands)
    add_profile_commands(commands, _add_command)
    add_catalogue_commands(commands, _add_command)
    add_bundle_commands(commands, _add_command)
    _add_command(commands, "info", _info, "what is being served")
    health = _add_command(commands, "health", _health, "whether the server is ready; exit status 1 if not")
    health.add_argument(
        "--service",
        default=RECOMMENDATION_SERVICE,
        help='service to ask about; "" asks whether the process is alive',
    )
    return parser


def _add_policy_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "the policy in force, and changes of it that officers signed"
    policy = commands.add_parser("policy", help=about, description=about)
    actions = policy.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_command(actions, "show", _show_policy, "policy and overlay in force, versions to come")
    activate = _add_command(actions, "activate", _activate, "activate a newer version of the policy")
    overlay = _add_command(actions, "overlay", _overlay, "put an overlay in place of the one in force")
    for change in (activate, overlay):
        change.add_argument("file", type=Path, metavar="FILE", help="the document, JSON")
        change.add_argument(
            "--signatures", type=Path, required=True, metavar="FILE", help="the signatures on it, JSON"
        )


def _add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[Client, argparse.Namespace], Output],
    about: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=about)
    command.set_defaults(run=run)
    command.add_argument("--target", required=True, metavar="HOST:PORT", help="address of the server")
    command.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="time limit (default: 5 to 300 s by method)"
    )
    for option, what in (
        ("--ca", "authorities"),
        ("--certificate", "your certificate"),
        ("--key", "its key"),
    ):
        command.add_argument(option, type=Path, metavar="PEM", help=f"for a server with TLS: {what}")
    command.add_argument("--json", action="store_true", help="print the response as JSON instead of a table")
    return command


def _add_user(command: argparse.ArgumentParser) -> None:
    command.add_argument("--user", metavar="ID", help="user id known to the server's store")
    command.add_argument(
        "--user-file",
        type=Path,
        metavar="FILE",
        help="JSON form of prudence.v1.User: user_id, profile, history",
    )
    command.add_argument(
        "--risk-score-limit",
        type=_int32,
        metavar="N",
        help="0 to 10000; can only tighten the policy's own limit",
    )


def _add_list_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--k", type=_int32, default=10, help="number of products wanted (default 10)")
    command.add_argument("--domain", choices=list(requests.DOMAINS), default="both")


def _int32(text: str) -> int:
    """Reads what a request can carry; whether the number makes sense is the server's to say."""
    value = int(text)
    if not -(2**31) <= value < 2**31:
        raise argparse.ArgumentTypeError(f"expected a 32-bit integer, not {text}")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most 3600 seconds, not {text}")
    return value


def _recommend(client: Client, options: argparse.Namespace) -> Output:
    response = client.recommend(requests.recommend_request(options))
    return Output(render.render_recommend(response, whole_domain=options.count_all), to_json(response))


def _score(client: Client, options: argparse.Namespace) -> Output:
    response = client.score_products(requests.score_request(options))
    return Output(render.render_score(response), to_json(response))


def _eligible(client: Client, options: argparse.Namespace) -> Output:
    response = client.check_eligibility(requests.eligible_request(options))
    return Output(render.render_eligible(response), to_json(response))


def _similar(client: Client, options: argparse.Namespace) -> Output:
    response = client.similar_products(requests.similar_request(options))
    return Output(render.render_similar(response), to_json(response))


def _show_policy(client: Client, _: argparse.Namespace) -> Output:
    response = client.policy()
    return Output(render.render_policy(response), to_json(response))


def _activate(client: Client, options: argparse.Namespace) -> Output:
    response = client.activate_policy(requests.activate_request(options))
    return Output(render.render_activate(response), to_json(response))


def _overlay(client: Client, options: argparse.Namespace) -> Output:
    response = client.set_overlay(requests.overlay_request(options))
    return Output(render.render_overlay(response), to_json(response))


def _info(client: Client, _: argparse.Namespace) -> Output:
    response = client.serving_info()
    return Output(render.render_info(response), to_json(response))


def _health(client: Client, options: argparse.Namespace) -> Output:
    status = client.health(options.service)
    return Output(status, json.dumps({"status": status}), good=status == "SERVING")


if __name__ == "__main__":
    sys.exit(main())
