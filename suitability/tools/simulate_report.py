"""Shows a simulation as tables, JSON and a picture: what is lost on the left, what is gained on the right."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from suitability.errors import SimulationError
from suitability.tools import explanation
from suitability.tools.simulate import Simulation
from suitability.tools.simulate_counts import Change, CodeChange, Outcome

NAME: Final = "simulate"
WIDTH: Final = 120
_LOST_COLOUR: Final = "#b2182b"
_GAINED_COLOUR: Final = "#2166ac"


def require_matplotlib() -> None:
    """Refuses to start where the picture could not be drawn in the end. Raises: SimulationError."""
    if find_spec("matplotlib") is None:
        raise SimulationError(
            "--out needs matplotlib for its picture; it comes with the extra `bench`: "
            "pip install 'prudence[bench]'"
        )


def write_report(simulation: Simulation, out: Path | None, console: Console) -> None:
    """Prints the tables; with a directory also writes simulate.txt, simulate.json and simulate.png.

    Raises:
        SimulationError: the directory cannot be written.
    """
    print_report(simulation, console)
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / f"{NAME}.txt").open("w", encoding="utf-8") as file:
            plain = Console(file=file, width=WIDTH, highlight=False, emoji=False, markup=False)
            print_report(simulation, plain)
        text = json.dumps(to_json(simulation), indent=1, ensure_ascii=False)
        (out / f"{NAME}.json").write_text(text + "\n", encoding="utf-8")
        _draw(simulation, out / f"{NAME}.png")
    except OSError as error:
        raise SimulationError(f"cannot write {out}: {error.strerror}") from error


def describe_verdict(outcome: Outcome) -> str:
    """Says in one sentence which way the new policy goes in this population."""
    total = outcome.total
    sentence = {
        "same": "CHANGES NOTHING: every user may be shown exactly what they may be shown today.",
        "loosens": f"LOOSENS: {total.gained:,} pairs become eligible, none is lost.",
        "tightens": f"TIGHTENS: {total.lost:,} pairs stop being eligible, none is gained.",
        "both": f"LOOSENS and TIGHTENS: {total.gained:,} pairs become eligible, {total.lost:,} stop.",
    }
    return sentence[total.direction]


def changed_keys(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str = ""
) -> list[tuple[str, str, str]]:
    """Lists the policy's keys whose values differ: path, old value, new value."""
    found = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found.extend(changed_keys(before, after, f"{path}{name}."))
        elif before != after:
            found.append((f"{path}{name}", _value(before), _value(after)))
    return found


def to_json(simulation: Simulation) -> dict[str, Any]:
    """Returns the report as JSON values."""
    outcome = asdict(simulation.outcome)
    for change in _all_changes(outcome):
        change["eligible_new"] = change["eligible_old"] + change["gained"] - change["lost"]
    return {
        "direction": simulation.outcome.total.direction,
        "policies": {
            name: {"policy_id": policy.policy_id, "version": policy.version, "sha256": policy.sha256}
            for name, policy in (("old", simulation.old), ("new", simulation.new))
        },
        "new_findings": list(simulation.new_findings),
        "changed_keys": [list(row) for row in changed_keys(simulation.old.values, simulation.new.values)],
        "population": simulation.population,
        "population_user_count": simulation.user_count,
        "product_count": simulation.product_count,
        "now": explanation.to_json(simulation.now),
        "channel": simulation.channel,
        "judge": simulation.judge,
        "checked_pairs": simulation.checked_pairs,
        "checked_changed_pairs": simulation.checked_changed_pairs,
        **outcome,
    }


def print_report(simulation: Simulation, console: Console) -> None:
    """Prints head, verdict and tables."""
    outcome = simulation.outcome
    for line in _head(simulation):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"\n{describe_verdict(outcome)}", style="bold", markup=False, soft_wrap=True)
    console.print(
        f"Financial products: {outcome.users_to_nothing:,} users go from something to nothing, "
        f"{outcome.users_from_nothing:,} from nothing to something; {outcome.users_with_nothing:,} have "
        "nothing under either policy.\n",
        soft_wrap=True,
    )
    keys = Table("key", "old", "new", title="What the new policy says differently", **_STYLE)
    for row in changed_keys(simulation.old.values, simulation.new.values):
        keys.add_row(*row)
    console.print(keys)
    console.print(_table("Pairs of user and product", [*outcome.kinds, outcome.total]))
    if outcome.total.direction != "same":
        console.print(_codes("Lost because of (what the new policy adds)", outcome.lost_codes))
        console.print(_codes("Gained because gone (what the old policy had)", outcome.gained_codes))
    console.print(_table("By level of the product", outcome.levels))
    for name, changes in outcome.segments.items():
        console.print(_table(f"For whom (financial products): {name}", changes))
    console.print(_table("By issuer, most changed first", outcome.issuers))


_STYLE: Final[dict[str, Any]] = {"title_justify": "left", "box": box.SIMPLE_HEAD}


def _head(simulation: Simulation) -> list[str]:
    outcome = simulation.outcome
    lines = [
        f"{name}: {policy.policy_id} {policy.version}, sha256 {policy.sha256[:16]}"
        for name, policy in (("old policy", simulation.old), ("new policy", simulation.new))
    ]
    whole = outcome.user_count == simulation.user_count
    who = "all" if whole else f"{outcome.user_count:,} (drawn at random; counts are of these only) of"
    lines.append(
        f"population: {simulation.population}: {who} {simulation.user_count:,} users, "
        f"{simulation.product_count:,} products, at {explanation.to_json(simulation.now)}, "
        f"channel {simulation.channel}"
    )
    if simulation.judge == "definition":
        lines.append("judged by the definition itself")
    else:
        lines.append(
            f"judged by the gate; {simulation.checked_pairs:,} pairs, {simulation.checked_changed_pairs:,} "
            "of them with other reason codes under the new policy, judged again by the definition under both "
            "policies: 0 differences"
        )
    lines.append("both policies are taken to be in effect: rules are compared, not periods")
    findings = (f"the new policy can never become active: {finding}" for finding in simulation.new_findings)
    return [*lines, *findings]


def _table(title: str, changes: Sequence[Change]) -> Table:
    table = Table(title=title, **_STYLE)
    table.add_column("")
    for heading in ("eligible, old", "eligible, new", "gained", "lost"):
        table.add_column(heading, justify="right")
    table.add_column("the new policy")
    for change in changes:
        table.add_row(
            change.name,
            f"{change.eligible_old:,}",
            f"{change.eligible_new:,}",
            f"+{change.gained:,}" if change.gained else "0",
            f"-{change.lost:,}" if change.lost else "0",
            change.direction,
        )
    return table


def _codes(title: str, changes: Sequence[CodeChange]) -> Table:
    table = Table(title=title, **_STYLE)
    table.add_column("code")
    table.add_column("pairs", justify="right")
    table.add_column("it alone", justify="right")
    for change in changes:
        table.add_row(change.code, f"{change.pair_count:,}", f"{change.alone_count:,}")
    if not changes:
        table.add_row("none", "0", "0")
    return table


def _value(value: object) -> str:
    if value is None:
        return "null"
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _all_changes(outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups = [outcome["kinds"], outcome["levels"], outcome["issuers"], *outcome["segments"].values()]
    return [outcome["total"], *(change for group in groups for change in group)]


def _draw(simulation: Simulation, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    outcome = simulation.outcome
    lost = {change.code: change.pair_count for change in outcome.lost_codes}
    gained = {change.code: change.pair_count for change in outcome.gained_codes}
    codes = [(code, gained.get(code, 0), lost.get(code, 0)) for code in (lost | gained)]
    segments = [
        (f"{name}: {change.name}", change.gained, change.lost)
        for name, changes in outcome.segments.items()
        for change in changes
    ]
    panels = {
        "by reason code": codes,
        "by level of the product": [(each.name, each.gained, each.lost) for each in outcome.levels],
        "for whom (financial products)": segments,
        "by issuer": [(each.name, each.gained, each.lost) for each in outcome.issuers],
    }
    figure, axes = plt.subplots(2, 2, figsize=(15, 11))
    for panel, (title, rows) in zip(axes.flat, panels.items(), strict=True):
        _draw_panel(panel, title, rows)
    figure.suptitle(
        f"{simulation.old.version} to {simulation.new.version}: {describe_verdict(outcome)}\n"
        f"{outcome.user_count:,} users, {simulation.product_count:,} products, {simulation.now:%Y-%m-%d}",
        size=12,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_panel(panel: Any, title: str, rows: Sequence[tuple[str, int, int]]) -> None:
    """Draws one bar to the left for pairs lost and one to the right for pairs gained, first row on top."""
    shown = [row for row in rows if row[1] or row[2]]
    names = [name for name, _, _ in shown]
    panel.barh(names, [-lost for _, _, lost in shown], color=_LOST_COLOUR, label="lost")
    panel.barh(names, [gained for _, gained, _ in shown], color=_GAINED_COLOUR, label="gained")
    panel.invert_yaxis()
    panel.axvline(0, color="black", linewidth=0.8)
    panel.xaxis.set_major_formatter(lambda value, _: f"{abs(value):,.0f}")
    panel.set(title=title, xlabel="pairs of user and product")
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3, axis="x")
    if shown:
        panel.legend(fontsize=8)
    else:
        panel.text(0.5, 0.5, "no change", transform=panel.transAxes, ha="center")
        panel.set_yticks([])
