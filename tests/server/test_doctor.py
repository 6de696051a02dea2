"""The doctor: what is there is tried and compared, what is absent or wrong is said and fails."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from index import ann
from index.errors import AnnDeviceError
from server import doctor, native
from server.doctor import TINY_TOWER, TINY_WEIGHTS, Finding, examine, find_cuda_libraries
from server.encoder import Encoder
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


def test_what_is_asked_for_and_absent_fails_and_the_rest_is_still_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    monkeypatch.setattr(
        "server.encoder.onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"]
    )
    found = by_subject(list(examine("cuda", tmp_path)))
    bad = {subject for subject, finding in found.items() if not finding.good}
    assert bad == {"faiss search", "session", "selector on the GPU", "bundle", "CUDA libraries mapped"}
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
    assert "libcudart-9335f6a2.so.12.8.90 from /site/faiss_gpu.libs" in found.detail


class GpuIndex:
    """Imitates an index on the GPU, in one of the ways it may treat a selector."""

    def __init__(self, index: Any, treatment: str) -> None:
        self._index = index
        self._treatment = treatment

    def search(self, queries: np.ndarray, k: int, *, params: Any) -> Any:
        if self._treatment == "refused":
            raise RuntimeError("selectors are not supported")
        return self._index.search(queries, k, params=params if self._treatment == "applied" else None)


@pytest.mark.parametrize("treatment", ["ignored", "refused", "applied"])
def test_what_a_gpu_makes_of_a_selector_is_shown(monkeypatch: pytest.MonkeyPatch, treatment: str) -> None:
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    move = lambda _owner, _device, index: GpuIndex(index, treatment)  # noqa: E731
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", move, raising=False)
    assert ann.try_selector_on_gpu() == treatment


def test_a_selector_is_not_tried_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    with pytest.raises(AnnDeviceError, match="no GPU support"):
        ann.try_selector_on_gpu()
