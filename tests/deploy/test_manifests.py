"""What is deployed fits together: settings that load, probes on their port, names that are there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.config import Settings, load_settings
from server.identity.callers import read_callers
from server.identity.roles import SERVICE_ROLES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
KINDS = {
    "deployment.yaml": ("apps/v1", "Deployment"),
    "service.yaml": ("v1", "Service"),
    "disruption.yaml": ("policy/v1", "PodDisruptionBudget"),
    "network.yaml": ("networking.k8s.io/v1", "NetworkPolicy"),
}
END_MARGIN_S = 10


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pod() -> Any:
    return read("deployment.yaml")["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod: Any) -> Any:
    (only,) = pod["spec"]["containers"]
    return only


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(["--config", str(FOLDER / "settings.json")])


def seconds_of_pre_stop(container: Any) -> int:
    program, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    return int(seconds)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_object_is_of_its_kind_and_chooses_the_pods(name: str, pod: Any) -> None:
    found = read(name)
    assert (found["apiVersion"], found["kind"]) == KINDS[name]
    spec = found["spec"]
    chosen = spec.get("selector") or spec["podSelector"]
    labels = chosen.get("matchLabels", chosen)
    assert labels
    assert labels.items() <= pod["metadata"]["labels"].items()


def test_the_kustomization_names_every_file_and_no_other() -> None:
    found = read("kustomization.yaml")
    (generated,) = found["configMapGenerator"]
    named = {*found["resources"], *generated["files"], "kustomization.yaml"}
    assert named == {path.name for path in FOLDER.iterdir()}
    assert set(found["resources"]) == set(KINDS)


def test_the_settings_load_and_name_what_is_mounted(settings: Settings, container: Any) -> None:
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    paths = [
        value
        for value in settings.model_dump().values()
        if isinstance(value, Path)
        if value != settings.config
    ]
    outside = [
        path
        for path in paths
        if not any(path.is_relative_to(mount) for mount in mounts) and path.is_absolute()
    ]
    assert len(paths) >= 8
    assert outside == []
    assert container["args"] == ["--config", "/etc/prudence/settings.json"]


def test_every_mount_has_its_volume_and_the_other_way_round(pod: Any) -> None:
    containers = [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]
    mounted = {mount["name"] for each in containers for mount in each["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_probes_ask_for_health_on_the_port_that_answers_it(container: Any, settings: Settings) -> None:
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[kind]["grpc"]
        assert asked["port"] == settings.probe_port
        assert asked.get("service", "prudence.v1.RecommendationService") in SERVICE_ROLES
    # Alive is not ready: a pod that is only not ready must not be started again.
    assert "service" not in container["livenessProbe"]["grpc"]


def test_ports_are_those_of_the_settings_and_administration_is_not_reached(
    container: Any, settings: Settings
) -> None:
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"grpc": settings.port, "probe": settings.probe_port, "metrics": settings.metrics_port}
    assert settings.admin_port not in ports.values()
    assert not settings.serves_admin_to_callers
    reached = [each["port"] for rule in read("network.yaml")["spec"]["ingress"] for each in rule["ports"]]
    assert set(reached) <= set(ports)
    assert {each["targetPort"] for each in read("service.yaml")["spec"]["ports"]} <= set(ports)


def test_a_pod_has_time_to_drain(pod: Any, container: Any, settings: Settings) -> None:
    needed_s = seconds_of_pre_stop(container) + settings.drain_delay_s + settings.grace_s + END_MARGIN_S
    assert pod["spec"]["terminationGracePeriodSeconds"] >= needed_s


def test_nothing_in_the_pod_may_more_than_it_needs(pod: Any) -> None:
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False
    for each in (*pod["spec"]["containers"], *pod["spec"]["initContainers"]):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= each["resources"]["requests"].keys()
        assert "memory" in each["resources"]["limits"]


def test_callers_connect_with_certificates(settings: Settings) -> None:
    assert None not in (settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    assert not settings.allow_plaintext
    known = read_callers(FOLDER / "callers.json")
    assert len(known) == 4


def test_the_example_of_publishers_trusts_nobody_yet() -> None:
    assert json.loads((FOLDER / "publishers.json").read_bytes())["keys"] == []
