"""The doctor: what is there is tried and compared, what is absent or wrong is said and fails."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from structlog.testing import capture_logs

from index import ann, ann_gpu
from index.errors import AnnDeviceError
from server import doctor, native
from server.app import tell_of_gpu
from server.doctor import TINY_TOWER, TINY_WEIGHTS, Finding, examine, find_cuda_libraries
from server.encoder import Encoder
from tests.index.gpu_stand_in import gpu  # noqa: F401 - a fixture.
from tests.server.conftest import run_command

MAPS = """\
7f0000000000-7f0000001000 r-xp 00000000 08:01 11 /usr/lib/x86_64-linux-gnu/libcuda.so.570.133.20
7f0000001000-7f0000002000 r--p 00000000 08:01 12 /site/nvidia/cublas/lib/libcublasLt.so.12
7f0000002000-7f0000003000 r-xp 00000000 08:01 12 /site/nvidia/cublas/lib/libcublasLt.so.12
7f0000003000-7f0000004000 r-xp 00000000 08:01 13 /site/faiss_gpu.libs/libcudart-9335f6a2.so.12.8.90
7f0000004000-7f0000005000 r-xp 00000000 08:01 14 /site/nvidia/cudnn/lib/libcudnn_ops.so.9
7f0000005000-7f0000006000 r-xp 00000000 08:01 15 /usr/lib/x86_64-linux-gnu/libcurl.so.4.8.0
7f0000006000-7f0000007000 rw-p 00000000 00:00 0
7f0000007000-7f0000008000 rw-p 00000000 00:00 0 [heap]
"""


DRIVER = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.133.20  Tue Mar 18 19:13:40 UTC 2025
GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)
"""


def by_subject(findings: Sequence[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_the_command_tries_everything_and_the_bundle_and_succeeds(tiny_bundles: Path) -> None:
    done = run_command("doctor", "--bundles", str(tiny_bundles))
    assert done.returncode == 0, done.stderr
    lines = dict(line.removeprefix("ok").strip().split(": ", 1) for line in done.stdout.splitlines()[:-1])
    assert done.stdout.splitlines()[-1] == "all is well"
    assert lines["onnxruntime"].startswith("1.")
    assert "CPUExecutionProvider" in lines["onnxruntime"]
    assert lines["faiss"].startswith(f"{ann.FAISS_VERSION} from faiss-")
    assert lines["numpy"] == np.__version__
    assert lines["kernel"] == f"{native.scan_path()}; available: {', '.join(native.available_paths())}"
    assert lines["kernel scan"].endswith("as defined on every available path")
    assert lines["faiss search"] == "IndexIVFFlat on cpu, as defined"
    assert lines["session"] == "CPUExecutionProvider, as defined"
    assert "golden requests as recorded" in lines["bundle"]
    assert re.search(r"index\.faiss: \d+ kB mapped, 0 kB of it not shared", lines["bundle"])
    assert lines["CUDA libraries mapped"] == "none"


def test_what_is_asked_for_and_absent_fails_and_the_rest_is_still_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    for name in ("DRIVER_PATH", "CONTROL_PATH"):
        monkeypatch.setattr(doctor, name, tmp_path / "absent")
    monkeypatch.setattr(
        "server.encoder.onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"]
    )
    found = by_subject(list(examine("cuda", tmp_path)))
    bad = {subject for subject, finding in found.items() if not finding.good}
    assert bad == {
        "GPU",
        "faiss search",
        "session",
        "search in place",
        "selector on the GPU",
        "bundle",
        "CUDA libraries mapped",
    }
    assert found["GPU"].detail == "none: NVIDIA's driver is not loaded"
    assert "CUDAExecutionProvider" in found["session"].detail
    assert "install faiss-gpu" in found["faiss search"].detail
    assert "CURRENT" in found["bundle"].detail
    assert found["kernel scan"].good


def test_the_command_fails_with_a_line_for_what_is_bad(tmp_path: Path) -> None:
    done = run_command("doctor", "--bundles", str(tmp_path))
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("BAD")] == [
        "BAD  bundle"
    ]
    assert done.stdout.splitlines()[-1] == "bad: 1"


def worsen(run: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *arguments, **named: change(run(*arguments, **named))


@pytest.mark.parametrize("path", ["portable", "sse2"])
def test_a_scan_that_differs_on_one_path_is_named(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    scan = native.scan

    def differ(*arguments: Any, **named: Any) -> Any:
        rows, scores = scan(*arguments, **named)
        return (rows, scores + 1) if named["path"] == path else (rows, scores)

    monkeypatch.setattr(native, "scan", differ)
    found = by_subject(list(examine("cpu", None)))["kernel scan"]
    assert found == Finding("kernel scan", f"differs from the definition: {path}", good=False)


def test_a_search_and_a_session_that_answer_wrongly_are_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    index_type = ann.AnnIndex
    monkeypatch.setattr(index_type, "search", worsen(index_type.search, lambda rows: rows[:, ::-1] // 2))
    monkeypatch.setattr(Encoder, "embed", worsen(Encoder.embed, lambda vectors: vectors * 1.001))
    found = by_subject(list(examine("cpu", None)))
    for subject in ("faiss search", "session"):
        assert not found[subject].good
        assert found[subject].detail.endswith("differs from the definition")


def test_a_library_that_is_not_installed_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "server.encoder", None)
    found = by_subject(list(examine("cpu", None)))
    assert not found["onnxruntime"].good
    assert not found["session"].good
    assert found["faiss search"].good


def test_two_packages_of_one_module_are_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"faiss": ["faiss-gpu", "faiss-cpu"], "onnxruntime": ["onnxruntime-gpu"]}
    monkeypatch.setattr(doctor.metadata, "packages_distributions", lambda: owners)
    found = by_subject(list(examine("cpu", None)))
    assert not found["faiss"].good
    assert found["faiss"].detail.endswith("from faiss-cpu and faiss-gpu")
    assert found["onnxruntime"].good


def test_the_tiny_tower_is_what_onnx_writes() -> None:
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in ("x", "user_vector")
    ]
    weights = numpy_helper.from_array(np.array(TINY_WEIGHTS, np.float32), "weights")
    product = helper.make_node("MatMul", ["x", "weights"], ["user_vector"])
    graph = helper.make_graph([product], "doctor", sides[:1], sides[1:], [weights])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    assert model.SerializeToString() == TINY_TOWER


def test_cuda_libraries_are_read_from_what_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [path.name for path in find_cuda_libraries(MAPS)]
    assert sorted(names) == [
        "libcublasLt.so.12",
        "libcuda.so.570.133.20",
        "libcudart-9335f6a2.so.12.8.90",
        "libcudnn_ops.so.9",
    ]
    maps = tmp_path / "maps"
    maps.write_text(MAPS)
    monkeypatch.setattr(doctor, "MAPS_PATH", maps)
    found = by_subject(list(examine("cpu", None)))["CUDA libraries mapped"]
    assert found.good
    assert found.detail.startswith("CUDA runtime 12.8.90; ")
    assert "libcudart-9335f6a2.so.12.8.90 from /site/faiss_gpu.libs" in found.detail


def test_two_cuda_runtimes_in_one_process_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = tmp_path / "maps"
    maps.write_text(
        MAPS + "7f0000009000-7f000000a000 r-xp 00000000 08:01 19 /site/nvidia/cu13/lib/libcudart.so.13\n"
    )
    monkeypatch.setattr(doctor, "MAPS_PATH", maps)
    found = by_subject(list(examine("cuda", None)))["CUDA libraries mapped"]
    assert found.detail.startswith("CUDA runtime 12.8.90 and 13; ")


@pytest.mark.parametrize(
    ("driver", "control", "device", "expected"),
    [
        (DRIVER, True, "cuda", (True, "NVIDIA's driver 570.133.20")),
        (DRIVER, True, "cpu", (True, "NVIDIA's driver 570.133.20")),
        (None, True, "cuda", (True, "NVIDIA's driver of unknown version")),
        (None, False, "cuda", (False, "none: NVIDIA's driver is not loaded")),
        (None, False, "cpu", (True, "none: NVIDIA's driver is not loaded")),
    ],
)
def test_the_driver_is_named_or_its_absence_is(
    driver: str | None,
    control: bool,
    device: Any,
    expected: tuple[bool, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in (("DRIVER_PATH", driver), ("CONTROL_PATH", "" if control else None)):
        monkeypatch.setattr(doctor, name, tmp_path / name)
        if text is not None:
            (tmp_path / name).write_text(text)
    found = by_subject(list(examine(device, None)))["GPU"]
    assert (found.good, found.detail) == expected


def test_memory_of_a_mapped_file_is_summed_over_its_parts() -> None:
    smaps = """\
7f0000000000-7f0000001000 r--s 00000000 08:01 11 /bundles/one/index.faiss
Rss:                 100 kB
Anonymous:             0 kB
VmFlags: rd mr me ms
7f0000001000-7f0000002000 r--p 00000000 08:01 11 /bundles/one/index.faiss
Rss:                  20 kB
Anonymous:             8 kB
7f0000002000-7f0000003000 rw-p 00000000 00:00 0
Rss:                  50 kB
Anonymous:            50 kB
"""
    assert doctor.measure_mapping(smaps, "index.faiss") == (120, 8)
    assert doctor.measure_mapping("", "index.faiss") == (0, 0)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("sound", [True, False])
def test_a_search_in_place_is_compared_with_the_definition(
    monkeypatch: pytest.MonkeyPatch, sound: bool
) -> None:
    kept: list[Any] = []

    def keep(values: np.ndarray) -> tuple[int, object]:
        kept.append(values)
        return values.ctypes.data, values

    def open_on_the_cpu(tower: bytes, *, device: str, thread_count: int) -> Encoder:
        encoder = Encoder(tower, device="cpu", thread_count=thread_count)
        run = encoder._run_in_place
        assert device == "cuda"
        named = {"x": np.zeros((2, 2), np.float32)}
        encoder.embed_in_place = lambda feed: run(feed if sound else named, "cpu")  # type: ignore[method-assign]
        return encoder

    monkeypatch.setattr("server.encoder.copy_to_gpu", keep)
    monkeypatch.setattr("server.encoder.Encoder", open_on_the_cpu)
    assert doctor._try_in_place() == (
        sound,
        "GpuMatrix, as defined" if sound else "GpuMatrix, differs from the definition",
    )


class GpuIndex:
    """Imitates an index on the GPU, in one of the ways it may treat a selector."""

    def __init__(self, index: Any, treatment: str) -> None:
        self._index = index
        self._treatment = treatment

    def search(self, queries: np.ndarray, k: int, *, params: Any) -> Any:
        if self._treatment == "refused":
            raise RuntimeError("selectors are not supported")
        return self._index.search(queries, k, params=params if self._treatment == "applied" else None)


def imitate_gpu(monkeypatch: pytest.MonkeyPatch, treatment: str) -> None:
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    move = lambda _owner, _device, index: GpuIndex(index, treatment)  # noqa: E731
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", move, raising=False)


@pytest.mark.parametrize("treatment", ["ignored", "refused", "applied"])
def test_what_a_gpu_makes_of_a_selector_is_shown(monkeypatch: pytest.MonkeyPatch, treatment: str) -> None:
    imitate_gpu(monkeypatch, treatment)
    assert ann_gpu.try_selector_on_gpu() == treatment


@pytest.mark.parametrize("treatment", ["ignored", "refused", "applied"])
def test_a_server_logs_at_its_start_what_a_gpu_makes_of_a_selector(
    monkeypatch: pytest.MonkeyPatch, treatment: str
) -> None:
    imitate_gpu(monkeypatch, treatment)
    with capture_logs() as lines:
        tell_of_gpu()
    assert lines == [{"event": "gpu", "selector": treatment, "log_level": "info"}]


def test_a_selector_is_not_tried_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    with pytest.raises(AnnDeviceError, match="no GPU support"):
        ann_gpu.try_selector_on_gpu()
