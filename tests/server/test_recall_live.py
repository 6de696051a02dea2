"""A live server tells of its recall: a sound index raises no alarm, one that was spoilt does, by band."""

from pathlib import Path

import grpc
import pytest
from prudence.v1 import recommendation_pb2_grpc

from benchmarks.live_recall.spoil import spoil_index
from benchmarks.live_recall.watch import BandRecall, Page, find_address, list_alarms, parse_page, wait_for
from index.bundle import open_bundle, read_current
from server.recall_monitor import ALARM_COUNT_MIN, BANDS, RECALL_MIN
from tests.server.cases import eligible_user
from tests.server.conftest import CLOCK, Platform, start_server
from tests.server.wire import recommend, to_user

K = 10
REQUEST_COUNT = ALARM_COUNT_MIN + 5


def watch(bundles: Path, folder: Path) -> tuple[Page, list[str]]:
    """Serves with FAISS, asks for lists, and returns what the metrics page and the log say."""
    arguments = ("--retriever", "faiss", "--recall-sample-fraction", "1", "--metrics-port", "0")
    with start_server(folder, "--bundles", str(bundles), "--clock", CLOCK, *arguments) as server:
        with grpc.insecure_channel(server.target) as channel:
            stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
            for number in range(REQUEST_COUNT):
                user = to_user(f"user-{number}", eligible_user(5))
                assert len(stub.Recommend(recommend(user, K)).products) == K
        page = wait_for(find_address(server.log), REQUEST_COUNT)
        assert server.stop() == 0
        return page, list_alarms(server.log)


def test_a_sound_index_is_measured_and_raises_no_alarm(platform: Platform, tmp_path: Path) -> None:
    page, alarms = watch(platform.bundles, tmp_path)
    (band,) = page.bands
    assert (band.sample_count, page.skipped_count) == (REQUEST_COUNT, 0)
    assert band.recall_mean >= RECALL_MIN
    assert (band.alarm, alarms) == (False, [])


def test_a_spoilt_index_that_passes_every_check_raises_the_alarm(platform: Platform, tmp_path: Path) -> None:
    page, alarms = watch(spoil_index(platform.bundles, tmp_path / "bundles"), tmp_path)
    (band,) = page.bands
    assert band.sample_count == REQUEST_COUNT
    assert band.recall_mean < RECALL_MIN
    assert band.recall_running == pytest.approx(band.recall_mean)
    assert (band.alarm, alarms) == (True, [band.band])
    assert band.band in {name for _, name in BANDS}


def test_a_spoilt_bundle_differs_in_its_index_alone(platform: Platform, tmp_path: Path) -> None:
    spoil_index(platform.bundles, tmp_path)
    sound, spoilt = (open_bundle(read_current(bundles)) for bundles in (platform.bundles, tmp_path))
    changed = {name for name, entry in sound.manifest.files.items() if spoilt.manifest.files[name] != entry}
    assert changed == {"index.faiss"}


def test_the_metrics_page_is_read_by_band() -> None:
    text = """\
# HELP prudence_recall_at_k Recall of sampled answers
prudence_recall_at_k_bucket{band="10%",le="0.5"} 1.0
prudence_recall_at_k_count{band="10%"} 4.0
prudence_recall_at_k_sum{band="10%"} 3.0
prudence_recall_running{band="10%"} 0.5
prudence_recall_alarm{band="10%"} 1.0
prudence_recall_samples_skipped_total{reason="nothing_eligible"} 2.0
prudence_recall_samples_skipped_total{reason="queue_full"} 3.0
prudence_recall_samples_skipped_created{reason="queue_full"} 1.7e9
"""
    assert parse_page(text) == Page((BandRecall("10%", 4, 0.75, 0.5, True),), 5)
    assert parse_page(text).taken_count == 9
    assert parse_page("") == Page((), 0)
