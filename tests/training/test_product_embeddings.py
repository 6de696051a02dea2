"""The catalogue's column of embeddings: checks, what a model makes of it, what an update must have of it."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from rich.console import Console

from index.features import encode_items
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.checkpoint import copy_weights
from training.config import make_config
from training.errors import AssumptionError, CheckpointError, DataError
from training.examples import encode_examples, read_learning_data
from training.loop import Stage, make_trainer, run_epoch
from training.quality import Reason, check_data
from training.run import identify_data, train
from training.schema import INTERACTIONS, PRODUCTS, PROFILES
from training.sharding import write_shards
from training.tables import from_columns, read_table
from training.trained import open_run
from training.update import update
from training.warm_start import carry_weights

COLD = ("p-like-low", "p-like-high")
EVENTS = make_events()


def make_products(width: int = 5, *, cold: bool = True, shift: float = 0.0) -> list[dict[str, Any]]:
    """Products of both groups with random projections of which group they are of; one has no embedding."""
    rng = np.random.default_rng(11)
    direction = rng.choice([-1.0, 1.0], width)
    ids = sorted({event["product_id"] for event in EVENTS})
    side = [1.0 if name < "p030" else -1.0 for name in ids] + [1.0, -1.0] * cold
    names = [*ids, *(COLD if cold else ())]
    vectors = np.outer(side, direction) + rng.normal(shift, 0.3, (len(names), width))
    products = [
        {"id": name, "family": "FUND", "embedding": vector}
        for name, vector in zip(names, vectors.tolist(), strict=True)
    ]
    products[3]["embedding"] = None
    return products


def train_tiny(path: Path, data: Path, **settings: Any) -> Path:
    config = make_config("two_tower", TINY_SETTINGS | settings)
    train(data, path, config, resume=False, force=False, console=Console(file=io.StringIO()))
    return path


def check_embeddings(*vectors: Any) -> list[tuple[int, str, Reason]]:
    ids = [f"p{row}" for row in range(len(vectors))]
    checked = check_data(
        interactions=from_columns(
            INTERACTIONS,
            {
                "user_id": ["u"],
                "product_id": ["p0"],
                "event_type": ["view"],
                "event_time": [EVENTS[0]["event_time"]],
            },
        ),
        products=from_columns(PRODUCTS, {"id": ids, "embedding": list(vectors)}),
        profiles=from_columns(PROFILES, {"user_id": ["u"]}),
    )
    json.loads(json.dumps([json.loads(problem.raw) for problem in checked.problems], allow_nan=False))
    return [(problem.row, problem.field, problem.reason) for problem in checked.problems]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([1.0, math.nan], Reason.NOT_FINITE),
        ([-math.inf, 1.0], Reason.NOT_FINITE),
        ([1.0, None], Reason.OUT_OF_RANGE),
        ([], Reason.OUT_OF_RANGE),
        ([1.0], Reason.OTHER_WIDTH),
        ([1.0, 2.0, 3.0], Reason.OTHER_WIDTH),
    ],
)
def test_a_bad_embedding_sets_its_row_aside(bad: Any, reason: Reason) -> None:
    assert check_embeddings([0.0, 1.0], [1.0, 1.0], None, bad) == [(4, "embedding", reason)]


@pytest.mark.parametrize("vectors", [([1.0], [2.0]), ([1.0, 2.0], None), (None, None)])
def test_embeddings_of_one_width_and_missing_ones_are_kept(vectors: tuple[Any, ...]) -> None:
    assert check_embeddings(*vectors) == []


def test_embeddings_are_read_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("id,embedding\na,0.5|-1e-1\nb,\nc,1|x\nd,nan|1\n", encoding="utf-8")
    raw = read_table(path, PRODUCTS)
    assert [(fault.field, fault.positions.tolist()) for fault in raw.faults] == [("embedding", [2])]
    read = raw.table.column("embedding").to_pylist()
    assert read[0] == pytest.approx([0.5, -0.1])
    assert read[1:3] == [None, None]
    assert math.isnan(read[3][0])


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.int64())],
)
def test_every_list_of_numbers_is_read_from_parquet(tmp_path: Path, kind: Any) -> None:
    table = pa.table({"id": ["a", "b"], "embedding": pa.array([[1, 2], None], kind)})
    pyarrow.parquet.write_table(table, tmp_path / "products.parquet")
    read = read_table(tmp_path / "products.parquet", PRODUCTS).table
    assert read.column("embedding").type == pa.list_(pa.float32())
    assert read.column("embedding").to_pylist() == [[1.0, 2.0], None]


def test_no_assumption_fills_an_embedding(tmp_path: Path) -> None:
    from training.assume import read_assumptions

    entry = {"table": "products", "field": "embedding", "reason": "none", "value": [1.0]}
    content = {"format_version": 1, "source": "x", "fill": [entry]}
    (tmp_path / "assume.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(AssumptionError):
        read_assumptions(tmp_path / "assume.json")


@pytest.mark.parametrize("width", [1, 5])
def test_products_without_events_are_placed_by_their_embeddings(tmp_path: Path, width: int) -> None:
    data = write_data(tmp_path / "data", EVENTS, products=make_products(width))
    trained = open_run(train_tiny(tmp_path / "run", data))
    assert trained.spec.item_embedding is not None
    assert trained.spec.item_embedding.width == width
    products = read_learning_data(data).products
    inputs = encode_items(trained.spec, trained.vocabulary, products).feed()
    with torch.no_grad():
        items = trained.towers.item_tower(*map(torch.from_numpy, inputs.values()))[:, :-1]
    low, high = items[:30].mean(dim=0), items[30:60].mean(dim=0)
    like_low, like_high = (items[-2:] - (low + high) / 2) @ (low - high)
    assert like_low > 0 > like_high


def test_without_embeddings_all_other_weights_start_and_end_the_same(tmp_path: Path) -> None:
    """A reader of embeddings draws nothing, so that only what it learns makes a difference."""
    data = read_learning_data(write_data(tmp_path / "data", EVENTS, products=make_products()))
    bare = tuple(
        {name: value for name, value in each.items() if name != "embedding"} for each in data.products
    )
    none = tuple({**each, "embedding": None} for each in data.products)
    weights = []
    for products in (data.products, bare, none):
        examples = encode_examples(replace(data, products=products), data.interactions)
        trainer = make_trainer(examples, None, make_config("two_tower", TINY_SETTINGS), lambda _count: None)
        weights.append(copy_weights(trainer.learner))
        if products is not data.products:
            run_epoch(trainer, Stage("final"), epoch_count=1)
            weights.append(copy_weights(trainer.learner))
    full, first, first_after, second, second_after = weights
    assert full.keys() - first.keys() == {"towers.item_tower.embedding.weight"}
    assert all(torch.equal(full[name], first[name]) for name in first)
    assert first.keys() == second.keys()
    assert all(torch.equal(first_after[name], second_after[name]) for name in first_after)


@pytest.mark.parametrize(
    ("vector", "told"),
    [([1.0, math.nan, 0.0, 0.0, 0.0], "finite numbers in row 7"), ([1.0], "5 numbers in row 7")],
)
def test_a_bad_embedding_ends_a_run_and_is_named(tmp_path: Path, vector: Any, told: str) -> None:
    products = make_products()
    products[7]["embedding"] = vector
    data = write_data(tmp_path / "data", EVENTS, products=products)
    with pytest.raises(DataError, match=f"embedding: expected {told}"):
        train_tiny(tmp_path / "run", data)


def test_data_with_other_embeddings_are_other_data(tmp_path: Path) -> None:
    """The text of a long array is shortened; its bytes are not."""
    found = []
    for place in range(2):
        products = make_products(1200)
        products[0]["embedding"][600] += place
        found.append(
            identify_data(read_learning_data(write_data(tmp_path / str(place), EVENTS, products=products)))
        )
    assert found[0] != found[1]


def test_shards_learn_from_embeddings(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", EVENTS, products=make_products())
    write_shards(data, event_count=300, force=False)
    trained = open_run(train_tiny(tmp_path / "run", data, epochs=1))
    assert trained.towers.item_tower.embedding.weight.any()  # type: ignore[union-attr]


def test_an_update_keeps_what_was_learned_from_embeddings(tmp_path: Path) -> None:
    old = write_data(tmp_path / "old", EVENTS, products=make_products())
    new = write_data(tmp_path / "new", EVENTS, products=make_products(shift=2.0))
    earlier = open_run(train_tiny(tmp_path / "run", old))
    data = read_learning_data(new)
    trainer = make_trainer(
        encode_examples(data, data.interactions), None, earlier.config, lambda _count: None
    )
    carry_weights(earlier, trainer)
    assert trainer.examples.spec.item_embedding != earlier.spec.item_embedding
    inputs = encode_items(earlier.spec, earlier.vocabulary, data.products).feed()
    with torch.no_grad():
        before = earlier.towers.item_tower(*map(torch.from_numpy, inputs.values()))
        after = trainer.learner.towers.item_tower.eval()(*trainer.examples.item_inputs)
    # The same sums in another order, in float32; biases may have moved together.
    torch.testing.assert_close(after[:, :-1], before[:, :-1], atol=1e-4, rtol=1e-4)


def test_an_update_may_bring_the_first_embeddings(tmp_path: Path) -> None:
    plain = [{"id": each["id"], "family": "FUND"} for each in make_products()]
    old = write_data(tmp_path / "old", EVENTS, products=plain)
    new = write_data(tmp_path / "new", EVENTS, products=make_products())
    run = train_tiny(tmp_path / "run", old, epochs=1)
    console = Console(file=io.StringIO())
    update(run, new, tmp_path / "run2", epochs=1, resume=False, force=False, console=console)
    assert open_run(tmp_path / "run2").spec.item_embedding is not None


@pytest.mark.parametrize(("products", "told"), [(None, "no such column"), (make_products(4), "got 4")])
def test_an_update_without_the_embeddings_that_were_learned_from_is_refused(
    tmp_path: Path, products: Any, told: str
) -> None:
    run = train_tiny(
        tmp_path / "run", write_data(tmp_path / "old", EVENTS, products=make_products()), epochs=1
    )
    new = write_data(tmp_path / "new", EVENTS, products=products)
    console = Console(file=io.StringIO())
    with pytest.raises(CheckpointError, match=f"embedding: the earlier run learned from 5 numbers .* {told}"):
        update(run, new, tmp_path / "run2", epochs=1, resume=False, force=False, console=console)
