"""Makes a scorer of a baseline: it learns from a data set and answers by ids."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet

from benchmarks.evaluate.baselines.observed import Baseline, FloatArray, Observed, observe
from benchmarks.evaluate.task import Task

_ROW_COUNT = 256  # Users that a baseline scores at once.


class BaselineScorer:
    """Scores by ids; a product that the baseline never saw scores lowest."""

    def __init__(self, baseline: Baseline, observed: Observed) -> None:
        """Lets the baseline learn."""
        baseline.fit(observed)
        self._baseline = baseline
        self._user_row = {user: row for row, user in enumerate(observed.user_ids)}
        self._column = {product: column for column, product in enumerate(observed.product_ids)}

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> FloatArray:
        """Returns scores, float64 [users, products]."""
        rows = np.array([self._user_row[user] for user in user_ids], np.int64)
        columns = np.array([self._column.get(product, -1) for product in product_ids], np.int64)
        scores = np.empty((len(rows), len(columns)))
        for start in range(0, len(rows), _ROW_COUNT):
            block = slice(start, start + _ROW_COUNT)
            known = self._baseline.score(rows[block])  # [block, products]
            part = known[:, columns]
            part[:, columns < 0] = known.min(axis=1, initial=0.0, keepdims=True) - 1.0
            scores[block] = part
        return scores


def observe_task(task: Task) -> Observed:
    """Reads a task's data set as a matrix; tested users are known even where they did nothing."""
    events: Any = pyarrow.parquet.read_table(
        task.data / "interactions.parquet", columns=["user_id", "product_id"], use_threads=False
    )
    names = ["id", "family", "category", "tags", "title"]
    products = pyarrow.parquet.read_table(task.data / "products.parquet", columns=names, use_threads=False)
    attributes = {record["id"]: _list_attributes(record) for record in products.to_pylist()}
    pairs = zip(events.column("user_id").to_pylist(), events.column("product_id").to_pylist(), strict=True)
    return observe(pairs, user_ids=task.users, attributes=attributes)


def _list_attributes(record: dict[str, Any]) -> set[str]:
    stated = {f"{name}:{record[name]}" for name in ("family", "category") if record[name] is not None}
    words = {f"word:{word}" for word in (record["title"] or "").lower().split()}
    return stated | words | {f"tag:{tag}" for tag in record["tags"] or ()}
