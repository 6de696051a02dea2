"""Product vectors to start from: the leading singular vectors of who did something with what.

Products that the same users chose start near each other, so that training refines an arrangement instead of
finding one. The matrix is sparse and the decomposition random and seeded, so that time and memory grow with
the number of events.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from index.features import FIRST_TOKEN
from training.examples import Examples

_OVERSAMPLING: Final = 16
_ITERATION_COUNT: Final = 3


def embed_products(examples: Examples, dim: int) -> Tensor:
    """Embeds every product that has a token, as directions.

    Every (user, product) pair counts 1 / sqrt(products of the user * users of the product).

    Returns:
        float32 [token_count, dim]; unit vectors, zeros for tokens below FIRST_TOKEN and in dimensions that
        the matrix does not have.
    """
    targets = examples.targets
    token = examples.row_tokens[targets.item_row]
    token_count = len(examples.token_share)
    by_user = np.bincount(targets.user_row, minlength=examples.interactions.user_count)
    by_token = np.bincount(token, minlength=token_count)
    value = 1.0 / np.sqrt(by_user[targets.user_row] * by_token[token])
    matrix = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([targets.user_row, token])),
        torch.from_numpy(value.astype(np.float32)),
        (len(by_user), token_count),
        check_invariants=False,
        is_coalesced=False,
    ).coalesce()
    rank = min(dim + _OVERSAMPLING, *matrix.shape)
    vectors = torch.svd_lowrank(matrix, q=rank, niter=_ITERATION_COUNT)[2][:, :dim]  # [token_count, <= dim]
    embedded = torch.zeros(token_count, dim)
    embedded[:, : vectors.shape[1]] = vectors
    embedded[:FIRST_TOKEN] = 0.0
    return torch.nn.functional.normalize(embedded, dim=1, eps=1e-12)
