"""The command line: `python -m server [settings]` serves, `doctor` tries, others keep stores, keys, logs."""

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path

import structlog
from rich.console import Console
from rich.text import Text

from server import store_commands
from server.config import load_settings
from server.current_call import add_call
from server.errors import StartError
from server.heap import keep_in_one_piece


def main(arguments: list[str]) -> int:
    """Runs the command; returns the exit status."""
    _start_logging()
    try:
        commands = {
            **store_commands.COMMANDS,
            "worker": _work,
            "compact": _compact,
            "verify-catalogue": _verify_catalogue,
            "doctor": _examine,
        }
        command = commands.get(arguments[0]) if arguments else None
        return _serve(arguments) if command is None else command(arguments[1:])
    except StartError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"error: {error}", style="bold red", highlight=False, markup=False
        )
        return 1


def _serve(arguments: list[str]) -> int:
    settings = load_settings(arguments)
    if settings.print_config:
        Console(soft_wrap=True).print_json(settings.model_dump_json())
        return 0
    if settings.processes > 1:
        from server.processes.supervisor import supervise

        supervise(settings)
        return 0
    keep_in_one_piece()
    # Only a process that serves loads the towers, the index and gRPC.
    from server.app import serve

    serve(settings)
    return 0


def _work(arguments: list[str]) -> int:
    argparse.ArgumentParser(prog="python -m server worker", allow_abbrev=False).parse_args(arguments)
    keep_in_one_piece()
    from server.processes.worker import run_worker

    return run_worker()


def _compact(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m server compact", allow_abbrev=False)
    parser.add_argument("log", type=Path, metavar="LOG", help="Folder of a feedback log.")
    # Only a process that compacts loads Parquet.
    from server.feedback.compact_command import compact

    compacted = compact(parser.parse_args(arguments).log)
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"segments compacted: {compacted.segment_count}; "
        + (
            "all of the log is in Parquet"
            if compacted.whole
            else "a server holds the log and goes on writing"
        )
    )
    return 0


def _verify_catalogue(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m server verify-catalogue", allow_abbrev=False)
    parser.add_argument("folder", type=Path, metavar="DIR", help="Folder of a catalogue log.")
    # Only a process that reads patches loads what reads products.
    from server.catalogue.audit import audit

    found = audit(parser.parse_args(arguments).folder)
    Console(soft_wrap=True, highlight=False).print(
        f"{found.file_count} files, catalogue sequence {found.sequence}, {found.product_count} products; "
        + (
            "proven from the first patch on"
            if found.proven_from == 0
            else f"proven from sequence {found.proven_from} on; the files before it are not here"
        )
    )
    return 0


def _examine(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m server doctor", allow_abbrev=False)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="Where to run.")
    parser.add_argument("--bundles", type=Path, help="Folder of bundles: the current one is tried.")
    parser.add_argument("--bundle-keys", type=Path, help="Publishers' keys: one must have signed the bundle.")
    options = parser.parse_args(arguments)
    # Only a process that tries them loads the towers and the index.
    from server.doctor import examine

    console = Console(soft_wrap=True, highlight=False)
    bad_count = 0
    for finding in examine(options.device, options.bundles, options.bundle_keys):
        bad_count += not finding.good
        mark = Text("ok  ", "green") if finding.good else Text("BAD ", "bold red")
        console.print(mark, Text(f"{finding.subject}:", "bold"), Text(finding.detail))
    console.print("all is well" if bad_count == 0 else f"bad: {bad_count}")
    return 0 if bad_count == 0 else 1


class _ErrorOutput:
    """Writes log lines to standard error; a line that cannot be written is lost, and nothing else is."""

    def write(self, text: str) -> None:
        """Writes at once, past Python's buffer, which would fail again when the process ends."""
        with contextlib.suppress(OSError):
            os.write(2, text.encode(errors="backslashreplace"))

    def flush(self) -> None:
        """Does nothing: no line waits."""


def _start_logging() -> None:
    _open_standard_files()
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if os.isatty(2):
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            add_call,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(_ErrorOutput()),  # type: ignore[arg-type]
    )


def _open_standard_files() -> None:
    """Opens what the parent closed: a socket that became descriptor 2 would be sent the log."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
