"""The towers: exact masks, whole gradients, and switches that switch what they name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from preprocessing.data.features import HORIZONS
from tests.trainer.models.shaken import shaken
from trainer.config import TrainerConfig
from trainer.data.dataset import catalog, keyed_items, keyed_requests, requests
from trainer.models.build import build_model
from trainer.models.two_tower import TwoTower

Make = Callable[..., TrainerConfig]
MODELS = ["mgdspr", "mmse", "dnn", "tfrs"]


@pytest.fixture(scope="module")
def batch(data: str) -> dict[str, Any]:
    """40 requests, the last without a past, and 30 items."""
    found = next(iter(requests(data, "train", 500)))
    rich = tf.argsort(found["realtime_item"].row_lengths(), direction="DESCENDING")
    poor = tf.where((found["short_item"].row_lengths() + found["realtime_item"].row_lengths()) == 0)[-1:, 0]
    rows = tf.concat([rich[:39], tf.cast(poor, tf.int32)], axis=0)
    return {
        "requests": {name: tf.gather(one, rows) for name, one in found.items()},
        "catalog": next(iter(catalog(data, 30))),
    }


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, config: Make, spec: dict[str, Any]) -> TwoTower:
    return shaken(build_model(config(request.param), spec))


def dense(features: dict[str, Any], wider: int = 0) -> dict[str, Any]:
    """Every list padded with zeros, and `wider` more of them."""

    def pad(one: Any) -> Any:
        if not isinstance(one, tf.RaggedTensor) or one.dtype == tf.string:
            return one
        whole = one.to_tensor()
        return tf.pad(whole, [[0, 0], *[[0, wider]] * (len(whole.shape) - 1)])

    return {name: pad(one) for name, one in features.items()}


def query(model: TwoTower, features: dict[str, Any]) -> np.ndarray:
    return model.query_tower({name: features[name] for name in model.query_tower.columns}).numpy()


@pytest.mark.parametrize("wider", [0, 3])
def test_padding_changes_nothing(model: TwoTower, batch: dict[str, Any], wider: int) -> None:
    requests, items = batch["requests"], batch["catalog"]
    assert query(model, dense(requests, wider)) == pytest.approx(query(model, requests), abs=1e-5)
    padded = model.item_tower(dense(items, wider)).numpy()
    assert padded == pytest.approx(model.item_tower(items).numpy(), abs=1e-5)


def test_holes_change_nothing(model: TwoTower, batch: dict[str, Any]) -> None:
    """Places that hold no id may stand anywhere in a served list: an LSTM or a position never counts them."""
    columns = {name: dense({name: batch["requests"][name]})[name] for name in model.query_tower.columns}
    draw = np.random.default_rng(6)
    order: dict[int, np.ndarray] = {}  # of each width: parallel lists are torn apart alike
    torn = {}
    for name, ids in columns.items():
        width = ids.shape[1] + 4
        places = order.setdefault(ids.shape[1], np.sort(draw.permutation(width)[: ids.shape[1]]))
        wide = np.zeros([ids.shape[0], width, *ids.shape[2:]], np.int64)
        wide[:, places] = ids
        torn[name] = tf.constant(wide)
    assert query(model, torn) == pytest.approx(query(model, batch["requests"]), abs=1e-5)


ALONE = [
    ("mgdspr",),
    ("mgdspr", "mgdspr.grains.sequence=false"),
    ("mgdspr", "mgdspr.grains.history=false"),
    ("mgdspr", "mgdspr.grains.mix=false"),
    ("mgdspr", "mgdspr.horizons.realtime.on=false"),
    ("mgdspr", "mgdspr.horizons.realtime.lstm_layers=2"),
    ("mgdspr", "mgdspr.horizons.short.on=false"),
    ("mgdspr", "mgdspr.horizons.short.self_attention=false"),
    ("mgdspr", "mgdspr.horizons.long.on=false"),
    ("mgdspr", "mgdspr.horizons.zero_vector=false"),
    ("mgdspr", "mgdspr.horizons.signals=[action,age]"),
    ("mgdspr", "mgdspr.fusion=mean"),
    ("mgdspr", "mgdspr.normalize=true"),
    ("mmse",),
    ("mmse", "mmse.normalize=true"),
    ("mmse", "mmse.fusion=representations"),
    ("mmse", "mmse.grains.history=false", "mmse.horizons.zero_vector=false"),
    ("dnn",),
    ("dnn", "dnn.attributes=[item,leaf]", "dnn.behaviours=true", "dnn.query_grams=[bigram]", "dnn.normalize=true"),
    ("dnn", "dnn.attributes=[price]", "dnn.behaviours=true"),
    ("tfrs",),
]


@pytest.mark.parametrize("settings", ALONE, ids=" ".join)
def test_a_query_alone_is_that_of_a_user_without_a_past(
    settings: tuple[str, ...], config: Make, spec: dict[str, Any], batch: dict[str, Any]
) -> None:
    model = shaken(build_model(config(*settings), spec))
    requests = batch["requests"]
    of_query = {name: requests[name] for name in model.query_tower.columns if name.startswith("query_")}
    nobody = {name: ids[:, :0] for name, ids in requests.items() if name.startswith((*HORIZONS, "history"))}
    expected = query(model, requests | nobody)
    assert model.query_tower.query_alone(of_query).numpy() == pytest.approx(expected, abs=1e-6)
    assert model.query_tower.query_alone(dense(of_query, 2)).numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "settings, most, most_alone",
    [
        (("mgdspr",), 425, 170),
        (("mmse",), 415, 170),
        (("dnn", "dnn.attributes=[item,leaf]", "dnn.behaviours=true"), 150, 50),
        (("tfrs",), 12, 12),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_a_served_query_takes_few_ops(
    settings: tuple[str, ...], most: int, most_alone: int, config: Make, spec: dict[str, Any]
) -> None:
    """A query's time is that of its ops, each of which does next to nothing."""
    model = build_model(config(*settings), spec)
    tower = model.query_tower
    widths = {name: [None, 10, None] if name == "history_word" else [None, 20] for name in tower.columns}
    widths |= {name: [None, None] for name in tower.columns if name.startswith("query_")}
    specs = {name: tf.TensorSpec(shape, tf.int32, name) for name, shape in widths.items()}
    alone = {name: one for name, one in specs.items() if name.startswith("query_")}
    assert ops(lambda **features: tower(features), specs) <= most
    assert ops(lambda **features: tower.query_alone(features), alone) <= most_alone


def ops(call: Callable[..., tf.Tensor], specs: dict[str, tf.TensorSpec]) -> int:
    """The nodes of a call's optimised graph, its functions inlined, but its inputs and constants."""
    traced = tf.function(call, autograph=False).get_concrete_function(**specs)
    graph = convert_variables_to_constants_v2(traced).graph.as_graph_def()
    assert not graph.library.function
    return sum(node.op not in ("Const", "Placeholder", "Identity", "NoOp") for node in graph.node)


def test_neighbours_and_order_change_nothing(model: TwoTower, batch: dict[str, Any]) -> None:
    whole = query(model, batch["requests"])
    order = np.random.default_rng(2).permutation(40)
    shuffled = query(model, {name: tf.gather(one, order) for name, one in batch["requests"].items()})
    assert shuffled == pytest.approx(whole[order], abs=1e-5)
    for row in (0, 39):
        alone = query(model, {name: one[row : row + 1] for name, one in batch["requests"].items()})
        assert alone[0] == pytest.approx(whole[row], abs=1e-5)


@pytest.mark.parametrize("name", ["mgdspr", "mmse"])
def test_an_empty_past_leaves_the_grains_alone(
    name: str, config: Make, spec: dict[str, Any], batch: dict[str, Any]
) -> None:
    model = shaken(build_model(config(name), spec))
    features = dict(batch["requests"])
    for column in model.query_tower.columns:
        if column.startswith(tuple(HORIZONS)):
            features[column] = tf.RaggedTensor.from_row_lengths(tf.constant([], tf.int64), [0] * 40)
    before = query(model, features)
    grains = model.query_tower._grains(features)
    for horizon in model.query_tower._horizons:
        assert np.all(horizon(features, grains).numpy() == 0.0)
    for horizon in model.query_tower._horizons:  # whatever the horizons learned does not show
        for variable in horizon.trainable_variables:
            if "tables" not in variable.name:
                variable.assign(variable * 3 + 1)
    assert query(model, features) == pytest.approx(before, abs=1e-6)
    assert np.abs(query(model, batch["requests"]) - before).max() > 1e-3


def test_gradients_reach_every_variable(
    model: TwoTower, batch: dict[str, Any], config: Make, spec: dict[str, Any]
) -> None:
    whole = {"requests": keyed_requests(batch["requests"]), "catalog": keyed_items(batch["catalog"])}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(whole, training=True)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.name
        values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
        assert np.all(np.isfinite(values)) and np.abs(values).max() > 0, variable.name


def test_embedding_gradients_are_sparse(model: TwoTower, batch: dict[str, Any]) -> None:
    whole = {"requests": keyed_requests(batch["requests"]), "catalog": keyed_items(batch["catalog"])}
    tables = model.query_tower.tables.trainable_variables
    with tf.GradientTape() as tape:
        loss = model.compute_loss(whole, training=True)
    assert all(isinstance(gradient, tf.IndexedSlices) for gradient in tape.gradient(loss, tables))


@pytest.mark.parametrize("name", MODELS)
def test_half_precision_rounds_and_no_more(
    name: str, config: Make, spec: dict[str, Any], batch: dict[str, Any]
) -> None:
    """bfloat16 products: the same loss and vectors to their rounding; variables and gradients stay float32."""
    keyed = {"requests": keyed_requests(batch["requests"]), "catalog": keyed_items(batch["catalog"])}
    losses, vectors = [], []
    before = tf.keras.mixed_precision.global_policy()
    for policy in ("float32", "mixed_bfloat16"):
        tf.keras.mixed_precision.set_global_policy(policy)
        try:
            tf.keras.utils.set_random_seed(1)
            model = build_model(config(name), spec)
            with tf.GradientTape() as tape:
                loss = model.compute_loss(keyed, training=True)
            gradients = tape.gradient(loss, model.trainable_variables)
        finally:
            tf.keras.mixed_precision.set_global_policy(before)
        assert all(one.dtype == tf.float32 and np.all(np.isfinite(tf.convert_to_tensor(one))) for one in gradients)
        losses.append(float(loss))
        vectors.append(tf.cast(model.query_tower(batch["requests"]), tf.float32))
    assert losses[1] == pytest.approx(losses[0], rel=0.01) and tf.reduce_any(vectors[0] != vectors[1])
    cosine = -tf.keras.losses.cosine_similarity(*vectors).numpy()
    assert cosine.min() > 0.99


def test_positions_weigh_in_the_ranking_loss_alone(config: Make, spec: dict[str, Any], batch: dict) -> None:
    keyed = {"requests": keyed_requests(batch["requests"]), "catalog": keyed_items(batch["catalog"])}
    losses = []
    for position in ("false", "true"):
        tf.keras.utils.set_random_seed(1)
        ranking = ("loss.ranking.weight=1", "loss.ranking.random_items=8", f"loss.ranking.position={position}")
        model = build_model(config("mmse", *ranking), spec)
        assert ("shown_position" in model.request_columns) == (position == "true")
        losses.append({name: float(loss) for name, loss in model.compute_losses(keyed).items()})
    assert losses[0]["retrieval"] == losses[1]["retrieval"]
    assert 0 < losses[1]["ranking"] < losses[0]["ranking"]


def weights_of(model: TwoTower) -> set[str]:
    """The names of the variables; what the horizons share is named after the first of them."""
    return {re.sub(r".*/(behaviour_items/)", r"\1", variable.name) for variable in model.weights}


SWITCHES = [
    ("mgdspr", "mgdspr.grains.sequence=false", "sequence/", 1),
    ("mgdspr", "mgdspr.grains.history=false", None, 1),
    ("mgdspr", "mgdspr.grains.mix=false", None, 1),
    ("mgdspr", "mgdspr.grains.grams=[word]", "tables/(char|bigram)", 2),
    ("mgdspr", "mgdspr.horizons.realtime.on=false", "realtime|step", 0),
    ("mgdspr", "mgdspr.horizons.realtime.lstm_layers=0", "realtime/lstm", 0),
    ("mgdspr", "mgdspr.horizons.short.on=false", "short", 0),
    ("mgdspr", "mgdspr.horizons.short.self_attention=false", "short/self_attention", 0),
    ("mgdspr", "mgdspr.horizons.long.on=false", "long", 0),
    ("mgdspr", "mgdspr.horizons.long.attributes=[item,shop,leaf]", "project_brand", 0),
    ("mgdspr", "mgdspr.horizons.zero_vector=false", None, 0),
    ("mgdspr", "mgdspr.horizons.attributes=[item,brand]", None, 0),
    ("mgdspr", "mgdspr.fusion=mean", "fusion", 0),
    ("mgdspr", "mgdspr.normalize=true", None, 0),
    ("mmse", "mmse.normalize=true", None, 0),
    ("mmse", "mmse.horizons.long.on=false", "long", 0),
]


@pytest.mark.parametrize("name, override, gone, grains_less", SWITCHES)
def test_a_query_switch(
    name: str, override: str, gone: str | None, grains_less: int, config: Make, spec: dict[str, Any], batch: dict
) -> None:
    """What a switch takes away is gone, what it does not name is still there, and the vectors differ."""
    tf.keras.utils.set_random_seed(1)
    whole = build_model(config(name), spec)
    tf.keras.utils.set_random_seed(1)
    less = build_model(config(name, override), spec)
    before, after = weights_of(whole), weights_of(less)
    if gone is None:
        assert before == after
    else:
        assert before - after and all(re.search(gone, path) for path in before - after), before - after
    grains = [len(model.query_tower._grains.names) for model in (whole, less)]
    assert grains[0] - grains[1] == grains_less
    one, other = query(whole, batch["requests"]), query(less, batch["requests"])
    assert one.shape != other.shape or not np.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "override, gone",
    [
        ("mgdspr.item.side=[]", "item_tower/side"),
        ("mgdspr.item.title_grams=[]", "title_word"),
        ("mgdspr.item.title_grams=[word,bigram]", None),
        ("mgdspr.item.id=false", None),
    ],
)
def test_an_item_switch(override: str, gone: str | None, config: Make, spec: dict[str, Any], batch: dict) -> None:
    whole, less = build_model(config("mgdspr"), spec), build_model(config("mgdspr", override), spec)
    before, after = weights_of(whole), weights_of(less)
    if gone is not None:
        assert before - after and all(re.search(gone, path) for path in before - after)
    assert whole.item_columns != less.item_columns
    assert less.item_tower(batch["catalog"]).shape == (30, 16)


@pytest.mark.parametrize("name", ["mgdspr", "mmse"])
def test_signals_of_actions_are_read_item_by_item(
    name: str, config: Make, spec: dict[str, Any], batch: dict[str, Any]
) -> None:
    """Each of them moves the vector of who has such items, and padded lists give what ragged ones do."""
    model = shaken(build_model(config(name, f"{name}.horizons.signals=[action,age]"), spec))
    requests = batch["requests"]
    signals = {f"{horizon}_{signal}" for horizon in ("realtime", "short") for signal in ("action", "age")}
    assert signals <= model.request_columns
    before = query(model, requests)
    for column in signals:
        nothing = requests[column].with_values(tf.zeros_like(requests[column].values))
        moved = np.abs(query(model, requests | {column: nothing}) - before).max(axis=1) > 1e-5
        assert moved.tolist() == (requests[column].row_lengths() > 0).numpy().tolist()
    assert query(model, dense(requests, 3)) == pytest.approx(before, abs=1e-5)
    keyed = {"requests": keyed_requests(requests), "catalog": keyed_items(batch["catalog"])}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(keyed, training=True)
    of_signals = [one for one in model.trainable_variables if "action_signals" in one.name]
    assert len(of_signals) == 2
    for gradient in tape.gradient(loss, of_signals):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0


def test_prices_are_read_where_they_are_named(config: Make, spec: dict[str, Any], batch: dict[str, Any]) -> None:
    """Of items, of what users did lately and long ago: each of them moves with the band, and nothing else is read."""
    named = ("item.side=[leaf,price]", "horizons.attributes=[item,price]", "horizons.long.attributes=[item,price]")
    model = shaken(build_model(config("mgdspr", *(f"mgdspr.{one}" for one in named)), spec))
    horizons = {f"{horizon}_price" for horizon in HORIZONS}
    assert {one for one in model.request_columns if one.endswith("_price")} == {
        *horizons,
        "ordered_price",
        "clicked_price",
    }
    before = query(model, batch["requests"])
    acted = {name for name in horizons if len(batch["requests"][name].values)}
    assert len(acted) >= 3
    for name in acted:
        ids = batch["requests"][name]
        other = ids.with_values(1 + (ids.values + 3) % 11)
        assert np.abs(query(model, batch["requests"] | {name: other}) - before).max() > 1e-4
    dearer = batch["catalog"] | {"price": 1 + (batch["catalog"]["price"] + 3) % 11}
    vectors = [model.item_tower(items).numpy() for items in (batch["catalog"], dearer)]
    assert np.abs(vectors[0] - vectors[1]).max(axis=1).min() > 1e-4


def test_normalised_vectors_have_length_1(config: Make, spec: dict[str, Any], batch: dict[str, Any]) -> None:
    model = build_model(config("mgdspr", "mgdspr.normalize=true"), spec)
    for vectors in (model.query_tower(batch["requests"]), model.item_tower(batch["catalog"])):
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_item_ids_are_forgotten_while_training_alone(config: Make, spec: dict[str, Any], batch: dict) -> None:
    model = build_model(config("mgdspr", "mgdspr.item.id_dropout=0.5"), spec)
    served, trained = (model.item_tower(batch["catalog"], training=t).numpy() for t in (False, True))
    forgotten = np.abs(served - trained).max(axis=1) > 0
    assert 5 <= forgotten.sum() <= 25
    assert model.item_tower(batch["catalog"], training=True).numpy() == pytest.approx(trained)  # the same step
    model.noise.step.assign_add(1)
    other = np.abs(served - model.item_tower(batch["catalog"], training=True).numpy()).max(axis=1) > 0
    assert np.any(other != forgotten)
    ids = model.query_tower.tables.forget_some(tf.fill([1000], tf.constant(10**6, tf.int64)), 0.5).numpy()
    unknown = ids[ids != 10**6]
    assert unknown.min() >= 1 and unknown.max() <= spec["vocabularies"]["item"]["hash_buckets"]
