"""Lists the baselines with their settings: the same on all data, or chosen on validation among those named.

`item_knn` and `ease` have the settings that are known for FAR-Trans; beside them stand those chosen.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from benchmarks.evaluate.baselines.blend import Blend
from benchmarks.evaluate.baselines.chosen import Chosen
from benchmarks.evaluate.baselines.content import Content
from benchmarks.evaluate.baselines.ease import Ease
from benchmarks.evaluate.baselines.ials import Ials
from benchmarks.evaluate.baselines.item_knn import ItemKnn
from benchmarks.evaluate.baselines.learned import Learned, MfNet, NeuMfNet
from benchmarks.evaluate.baselines.observed import Baseline
from benchmarks.evaluate.baselines.popularity import Popularity
from benchmarks.evaluate.baselines.svd import Svd
from benchmarks.evaluate.baselines.user_knn import UserKnn

ALONE: Final = "_alone"  # The name's end where a baseline learns from the products of one domain only.

BASELINES: Final[Mapping[str, Callable[[], Baseline]]] = MappingProxyType(
    {
        "popularity": Popularity,
        "user_knn_cosine": lambda: UserKnn("cosine"),
        "user_knn_pearson": lambda: UserKnn("pearson"),
        "item_knn": ItemKnn,
        "item_knn_chosen": lambda: Chosen(
            {
                f"k {k}, shrink {shrink}": partial(ItemKnn, k=k, shrink=float(shrink))
                for k, shrink in ((300, 100), (300, 10), (100, 100), (100, 10), (50, 10))
            }
        ),
        "svd": lambda: Chosen({f"dim {dim}": partial(Svd, dim=dim) for dim in (64, 32, 16, 8, 4)}),
        "mf_mse": lambda: Learned(MfNet, loss="mse", l2=0.01),
        "mf_bce": lambda: Learned(MfNet, loss="bce", l2=0.001),
        "neumf": lambda: Learned(NeuMfNet, loss="bce"),
        "ease": Ease,
        "ease_chosen": lambda: Chosen({f"l2 {l2}": partial(Ease, l2=float(l2)) for l2 in (1000, 300, 100)}),
        "ials": lambda: Chosen(
            {
                f"dim {dim}, alpha {alpha}, l2 {l2}": partial(Ials, dim=dim, alpha=float(alpha), l2=float(l2))
                for dim, alpha, l2 in ((64, 10, 10), (64, 40, 100), (16, 40, 100), (8, 40, 10), (8, 40, 100))
            }
        ),
        "content": Content,
        "blend": lambda: Blend(Ease(), Content()),
        f"mf_bce{ALONE}": lambda: Learned(MfNet, loss="bce", l2=0.001),
    }
)
