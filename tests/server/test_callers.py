"""The callers' file, roles by method, quotas and the access log."""

import errno
import importlib
import json
import os
import pkgutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from prudence import v1

from server.errors import AccessLogError, CallersFileError, CallerUnknownError, QuotaError
from server.identity import callers
from server.identity.access_log import Access, AccessLog
from server.identity.callers import Caller, Callers, read_callers
from server.identity.quotas import Quotas
from server.identity.roles import Role, find_roles

FEED = {"name": "spiffe://platform/feed", "roles": ["caller"]}


def write(path: Path, *entries: dict[str, Any], **changes: Any) -> Path:
    body = {"schema": "prudence-callers/1", "callers": list(entries)} | changes
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def test_a_caller_is_read_with_all_that_the_file_says(tmp_path: Path) -> None:
    entry = FEED | {"roles": ["caller", "auditor"], "channel": "web", "calls_per_s": 2.5, "burst": 9}
    found = read_callers(write(tmp_path / "c.json", entry))
    roles = frozenset({Role.CALLER, Role.AUDITOR})
    assert dict(found) == {FEED["name"]: Caller("spiffe://platform/feed", roles, "web", 2.5, 9)}


def test_without_a_burst_a_second_s_calls_may_come_at_once(tmp_path: Path) -> None:
    found = read_callers(write(tmp_path / "c.json", FEED | {"calls_per_s": 7.9}))
    assert next(iter(found.values())).burst == 7


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (FEED | {"roles": ["root"]}, "callers.0.roles"),
        (FEED | {"roles": []}, "callers.0.roles"),
        (FEED | {"name": ""}, "callers.0.name"),
        ({"roles": ["caller"]}, "callers.0.name"),
        (FEED | {"calls_per_s": 0}, "callers.0.calls_per_s"),
        (FEED | {"calls_per_s": "nan"}, "callers.0.calls_per_s"),
        (FEED | {"burst": 3}, "burst is given without calls_per_s"),
        (FEED | {"may": "everything"}, "callers.0.may"),
    ],
)
def test_a_wrong_entry_is_refused_and_named(entry: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(CallersFileError, match=named):
        read_callers(write(tmp_path / "c.json", entry))


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallersFileError, match="there twice"):
        read_callers(write(tmp_path / "c.json", FEED, FEED | {"roles": ["admin"]}))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": "prudence-callers/1"}', '{"a": 1, "a": 2}'])
def test_a_file_that_is_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CallersFileError):
        read_callers(path)


def test_a_schema_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallersFileError, match="schema"):
        read_callers(write(tmp_path / "c.json", FEED, schema="prudence-callers/2"))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallersFileError, match="cannot be read"):
        Callers(tmp_path / "absent.json")


def test_a_caller_is_found_by_any_name_but_by_no_more_than_one_entry(tmp_path: Path) -> None:
    other = FEED | {"name": "other"}
    known = Callers(write(tmp_path / "c.json", FEED, other))
    assert known.find(["127.0.0.1", "other"]).name == "other"
    with pytest.raises(CallerUnknownError, match="no known caller"):
        known.find(["nobody"])
    with pytest.raises(CallerUnknownError, match="no known caller"):
        known.find([])
    with pytest.raises(CallerUnknownError, match="several"):
        known.find(["other", "spiffe://platform/feed"])


def test_a_changed_file_counts_and_a_spoilt_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "LOOK_INTERVAL_S", 0.0)
    path = write(tmp_path / "c.json", FEED)
    known = Callers(path)
    replace(path, tmp_path, FEED | {"name": "new"})
    assert known.find(["new"]).name == "new"
    with pytest.raises(CallerUnknownError):
        known.find(["spiffe://platform/feed"])
    path.write_text("{", encoding="utf-8")
    assert known.find(["new"]).name == "new"
    path.unlink()
    assert known.find(["new"]).name == "new"
    write(path, FEED)
    assert known.find(["spiffe://platform/feed"]).name == "spiffe://platform/feed"


def test_a_change_that_could_not_be_read_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever it shuts out would otherwise stay in until the next change."""
    monkeypatch.setattr(callers, "LOOK_INTERVAL_S", 0.0)
    path = write(tmp_path / "c.json", FEED)
    known = Callers(path)
    replace(path, tmp_path, FEED | {"name": "new"})
    with monkeypatch.context() as broken, structlog.testing.capture_logs() as logs:
        broken.setattr(callers, "FILE_BYTES_MAX", 1)
        for _ in range(3):
            assert known.find(["spiffe://platform/feed"]).name == "spiffe://platform/feed"
    assert len(logs) == 1
    with pytest.raises(CallerUnknownError):
        known.find(["spiffe://platform/feed"])


def replace(path: Path, directory: Path, *entries: dict[str, Any]) -> None:
    os.replace(write(directory / "draft.json", *entries), path)  # noqa: PTH105 - the one step is the point.


def test_every_method_of_ours_asks_for_a_role() -> None:
    modules = [
        importlib.import_module(f"prudence.v1.{module.name}")
        for module in pkgutil.iter_modules(v1.__path__)
        if module.name.endswith("_pb2")
    ]
    methods = [
        f"/{service.full_name}/{method.name}"
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert len(methods) >= 9
    assert [method for method in methods if not find_roles(method)] == []


def test_a_method_that_nobody_thought_of_is_refused_to_everybody() -> None:
    assert find_roles("/prudence.v1.NewService/Anything") == frozenset()
    assert find_roles("") == frozenset()


def test_only_admins_change_rules() -> None:
    assert find_roles("/prudence.v1.AdminService/SetOverlay") == {Role.ADMIN}
    assert find_roles("/prudence.v1.AdminService/ActivatePolicy") == {Role.ADMIN}


class Seconds:
    """A clock that stands until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_quota_lets_a_burst_through_and_then_its_rate() -> None:
    clock = Seconds()
    quotas, caller = Quotas(clock), Caller("a", frozenset(Role), calls_per_s=2.0, burst=3)
    for _ in range(3):
        quotas.take(caller)
    with pytest.raises(QuotaError, match="more than 2 calls a second"):
        quotas.take(caller)
    clock.now += 0.5
    quotas.take(caller)
    with pytest.raises(QuotaError):
        quotas.take(caller)
    clock.now += 3600.0
    for _ in range(3):
        quotas.take(caller)
    with pytest.raises(QuotaError):
        quotas.take(caller)


def test_one_caller_s_calls_are_not_another_s() -> None:
    quotas = Quotas(Seconds())
    first, second = (Caller(name, frozenset(Role), calls_per_s=1.0) for name in "ab")
    quotas.take(first)
    quotas.take(second)
    with pytest.raises(QuotaError):
        quotas.take(first)


def test_a_caller_without_a_quota_is_never_refused() -> None:
    quotas = Quotas(Seconds())
    for _ in range(1000):
        quotas.take(Caller("a", frozenset(Role)))


def access(method: str) -> Access:
    return Access(
        datetime(2026, 1, 2, tzinfo=UTC), "feed", "ipv4:1.2.3.4:5", method, "an-id", "OK", "", 0.0123456
    )


def test_the_access_log_holds_a_line_for_every_call(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl")
    threads = [threading.Thread(target=lambda n=n: log.write(access(f"/m/{n}"))) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().splitlines()]
    assert sorted(line["method"] for line in lines) == sorted(f"/m/{n}" for n in range(50))
    assert lines[0] | {"method": ""} == {
        "time": "2026-01-02T00:00:00+00:00",
        "caller": "feed",
        "peer": "ipv4:1.2.3.4:5",
        "method": "",
        "request_id": "an-id",
        "code": "OK",
        "reason": "",
        "elapsed_us": 12346,
    }


def test_the_access_log_goes_on_in_a_new_file_once_the_old_one_was_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    log = AccessLog(path)
    log.write(access("/m/1"))
    log.flush()
    path.rename(tmp_path / "access.jsonl.1")
    log.write(access("/m/2"))
    log.close()
    assert '"/m/1"' in (tmp_path / "access.jsonl.1").read_text()
    assert '"/m/2"' in path.read_text()


def test_an_access_log_outlives_a_folder_that_is_gone_for_a_while(tmp_path: Path) -> None:
    """Its thread would otherwise end, and calls wait for it for good."""
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(folder / "access.jsonl")
    folder.rename(tmp_path / "away")
    log.write(access("/m/lost"))
    log.flush()
    folder.mkdir()
    log.write(access("/m/1"))
    log.close()
    assert '"/m/1"' in (folder / "access.jsonl").read_text()


def test_every_line_is_json_whatever_a_name_holds(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "access.jsonl")
    names = ['"', "\\", "\n{}", "汉字", "\x00\x7f", "\ud800"]
    for name in names:
        log.write(access(name)._replace(caller=name, peer=name, request_id=name))
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "access.jsonl").read_text().split("\n")[:-1]]
    assert [(line["caller"], line["peer"], line["method"], line["request_id"]) for line in lines] == [
        (name,) * 4 for name in names
    ]


def test_a_line_that_a_full_disk_cut_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, room = AccessLog(tmp_path / "access.jsonl"), [300]

    def write(descriptor: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real_write(descriptor, data[: room[0]])
        room[0] -= count
        return count

    real_write = os.write
    with structlog.testing.capture_logs() as logs:
        monkeypatch.setattr(os, "write", write)
        for _ in range(5):
            log.write(access("feed"))
        log.flush()
        monkeypatch.undo()
        log.write(access("feed"))
        log.close()
    assert [line["event"] for line in logs] == ["access_log_not_written"]
    whole, cut, after = (tmp_path / "access.jsonl").read_text().splitlines()
    assert json.loads(whole)["caller"] == json.loads(after)["caller"] == "feed"
    assert after.startswith(cut[:100])


def test_an_access_log_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(AccessLogError, match="cannot be opened"):
        AccessLog(tmp_path / "absent" / "access.jsonl")
