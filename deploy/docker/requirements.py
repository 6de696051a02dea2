"""Prints what a server needs beside our own wheels: `python deploy/docker/requirements.py cpu`."""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def list_requirements(device: str) -> list[str]:
    """Lists the requirements of server and client, and those of a device; none of training."""
    application = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    client = tomllib.loads((ROOT / "protos/pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*application["dependencies"], *client["dependencies"]]
    wanted += application["optional-dependencies"][device]
    return sorted({each for each in wanted if not each.startswith(client["name"])})


if __name__ == "__main__":
    sys.stdout.write("\n".join(list_requirements(sys.argv[1])) + "\n")
