"""The catalogue log is compacted: it says the same afterwards, and the files prove each other."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from server.catalogue import kept, state
from server.catalogue.audit import Audit, audit
from server.catalogue.state import FILE_NAME, CatalogueState
from server.chain_lines import write_line
from server.chained_log import ChainedLog, archive_path, list_archives
from server.errors import CatalogueLogError, CatalogueStateError
from tests.server.conftest import run_command

TIME = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def small_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "COMPACT_BYTES_MIN", 2000)
    monkeypatch.setattr(state, "COMPACT_GROWTH", 2)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[CatalogueState]:
    with CatalogueState(tmp_path) as found:
        yield found


def patch(catalogue: CatalogueState, number: int, count: int = 1) -> None:
    """Accepts changes of a few products, one after the other."""
    for each in range(number, number + count):
        fields = {"capacity_left": each, "sale_end": TIME + timedelta(hours=each)}
        catalogue.accept(
            catalogue.propose(
                TIME + timedelta(seconds=each),
                {f"p{each % 3}": fields},
                idempotency_key=f"key {each}",
                request_hash="ab",
                verdicts="[]",
            )
        )


def describe(catalogue: CatalogueState) -> Any:
    found = [catalogue.find_accepted(f"key {number}") for number in range(50)]
    return catalogue.patches, found, catalogue.chain.count


def test_a_log_that_has_grown_begins_anew_and_says_the_same(tmp_path: Path) -> None:
    with CatalogueState(tmp_path) as catalogue:
        patch(catalogue, 0, 40)
        before = describe(catalogue)
    assert before[0].sequence == 40
    assert len(list_archives(tmp_path / FILE_NAME)) >= 1
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert (tmp_path / FILE_NAME).stat().st_size < written / 2
    with CatalogueState(tmp_path) as catalogue:
        assert describe(catalogue) == before
        patch(catalogue, 40, 3)
        assert catalogue.patches.sequence == 43


def test_the_files_prove_each_other(tmp_path: Path) -> None:
    with CatalogueState(tmp_path) as catalogue:
        patch(catalogue, 0, 60)
    files = len(list(tmp_path.iterdir()))
    assert files > 2
    assert audit(tmp_path) == Audit(file_count=files, sequence=60, proven_from=0, product_count=3)
    oldest, *_ = list_archives(tmp_path / FILE_NAME)
    held = int(oldest.stem[-12:])
    oldest.unlink()
    assert audit(tmp_path) == Audit(files - 1, 60, held, 3)
    done = run_command("verify-catalogue", str(tmp_path))
    assert f"catalogue sequence 60, 3 products; proven from sequence {held} on" in done.stdout


def test_a_snapshot_that_says_something_else_is_found(tmp_path: Path) -> None:
    with CatalogueState(tmp_path) as catalogue:
        patch(catalogue, 0, 20)
    first = (tmp_path / FILE_NAME).read_bytes().splitlines(keepends=True)[0]
    fields = json.loads(first)
    changed = fields["snapshot"].replace('"capacity_left":[', '"capacity_left":[9')
    assert changed != fields["snapshot"]
    line = write_line(fields["sequence"], {"snapshot": changed}, fields["previous_sha256"])
    (tmp_path / FILE_NAME).write_bytes(line)
    with pytest.raises(CatalogueStateError, match="says something else than the records before it"):
        audit(tmp_path)
    done = run_command("verify-catalogue", str(tmp_path))
    assert (done.returncode, "says something else" in done.stderr) == (1, True)


def test_a_file_missing_in_the_middle_is_found(tmp_path: Path) -> None:
    with CatalogueState(tmp_path) as catalogue:
        patch(catalogue, 0, 90)
    archives = list_archives(tmp_path / FILE_NAME)
    assert len(archives) > 1
    archives[-1].unlink()
    with pytest.raises(CatalogueStateError, match="goes on after sequence"):
        audit(tmp_path)


def test_a_crash_before_the_new_file_took_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    catalogue = CatalogueState(tmp_path)
    patch(catalogue, 0, 2)
    before = describe(catalogue)
    with monkeypatch.context() as crashed:
        crashed.setattr(Path, "replace", crash)
        with pytest.raises(Crash):
            catalogue.compact()
    catalogue.close()
    assert archive_path(tmp_path / FILE_NAME, 2).exists()
    with CatalogueState(tmp_path) as catalogue:
        assert describe(catalogue) == before
        assert list_archives(tmp_path / FILE_NAME) == [], "a second name of the log itself is no archive"
        patch(catalogue, 2, 40)
    assert audit(tmp_path).sequence == 42


def test_a_disk_that_refuses_to_compact_loses_no_patch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", fail)
    with structlog.testing.capture_logs() as logs, CatalogueState(tmp_path) as catalogue:
        patch(catalogue, 0, 30)
    assert 1 <= sum(line["event"] == "catalogue_not_compacted" for line in logs) < 10
    assert "No space left on device" in logs[0]["problem"]
    with CatalogueState(tmp_path) as again:
        assert again.patches == catalogue.patches


def test_a_compacted_log_is_held_by_one_server(opened: CatalogueState, tmp_path: Path) -> None:
    patch(opened, 0, 30)
    assert list_archives(tmp_path / FILE_NAME)
    with pytest.raises(CatalogueStateError, match="held by another server"):
        CatalogueState(tmp_path)


def test_a_snapshot_in_the_middle_and_one_that_is_none_stop_the_server(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with ChainedLog(tmp_path, state.LOG_KIND) as log:
        log.append({"snapshot": "{}"})
        log.append({"snapshot": "{}"})
    with pytest.raises(CatalogueStateError, match="line 2: expected the keys"):
        CatalogueState(tmp_path)
    path.unlink()
    with ChainedLog(tmp_path, state.LOG_KIND) as log:
        log.append({"snapshot": "{}"})
    with pytest.raises(CatalogueStateError, match="line 1 is no patch"):
        CatalogueState(tmp_path)


def test_answers_that_are_long_together_are_forgotten_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEY_CHARACTERS_MAX", 25)
    found = kept.Kept()
    for number in range(4):
        texts = kept.write_record(
            TIME, {}, idempotency_key=f"key {number}", request_hash="", verdicts="0123456789"
        )
        found.follow(texts)
    assert [found.find(f"key {number}") is not None for number in range(4)] == [False, False, True, True]
    assert kept.Kept.read(found.write(), 4).write() == found.write()


def test_nothing_is_compacted_into_a_file_that_no_restart_would_read(
    opened: CatalogueState, tmp_path: Path
) -> None:
    patch(opened, 0)
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(CatalogueLogError, match="is gone"):
        opened.compact()


def test_a_compaction_that_fails_leaves_no_proof_of_what_was_not_done(
    opened: CatalogueState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    patch(opened, 0, 3)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", refuse)
        with pytest.raises(CatalogueLogError, match="cannot be compacted"):
            opened.compact()
    assert list_archives(tmp_path / FILE_NAME) == []
    patch(opened, 3)
    opened.compact()
    assert audit(tmp_path).sequence == 4


def test_a_snapshot_that_is_nested_without_end_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(write_line(1, {"snapshot": "[" * 100_000}, "0" * 64))
    with pytest.raises(CatalogueStateError, match=FILE_NAME):
        audit(tmp_path)
