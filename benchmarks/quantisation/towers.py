"""The user tower in every form that is compared: as export stores it, and as ONNX Runtime converts it."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.precision import PRECISIONS, narrow_tower

CALIBRATION_COUNT: Final = 512
_WEIGHTED: Final = ["Gather", "Gemm", "MatMul"]

Inputs = Mapping[str, NDArray[Any]]


def list_towers(graph: bytes, inputs: Inputs) -> dict[str, bytes]:
    """Converts a float32 tower into every form, by name; the first is the tower itself.

    Args:
        graph: as export writes it.
        inputs: users, by name; the first CALIBRATION_COUNT calibrate the static form.
    """
    towers = {precision: narrow_tower(graph, precision) for precision in PRECISIONS}
    with _without_warnings():
        return towers | {
            "fp16, whole graph": _convert_fp16(graph),
            "int8, dynamic": _convert_dynamic(graph),
            "int8, static": _convert_static(graph, inputs),
        }


def _convert_fp16(graph: bytes) -> bytes:
    converted = convert_float_to_float16(_read(graph), keep_io_types=True)
    content: bytes = converted.SerializeToString()
    return content


def _convert_dynamic(graph: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tower.onnx"
        quantize_dynamic(_read(graph), path, weight_type=QuantType.QInt8, op_types_to_quantize=_WEIGHTED)
        return path.read_bytes()


def _convert_static(graph: bytes, inputs: Inputs) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tower.onnx"
        quantize_static(
            _read(graph),
            path,
            _Rows(inputs),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=_WEIGHTED,
        )
        return path.read_bytes()


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    """Hands users to the calibration one by one."""

    def __init__(self, inputs: Inputs) -> None:
        count = min(CALIBRATION_COUNT, len(next(iter(inputs.values()))))
        self._rows = iter(
            [{name: value[row : row + 1] for name, value in inputs.items()} for row in range(count)]
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Returns the next user, None after the last."""
        return next(self._rows, None)


def _read(graph: bytes) -> onnx.ModelProto:
    model = onnx.load_from_string(graph)
    # The tools transpose the weights of a Gemm and leave their noted shapes, which then contradict them.
    del model.graph.value_info[:]
    return model


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps the tools from advising a pre-processing step that changes nothing here."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
