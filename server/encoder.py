"""The towers and the risk model under ONNX Runtime: the only door to onnxruntime."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from index.device_matrix import DeviceMatrix
from server.errors import DeviceError, ModelOutputError, SnapshotError

RUNTIME_VERSION: Final = str(onnxruntime.__version__)

_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_DTYPES: Final = {"tensor(int64)": np.int64, "tensor(float)": np.float32}
_OUTPUT: Final = "user_vector"
_ITEM_OUTPUT: Final = "item_vector"
_BINS, _SCORE = "bins", "score"


def list_providers() -> list[str]:
    """Returns the execution providers that this onnxruntime was built with; one may still fail to load."""
    return list(onnxruntime.get_available_providers())


def copy_to_gpu(values: NDArray[np.float32]) -> tuple[int, object]:
    """Copies an array to the GPU.

    Returns:
        the address of its first value there, and what frees the memory when it goes.

    Raises:
        DeviceError: there is no GPU, or not enough of its memory.
    """
    try:
        content = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values), "cuda", 0)
    except RuntimeError as error:
        raise DeviceError(f"device cuda: {values.nbytes} bytes cannot be copied to it: {error}") from error
    return int(content.data_ptr()), content


def embed_items(tower: bytes, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Embeds products for `index update`, which finds it as an entry point of `prudence.item_encoders`.

    Row by row, so that a product's vector does not depend on what else is embedded with it.

    Args:
        tower: the proven bytes of the bundle's item_tower.onnx.
        feed: the inputs by name, each [products, ...]; a tower that has no use for one lacks it.

    Returns:
        float32 [products, embedding_dim].

    Raises:
        SnapshotError: the file is no tower of ours.
    """
    try:
        session = onnxruntime.InferenceSession(tower, _options(1), providers=[_PROVIDERS["cpu"]])
        names = [entry.name for entry in session.get_inputs()]
        count = len(next(iter(feed.values())))
        vectors = [
            session.run([_ITEM_OUTPUT], {name: feed[name][row : row + 1] for name in names})[0]
            for row in range(count)
        ]
    except Exception as error:  # onnxruntime's exceptions share no base class of their own.
        raise SnapshotError(f"item_tower.onnx: onnxruntime cannot run it: {error}") from error
    return np.concatenate(vectors)


class Encoder:
    """Embeds users. `embed` may be called by one thread at a time."""

    def __init__(self, tower: bytes, *, device: Literal["cpu", "cuda"], thread_count: int) -> None:
        """Opens the tower on the device asked for, and on no other.

        Args:
            tower: the proven bytes of the bundle's user_tower.onnx.
            device: cpu or cuda.
            thread_count: threads of one run.

        Raises:
            DeviceError: the execution provider is not there or did not load.
            SnapshotError: the file is no tower of ours.
        """
        self.provider = _PROVIDERS[device]
        available = onnxruntime.get_available_providers()
        if self.provider not in available:
            raise DeviceError(
                f"device {device}: this onnxruntime has no {self.provider}, only {', '.join(available)}"
            )
        if device == "cuda":
            # The CUDA libraries come as Python packages, where the dynamic loader does not look by itself.
            onnxruntime.preload_dlls()
        options = _options(thread_count)
        try:
            self._session = onnxruntime.InferenceSession(tower, options, providers=[self.provider])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own.
            raise SnapshotError(f"user_tower.onnx: onnxruntime cannot open it: {error}") from error
        # onnxruntime falls back to the CPU without an error when a provider does not load.
        loaded = self._session.get_providers()
        if loaded[0] != self.provider:
            raise DeviceError(f"device {device}: asked for {self.provider}, onnxruntime loaded {loaded}")
        self._dtypes = self._read_inputs()

    def embed(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Runs the tower over a batch; on the CPU row by row.

        The CPU's vector instructions round a row's last bits by its place in the batch. Row by row the answer
        never depends on who else asked, and a run of one row is cheap. On a GPU the batch is worth more.

        Args:
            feed: the inputs by name, each with the same first length; the names that the tower has.

        Returns:
            float32 [batch, embedding_dim]; a row may hold NaN, which the caller has to look for.
        """
        count = len(next(iter(feed.values())))
        if self.provider != _PROVIDERS["cpu"] or count == 1:
            return self._run(feed)
        rows = [{name: array[row : row + 1] for name, array in feed.items()} for row in range(count)]
        return np.concatenate([self._run(row) for row in rows])

    def embed_in_place(
        self, feed: Mapping[str, NDArray[Any]]
    ) -> tuple[NDArray[np.float32], DeviceMatrix | None]:
        """Does what `embed` does; on the GPU the vectors also stay where the tower wrote them.

        There a search reads them by their address. They come to the host as well, because scores are computed
        from their whole numbers.

        Returns:
            the vectors, and where they are on the GPU; None on the CPU.
        """
        if self.provider == _PROVIDERS["cpu"]:
            return self.embed(feed), None
        return self._run_in_place(feed, "cuda")

    def _run_in_place(
        self, feed: Mapping[str, NDArray[Any]], device: str
    ) -> tuple[NDArray[np.float32], DeviceMatrix]:
        binding = self._session.io_binding()
        for name, array in feed.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        binding.bind_output(_OUTPUT, device, 0)
        self._session.run_with_iobinding(binding)
        # Another library reads them on a stream of its own.
        binding.synchronize_outputs()
        content = binding.get_outputs()[0]
        vectors: NDArray[np.float32] = content.numpy()
        count, dim = vectors.shape
        return vectors, DeviceMatrix(int(content.data_ptr()), count, dim, owner=content)

    def _run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._session.run([_OUTPUT], dict(feed))[0]
        return vectors

    def check_feed(self, feed: Mapping[str, NDArray[Any]]) -> None:
        """Checks that what the features encode is what the tower takes.

        Raises:
            SnapshotError: a name or dtype differs.
        """
        given = {name: array.dtype.type for name, array in feed.items()}
        if given != self._dtypes:
            raise SnapshotError(f"user_tower.onnx takes {_show(self._dtypes)}, features give {_show(given)}")

    def _read_inputs(self) -> dict[str, Any]:
        outputs = [output.name for output in self._session.get_outputs()]
        if outputs != [_OUTPUT]:
            raise SnapshotError(f"user_tower.onnx: expected the one output {_OUTPUT}, got {outputs}")
        return {entry.name: _DTYPES.get(entry.type, entry.type) for entry in self._session.get_inputs()}


class RiskGraph:
    """Scores the bins of borrowers, in whole numbers. `score` may be called by many threads."""

    def __init__(self, graph: bytes, *, feature_count: int) -> None:
        """Opens the graph; it is small, so that it always runs on one thread of the CPU.

        Args:
            graph: the proven bytes of the bundle's risk_model.onnx.
            feature_count: how many bins a borrower has.

        Raises:
            SnapshotError: the file is no graph of ours, or takes another number of bins.
        """
        try:
            self._session = onnxruntime.InferenceSession(graph, _options(1), providers=[_PROVIDERS["cpu"]])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own.
            raise SnapshotError(f"risk_model.onnx: onnxruntime cannot open it: {error}") from error
        taken = [(entry.name, entry.type, entry.shape[1:]) for entry in self._session.get_inputs()]
        given = [(entry.name, entry.type) for entry in self._session.get_outputs()]
        expected = [(_BINS, "tensor(int64)", [feature_count])], [(_SCORE, "tensor(int64)")]
        if (taken, given) != expected:
            raise SnapshotError(f"risk_model.onnx: expected {expected}, got {(taken, given)}")

    def score(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Scores borrowers.

        Args:
            bins: int64 [borrowers, feature_count].

        Returns:
            int64 [borrowers]; a higher number is a higher risk.

        Raises:
            ModelOutputError: the graph fails, or gives another number of scores.
        """
        try:
            scores: NDArray[np.int64] = self._session.run([_SCORE], {_BINS: bins})[0]
        except Exception as error:  # As above.
            raise ModelOutputError(f"risk_model.onnx: {error}") from error
        if scores.shape != bins.shape[:1]:
            raise ModelOutputError(f"risk_model.onnx: {scores.shape} scores for {bins.shape[0]} borrowers")
        return scores


def _options(thread_count: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _show(dtypes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {getattr(kind, '__name__', kind)}" for name, kind in sorted(dtypes.items()))
