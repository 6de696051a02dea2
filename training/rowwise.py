"""Trains large tables by rows: sparse gradients, and one accumulator for each row.

AdamW keeps two moments of every weight and visits all of them in every step. Of torch's own optimizers for
sparse gradients, SparseAdam keeps the same two moments and Adagrad one of every weight; row-wise Adagrad
keeps one number for each row, and a step touches only the rows that the batch looked up.

Source: Gupta et al. 2014, Training highly multiclass classifiers, section 4; FBGEMM's EXACT_ROWWISE_ADAGRAD,
    which TorchRec uses.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn

_EPSILON: Final = 1e-8  # Keeps a row that has had no gradient finite.
ROWWISE: Final = "rowwise"  # The key that marks a group of tables.


class RowwiseAdagrad(torch.optim.AdamW):
    """Takes row-wise Adagrad steps on the groups that say so, and AdamW steps on the others.

    A group with `rowwise` true holds tables, float32 [rows, dim], whose gradients are sparse and coalesced.
    Its rows are not decayed, because that would touch all of them.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Takes one step; the gradients of tables are used up."""
        for group in self.param_groups:
            if group.get(ROWWISE):
                for table in group["params"]:
                    if table.grad is not None:
                        self._step_rows(table, group["lr"])
                        table.grad = None  # AdamW steps on what is left.
        return super().step(closure)

    def _step_rows(self, table: nn.Parameter, rate: float) -> None:
        assert table.grad is not None, "the caller checked"
        state = self.state[table]
        if not state:
            state["step"] = torch.tensor(0.0)  # AdamW looks for it when a state is loaded.
            state["square"] = table.new_zeros(len(table))  # [rows]
        state["step"] += 1
        row, value = table.grad.indices()[0], table.grad.values()  # [touched], [touched, dim]
        state["square"].index_add_(0, row, value.square().mean(dim=1))
        root = state["square"][row].sqrt() + _EPSILON
        table.index_add_(0, row, value / root[:, None], alpha=-rate)


def step_rows_plainly(table: Tensor, gradient: Tensor, square: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Defines a row-wise step for a dense gradient: the new table and accumulators; tests compare."""
    square = square + gradient.square().mean(dim=1)
    return table - rate * gradient / (square.sqrt() + _EPSILON)[:, None], square


def merge_rows(parameters: Iterable[nn.Parameter]) -> None:
    """Sums what a sparse gradient holds for the same row, in place."""
    for entry in parameters:
        if entry.grad is not None and entry.grad.is_sparse:
            entry.grad = entry.grad.coalesce()


def clip_gradients(parameters: Iterable[nn.Parameter], norm_max: float) -> None:
    """Shortens all gradients together to a norm, as `clip_grad_norm_`, which knows no sparse ones."""
    gradients = [entry.grad for entry in parameters if entry.grad is not None]
    values = [entry.values() if entry.is_sparse else entry for entry in gradients]
    if not values:
        return  # A model that is found in one step has none.
    norm = torch.nn.utils.get_total_norm(values)
    torch._foreach_mul_(values, torch.clamp(norm_max / (norm + 1e-6), max=1.0))
