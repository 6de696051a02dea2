"""Reports on a model: `python -m benchmarks.report --artifacts artifacts/simulated --out DIR`.

Writes report.html (one file, nothing else needed), report.txt, report.png with the main charts, and every
chart in figures/. Everything is measured through the sealed bundle. Without --data the last tenth of the
events is held out and the same model is made again on the rest, kept in OUT/work.
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from benchmarks.pipeline import DEFAULT_POLICY, Artifacts
from benchmarks.report.calibration import make_calibration
from benchmarks.report.cold_products import make_cold_products
from benchmarks.report.curves import make_curves
from benchmarks.report.diversity import make_diversity
from benchmarks.report.drawing import draw_overview
from benchmarks.report.examples import make_examples
from benchmarks.report.fairness import make_fairness
from benchmarks.report.held_out import HeldOut, compare_with_newer, hold_out
from benchmarks.report.measured import Measured, measure
from benchmarks.report.page import Heading, write_html, write_text
from benchmarks.report.popularity import make_popularity
from benchmarks.report.quality import make_history_lengths, make_segments
from benchmarks.report.section import Section
from benchmarks.report.suitability_cost import NO_RULES, make_suitability_cost
from suitability.errors import PolicyError
from suitability.policy import load_policy

NICENESS = 5
TEXT_WIDTH = 130
CREDIT = "attribution and licence"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes a report; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else TEXT_WIDTH)
    os.nice(NICENESS)
    try:
        artifacts = Artifacts(options.artifacts.resolve())
        if options.data is None:
            held_out = hold_out(artifacts, options.out / "work", options.policy, console)
        else:
            held_out = compare_with_newer(artifacts, options.data)
        policy = None if options.no_rules else load_policy(options.policy)
        measured = measure(held_out, policy, user_count=options.users)
        sections = make_sections(measured, held_out)
        write(options.out, make_heading(measured, held_out), sections)
    except (BenchmarkError, PolicyError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    console.print(f"wrote {options.out / 'report.html'}", soft_wrap=True)
    return 0


def make_sections(measured: Measured, held_out: HeldOut) -> list[Section]:
    """Makes every section, in the order of the page."""
    return [
        make_curves(read_json(held_out.artifacts.run / "metrics.json")),
        make_calibration(measured),
        make_history_lengths(measured),
        make_segments(measured),
        make_suitability_cost(measured),
        make_cold_products(measured),
        make_popularity(measured),
        make_diversity(measured),
        make_fairness(measured),
        make_examples(measured),
    ]


def make_heading(measured: Measured, held_out: HeldOut) -> Heading:
    """Says where data come from, at which commit, when, and what was looked at."""
    source = read_json(held_out.artifacts.data / "source.json")
    machine = describe_machine()
    simulated = bool(source.get("simulated"))
    name = "the simulated platform" if simulated else str(source["name"])
    mark = "SIMULATED: every person, product and event is invented; figures say nothing about real people."
    facts = (
        ("data", name),
        (CREDIT, ". ".join(filter(None, (source.get("attribution"), source.get("licence"))))),
        *_describe_assumed(source),
        ("tested", f"{len(measured.users):,} users, {len(measured.products):,} products"),
        ("what was looked at", held_out.looked_at),
        *_describe_rules(measured),
        ("measured through", f"sealed bundle {(held_out.artifacts.bundles / 'CURRENT').read_text().strip()}"),
        ("machine, commit, date", machine.line),
    )
    return Heading(f"Report on a model of {name}", mark if simulated else "", facts)


def _describe_assumed(source: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    names = [f"{table}.{field}" for table, mine in source.get("assumed", {}).items() for field in mine]
    return (("assumed, not stated by the source", ", ".join(sorted(names))),) if names else ()


def _describe_rules(measured: Measured) -> tuple[tuple[str, str], ...]:
    if measured.policy is None:
        return (("rules", NO_RULES),)
    return (
        ("suitability judged at", f"{measured.clock:%Y-%m-%d %H:%M} UTC, when the profiles are true"),
        ("rules", f"policy {measured.policy.policy_id}, version {measured.policy.version}"),
    )


def write(out: Path, heading: Heading, sections: Sequence[Section]) -> None:
    """Writes the page, its text, an overview of the charts, and each chart."""
    pictures = [picture for section in sections for picture in section.pictures]
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        (figures / f"{picture.name}.png").write_bytes(picture.light)
    credit = textwrap.fill(dict(heading.facts)[CREDIT], TEXT_WIDTH)
    title = "\n".join(filter(None, (heading.title, heading.mark, credit)))
    (out / "report.png").write_bytes(draw_overview(pictures, title))
    with (out / "report.txt").open("w", encoding="utf-8") as file:
        write_text(heading, sections, Console(file=file, width=TEXT_WIDTH))
    (out / "report.html").write_text(write_html(heading, sections), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--artifacts", type=Path, required=True, help="directory of a demonstration")
    parser.add_argument("--data", type=Path, help="a newer data set: the bundle is tested on what it adds")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--policy", type=Path, default=DEFAULT_POLICY, help="the rules")
    parser.add_argument(
        "--no-rules", action="store_true", help="ask no rule: for data that state nothing that rules read"
    )
    parser.add_argument("--users", type=int, default=10_000, help="the most users to test")
    return parser


if __name__ == "__main__":
    sys.exit(main())
