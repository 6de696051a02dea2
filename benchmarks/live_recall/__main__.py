"""Shows the live recall monitor at work: `python -m benchmarks.live_recall`.

Serves the bundle of the demonstration twice with FAISS, as it is and with a spoilt index, measures every
answer, and reports what the metrics page says of recall and whether the alarm sounds.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.dataset import DataSet, read_dataset
from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.live_recall.spoil import spoil_index
from benchmarks.live_recall.watch import Page, find_address, list_alarms, wait_for
from benchmarks.machine import describe_machine
from benchmarks.messages import make_recommend, make_user
from benchmarks.pipeline import DEFAULT_POLICY, FAR_TRANS_POLICY, Artifacts
from benchmarks.serving import ServerPlan, open_stub, run_server
from index.errors import IndexPackageError

WIDTH = 110
K = 10
RISK_SCORE_LIMITS = (None, 6000, 3000, 1000)
OPTIONS = ("--retriever", "faiss", "--recall-sample-fraction", "1", "--metrics-port", "0")
_CALL_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Watched:
    """What a server said of one index.

    Attributes:
        index: "sound" or "spoilt".
        request_count: answers, each of which was a sample.
        page: its metrics at the end.
        alarms: bands whose alarm is in the log.
    """

    index: str
    request_count: int
    page: Page
    alarms: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the show; returns 0, or 1 with a message on stderr, also if the alarm was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_recall", description=__doc__)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts/simulated"))
    parser.add_argument("--out", type=Path, default=Path("artifacts/live-recall"))
    parser.add_argument("--users", type=int, default=100, help="users who ask, each with every risk limit")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        watched = _run(options, console)
    except (BenchmarkError, IndexPackageError, grpc.RpcError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    sound, spoilt = watched
    return 0 if not sound.alarms and spoilt.alarms else 1


def _run(options: argparse.Namespace, console: Console) -> list[Watched]:
    artifacts = Artifacts(options.artifacts.resolve())
    if not artifacts.bundles.is_dir():
        raise BenchmarkInputError(f"no bundle under {options.artifacts}; run make demo first")
    dataset = read_dataset(artifacts.data)
    user_ids = sorted(dataset.profiles)[: options.users]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        watched = [
            watch(index, bundles, dataset, user_ids, options.out / f"{index}.log")
            for index, bundles in (
                ("sound", artifacts.bundles),
                ("spoilt", spoil_index(artifacts.bundles, Path(folder))),
            )
        ]
    machine = describe_machine()
    console.print(machine.line, markup=False, soft_wrap=True)
    console.print(make_table(watched))
    body = {"machine": asdict(machine), "watched": [asdict(each) for each in watched]}
    (options.out / "live-recall.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return watched


def watch(index: str, bundles: Path, dataset: DataSet, user_ids: Sequence[str], log: Path) -> Watched:
    """Serves a bundle with FAISS, asks for every user within every risk limit, and reads what is measured."""
    plan = ServerPlan(
        bundles=bundles,
        policy=FAR_TRANS_POLICY if dataset.source["name"] == "far-trans" else DEFAULT_POLICY,
        clock=dataset.source["clock"],
        allow_assumed=any(dataset.source["assumed"].values()),
        options=OPTIONS,
    )
    request_count = 0
    with run_server(plan, log) as server, open_stub(server.target) as stub:
        address = find_address(log)
        for user_id in user_ids:
            user = make_user(user_id, dataset.profiles[user_id], dataset.history(user_id))
            for limit in RISK_SCORE_LIMITS:
                request = make_recommend(user, domain="financial", k=K, risk_score_limit=limit)
                stub.Recommend(request, timeout=_CALL_TIMEOUT_S)
                request_count += 1
            # The queue of samples is short; what does not fit into it is not measured.
            page = wait_for(address, request_count)
    return Watched(index, request_count, page, tuple(list_alarms(log)))


def make_table(watched: Sequence[Watched]) -> Table:
    """Tabulates what the servers said."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Recall@{K} of live answers, as the metrics page has it",
        title_justify="left",
        caption="spoilt: most vectors in another order; every check of the bundle passes",
        caption_justify="left",
    )
    for heading in ("index", "eligible, at most", "samples", "recall", "latest", "alarm"):
        table.add_column(heading, justify="left" if heading in {"index", "alarm"} else "right")
    for each in watched:
        for band in each.page.bands:
            figures = (f"{band.sample_count}", f"{band.recall_mean:.4f}", f"{band.recall_running:.4f}")
            table.add_row(each.index, band.band, *figures, "on" if band.alarm else "off")
        table.add_row(each.index, "not measured", f"{each.page.skipped_count}", "", "", "")
    return table


if __name__ == "__main__":
    sys.exit(main())
