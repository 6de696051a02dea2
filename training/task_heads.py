"""Task heads: one for each type of event that has a value of its own, over two towers that they share.

The form is shared-bottom multi-task learning (Caruana 1997; Ma et al. 2018, Modeling task relationships with
multi-gate mixture-of-experts, section 3.1) with heads so small that serving stays one inner product. Head h
scores a user u and a product v by a scale for each component and a popularity of its own:

    score_h(u, v) = sum_d u_d a_hd v_d + b_h(v)

In training each head has its own softmax over the products. Every target counts 1 in every head, and the
value w_h more in the heads of the types among its events. A head of its own type alone would give no chance
to what never has that type, and through the mean to a whole domain: on the simulated platform, where courses
are never purchased, that took .034 of nDCG@10. What is served is the heads' mean, weighted by value:

    sum_h w_h score_h(u, v) = sum_d u_d (sum_h w_h a_hd) v_d + sum_h w_h b_h(v)

The vector that this multiplies u with does not depend on the user: it is the product's vector. Of the heads'
propensities, exp(score_h), the score is the weighted geometric mean; their weighted sum, the expected value,
would be no inner product.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from index.features import EVENT_TYPES

_OTHER_VALUE = 1.0
"""Types that are not named share one head of this value."""


class TaskHeads(nn.Module):
    """Holds the heads' scales; a wide vector is a product's vector, then one popularity for each head."""

    def __init__(self, values: Mapping[str, float], dim: int) -> None:
        """Makes heads that all score alike.

        Args:
            values: what each named type of event is worth.
            dim: number of components, popularity apart.
        """
        super().__init__()
        value = torch.tensor([*values.values(), _OTHER_VALUE])
        self.share: Tensor
        self.register_buffer("share", value / value.sum(), persistent=False)  # [heads]
        self.scale = nn.Parameter(torch.ones(len(value), dim))

    def divide(self, wide: Tensor) -> list[Tensor]:
        """Returns each head's item vectors, float32 [n, dim + 1], from wide ones, [n, dim + heads]."""
        taste, bias = wide[:, : -len(self.share)], wide[:, -len(self.share) :]
        return [
            torch.cat([taste * scale, bias[:, head : head + 1]], dim=1)
            for head, scale in enumerate(self.scale)
        ]

    def forward(self, wide: Tensor) -> Tensor:
        """Returns the item vectors that are served, float32 [n, dim + 1]."""
        taste, bias = wide[:, : -len(self.share)], wide[:, -len(self.share) :]
        return torch.cat([taste * (self.share @ self.scale), bias @ self.share[:, None]], dim=1)


def count_heads(values: Mapping[str, float]) -> int:
    """Counts the heads: one without named types, else one for each and one for all others."""
    return len(values) + 1


def divide_targets(kinds: NDArray[np.bool_], values: Mapping[str, float]) -> NDArray[np.float32]:
    """Says how much each target counts in each head, float32 [targets, heads].

    Args:
        kinds: the types among the events of each target, bool [targets, types] in the order of EVENT_TYPES.
        values: what each named type is worth; without any, all targets count 1 in the only head.
    """
    if not values:
        return np.ones((len(kinds), 1), np.float32)
    named = [EVENT_TYPES.index(name) for name in values]
    others = [place for place in range(len(EVENT_TYPES)) if place not in named]
    happened = np.column_stack([kinds[:, named], kinds[:, others].any(axis=1)])
    counts: NDArray[np.float64] = 1.0 + happened * np.array([*values.values(), _OTHER_VALUE])
    return counts.astype(np.float32)
