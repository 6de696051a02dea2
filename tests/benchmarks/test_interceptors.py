"""The benchmark of the door: every variant is answered over TLS, and a share is a share."""

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.interceptors.measure import Overhead, measure, serve_variants
from benchmarks.interceptors.report import MORE_MAX, Report, write_report
from benchmarks.interceptors.served import VARIANTS
from benchmarks.machine import describe_machine
from benchmarks.messages import make_recommend, make_user
from server.config import Settings


@pytest.mark.parametrize(("more", "holds"), [(MORE_MAX, True), (MORE_MAX + 0.001, False)])
def test_the_verdict_is_about_all_of_the_door(tmp_path: Path, more: float, holds: bool) -> None:
    overheads = (
        Overhead("metrics", 1, 3, 100.0, 9.0, 8.0, 10.0),
        Overhead("all", 1, 3, 100.0, more, 0.0, 1.0),
    )
    report = Report(describe_machine(), "b", overheads)
    write_report(report, tmp_path, Console(quiet=True))
    assert report.holds is holds
    assert ("reached" in (tmp_path / "interceptors.txt").read_text()) is holds
    assert (tmp_path / "interceptors.png").stat().st_size > 1000


def test_every_variant_answers_the_same_requests_over_tls(tiny_bundles: Path, tmp_path: Path) -> None:
    request = make_recommend(make_user("nobody"), domain="both", k=1).SerializeToString()
    with serve_variants(Settings(bundles=tiny_bundles, allow_unsigned=True), tmp_path) as channels:
        found = measure(channels, [request], caller_count=2, call_count=4, round_count=2, seed=1)
    assert [each.variant for each in found] == list(VARIANTS)
    assert all(each.cpu_us > 0 for each in found)
    assert found[0].more == 0.0
    # Nothing but the last variant accounts for its calls: 3 blocks, each with 2 questions after CPU time.
    assert len((tmp_path / "access.jsonl").read_text().splitlines()) == 3 * (4 + 2)
