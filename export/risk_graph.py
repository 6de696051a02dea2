"""Writes risk models as ONNX graphs over bins, in whole numbers throughout.

Converters keep a model's thresholds and its features as float32, so that values near a threshold fall on the
other side, silently. These graphs see no threshold of a feature: they take bins, which are whole numbers, and
give the raw score, which is one too. Calibration stays beside them, as data.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.graph import OPSET, check_graph
from index.risk_model import Scorecard
from training.risk.trees import Trees

INPUT: Final = "bins"
OUTPUT: Final = "score"
_IR_VERSION: Final = 10


def write_points_graph(model: Scorecard) -> bytes:
    """Writes a sum of points: bins, int64 [batch, features], become a score, int64 [batch]."""
    starts = [0, *accumulate(len(row) for row in model.points)][:-1]
    constants = {
        "starts": np.array(starts, np.int64),
        "points": np.array([one for row in model.points for one in row], np.int64),
        "base": np.array([model.base_points], np.int64),
        "features_axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Add", [INPUT, "starts"], ["places"]),
        helper.make_node("Gather", ["points", "places"], ["parts"]),
        helper.make_node("ReduceSum", ["parts", "features_axis"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "base"], [OUTPUT]),
    ]
    return _make_graph(nodes, constants, feature_count=len(model.features))


def write_trees_graph(trees: Trees, *, feature_count: int) -> bytes:
    """Writes trees: all are walked at once, one question a step, as many steps as the deepest needs."""
    constants = {
        **{name: getattr(trees, name) for name in ("feature", "threshold", "left", "right", "value", "base")},
        "root_row": trees.roots[None, :],
        "tree_count": np.array([len(trees.roots)], np.int64),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Shape", [INPUT], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["batch_count"]),
        helper.make_node("Concat", ["batch_count", "tree_count"], ["walk_shape"], axis=0),
        helper.make_node("Expand", ["root_row", "walk_shape"], ["node_0"]),
    ]
    depth = trees.measure_depth()
    for step in range(depth):
        nodes += _make_step(step)
    nodes += [
        helper.make_node("Gather", ["value", f"node_{depth}"], ["values"]),
        helper.make_node("ReduceSum", ["values", "one"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "base"], [OUTPUT]),
    ]
    return _make_graph(nodes, constants, feature_count=feature_count)


def _make_step(step: int) -> list[NodeProto]:
    """Makes the nodes that lead from `node_<step>`, int64 [batch, trees], to the next."""
    here = f"node_{step}"
    names = {name: f"{name}_{step}" for name in ("feature", "threshold", "left", "right")}
    return [
        *(helper.make_node("Gather", [name, here], [found]) for name, found in names.items()),
        helper.make_node("GatherElements", [INPUT, names["feature"]], [f"asked_{step}"], axis=1),
        helper.make_node("LessOrEqual", [f"asked_{step}", names["threshold"]], [f"goes_left_{step}"]),
        helper.make_node("Where", [f"goes_left_{step}", names["left"], names["right"]], [f"node_{step + 1}"]),
    ]


def _make_graph(
    nodes: Sequence[NodeProto], constants: Mapping[str, NDArray[np.int64]], *, feature_count: int
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "risk",
        [helper.make_tensor_value_info(INPUT, TensorProto.INT64, ["batch", feature_count])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.INT64, ["batch"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION
    )
    content: bytes = model.SerializeToString()
    check_graph(content, [INPUT], OUTPUT)
    return content
