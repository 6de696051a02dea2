"""Writes a tower as one self-contained ONNX graph with named inputs and a dynamic batch."""

import logging
import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from export.errors import ExportGraphError

OPSET: Final = 20
_EXAMPLE_COUNT: Final = 3  # Any number but 0 and 1, which the exporter would take for constants.


def write_graph(tower: nn.Module, inputs: Mapping[str, NDArray[Any]], *, output: str) -> bytes:
    """Exports a tower.

    Args:
        tower: the module, in evaluation mode.
        inputs: example inputs by name, in the tower's order, each [n > 0, ...].
        output: the name of the output.

    Returns:
        The bytes of the model; weights are inside.

    Raises:
        ExportGraphError: the graph has external data, custom operators or other inputs than named.
    """
    example = {
        name: torch.from_numpy(np.resize(value, (_EXAMPLE_COUNT, *value.shape[1:])))
        for name, value in inputs.items()
    }
    batch = torch.export.Dim("batch", min=1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter's own deprecations are not ours to act on.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            tower.eval(),
            tuple(example.values()),
            dynamo=True,
            input_names=list(example),
            output_names=[output],
            dynamic_shapes=tuple({0: batch} for _ in example),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None, "the dynamo exporter returns a program"
    content: bytes = program.model_proto.SerializeToString()
    check_graph(content, list(inputs), output)
    return content


def check_graph(content: bytes, names: list[str], output: str) -> None:
    """Checks that a graph is whole and standard.

    Raises:
        ExportGraphError: it has external data, custom operators or other inputs or outputs than named.
    """
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    found = [entry.name for entry in model.graph.input]
    if found != names or [entry.name for entry in model.graph.output] != [output]:
        raise ExportGraphError(f"expected inputs {names} and output {output}, got {found}")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise ExportGraphError("expected all weights inside the graph, found external data")
    domains = {node.domain for node in model.graph.node} | {entry.domain for entry in model.functions}
    if not domains <= {"", "ai.onnx"}:
        raise ExportGraphError(f"expected standard operators only, found the domains {sorted(domains)}")
