"""Every baseline: what all of them promise, in one inherited class, and a small example by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.baselines import ease
from benchmarks.evaluate.baselines.blend import Blend
from benchmarks.evaluate.baselines.chosen import Chosen
from benchmarks.evaluate.baselines.content import Content
from benchmarks.evaluate.baselines.ease import Ease
from benchmarks.evaluate.baselines.ials import Ials
from benchmarks.evaluate.baselines.item_knn import ItemKnn
from benchmarks.evaluate.baselines.learned import Learned, MfNet, NeuMfNet
from benchmarks.evaluate.baselines.observed import Baseline, FloatArray, Observed, observe
from benchmarks.evaluate.baselines.popularity import Popularity
from benchmarks.evaluate.baselines.scorer import BaselineScorer
from benchmarks.evaluate.baselines.svd import Svd
from benchmarks.evaluate.baselines.table import BASELINES
from benchmarks.evaluate.baselines.user_knn import UserKnn

# Three users, four products: a b | a b c | d.
PAIRS = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("v", "c"), ("w", "d")]


def score(baseline: Baseline, observed: Observed, *rows: int) -> FloatArray:
    baseline.fit(observed)
    return baseline.score(np.array(rows, np.int64))


def two_tastes(user_count: int = 24, product_count: int = 12) -> Observed:
    """Even users have most of the even products, odd users most of the odd ones; attributes tell which."""
    rng = np.random.default_rng(5)
    pairs = [
        (f"u{user:02}", f"p{product:02}")
        for user in range(user_count)
        for product in range(user % 2, product_count, 2)
        if rng.random() < 0.75
    ]
    kinds = {f"p{product:02}": {f"kind:{product % 2}", f"own:{product}"} for product in range(product_count)}
    return observe(pairs, attributes=kinds)


class BaselineContract:
    """What every baseline promises; the subclasses say which one."""

    personal = True  # Whether the scores depend on the user.

    def make(self) -> Baseline:
        raise NotImplementedError

    def test_scores_have_a_row_per_user_and_a_column_per_product(self) -> None:
        scores = score(self.make(), two_tastes(), 5, 0, 1)
        assert scores.shape == (3, 12)
        assert np.isfinite(scores).all()

    def test_the_same_pairs_give_the_same_scores(self) -> None:
        first, second = score(self.make(), two_tastes(), 3), score(self.make(), two_tastes(), 3)
        assert first.tolist() == second.tolist()

    def test_a_user_is_scored_alike_alone_and_among_others(self) -> None:
        observed = two_tastes()
        together, alone = score(self.make(), observed, 1, 2, 3)[1], score(self.make(), observed, 2)[0]
        # Sums over other block sizes differ in the last bits of float32.
        assert together == pytest.approx(alone, abs=1e-5)

    def test_products_of_the_users_own_taste_come_first(self) -> None:
        observed = two_tastes()
        scores = score(self.make(), observed, *range(24))
        own = np.array([scores[user, user % 2 :: 2].mean() for user in range(24)])
        other = np.array([scores[user, 1 - user % 2 :: 2].mean() for user in range(24)])
        assert (own > other).all() if self.personal else own.mean() == pytest.approx(other.mean(), rel=0.2)

    def test_repeated_pairs_count_once(self) -> None:
        observed = observe(PAIRS * 3, attributes={product: {product} for product in "abcd"})
        again = observe(PAIRS, attributes={product: {product} for product in "abcd"})
        assert score(self.make(), observed, 0).tolist() == score(self.make(), again, 0).tolist()

    def test_a_user_without_a_product_gets_finite_scores(self) -> None:
        observed = observe(PAIRS, user_ids=["nobody"], attributes={product: {product} for product in "abcd"})
        row = observed.user_ids.index("nobody")
        assert np.isfinite(score(self.make(), observed, row)).all()

    def test_one_user_with_one_product_is_enough(self) -> None:
        scores = score(self.make(), observe([("u", "a")], attributes={"a": {"x"}}), 0)
        assert scores.shape == (1, 1)
        assert np.isfinite(scores).all()


class TestPopularity(BaselineContract):
    personal = False

    def make(self) -> Baseline:
        return Popularity()

    def test_by_hand(self) -> None:
        assert score(Popularity(), observe(PAIRS), 0, 2).tolist() == [[2, 2, 1, 1], [2, 2, 1, 1]]


class TestItemKnn(BaselineContract):
    def make(self) -> Baseline:
        return ItemKnn()

    def test_by_hand(self) -> None:
        # Shared users: a-b 2, a-c 1, b-c 1; owners 2, 2, 1. Shrink 1: ab 2/3, ac and bc 1/(sqrt 2 + 1).
        near = 1 / (math.sqrt(2) + 1)
        scores = score(ItemKnn(shrink=1.0), observe(PAIRS), 0)[0]
        assert scores == pytest.approx([2 / 3, 2 / 3, 2 * near, 0.0])

    def test_only_the_nearest_neighbours_count(self) -> None:
        # c's one neighbour is a or b, which are equally near: one of them counts.
        scores = score(ItemKnn(k=1, shrink=1.0), observe(PAIRS), 0)[0]
        assert scores[2] == pytest.approx(1 / (math.sqrt(2) + 1))

    def test_without_shrinkage_a_product_that_nobody_has_scores_zero(self) -> None:
        observed = observe(PAIRS, attributes={"z": ()})
        assert score(ItemKnn(shrink=0.0), observed, 0)[0, -1] == 0.0


class TestUserKnnCosine(BaselineContract):
    def make(self) -> Baseline:
        return UserKnn("cosine")

    def test_by_hand(self) -> None:
        # v is u's only neighbour, so its products have share 1; the means are 2/3, 2/3, 1/3, 1/3.
        scores = score(UserKnn("cosine", alpha=0.5, beta=0.3), observe(PAIRS), 0)[0]
        assert scores == pytest.approx([0.5 + 0.2, 0.5 + 0.2, 0.5 + 0.1, 0.1])

    def test_neighbours_weigh_by_their_cosine(self) -> None:
        # u has a, b; v has a, b, c: 2 / sqrt 6. x has a and d: 1 / 2.
        pairs = [pair for pair in PAIRS if pair[0] != "w"] + [("x", "a"), ("x", "d")]
        near, far = 2 / math.sqrt(6), 0.5
        scores = score(UserKnn("cosine", beta=0.0), observe(pairs), 0)[0]
        assert scores == pytest.approx([1.0, near / (near + far), near / (near + far), far / (near + far)])


class TestUserKnnPearson(BaselineContract):
    def make(self) -> Baseline:
        return UserKnn("pearson")

    def test_by_hand(self) -> None:
        # Over six products: u has 2, v 3, 2 shared: (2 - 1) / sqrt(2 * 2/3 * 3 * 1/2) = 1 / sqrt 2. x has 2,
        # one shared: (1 - 2/3) / (4/3) = 1/4.
        pairs = [pair for pair in PAIRS if pair[0] != "w"] + [("x", "a"), ("x", "d")]
        observed = observe(pairs, attributes={"y": (), "z": ()})
        near, far = 1 / math.sqrt(2), 0.25
        scores = score(UserKnn("pearson", beta=0.0), observed, 0)[0]
        total = near + far
        assert scores == pytest.approx([1.0, near / total, near / total, far / total, 0.0, 0.0])

    def test_a_user_of_the_opposite_taste_is_no_neighbour(self) -> None:
        assert score(UserKnn("pearson", beta=0.0), observe(PAIRS), 2).tolist() == [[0.0, 0.0, 0.0, 0.0]]


class TestSvd(BaselineContract):
    def make(self) -> Baseline:
        return Svd(dim=2)

    def test_by_hand(self) -> None:
        # Equal columns: the only singular vector is (1, 1) / sqrt 2, and (1, 1) becomes itself.
        observed = observe([("u", "a"), ("u", "b"), ("v", "a"), ("v", "b")])
        assert score(Svd(dim=1), observed, 0)[0] == pytest.approx([1.0, 1.0])
        observed = observe([("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "a")])
        # The Gram matrix [[3, 2], [2, 2]] has its first eigenvector along (2, s), s = (sqrt 17 - 1) / 2.
        side = (math.sqrt(17) - 1) / 2
        first = np.array([2.0, side]) / math.hypot(2.0, side)
        assert score(Svd(dim=1), observed, 2)[0] == pytest.approx(first[0] * first)

    def test_the_iteration_and_the_full_decomposition_agree(self) -> None:
        observed = two_tastes(user_count=60, product_count=40)
        full = np.linalg.svd(observed.pairs.toarray())[2][:3]
        expected = observed.pairs.toarray()[:1] @ full.T @ full
        assert score(Svd(dim=3), observed, 0) == pytest.approx(expected)


class TestEase(BaselineContract):
    def make(self) -> Baseline:
        return Ease(l2=1.0)

    def test_by_hand(self) -> None:
        # Gram [[2, 1], [1, 1]] + I = [[3, 1], [1, 2]], inverse [[2, -1], [-1, 3]] / 5. Weights: a to b
        # 1/3, b to a 1/2.
        observed = observe([("u", "a"), ("u", "b"), ("v", "a")])
        assert score(Ease(l2=1.0), observed, 0, 1) == pytest.approx(np.array([[1 / 2, 1 / 3], [0.0, 1 / 3]]))

    def test_too_many_products_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ease, "PRODUCT_COUNT_LIMIT", 3)
        with pytest.raises(BenchmarkInputError, match="3 products at most, got 4"):
            Ease().fit(observe(PAIRS))


class TestIals(BaselineContract):
    def make(self) -> Baseline:
        return Ials(dim=4, l2=0.1)

    def test_by_hand(self) -> None:
        # One user, product and dimension: at the optimum p = q, and 10 (1 - p q) p = l2 p gives p q = .9.
        scores = score(Ials(dim=1, alpha=10.0, l2=1.0, iterations=200), observe([("u", "a")]), 0)
        # The library solves in float32.
        assert scores[0, 0] == pytest.approx(0.9, abs=1e-3)


class TestContent(BaselineContract):
    def make(self) -> Baseline:
        return Content()

    def test_by_hand(self) -> None:
        # Of four products two have x, which weighs log 2; y and z are on one and weigh log 4 = 2 log 2. So b
        # is (1, 2) / sqrt 5, and a, which is x alone, has cosine 1 / sqrt 5 with it.
        attributes = {"a": {"x"}, "b": {"x", "y"}, "c": {"z"}, "d": set[str]()}
        scores = score(Content(), observe([("u", "a")], attributes=attributes), 0)[0]
        assert scores == pytest.approx([1.0, 1 / math.sqrt(5), 0.0, 0.0])

    def test_the_score_is_the_mean_over_what_the_user_has(self) -> None:
        attributes = {"a": {"x"}, "b": {"y"}, "c": {"x"}}
        assert score(Content(), observe([("u", "a"), ("u", "b")], attributes=attributes), 0)[0, 2] == 0.5


class TestBlend(BaselineContract):
    def make(self) -> Baseline:
        return Blend(Ease(l2=1.0), Content())

    def test_by_hand(self) -> None:
        # Popularity (2, 2, 1, 1) / 2 and content (1, 0, 1, 0): .75 and .25 of them.
        attributes = {"a": {"x"}, "b": {"y"}, "c": {"x"}, "d": {"z"}}
        observed = observe([*PAIRS, ("s", "a")], attributes=attributes)
        blend = Blend(Popularity(), Content(), alpha1=0.75, alpha2=0.25)
        row = observed.user_ids.index("s")
        # With s, a has three owners.
        assert score(blend, observed, row)[0] == pytest.approx([1.0, 0.5, 0.5, 0.25])


class TestMfSquares(BaselineContract):
    def make(self) -> Baseline:
        return Learned(MfNet, loss="mse", dim=8, epochs=60, batch_size=64, learning_rate=0.03)

    def test_by_hand(self) -> None:
        # The only pair is observed as 1 and drawn as 0, four times as often: the mean is 1 / 5.
        learned = Learned(MfNet, loss="mse", dim=1, epochs=400, learning_rate=0.03)
        assert score(learned, observe([("u", "a")]), 0)[0, 0] == pytest.approx(0.2, abs=0.01)
        assert learned.predict(np.array([0.3])).tolist() == [0.3]


class TestMfLogLoss(BaselineContract):
    def make(self) -> Baseline:
        return Learned(MfNet, loss="bce", dim=8, epochs=60, batch_size=64, learning_rate=0.03)

    def test_by_hand(self) -> None:
        # As for squares: the chance is 1 / 5, the score its logit.
        learned = Learned(MfNet, loss="bce", dim=1, epochs=400, learning_rate=0.03)
        scores = score(learned, observe([("u", "a")]), 0)
        assert learned.predict(scores)[0, 0] == pytest.approx(0.2, abs=0.01)

    def test_l2_draws_scores_towards_nothing(self) -> None:
        free = Learned(MfNet, loss="bce", dim=8, epochs=40, learning_rate=0.03)
        held = Learned(MfNet, loss="bce", dim=8, epochs=40, learning_rate=0.03, l2=1.0)
        assert np.ptp(score(held, two_tastes(), 0)) < 0.2 * np.ptp(score(free, two_tastes(), 0))


class TestNeuMf(BaselineContract):
    def make(self) -> Baseline:
        return Learned(NeuMfNet, loss="bce", dim=8, epochs=60, batch_size=64, learning_rate=0.03)

    def test_by_hand(self) -> None:
        learned = Learned(NeuMfNet, loss="bce", dim=2, epochs=400, learning_rate=0.03)
        scores = score(learned, observe([("u", "a")]), 0)
        assert learned.predict(scores)[0, 0] == pytest.approx(0.2, abs=0.01)


class TestChosen(BaselineContract):
    def make(self) -> Baseline:
        return Chosen({"weak": lambda: ItemKnn(shrink=1e9), "strong": lambda: ItemKnn(shrink=1.0)})

    def test_the_better_setting_is_chosen(self) -> None:
        settings: dict[str, Callable[[], Baseline]] = {
            "popular": Popularity,
            "near": lambda: ItemKnn(shrink=1.0),
        }
        chosen = Chosen(settings)
        score(chosen, two_tastes(), 0)
        assert chosen.choice == "near"

    def test_without_anybody_to_validate_on_the_first_setting_is_taken(self) -> None:
        chosen = Chosen({"first": Popularity, "second": ItemKnn})
        score(chosen, observe([("u", "a"), ("v", "b")]), 0)
        assert chosen.choice == "first"


def test_every_baseline_of_the_table_can_be_made() -> None:
    assert all(hasattr(make(), "fit") and hasattr(make(), "score") for make in BASELINES.values())


def test_a_product_that_no_baseline_saw_scores_lowest() -> None:
    scorer = BaselineScorer(Popularity(), observe(PAIRS))
    scores = scorer.score(["w", "u"], ["zzz", "a", "d"])
    assert scores.tolist() == [[-1.0, 2.0, 1.0], [-1.0, 2.0, 1.0]]


def test_some_products_alone_keep_their_attributes() -> None:
    observed = observe(PAIRS, attributes={"a": {"x"}, "d": {"y"}})
    part = observed.keep_products(np.array([False, True, True, True]))
    assert part.product_ids == ("b", "c", "d")
    assert part.pairs.toarray().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert part.attributes.toarray().tolist() == [[0, 0], [0, 0], [0, 1]]
