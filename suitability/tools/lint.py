"""The command `lint`: says what makes a policy unfit, or that it is fit."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from suitability.policy import load_policy
from suitability.policy_lint import lint


def add_parser(subparsers: Any) -> None:
    """Adds the command `lint`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "lint",
        help="list what makes a policy unfit",
        description="Lists what makes a policy unfit, each finding with its key path. Exit status: 0 fit, 1 "
        "findings, 2 the file is no policy.",
    )
    parser.add_argument("policy", type=Path, metavar="POLICY", help="the policy's JSON file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 0 for a fit policy, 1 where there are findings.

    Raises:
        PolicyError: the file is no policy.
    """
    policy = load_policy(arguments.policy)
    findings = lint(policy)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{policy.policy_id} {policy.version}\nsha256 {policy.sha256}")
    for finding in findings:
        console.print(finding)
    console.print("fit" if not findings else f"unfit: {len(findings)} finding{'s' * (len(findings) > 1)}")
    return 1 if findings else 0
