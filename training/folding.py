"""Folding in: a user's factors from a history and fixed product factors, inside the exported graph.

Both problems are convex; a fixed number of conjugate-gradient steps in float64 solves them, in coordinates in
which the part that is the same for everybody is the identity, or bounded by it. The exporter writes Python's
float constants as float32: those below are exact in it or need not be, and every setting is in a buffer.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from index.features import EVENT_TYPES, FIRST_TOKEN
from training.config import MfConfig

# Conjugate gradients end after as many steps as the history has distinct products, and much earlier in
# practice: 16 steps leave an error below float32's on histories of 50 (tested).
_SQUARE_STEP_COUNT: Final = 16
# On factors trained on the simulated platform (dim 64, l2 0.03), 32 steps leave a relative error of 4e-9 with
# negative_weight 1 and of 1e-5 with 4; a smaller l2 needs more, a larger one fewer.
_LOG_STEP_COUNT: Final = 32
# Each of those steps passes twice over the products that stand for all of them.
_PRODUCT_COUNT_LIMIT: Final = 2048
# Squares below this are zero for float32 vectors; float32 must be able to hold it.
_FLOOR: Final = 1e-30


class SquareFolding(nn.Module):
    """Minimises squared errors.

    Per observed pair of a user, the factors p minimise
    mean over observed (1 - b - p.q)^2 + negative_weight * mean over all products (b + p.q)^2 + l2 |p|^2;
    the first mean is by what the pairs are worth.
    """

    factor: Tensor  # float64 [token_count, dim], the products' factors in the common coordinates
    bias: Tensor  # float64 [token_count, 1]
    pull: Tensor  # float64 [1, dim], towards the unobserved products' zeros
    back: Tensor  # float64 [dim, dim], from those coordinates to user factors

    def __init__(self, token_count: int, config: MfConfig) -> None:
        super().__init__()
        self._config = config
        dim = config.embedding_dim - 1
        shapes = {
            "factor": (token_count, dim),
            "bias": (token_count, 1),
            "pull": (1, dim),
            "back": (dim, dim),
        }
        _register(self, shapes)

    def take_over(self, factor: Tensor, bias: Tensor) -> None:
        """Prepares for products' factors, float64 [token_count, dim], and biases, [token_count]."""
        known, share = factor[FIRST_TOKEN:], self._config.negative_weight / (len(factor) - FIRST_TOKEN)
        back = _find_coordinates(known.T @ known * share, self._config.l2)
        self.factor.copy_(factor @ back.T)
        self.bias.copy_(bias[:, None])
        self.pull.copy_((bias[None, FIRST_TOKEN:] @ known * share) @ back.T)
        self.back.copy_(back)

    def forward(self, token: Tensor, weight: Tensor) -> Tensor:
        """Folds in histories, int64 [batch, length], by weights of `weigh_distinct`; float64 [batch, dim]."""
        weight = _share_out(weight)[..., None]  # [batch, length, 1], sums to 1 or 0
        observed = self.factor[token]  # [batch, length, dim]
        weighted = observed * weight
        missing = 1.0 - self.bias[token]  # [batch, length, 1]
        right = torch.matmul(weighted.transpose(1, 2), missing)[..., 0] - self.pull * weight.sum(dim=1)
        return _solve(observed, weighted, right) @ self.back


def _solve(observed: Tensor, weighted: Tensor, right: Tensor) -> Tensor:
    """Solves (I + sum over the history of weight q q') p = right by conjugate gradients, [batch, dim]."""
    solution = torch.zeros_like(right)
    residual, direction = right, right
    norm = (residual * residual).sum(dim=1, keepdim=True)
    for _ in range(_SQUARE_STEP_COUNT):
        projected = torch.matmul(observed, direction[..., None])  # [batch, length, 1]
        image = direction + torch.matmul(weighted.transpose(1, 2), projected)[..., 0]
        # The floors only matter once the residual has vanished.
        step = norm / (direction * image).sum(dim=1, keepdim=True).clamp(min=_FLOOR)
        solution = solution + step * direction
        residual = residual - step * image
        next_norm = (residual * residual).sum(dim=1, keepdim=True)
        direction = residual + direction * (next_norm / norm.clamp(min=_FLOOR))
        norm = next_norm
    return solution


class LogFolding(nn.Module):
    """Minimises log-losses.

    With L(x) = log(1 + exp(x)), the factors p minimise
    mean over observed L(-b - p.q) + negative_weight * mean over products L(b + p.q) + l2 |p|^2.
    The products are all of them; where there are more than _PRODUCT_COUNT_LIMIT, that many evenly spaced ones
    in catalogue order.

    In the common coordinates the identity bounds the second derivative of the products' part and of L2, since
    that of a log-loss is at most 1/4. Each step majorises the objective along a conjugate direction and
    minimises the majorant, so no step goes uphill.
    """

    factor: Tensor  # float64 [token_count, dim], the products' factors in the common coordinates
    bias: Tensor  # float64 [token_count]
    other: Tensor  # float64 [count, dim], factors of the products that stand for all
    other_bias: Tensor  # float64 [1, count]
    share: Tensor  # float64 [1, 1], the weight of each of them
    shrink: Tensor  # float64 [dim, dim], second derivative of L2
    back: Tensor  # float64 [dim, dim], from those coordinates to user factors

    def __init__(self, token_count: int, config: MfConfig) -> None:
        super().__init__()
        self._config = config
        dim, count = config.embedding_dim - 1, min(token_count - FIRST_TOKEN, _PRODUCT_COUNT_LIMIT)
        shapes = {"factor": (token_count, dim), "bias": (token_count,), "shrink": (dim, dim)}
        shapes |= {"other": (count, dim), "other_bias": (1, count), "share": (1, 1), "back": (dim, dim)}
        _register(self, shapes)

    def take_over(self, factor: Tensor, bias: Tensor) -> None:
        """Prepares for products' factors, float64 [token_count, dim], and biases, [token_count]."""
        count, ridge = len(self.other), 2 * self._config.l2
        chosen = FIRST_TOKEN + torch.arange(count) * (len(factor) - FIRST_TOKEN) // count
        share = self._config.negative_weight / count
        back = _find_coordinates(factor[chosen].T @ factor[chosen] * (share / 4), ridge)
        self.factor.copy_(factor @ back.T)
        self.bias.copy_(bias)
        self.other.copy_(self.factor[chosen])
        self.other_bias.copy_(bias[None, chosen])
        self.share.fill_(share)
        self.shrink.copy_(back @ back.T * ridge)
        self.back.copy_(back)

    def forward(self, token: Tensor, weight: Tensor) -> Tensor:
        """Folds in histories, int64 [batch, length], by weights of `weigh_distinct`; float64 [batch, dim]."""
        weight = _share_out(weight)  # [batch, length], sums to 1 or 0
        # Without a history there is nothing to weigh the products against: the factors stay 0.
        other_weight = weight.sum(dim=1, keepdim=True) * self.share  # [batch, 1]
        observed = self.factor[token]  # [batch, length, dim]
        score, other_score = self.bias[token], self.other_bias  # [batch, length], [1 or batch, count]
        point = torch.zeros_like(observed[:, 0])  # [batch, dim]
        direction, previous, norm = point, point, torch.ones_like(other_weight)
        for _ in range(_LOG_STEP_COUNT):
            chance, other_chance = torch.sigmoid(score), torch.sigmoid(other_score)
            gradient = point @ self.shrink + (other_weight * other_chance) @ self.other
            gradient = gradient + torch.matmul((weight * (chance - 1.0))[:, None], observed)[:, 0]
            # Polak and Ribiere's direction; where that is uphill, the gradient's.
            turn = _dot(gradient, gradient - previous) / norm.clamp(min=_FLOOR)
            direction = turn.clamp(min=0.0) * direction - gradient
            direction = torch.where(_dot(gradient, direction) < 0.0, direction, -gradient)
            image = torch.matmul(observed, direction[..., None])[..., 0]  # [batch, length]
            other_image = direction @ self.other.T  # [batch, count]
            curvature = _dot(direction @ self.shrink, direction)
            curvature = curvature + _dot(weight * chance * (1.0 - chance), image.square())
            curvature = curvature + _dot(
                other_weight * other_chance * (1.0 - other_chance), other_image.square()
            )
            change = torch.maximum(image.abs().amax(1, True), other_image.abs().amax(1, True))
            step = _find_step(-_dot(gradient, direction), curvature, change)  # [batch, 1]
            point, previous, norm = point + step * direction, gradient, _dot(gradient, gradient)
            score, other_score = score + step * image, other_score + step * other_image
        return point @ self.back


def _find_step(slope: Tensor, curvature: Tensor, change: Tensor) -> Tensor:
    """Minimises a majorant along a direction that goes down by slope.

    Where no score changes by more than `change` per step, the second derivative grows at most by the factor
    exp(change step), so the derivative is at most -slope + curvature (exp(change step) - 1) / change.

    Source: Bach 2010, Self-concordant analysis for logistic regression, proposition 1.
    """
    newton = slope / curvature.clamp(min=_FLOOR)
    return torch.log(1.0 + change * newton) / change.clamp(min=_FLOOR)


def _dot(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum(dim=1, keepdim=True)


def list_worths(event_weights: Mapping[str, float]) -> Tensor:
    """Lists what an event is worth by its code, float64 [event types + 1]; 1 where its type is not known."""
    return torch.tensor([1.0, *(event_weights.get(name, 1.0) for name in EVENT_TYPES)], dtype=torch.float64)


def weigh_distinct(token: Tensor, worth: Tensor) -> Tensor:
    """Weighs each distinct product of a history by its most valuable event, once.

    Args:
        token: int64 [batch, length].
        worth: what each event is worth, float64 [batch, length].

    Returns:
        float64 [batch, length]; 0 where a product was met before, and where there is none.
    """
    length = token.shape[1]
    same = token[:, :, None] == token[:, None, :]  # [batch, length, length]
    earlier = torch.ones(length, length, dtype=torch.bool).tril(-1)  # [length, length]
    best = torch.where(same, worth[:, None, :], 0.0).amax(dim=2)
    counted = (token >= FIRST_TOKEN) & ~(same & earlier).any(dim=2)
    return torch.where(counted, best, 0.0)


def _share_out(weight: Tensor) -> Tensor:
    """Divides weights, [batch, length], by their sum; rows sum to 1 or 0."""
    return weight / weight.sum(dim=1, keepdim=True).clamp(min=_FLOOR)


def _find_coordinates(common: Tensor, ridge: float) -> Tensor:
    """Finds B with B (common + ridge I) B' = I: factors q become q B', and a solution y becomes p = y B."""
    lower = torch.linalg.cholesky(common + torch.eye(len(common)).double() * ridge)
    inverse: Tensor = torch.linalg.inv(lower)
    return inverse


def _register(module: nn.Module, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Registers buffers that follow from the weights and are not saved with them."""
    for name, shape in shapes.items():
        module.register_buffer(name, torch.zeros(shape, dtype=torch.float64), persistent=False)
