"""SVD and iALS as served models: their factors, folding in, and the way through training and export."""

import functools
import io

import numpy as np
import pytest
import torch
from rich.console import Console

from export.write import export_run
from index.features import EVENT_TYPES, FIRST_TOKEN, HISTORY_LENGTH
from tests.tiny_data import make_events, write_data
from training import ials
from training.config import IalsConfig, SvdConfig, make_config
from training.errors import SettingError
from training.examples import encode_examples, read_learning_data
from training.factors import make_matrix
from training.folding import weigh_distinct
from training.ials import IalsFolding, IalsLearner, Pairs, find_ridge, solve_rows
from training.run import train
from training.svd import SvdFolding, SvdLearner
from training.trained import open_run

SILENT = Console(file=io.StringIO())
SETTINGS = {"embedding_dim": 9, "validation_fraction": 0.2}
IALS = IalsConfig(embedding_dim=9, alpha=5.0, ridge=0.02, epochs=5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("classic") / "data", make_events())


@pytest.fixture(scope="module")
def examples(data):
    learning_data = read_learning_data(data)
    return encode_examples(learning_data, learning_data.interactions)


@pytest.fixture(scope="module")
def train_and_export(data, tmp_path_factory):
    """Trains and exports each model once."""

    @functools.cache
    def make(model):
        run = tmp_path_factory.mktemp(model) / "run"
        train(data, run, make_config(model, SETTINGS), resume=False, force=False, console=SILENT)
        return open_run(run), export_run(run, data, run.with_name("export"), force=False)

    return make


@pytest.fixture
def trained(request, train_and_export):
    """The finished run of the test class's model, and what export says of it."""
    return train_and_export(request.cls.model)


def inputs(*histories, event=0):
    """Encodes histories of tokens, most recent first, as the user towers take them."""
    token = torch.zeros(len(histories), HISTORY_LENGTH, dtype=torch.int64)
    for row, history in enumerate(histories):
        token[row, : len(history)] = torch.tensor(history)
    nothing = torch.zeros_like(token)
    return token, torch.full_like(token, event), nothing.float(), nothing[:, :1], nothing[:, :1].float()


def count_once(token):
    """Weighs every distinct product by 1."""
    return weigh_distinct(token, torch.ones(token.shape, dtype=torch.float64))


class ClassicModelContract:
    """What both promise."""

    model: str

    def test_validation_beats_popularity_where_tastes_differ(self, trained):
        metrics = trained[0].metrics["validation"]
        assert metrics["recall_at_20"] > metrics["popularity"]["recall_at_20"]

    def test_the_graph_computes_what_the_tower_computes(self, trained):
        description = trained[1]
        assert description["model"] == self.model
        assert description["parity"]["user_tower"]["relative_error_max"] <= 1e-5

    def test_a_user_without_history_gets_what_is_popular(self, trained):
        towers = trained[0].towers
        with torch.no_grad():
            user = towers.user_tower(*inputs([]))
        assert user[0].numpy() == pytest.approx([0.0] * 8 + [1.0])
        popularity = towers.item_tower.popularity
        assert popularity[FIRST_TOKEN:].min() > 0
        assert popularity.max() == pytest.approx(towers.item_tower.factor.abs().max())

    def test_a_new_product_has_a_vector_of_nothing(self, trained):
        assert trained[0].towers.item_tower.factor[:FIRST_TOKEN].abs().max() == 0.0

    def test_user_vectors_have_unit_length(self, trained):
        with torch.no_grad():
            users = trained[0].towers.user_tower(*inputs([], [5], [5, 9, 7]))
        assert users.norm(dim=1).numpy() == pytest.approx(1.0)

    def test_a_product_whose_events_are_worth_nothing_is_not_learned_from(self, examples):
        config = make_config(self.model, {**SETTINGS, "event_weights": {"view": 0.0}})
        views = EVENT_TYPES.index("view") + 1
        events = examples.interactions
        only_viewed = {
            (user, item)
            for user, item in set(zip(events.user_row, events.item_row, strict=True))
            if (events.event_code[(events.user_row == user) & (events.item_row == item)] == views).all()
        }
        matrix = make_matrix(examples, config)
        assert only_viewed
        assert matrix.values().numel() == len(examples.targets.user_row) - len(only_viewed)

    def test_an_event_that_is_worth_nothing_says_nothing_of_a_user(self, trained):
        tower = trained[0].towers.user_tower
        views = EVENT_TYPES.index("view") + 1
        before = tower.worth.clone()
        try:
            tower.worth[views] = 0.0
            with torch.no_grad():
                seen, empty = tower(*inputs([5, 9], event=views)), tower(*inputs([]))
        finally:
            tower.worth.copy_(before)
        assert seen.tolist() == empty.tolist()

    def test_repeated_events_and_their_order_change_nothing(self, trained):
        with torch.no_grad():
            users = trained[0].towers.user_tower(*inputs([5, 9, 7], [7, 5, 9, 9, 5]))
        assert users[0].numpy() == pytest.approx(users[1].numpy(), abs=1e-6)

    def test_an_unknown_product_in_a_history_says_nothing(self, trained):
        with torch.no_grad():
            users = trained[0].towers.user_tower(*inputs([5, 9], [5, 1, 9]))
        assert users[0].numpy() == pytest.approx(users[1].numpy(), abs=1e-6)

    def test_the_same_seed_gives_the_same_factors(self, data, tmp_path, trained):
        config = make_config(self.model, SETTINGS)
        train(data, tmp_path / "again", config, resume=False, force=False, console=SILENT)
        again = open_run(tmp_path / "again").towers.item_tower.factor
        assert torch.equal(again, trained[0].towers.item_tower.factor)


class TestSvd(ClassicModelContract):
    model = "svd"

    def test_factors_project_as_the_leading_singular_vectors_do(self, examples):
        config = SvdConfig(embedding_dim=6)
        torch.manual_seed(1)
        learner = SvdLearner(examples, config)
        matrix = make_matrix(examples, config).to_dense().double().numpy()
        owners = (matrix > 0).sum(axis=0).clip(min=1)
        right = np.linalg.svd(matrix * owners**-0.35)[2]
        for kept in (4, 5):  # The first two candidates want 4 and 8 vectors, of the 5 that there are.
            learner(np.arange(1))
            factor = learner.towers.item_tower.factor.double().numpy()[:, :kept]
            # The iteration is in float32.
            lengths = np.square(factor).sum(axis=0)
            assert factor / lengths @ factor.T == pytest.approx(right[:kept].T @ right[:kept], abs=1e-4)

    def test_a_history_is_folded_in_as_its_row_is_projected(self):
        folding = SvdFolding(5, 2)
        factor = torch.tensor([[0, 0], [0, 0], [1, 2], [0, 4], [1, 4]], dtype=torch.float64)
        folding.take_over(factor)
        # The columns' squared lengths are 2 and 36.
        token = torch.tensor([[2, 4, 2, 0]])
        assert folding(token, count_once(token)).tolist() == [[1.0, 6 / 36]]
        folding.damping[4] = 0.5
        folding.take_over(factor)
        assert folding(token, count_once(token)).tolist() == [[0.75, 4 / 36]]

    def test_more_dimensions_than_products_leave_the_rest_at_zero(self, tmp_path):
        few = read_learning_data(write_data(tmp_path / "few", make_events(user_count=5, item_count=3)))
        examples = encode_examples(few, few.interactions)
        learner = SvdLearner(examples, SvdConfig(embedding_dim=16))
        loss = [learner(np.arange(1)) for _ in range(2)][-1]
        # A matrix of that few columns is explained to the last bit by the second candidate's 8 vectors.
        assert loss.item() == pytest.approx(0.0, abs=1e-5)
        assert learner.towers.item_tower.factor[:, 5:].abs().max() == 0.0

    def test_it_tries_every_candidate(self, trained):
        stages = {stage["name"]: stage["epochs"] for stage in trained[0].metrics["stages"]}
        assert len(stages["search"]) == 15
        assert len(stages["final"]) == trained[0].metrics["epoch_count"]

    def test_the_candidates_cannot_be_cut_short(self):
        with pytest.raises(SettingError, match="epochs"):
            make_config("svd", {"epochs": 2})

    def test_popularity_counts_what_the_candidate_says(self, examples):
        learner = SvdLearner(examples, SvdConfig(embedding_dim=6))
        learner(np.arange(1))
        largest = learner.towers.item_tower.popularity.max()
        assert float(learner.towers.user_tower.popularity_weight * largest) == pytest.approx(0.01)


class TestIals(ClassicModelContract):
    model = "ials"

    def test_rows_are_solved_as_their_equations_say(self, monkeypatch):
        monkeypatch.setattr(ials, "_PAIR_COUNT", 3)  # Two blocks.
        rng = np.random.default_rng(1)
        factor = rng.normal(size=(7, 3))
        row, column = torch.tensor([2, 0, 2, 0, 2]), torch.tensor([6, 1, 0, 4, 3])
        worth = torch.tensor([0.5, 1.0, 2.0, 0.25, 1.0])
        pairs = Pairs.sort(row, column, worth, row_count=3, column_count=7)
        solved = solve_rows(pairs, torch.tensor(factor).float(), alpha=5.0, ridge=0.1)
        for user, mine in ((0, {1: 1.0, 4: 0.25}), (1, {}), (2, {6: 0.5, 0: 2.0, 3: 1.0})):
            weight, wanted = np.ones(7), np.zeros(7)
            for product, value in mine.items():
                weight[product] += 5.0 * value
                wanted[product] = 1.0
            left = factor.T * weight @ factor + 0.1 * weight.sum() * np.eye(3)
            expected = np.linalg.solve(left, factor.T @ (weight * wanted))
            assert solved[user].numpy() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("count", [0, 1, 7, 50])
    def test_folding_in_solves_the_same_equations(self, count):
        rng = np.random.default_rng(count)
        factor = torch.tensor(rng.normal(size=(102, 32)) * 0.3)
        factor[:FIRST_TOKEN] = 0.0
        folding = IalsFolding(102, IalsConfig(embedding_dim=33, alpha=40.0))
        folding.ridge.fill_(0.01)
        folding.take_over(factor)
        history = rng.permutation(100)[:count] + FIRST_TOKEN
        token = torch.zeros(1, HISTORY_LENGTH, dtype=torch.int64)
        token[0, :count] = torch.tensor(history)
        weight = torch.zeros(1, HISTORY_LENGTH, dtype=torch.float64)
        weight[0, :count] = torch.tensor(rng.uniform(0.1, 2.0, count))
        pairs = Pairs.sort(
            torch.zeros(count, dtype=torch.int64), torch.tensor(history), weight[0, :count],
            row_count=1, column_count=100,
        )  # fmt: skip
        expected = solve_rows(pairs, factor.float(), alpha=40.0, ridge=0.01)[0].numpy()
        # solve_rows gives float32, of values up to about 1.
        assert folding(token, weight)[0].numpy() == pytest.approx(expected, abs=1e-5)

    def test_the_ridge_grows_to_the_setting(self):
        ridges = [find_ridge(epoch, IALS) for epoch in range(5)]
        assert ridges == sorted(ridges)
        assert ridges[-1] == pytest.approx(0.02)

    def test_an_epoch_lowers_the_objective_of_its_ridge(self, examples):
        torch.manual_seed(1)
        learner = IalsLearner(examples, IALS)
        matrix = make_matrix(examples, IALS)
        dense = matrix.to_dense().double()
        weight = 1 + 5.0 * dense
        weight[:, :FIRST_TOKEN] = 0.0  # No products.
        user, token = matrix.indices()
        pairs = Pairs.sort(
            user, token, matrix.values(), row_count=len(dense), column_count=dense.shape[1] - FIRST_TOKEN
        )
        for epoch in range(5):
            ridge = find_ridge(epoch, IALS)
            factor = learner.towers.item_tower.factor
            values = []
            for _ in range(2):
                q = factor.double().clone()
                p = solve_rows(pairs, factor, alpha=5.0, ridge=ridge).double()
                errors = (weight * (dense - p @ q.T) ** 2).sum()
                l2 = (weight.sum(dim=1) @ p.square().sum(dim=1)) + (weight.sum(dim=0) @ q.square().sum(dim=1))
                values.append(float(errors + ridge * l2))
                if len(values) == 1:
                    learner(np.arange(1))
            assert values[1] < values[0]
