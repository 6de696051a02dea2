"""Columns in which a few rows hold patched products: these alone are compiled, the others are copied."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.columns import PRODUCT_DTYPE, Columns, compile_columns
from suitability.policy import Policy

# Numbers that mean something within one catalogue only; no patch changes what they stand for.
_NUMBERED: Final = frozenset({"issuer", "dup_group"})


def patch_columns(
    columns: Columns, rows: NDArray[np.int64], products: Sequence[Mapping[str, Any]], policy: Policy
) -> Columns:
    """Returns columns with other products in some rows.

    Args:
        columns: the catalogue's; they stay as they are.
        rows: int64 [n], distinct.
        products: what stands there now, [n]. Issuer, family, scale, sets, horizon and assumed fields are
            those that stood there before.
        policy: the policy that the columns were compiled under.
    """
    part = compile_columns(products, policy)
    records = columns.records.copy()
    for name in PRODUCT_DTYPE.names or ():
        if name not in _NUMBERED:
            records[name][rows] = part.records[name]
    records.setflags(write=False)
    return replace(
        columns,
        records=records,
        rated=_put(columns.rated, rows, part.rated),
        needed_limit=_put(columns.needed_limit, rows, part.needed_limit),
        levels=_put(columns.levels, rows, part.levels),
        risk_scores=_put(columns.risk_scores, rows, part.risk_scores),
    )


def _put(values: NDArray[Any], rows: NDArray[np.int64], changed: NDArray[Any]) -> NDArray[Any]:
    put = values.copy()
    put[rows] = changed
    return put
