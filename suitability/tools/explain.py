"""The command `explain`: one row for every predicate, with the values it saw and its verdict."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from suitability.codes import CODES, in_order
from suitability.json_records import load_product, load_user
from suitability.overlay import Overlay, load_overlay, tighten
from suitability.policy import Policy, default_policy_path, load_policy
from suitability.records import RISK_SCORE_MAX
from suitability.tools.arguments import parse_count_argument, parse_instant_argument
from suitability.tools.explanation import DENIES, PASSES, Explanation, Reading, Row, explain, to_json

_STYLES = {DENIES: "bold red", PASSES: "green"}
_WIDTH_OF_A_FILE = 120


def add_parser(subparsers: Any) -> None:
    """Adds the command `explain`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "explain",
        help="show for one user and one product what every predicate saw and said",
        description="Shows for one user and one product what every predicate saw and said. Exit status: 0 "
        "eligible, 1 denied, 2 bad input.",
        epilog='Records are JSON objects with the fields of the rules: dates as "2026-11-22", instants as '
        '"2026-11-22T04:00:00Z", sets as lists, the pseudonym in hex; "assumed" may list the fields whose '
        "values were assumed.",
    )
    parser.add_argument("--user", type=Path, required=True, metavar="U.json", help="the user's record")
    parser.add_argument("--product", type=Path, required=True, metavar="P.json", help="the product's record")
    parser.add_argument("--policy", type=Path, default=default_policy_path(), help="default: the shipped one")
    parser.add_argument("--overlay", type=Path, metavar="O.json", help="tighten the policy with this overlay")
    parser.add_argument(
        "--now", type=parse_instant_argument, help="decision time in RFC 3339 (default: the system's clock)"
    )
    parser.add_argument("--channel", default="app", help="sales channel (default: app)")
    parser.add_argument(
        "--risk-score-limit",
        type=partial(parse_count_argument, highest=RISK_SCORE_MAX),
        metavar="N",
        help=f"the request's own limit, 0 to {RISK_SCORE_MAX}",
    )
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="zh adds the Chinese texts")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 0 for an eligible pair, 1 for a denied one.

    Raises:
        SuitabilityError: a record, the policy or the overlay cannot be used.
    """
    now = datetime.now(UTC) if arguments.now is None else arguments.now
    user, product = load_user(arguments.user), load_product(arguments.product)
    policy = load_policy(arguments.policy)
    overlay = None if arguments.overlay is None else load_overlay(arguments.overlay)
    rules = policy if overlay is None else tighten(policy, overlay)
    found = explain(user, product, rules, now, arguments.channel, arguments.risk_score_limit)
    circumstances = _circumstances(policy, overlay, now, arguments)
    console = Console(highlight=False)
    if arguments.json:
        console.print_json(data={**circumstances, **_document(found)}, ensure_ascii=False)
        return 1 if found.codes else 0
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_FILE
    for name, value in circumstances.items():
        console.print(Text(f"{name}: {'none' if value is None else value}"))
    console.print(_table(found, chinese=arguments.language == "zh"))
    for line in _summary(found, ZoneInfo(rules.values["jurisdiction_tz"])):
        console.print(Text(line))
    return 1 if found.codes else 0


def _circumstances(
    policy: Policy, overlay: Overlay | None, now: datetime, arguments: argparse.Namespace
) -> dict[str, str | int | None]:
    local = now.astimezone(ZoneInfo(policy.values["jurisdiction_tz"]))
    return {
        "policy": f"{policy.policy_id} {policy.version}",
        "policy_sha256": policy.sha256,
        "overlay": None if overlay is None else f"sequence {overlay.sequence}: {overlay.reason}",
        "now": str(to_json(now)),
        "today": f"{local.date()} in {policy.values['jurisdiction_tz']}",
        "channel": arguments.channel,
        "risk_score_limit_of_request": arguments.risk_score_limit,
    }


def _document(found: Explanation) -> dict[str, object]:
    return {
        "eligible": not found.codes,
        "codes": [code.name for code in in_order(found.codes)],
        "effective_level": found.level,
        "rated": found.rated,
        "effective_risk_score": found.risk_score,
        "risk_score_limit": found.risk_score_limit,
        "warnings": list(found.warnings),
        "valid_until": to_json(found.valid_until),
        "predicates": [_row_document(row) for row in found.rows],
    }


def _row_document(row: Row) -> dict[str, object]:
    code = None if row.code is None else CODES[row.code]
    return {
        "number": row.number,
        "name": row.name,
        "verdict": row.verdict,
        "code": row.code,
        "text": None if code is None else {"en": code.text, "zh": code.text_zh},
        "disclosable": None if code is None else code.disclosable,
        "values": [vars(reading) for reading in row.readings],
        "policy": dict(row.policy_values),
    }


def _table(found: Explanation, *, chinese: bool) -> Table:
    table = Table("#", "predicate", "values it saw", "policy values", "verdict", show_lines=True)
    for column, ratio in zip(table.columns[2:], (5, 4, 4), strict=True):
        column.ratio, column.overflow = ratio, "fold"
    for row in found.rows:
        table.add_row(
            str(row.number),
            row.name,
            Text("\n".join(_reading_text(reading) for reading in row.readings)),
            Text("\n".join(f"{path} = {_value_text(value)}" for path, value in row.policy_values.items())),
            Group(*_verdict_texts(row, chinese=chinese)),
        )
    return table


def _reading_text(reading: Reading) -> str:
    value = _value_text(reading.value) if reading.missing is None else f"missing ({reading.missing})"
    return f"{reading.record}.{reading.field} = {value}{' (assumed)' if reading.assumed else ''}"


def _value_text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_value_text(member) for member in value)}]" if value else "(none)"
    if isinstance(value, dict):
        members = ", ".join(f"{name}: {_value_text(member)}" for name, member in value.items())
        return f"{{{members}}}" if members else "(none)"
    return str(value)


def _verdict_texts(row: Row, *, chinese: bool) -> Iterator[Text]:
    yield Text(row.verdict if row.code is None else row.code, style=_STYLES.get(row.verdict, "dim"))
    if row.code is None:
        return
    code = CODES[row.code]
    yield Text(code.text)
    if chinese:
        yield Text(code.text_zh)
    if not code.disclosable:
        yield Text("The user must not learn of this.", style="bold")


def _summary(found: Explanation, zone: ZoneInfo) -> Iterator[str]:
    level = "unknown" if found.level is None else found.level
    score = "unknown" if found.risk_score is None else found.risk_score
    limit = "unknown, the risk level is missing" if found.risk_score_limit is None else found.risk_score_limit
    yield f"effective level: {level}; rated: {'yes' if found.rated else 'no'}"
    yield f"effective risk score: {score}; limit: {limit}"
    if found.codes:
        yield f"DENIED: {', '.join(code.name for code in in_order(found.codes))}"
        return
    yield f"warnings: {', '.join(found.warnings) or 'none'} (the user's history counts as empty)"
    yield f"ELIGIBLE until {to_json(found.valid_until)} ({found.valid_until.astimezone(zone).isoformat()})"
