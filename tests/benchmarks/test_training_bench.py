"""The benchmark of training: drawn data, commands in their own process, an epoch over shards, the report."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.errors import StageFailedError
from benchmarks.machine import Machine
from benchmarks.training.__main__ import main
from benchmarks.training.child import run_child
from benchmarks.training.drawing import EVENTS_PER_USER, PRODUCT_COUNT, draw_data
from benchmarks.training.epochs import EpochCost
from benchmarks.training.report import Report, write_report
from benchmarks.training.streaming import StreamCost, read_epoch
from benchmarks.training.vocabulary import OPTIMIZERS, TableCost, time_steps
from training.examples import encode_examples, read_learning_data
from training.sharding import write_shards


def test_drawn_data_is_a_data_set_in_order_of_time(tmp_path: Path) -> None:
    draw_data(tmp_path / "data", 1009)
    data = read_learning_data(tmp_path / "data")
    assert len(data.interactions.item_row) == 1009
    assert len(data.user_ids) <= 1009 // EVENTS_PER_USER
    assert len(data.products) == PRODUCT_COUNT
    assert data.interactions.item_count == PRODUCT_COUNT


def test_an_epoch_over_shards_reads_what_the_data_holds(tmp_path: Path) -> None:
    draw_data(tmp_path / "data", 601)
    whole = read_learning_data(tmp_path / "data")
    write_shards(tmp_path / "data", event_count=211, force=False)
    found = read_epoch(tmp_path / "data", 1)
    assert found["shard_count"] == 3
    assert found["target_count"] == encode_examples(whole, whole.interactions).target_count


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_on_a_table_are_timed(optimizer: str) -> None:
    assert time_steps(optimizer, 101) > 0.0


def test_a_command_is_run_and_its_memory_seen() -> None:
    outcome = run_child(["-c", "block = bytearray(80_000_000); print('{\"length\": %d}' % len(block))"])
    assert outcome.read() == {"length": 80_000_000}
    assert 0 < outcome.cpu_seconds < 60
    assert outcome.peak_mib >= 76  # 80 MB of zeros that were written.
    with pytest.raises(StageFailedError, match="exit code 3: so it is"):
        run_child(["-c", "import sys; sys.stderr.write('so it is'); sys.exit(3)"])
    with pytest.raises(StageFailedError, match="exit code -9"):
        run_child(["-c", "import time; time.sleep(60)"], timeout_s=0.2)


def test_the_report_tells_every_figure(tmp_path: Path) -> None:
    machine = Machine("a processor", 2, 24, "Linux", "3.11", "abc", "2026-11-22")
    epoch = EpochCost(
        "simulated", "2 threads", 1_078_538, 358_123, 31.25, 11_460.0, 7.1234, 52.0, 97.0, 1_234
    )
    table = TableCost("adamw", 1_000_000, 321.5, 1_765)
    stream = StreamCost(10_000_000, 7_462_904, 5, 140, 53.0, 644, 212.0, 1_206)
    console = Console(file=io.StringIO(), width=130)
    write_report(Report(machine, "2.13", [epoch], [table], [stream]), tmp_path, "named", console)
    text = (tmp_path / "named.txt").read_text()
    for figure in ("358,123", "31.2", "11,460", "7.1234", " 97 ", "321.5", "1,765", "7,462,904", "1,206"):
        assert figure in text
    assert json.loads((tmp_path / "named.json").read_text())["epochs"][0]["seconds"] == 31.25
    assert (tmp_path / "named.png").stat().st_size > 1000


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed"]) == 1
    assert "got 'speed'" in capsys.readouterr().err
