"""Dashboard and alert rules ask for nothing that the server does not tell."""

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prudence.v1 import profile_pb2
from prudence.v1 import recommendation_pb2 as pb
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from server.processes.pages import Pages
from server.status import TABLE
from tests.server.conftest import CLOCK, Platform, start_server

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "prudence.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
# What Prometheus adds to every sample.
ADDED_LABELS = {"instance", "job"}

Samples = dict[str, set[str]]


@pytest.fixture(scope="module")
def told(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """Label names by sample, of a server that answered, refused, and sampled its own recall."""
    directory = tmp_path_factory.mktemp("dashboard")
    for path in platform.store.parent.glob(f"{platform.store.name}*"):
        shutil.copy(path, directory)  # A feedback log belongs to one store.
    store = directory / platform.store.name
    arguments = ("--bundles", str(platform.bundles), "--store", str(store), "--clock", CLOCK)
    more = (
        "--feedback-log",
        str(directory / "feedback"),
        "--metrics-port",
        "0",
        "--recall-sample-fraction",
        "1",
    )
    variants = [{"name": name, "share_bps": 5000} for name in ("control", "varied")]
    plan = {"experiments": [{"name": "variety", "salt": "salt of variety", "variants": variants}]}
    (directory / "experiments.json").write_text(json.dumps(plan), encoding="utf-8")
    more = (*more, "--experiments", str(directory / "experiments.json"))
    with start_server(directory, *arguments, *more) as server:
        found = re.search(r'"address": ?"(127[.\d]+:\d+)", "event": ?"metrics"', server.log.read_text())
        assert found is not None
        with grpc.insecure_channel(server.target) as channel:
            stub = pb_grpc.RecommendationServiceStub(channel)
            stub.Recommend(pb.RecommendRequest(user=profile_pb2.User(user_id="bold"), k=500))
            with pytest.raises(grpc.RpcError):
                stub.Recommend(pb.RecommendRequest(user=profile_pb2.User(user_id="bold"), k=0))
        samples = read_when(f"http://{found[1]}/metrics", "prudence_recall_at_k_count")
        # What a supervisor tells beside the pages of its processes.
        for family in Pages(dict, int, 2).collect():
            samples |= {sample.name: set(sample.labels) for sample in family.samples}
        yield samples
        server.stop()


def read_when(address: str, name: str) -> Samples:
    """Reads the page once it holds the sample."""
    deadline_s = time.monotonic() + 120.0
    while True:
        with urllib.request.urlopen(address, timeout=10.0) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
        samples: Samples = {}
        for family in families:
            for sample in family.samples:
                samples.setdefault(sample.name, set()).update(sample.labels)
        if name in samples:
            return samples
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def questions() -> dict[str, str]:
    """The expressions by where they are."""
    asked = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }
    for rule in ALERTS.read_text(encoding="utf-8").split("- alert: ")[1:]:
        expression = rule.partition("expr:")[2].partition("\n        for:")[0]
        asked[rule.partition("\n")[0]] = expression.replace(">-", "")
    return asked


@pytest.mark.parametrize("where", sorted(questions()))
def test_every_metric_and_label_is_there(where: str, told: Samples) -> None:
    expression = questions()[where]
    if where == "PrudenceDown":
        assert "up{" in expression
        return
    named = re.findall(r"\b((?:prudence|process)_\w+)(?:{([^}]*)})?", expression)
    assert named
    for name, matchers in named:
        assert name in told
        assert set(re.findall(r"(\w+)=~?", matchers)) <= told[name] | ADDED_LABELS
    grouped = {
        label.strip() for part in re.findall(r"by \(([^)]*)\)", expression) for label in part.split(",")
    }
    assert grouped <= set().union(*(told[name] for name, _ in named)) | ADDED_LABELS


def test_every_reason_that_is_asked_for_is_one_of_the_server_s() -> None:
    given = {row.reason for row in TABLE.values()} | {"INTERNAL"}
    asked = {
        reason
        for expression in questions().values()
        for text in re.findall(r'reason=~?"([^"]*)"', expression)
        for reason in text.split("|")
    }
    assert asked
    assert asked <= given


def test_every_panel_says_what_it_shows_and_none_lies_on_another() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places) >= 12
    assert [panel["title"] for panel in panels() if not panel["description"]] == []
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_calls_are_counted_by_how_they_ended(told: Samples) -> None:
    assert {"method", "code", "reason"} <= told["prudence_calls_total"]
    assert "code" in told["prudence_products_withheld_total"]
    assert "bundle_version" in told["prudence_answers_total"]
