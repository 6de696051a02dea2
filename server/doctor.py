"""Looks at what a server would run with: versions, devices and libraries, each tried against its definition.

Libraries are imported where they are tried, so that one which is absent is a finding like any other.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import numpy as np

from index import reference
from index.manifest import INDEX
from server import native

Device = Literal["cpu", "cuda"]

MAPS_PATH: Final = Path("/proc/self/maps")
"""Where Linux lists the files that this process has mapped."""
SMAPS_PATH: Final = Path("/proc/self/smaps")
"""The same, with the memory that each takes."""
DRIVER_PATH: Final = Path("/proc/driver/nvidia/version")
"""Where NVIDIA's driver says which it is."""
CONTROL_PATH: Final = Path("/dev/nvidiactl")
"""What it gives to programs; some containers show no more of it."""

TINY_TOWER: Final = bytes.fromhex(
    "08083a7e0a210a01780a0777656967687473120b757365725f766563746f7222064d61744d756c1206646f63746f72"
    "2a210802080210014207776569676874734a100000803f0000004000004040000080c05a110a0178120c0a0a080112"
    "060a000a020802621b0a0b757365725f766563746f72120c0a0a080112060a000a02080242040a001011"
)
"""The smallest model of a tower's form: user_vector = x @ TINY_WEIGHTS. Written with onnx.helper, IR version
8 and opset 17; tests/server/test_doctor.py writes it again and compares."""
TINY_WEIGHTS: Final = ((1.0, 2.0), (3.0, -4.0))

_SEED: Final = 20261122
_ROW_COUNT: Final = 1003  # No multiple of a vector register's width.
_DIM: Final = 64
_CUDA_LIBRARY: Final = re.compile(
    r"/lib(cuda|cudart|cublas|cublasLt|cudnn\w*|cufft|curand|cusolver|cusparse|cuvs|nvrtc|nvJitLink|nccl)"
    r"(-[0-9a-f]+)?\.so[.\d]*$"
)
_CUDA_RUNTIME: Final = re.compile(r"libcudart(-[0-9a-f]+)?\.so\.([.\d]+)$")
_DRIVER_VERSION: Final = re.compile(r"Kernel Module.*?\s(\d+(\.\d+)+)\s")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found; it is not good where something asked for is absent or answers wrongly."""

    subject: str
    detail: str
    good: bool


def examine(device: Device, bundles: Path | None, keys: Path | None = None) -> Iterator[Finding]:
    """Yields each finding as it is made: a library that ends the process leaves those before it.

    Args:
        device: where tower and index would run.
        bundles: folder of bundles of which the current one is tried; None for none.
        keys: file of the publishers' keys, of which one must have signed it; None where nobody asks.
    """
    looks: dict[str, Callable[[], tuple[bool, str]]] = {
        "GPU": lambda: _look_at_gpu(device),
        "numpy": lambda: (True, np.__version__),
        "onnxruntime": _look_at_runtime,
        "faiss": _look_at_faiss,
        "kernel": lambda: (True, f"{native.scan_path()}; available: {', '.join(native.available_paths())}"),
        "kernel scan": _try_scan,
        "faiss search": lambda: _try_search(device),
        "session": lambda: _try_session(device),
    }
    if device == "cuda":
        looks["search in place"] = _try_in_place
        looks["selector on the GPU"] = _try_selector
    if bundles is not None:
        looks["bundle"] = lambda: _try_bundle(bundles, device, keys)
    # Last, because libraries are mapped when they are first needed.
    looks["CUDA libraries mapped"] = lambda: _look_at_libraries(device)
    for subject, look in looks.items():
        yield _make(subject, look)


def find_cuda_libraries(maps: str) -> list[Path]:
    """Returns the CUDA libraries in a listing of mapped files, each once."""
    entries = [line.split(maxsplit=5) for line in maps.splitlines()]
    paths = {fields[5] for fields in entries if len(fields) == 6}
    return sorted(Path(path) for path in paths if _CUDA_LIBRARY.search(path))


def _make(subject: str, look: Callable[[], tuple[bool, str]]) -> Finding:
    try:
        good, detail = look()
    except Exception as error:  # noqa: BLE001 - whatever a library raises is what was to be found.
        return Finding(subject, f"{type(error).__name__}: {error}", good=False)
    return Finding(subject, detail, good)


def measure_mapping(smaps: str, name: str) -> tuple[int, int]:
    """Returns the kilobytes of a mapped file that are in memory, and those that are this process's own."""
    resident, own, inside = 0, 0, False
    for line in smaps.splitlines():
        field, *rest = line.split()
        if not field.endswith(":"):
            inside = line.endswith(f"/{name}")
        elif inside and field == "Rss:":
            resident += int(rest[0])
        elif inside and field == "Anonymous:":
            own += int(rest[0])
    return resident, own


def _look_at_gpu(device: Device) -> tuple[bool, str]:
    """Says which driver is loaded; without one nothing can run on a GPU, whatever is installed."""
    text = DRIVER_PATH.read_text(encoding="utf-8") if DRIVER_PATH.is_file() else ""
    if not text and not CONTROL_PATH.exists():
        return device == "cpu", "none: NVIDIA's driver is not loaded"
    found = _DRIVER_VERSION.search(text)
    return True, f"NVIDIA's driver {found[1] if found else 'of unknown version'}"


def _look_at_runtime() -> tuple[bool, str]:
    from server.encoder import RUNTIME_VERSION, list_providers

    good, origin = _describe_origin("onnxruntime")
    return good, f"{RUNTIME_VERSION} {origin}; providers: {', '.join(list_providers())}"


def _look_at_faiss() -> tuple[bool, str]:
    from index import ann

    good, origin = _describe_origin("faiss")
    return good, f"{ann.FAISS_VERSION} {origin}"


def _describe_origin(module: str) -> tuple[bool, str]:
    """Says which package a module is from. Of two, the later has overwritten part of the earlier."""
    names = sorted(set(metadata.packages_distributions().get(module, ())))
    return len(names) <= 1, f"from {' and '.join(names) or 'no package'}"


def _try_scan() -> tuple[bool, str]:
    """Compares every path of the scan that this machine has with the definition."""
    random = np.random.default_rng(_SEED)
    users, items = (random.integers(-127, 128, (count, _DIM)).astype(np.int8) for count in (3, _ROW_COUNT))
    starts, stops = np.array([0, 1, 500], np.int64), np.array([_ROW_COUNT, 700, 501], np.int64)
    bitmap = np.packbits(random.random(_ROW_COUNT) < 0.3, bitorder="little")
    expected = reference.scan(users, items, starts, stops, [None, bitmap, None], 100)
    wrong = []
    for path in native.available_paths():
        found = native.scan(users, items, starts, stops, [None, bitmap, None], count=100, path=path)
        if not all(np.array_equal(*pair) for pair in zip(found, expected, strict=True)):
            wrong.append(path)
    if wrong:
        return False, f"differs from the definition: {', '.join(wrong)}"
    return True, f"{_ROW_COUNT} rows, as defined on every available path"


def _try_search(device: Device) -> tuple[bool, str]:
    """Searches an inverted file with all of its lists, whose answer is that of an exact search."""
    from index import ann

    random = np.random.default_rng(_SEED)
    items, users = (random.integers(-9, 10, (count, _DIM)).astype(np.float32) for count in (_ROW_COUNT, 3))
    index = ann.load_index(ann.build_index(items, "ivf_flat"), device=device)
    scores = users @ items[:900].T  # [3, 900]; small integers, so float32 is exact.
    best = np.sort(scores, axis=1)[:, :-11:-1]
    rows = index.search(users, 10, 0, 900)
    kept = np.take_along_axis(scores, np.clip(rows, 0, 899), axis=1)
    good = bool((rows >= 0).all()) and np.array_equal(np.sort(kept, axis=1)[:, ::-1], best)
    return good, f"{index.kind} on {device}, {'as defined' if good else 'differs from the definition'}"


def _try_session(device: Device) -> tuple[bool, str]:
    from server.encoder import Encoder

    encoder = Encoder(TINY_TOWER, device=device, thread_count=1)
    given = np.array([[5.0, 7.0], [-1.0, 0.5]], np.float32)
    good = np.array_equal(encoder.embed({"x": given}), given @ np.array(TINY_WEIGHTS, np.float32))
    return good, f"{encoder.provider}, {'as defined' if good else 'differs from the definition'}"


def _try_in_place() -> tuple[bool, str]:
    """Searches the tower's vectors where the GPU has them, as a server does."""
    from index import ann_gpu
    from index.device_matrix import DeviceMatrix
    from server.encoder import Encoder, copy_to_gpu

    items = np.random.default_rng(_SEED).integers(-9, 10, (_ROW_COUNT, 2)).astype(np.float32)
    pointer, owner = copy_to_gpu(items)
    index = ann_gpu.search_matrix(DeviceMatrix(pointer, len(items), items.shape[1], owner))
    given = np.array([[5.0, 7.0], [-1.0, 0.5]], np.float32)
    users, on_device = Encoder(TINY_TOWER, device="cuda", thread_count=1).embed_in_place({"x": given})
    # Nothing of these zeros may reach the search.
    rows = index.search(np.zeros_like(users), 10, 0, 900, on_device=on_device)
    scores = given @ np.array(TINY_WEIGHTS, np.float32) @ items[:900].T  # [2, 900]; exact, as they are small.
    kept = np.take_along_axis(scores, np.clip(rows, 0, 899), axis=1)
    good = bool((rows >= 0).all()) and np.array_equal(np.sort(kept), np.sort(scores)[:, -10:])
    return good, f"{index.kind}, {'as defined' if good else 'differs from the definition'}"


def _try_selector() -> tuple[bool, str]:
    from index import ann_gpu

    return True, f"{ann_gpu.try_selector_on_gpu()}; searches on the GPU use none"


def _try_bundle(bundles: Path, device: Device, keys: Path | None) -> tuple[bool, str]:
    """Opens the current bundle as a server does and runs its golden requests."""
    from server.snapshot import load_fit_policy, load_publishers, open_snapshot, warm_up

    snapshot = open_snapshot(
        bundles,
        load_fit_policy(None),
        device=device,
        thread_count=1,
        retriever="auto",
        allow_assumed=True,
        keys=load_publishers(keys),
    )
    warm_up(snapshot)
    golden_count = len(snapshot.bundle.golden.requests)
    resident, own = measure_mapping(SMAPS_PATH.read_text(encoding="utf-8"), INDEX)
    return True, (
        f"{snapshot.version}: {golden_count} golden requests as recorded; {snapshot.retriever.name}; "
        f"{INDEX}: {resident:,} kB mapped, {own:,} kB of it not shared with other servers"
    )


def _look_at_libraries(device: Device) -> tuple[bool, str]:
    paths = find_cuda_libraries(MAPS_PATH.read_text(encoding="utf-8"))
    if not paths:
        return device == "cpu", "none"
    packages = _find_packages()
    listed = ", ".join(f"{path.name} from {packages.get(path, path.parent)}" for path in paths)
    runtimes = sorted({found[2] for path in paths if (found := _CUDA_RUNTIME.search(path.name))})
    return True, f"CUDA runtime {' and '.join(runtimes) or 'none'}; {listed}"


def _find_packages() -> dict[Path, str]:
    """Returns for each file of NVIDIA's packages the package and its version."""
    return {
        Path(str(distribution.locate_file(file))).resolve(): f"{distribution.name} {distribution.version}"
        for distribution in metadata.distributions()
        if distribution.name.startswith("nvidia-")
        for file in distribution.files or ()
        if ".so" in file.name
    }
