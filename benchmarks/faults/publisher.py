"""Publishes one bundle when told to: `python -m benchmarks.faults.publisher CANDIDATE BUNDLES`, then a line.

It says "ready" once everything is loaded, so that whoever kills it meets the publication and not the imports.
"""

import os
import sys
from pathlib import Path

from index.publish import publish_bundle


def main(arguments: list[str]) -> int:
    """Waits for a line, and publishes."""
    os.write(1, b"ready\n")
    sys.stdin.readline()
    publish_bundle(Path(arguments[0]), Path(arguments[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
