"""SVD and iALS as served models: their factors, folding in, and the way through training and export."""

import functools
import io

import numpy as np
import pytest
import torch
from rich.console import Console

from export.write import export_run
from index.features import FIRST_TOKEN, HISTORY_LENGTH
from tests.tiny_data import make_events, write_data
from training.config import IalsConfig, SvdConfig, make_config
from training.errors import SettingError
from training.examples import encode_examples, read_learning_data
from training.factors import make_matrix
from training.ials import IalsFolding, IalsLearner, solve_rows
from training.run import train
from training.svd import SvdFolding, SvdLearner
from training.trained import open_run

SILENT = Console(file=io.StringIO())
SETTINGS = {"embedding_dim": 9, "validation_fraction": 0.2}


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


def inputs(*histories):
    """Encodes histories of tokens, most recent first, as the user towers take them."""
    token = torch.zeros(len(histories), HISTORY_LENGTH, dtype=torch.int64)
    for row, history in enumerate(histories):
        token[row, : len(history)] = torch.tensor(history)
    nothing = torch.zeros_like(token)
    return token, nothing, nothing.float(), nothing[:, :1], nothing[:, :1].float()


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
        assert user[0].numpy() == pytest.approx([0.0] * 8 + [0.01])
        popularity = towers.item_tower.popularity
        assert popularity[FIRST_TOKEN:].min() > 0
        assert popularity.max() == pytest.approx(towers.item_tower.factor.abs().max())

    def test_a_new_product_has_a_vector_of_nothing(self, trained):
        assert trained[0].towers.item_tower.factor[:FIRST_TOKEN].abs().max() == 0.0

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
        learner = SvdLearner(examples, SvdConfig(embedding_dim=6))
        torch.manual_seed(1)
        learner(np.arange(1))
        matrix = make_matrix(examples).to_dense().double().numpy()
        right = np.linalg.svd(matrix)[2][:5]
        factor = learner.towers.item_tower.factor.double().numpy()
        # The iteration is in float32.
        lengths = np.square(factor).sum(axis=0)
        assert factor / lengths @ factor.T == pytest.approx(right.T @ right, abs=1e-4)

    def test_a_history_is_folded_in_as_its_row_is_projected(self):
        folding = SvdFolding(5, 2)
        factor = torch.tensor([[0, 0], [0, 0], [1, 2], [0, 4], [1, 4]], dtype=torch.float64)
        folding.take_over(factor)
        # The columns' squared lengths are 2 and 36.
        assert folding(torch.tensor([[2, 4, 2, 0]])).tolist() == [[1.0, 6 / 36]]

    def test_more_dimensions_than_products_leave_the_rest_at_zero(self, tmp_path):
        few = read_learning_data(write_data(tmp_path / "few", make_events(user_count=5, item_count=3)))
        examples = encode_examples(few, few.interactions)
        learner = SvdLearner(examples, SvdConfig(embedding_dim=16))
        loss = learner(np.arange(1))
        # A matrix of that few columns is explained to the last bit.
        assert loss.item() == pytest.approx(0.0, abs=1e-5)
        assert learner.towers.item_tower.factor[:, 5:].abs().max() == 0.0

    def test_it_has_no_second_epoch(self):
        with pytest.raises(SettingError, match="epochs"):
            make_config("svd", {"epochs": 2})


class TestIals(ClassicModelContract):
    model = "ials"

    def test_rows_are_solved_as_their_equations_say(self):
        rng = np.random.default_rng(1)
        factor = rng.normal(size=(7, 3))
        config = IalsConfig(embedding_dim=4, alpha=5.0, l2=0.5)
        row, column = torch.tensor([0, 0, 2, 2, 2]), torch.tensor([1, 4, 0, 3, 6])
        solved = solve_rows(row, column, torch.tensor(factor).float(), 3, config)
        for user, mine in ((0, [1, 4]), (1, []), (2, [0, 3, 6])):
            weight = np.ones(7)
            weight[mine] += 5.0
            wanted = np.zeros(7)
            wanted[mine] = 1.0
            left = factor.T * weight @ factor + 0.5 * np.eye(3)
            expected = np.linalg.solve(left, factor.T @ (weight * wanted))
            assert solved[user].numpy() == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("count", [0, 1, 7, 50])
    def test_folding_in_solves_the_same_equations(self, count):
        rng = np.random.default_rng(count)
        factor = torch.tensor(rng.normal(size=(102, 32)) * 0.3)
        factor[:FIRST_TOKEN] = 0.0
        config = IalsConfig(embedding_dim=33, alpha=40.0, l2=1.0)
        folding = IalsFolding(102, config)
        folding.take_over(factor)
        history = rng.permutation(100)[:count] + FIRST_TOKEN
        token = torch.zeros(1, HISTORY_LENGTH, dtype=torch.int64)
        token[0, :count] = torch.tensor(history)
        row = torch.zeros(count, dtype=torch.int64)
        expected = solve_rows(row, torch.tensor(history), factor.float(), 1, config)[0].numpy()
        # solve_rows gives float32, of values up to about 1.
        assert folding(token)[0].numpy() == pytest.approx(expected, abs=1e-5)

    def test_every_epoch_lowers_the_objective(self, examples):
        config = IalsConfig(embedding_dim=9, alpha=5.0, l2=0.5)
        torch.manual_seed(1)
        learner = IalsLearner(examples, config)
        matrix = make_matrix(examples).to_dense().double()
        values = []
        for _ in range(5):
            learner(np.arange(1))
            q = learner.towers.item_tower.factor.double()
            user, token = make_matrix(examples).indices()
            p = solve_rows(user, token, q.float(), len(matrix), config).double()
            errors = (1 + 5.0 * matrix) * (matrix - p @ q.T) ** 2
            values.append(float(errors.sum() + 0.5 * (p.square().sum() + q.square().sum())))
        assert values == sorted(values, reverse=True)
        assert values[-1] < values[0]
