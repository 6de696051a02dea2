"""Reads command-line arguments that several commands take."""

import argparse
from datetime import datetime

from suitability.policy_schema import parse_instant


def parse_instant_argument(text: str) -> datetime:
    """Reads an instant. Raises: ArgumentTypeError: it is not RFC 3339 with a zone."""
    try:
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"expected an RFC 3339 instant with zone, got {text!r:.80}"
        ) from error


def parse_count_argument(text: str, highest: int) -> int:
    """Reads an integer from 0 to `highest`. Raises: ArgumentTypeError: it is anything else."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 18 or int(text) > highest:
        raise argparse.ArgumentTypeError(f"expected an integer from 0 to {highest}, got {text!r:.80}")
    return int(text)
