"""The demonstration: `python -m benchmarks.demo`, and `python -m benchmarks.demo serve` to keep a server.

What was made is kept under artifacts/ and used again while nothing that it depends on has changed.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import grpc
from rich.console import Console

from benchmarks.demo.settings import SIMULATED, DemoSettings, read_source
from benchmarks.demo.show import (
    find_artifacts,
    heading,
    make_server_plan,
    say,
    show_far_trans,
    show_simulated,
)
from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.machine import ROOT

PLAIN_WIDTH = 120
PORT = 50051
TARGET = f"127.0.0.1:{PORT}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demonstration or keeps a server; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    try:
        settings = _read_settings(options)
        if options.command == "serve":
            _serve(settings, options.port)
        _demonstrate(settings, options)
    except (BenchmarkError, grpc.RpcError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description="Shows the whole path.")
    parser.add_argument("command", nargs="?", choices=("show", "serve"), default="show", help="default: show")
    parser.add_argument("--data", default=SIMULATED, help="simulated or far-trans:DIR")
    parser.add_argument("--assume", type=Path, help="file of assumptions for what the data does not state")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="for the tower and the index"
    )
    parser.add_argument("--model", choices=("two_tower", "mf"), default="two_tower")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where results are kept")
    parser.add_argument("--transcript", type=Path, help="file for a plain copy of what is shown")
    parser.add_argument("--port", type=int, default=PORT, help="for serve")
    parser.add_argument("--seed", type=int, default=1, help="of the simulation")
    parser.add_argument("--users", type=int, default=20_000, help="simulated users")
    parser.add_argument("--courses", type=int, default=2_000, help="simulated courses")
    parser.add_argument("--products", type=int, default=600, help="simulated financial products")
    parser.add_argument("--load-seconds", type=float, default=5.0, help="length of the load")
    return parser


def _read_settings(options: argparse.Namespace) -> DemoSettings:
    source, directory = read_source(options.data)
    if options.assume is not None and not options.assume.is_file():
        raise BenchmarkInputError(f"assume: expected a file at {options.assume}, found none")
    return DemoSettings(
        source=source,
        directory=directory,
        assumptions=None if options.assume is None else options.assume.resolve(),
        artifacts=options.artifacts,
        device=options.device,
        model=options.model,
        seed=options.seed,
        users=options.users,
        courses=options.courses,
        products=options.products,
        load_s=options.load_seconds,
    )


def _demonstrate(settings: DemoSettings, options: argparse.Namespace) -> None:
    console = Console(record=options.transcript is not None, highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    start_s = time.monotonic()
    show = show_simulated if settings.source == SIMULATED else show_far_trans
    user_id = show(settings, console)
    heading(console, f"Done in {time.monotonic() - start_s:.0f} s. To go on")
    data = "" if settings.source == SIMULATED else f" DATA={settings.source}:DIR"
    say(console, f"  make serve{data}    # keeps a server with this bundle on {TARGET}; in another terminal:")
    call = f"recommend --target {TARGET} --user {user_id} --domain financial --risk-score-limit 4000 --trace"
    say(console, f"  .venv/bin/prudence {call}")
    if options.transcript is not None:
        options.transcript.parent.mkdir(parents=True, exist_ok=True)
        lines = [line.rstrip() for line in console.export_text().splitlines()]
        options.transcript.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _serve(settings: DemoSettings, port: int) -> NoReturn:
    """Becomes the server of the last demonstration."""
    artifacts = find_artifacts(settings, strict=False)
    if not artifacts.bundles.is_dir():
        raise BenchmarkInputError(f"no bundle under {artifacts.directory}; run the demonstration first")
    plan = make_server_plan(artifacts, settings, allow_assumed=settings.source != SIMULATED)
    console = Console(highlight=False)
    target = f"127.0.0.1:{port}"
    say(console, f"Starting on {target}; it serves when the next line says so, and Ctrl-C stops it.")
    say(console, f"In another terminal: .venv/bin/prudence info --target {target}")
    os.chdir(ROOT)
    # The server takes this process over, so that signals reach it.
    os.execv(sys.executable, [sys.executable, *plan.command()[1:], "--port", str(port)])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
