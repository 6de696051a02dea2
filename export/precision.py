"""Stores the embeddings of a tower in fewer bits; its arithmetic, inputs and outputs stay float32.

A table of embeddings is most of a tower. Its rows are looked up first and widened then, so that only the
narrow table is kept in memory, and the rest of the graph computes as before: an answer depends neither on the
batch nor on the device. ONNX Runtime's own converters change the arithmetic too, and lose more:
`python -m benchmarks.quantisation` compares them with this.
"""

from collections.abc import Iterator
from typing import Final, Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from export.errors import ExportPrecisionError
from index.reference import INT8_LIMIT

Precision = Literal["float32", "fp16", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

# A smaller table saves less than the operators beside it cost, and a narrow one holds no embeddings.
_VALUE_COUNT_MIN: Final = 256
_DIM_MIN: Final = 4


def narrow_tower(graph: bytes, precision: Precision) -> bytes:
    """Stores the tower's tables of embeddings in a precision.

    fp16 rounds each value; int8 rounds each row to 127 steps of its own largest value.

    Args:
        graph: a tower as `write_graph` wrote it.
        precision: float32 leaves the tower as it is.

    Raises:
        ExportPrecisionError: the tower has no table of embeddings in float32.
    """
    if precision == "float32":
        return graph
    model = onnx.load_from_string(graph)
    lookups = list(_list_lookups(model.graph))
    if not lookups:
        kinds = sorted({TensorProto.DataType.Name(each.data_type) for each in model.graph.initializer})
        raise ExportPrecisionError(
            f"user tower in {precision}: expected a table of embeddings in FLOAT, found none, only weights "
            f"in {', '.join(kinds)}; the model mf folds users in with DOUBLE, so leave --tower float32"
        )
    for node, table in lookups:
        values = numpy_helper.to_array(table)
        if precision == "fp16":
            with np.errstate(over="ignore"):  # Parity refuses a value that becomes infinite.
                nodes = _widen_fp16(model.graph, node, values.astype(np.float16))
        else:
            nodes = _widen_int8(model.graph, node, values)
        place = list(model.graph.node).index(node)
        model.graph.node.remove(node)
        for offset, each in enumerate(nodes):
            model.graph.node.insert(place + offset, each)
    _drop_unused(model.graph)
    content: bytes = model.SerializeToString()
    return content


def _list_lookups(graph: GraphProto) -> Iterator[tuple[NodeProto, TensorProto]]:
    """Yields every lookup of rows in a large float32 table, with the table."""
    tables = {each.name: each for each in graph.initializer if each.data_type == TensorProto.FLOAT}
    for node in graph.node:
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
        if table is None or axis != 0 or len(table.dims) != 2:
            continue
        row_count, dim = table.dims
        if dim >= _DIM_MIN and row_count * dim >= _VALUE_COUNT_MIN:
            yield node, table


def _widen_fp16(graph: GraphProto, node: NodeProto, values: NDArray[np.float16]) -> list[NodeProto]:
    table = _store(graph, f"{node.input[0]}.fp16", values)
    return [_look_up(node, table, "rows"), _cast(node, f"{node.name}_rows", node.output[0])]


def _widen_int8(graph: GraphProto, node: NodeProto, values: NDArray[np.float32]) -> list[NodeProto]:
    largest = np.abs(values).max(axis=1, keepdims=True)  # [rows, 1]
    step = np.where(largest > 0, largest / INT8_LIMIT, 1.0).astype(np.float32)
    table = _store(graph, f"{node.input[0]}.int8", np.rint(values / step).astype(np.int8))
    steps = _store(graph, f"{node.input[0]}.step", step)
    name = node.name
    return [
        _look_up(node, table, "rows"),
        _look_up(node, steps, "steps"),
        _cast(node, f"{name}_rows", f"{name}_wide"),
        helper.make_node("Mul", [f"{name}_wide", f"{name}_steps"], [node.output[0]], name=f"{name}_mul"),
    ]


def _store(graph: GraphProto, name: str, values: NDArray[np.generic]) -> str:
    """Adds a table under a name, once; returns the name."""
    if all(each.name != name for each in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _look_up(node: NodeProto, table: str, what: str) -> NodeProto:
    name = f"{node.name}_{what}"
    return helper.make_node("Gather", [table, node.input[1]], [name], name=name)


def _cast(node: NodeProto, source: str, target: str) -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{node.name}_cast", to=TensorProto.FLOAT)


def _drop_unused(graph: GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for table in [each for each in graph.initializer if each.name not in used]:
        graph.initializer.remove(table)
