"""What `compile` takes, refuses and starts anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_models import LABELS, X, classifier, same

import nncore as nn


def test_trainable_takes_effect_at_compile() -> None:
    model = classifier()
    model.build(4)
    first, last = model.layers
    first.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    frozen, moving = first.get_weights(), last.get_weights()
    model.fit(X, LABELS, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(frozen, first.get_weights(), strict=True))
    assert not np.array_equal(moving[0], last.get_weights()[0])
    first.trainable = True
    model.fit(X, LABELS, verbose=0)
    assert np.array_equal(frozen[0], first.get_weights()[0])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, LABELS, verbose=0)
    assert not np.array_equal(frozen[0], first.get_weights()[0])
    for layer in model.layers:
        layer.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.fit(X, LABELS, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_the_step_that_compile_checks_is_the_one_that_fit_makes() -> None:
    """A layer is asked for its operations once for both; anew by another compile, and for weighted rows."""
    asked = []

    class Asked(nn.Dense):
        def emit(self, b: Any, *inputs: Any) -> Any:
            asked.append(b.training)
            return super().emit(b, *inputs)

    model = nn.Model([Asked(3, "softmax")], seed=1)
    model.build(4)
    model.compile("adam", "sparse_categorical_crossentropy")
    for _ in range(2):
        model.fit(X, LABELS, verbose=0)
    assert asked == [True]
    model.fit(X, LABELS, sample_weight=np.ones(len(X)), verbose=0)
    assert asked == [True] * 2
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, LABELS, sample_weight=np.ones(len(X)), verbose=0)
    model.fit(X, LABELS, verbose=0)
    assert asked == [True] * 4


def test_what_changes_between_compile_and_fit_takes_effect() -> None:
    """Also what the operations of a step hold: the decay of rows of a table."""
    ids, y = np.arange(12).reshape(6, 2) % 5, np.linspace(-1, 1, 6)

    def trained(before: Any, after: Any) -> nn.Model:
        model = nn.Model([nn.Embedding(5, 3), nn.Flatten(), nn.Dense(1, "relu")], seed=1)
        model.build(2)
        before(model)
        model.compile(optimizer := nn.optimizers.LazySGD(0.1, weight_decay=0.5), "mse")
        after(model, optimizer)
        model.fit(ids, y, epochs=3, verbose=0)
        return model

    def nothing(*_: Any) -> None: ...

    def other(model: nn.Model, *_: Any) -> None:
        model.layers[-1].activation = "tanh"

    plain = trained(nothing, nothing)
    spared = trained(nothing, lambda _, optimizer: optimizer.exclude_from_weight_decay(var_names=["embedding"]))
    read, decayed = spared.layers[0].get_weights()[0], plain.layers[0].get_weights()[0]
    twin = nn.Model([nn.Embedding(5, 3), nn.Flatten(), nn.Dense(1, "relu")], seed=1)
    twin.build(2)
    optimizer = nn.optimizers.LazySGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["embedding"])
    twin.compile(optimizer, "mse")
    twin.fit(ids, y, epochs=3, verbose=0)
    assert same(spared, twin) and not np.array_equal(read, decayed)
    assert same(trained(nothing, other), trained(other, nothing))


def test_compile_starts_the_optimizer_anew() -> None:
    adam = nn.Adam(0.01)
    model, twin = classifier(), classifier()
    model.build(4)
    twin.build(4)
    start = model.get_weights()
    model.compile(adam, "sparse_categorical_crossentropy")
    model.fit(X, LABELS, verbose=0)
    assert adam.iterations == 2 and model.optimizer is adam
    model.compile(adam, "sparse_categorical_crossentropy")
    assert adam.iterations == 0
    model.set_weights(start)
    twin.compile(nn.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(X, LABELS, shuffle=False, verbose=0)
    twin.fit(X, LABELS, shuffle=False, verbose=0)
    assert same(model, twin)
    with pytest.raises(ValueError, match="unknown|known"):
        model.compile("adma", "mse")
    model.fit(X, LABELS, verbose=0)  # what failed has changed nothing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"optimizer": "adma"},
            "optimizer: expected a known optimizer, got 'adma'. Did you mean 'adamax'\\? Known: .*adam, adamax, adamw",
        ),
        ({"loss": "mes"}, "loss: expected a known loss, got 'mes'.*Known: .*mean_squared_error"),
        ({"metrics": ["acuracy"]}, "metrics: expected a known metric, got 'acuracy'.*accuracy"),
        ({"weighted_metrics": [3]}, "weighted_metrics: expected"),
        ({"matmul_precision": "best"}, "matmul_precision: expected one of highest, high, medium, got 'best'"),
        ({"matmul_precision": ["high"]}, "matmul_precision: expected one of highest, high, medium, got \\['high'\\]"),
        ({"optimizer": 3}, "optimizer: expected the name"),
        ({"loss": 3}, "loss: expected the name"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_compile_refuses_at_once(arguments: dict[str, Any], words: str, built: bool) -> None:
    model = nn.Model([nn.Dense(3)])
    if built:
        model.build(4)
    with pytest.raises((ValueError, TypeError), match=words):
        model.compile(**({"loss": "mse"} | arguments))
    with pytest.raises(ValueError, match=r"not compiled.*compile\("):
        model.fit(X, LABELS, verbose=0)


def test_metrics_are_checked_once_there_are_shapes() -> None:
    model = nn.Model([nn.Dense(3)])
    model.build(4)
    with pytest.raises(ValueError, match="metrics: .*integer labels"):
        model.compile(loss=nn.losses.Huber, metrics=["sparse_categorical_accuracy"])


def test_a_model_without_loss_predicts_only() -> None:
    model = nn.Model([nn.Dense(3)], seed=0)
    assert not hasattr(model, "optimizer") and getattr(model, "optimizer", None) is None
    with pytest.raises(AttributeError, match=r"^optimizer: the model is not compiled: call compile"):
        _ = model.optimizer
    uncompiled = model.predict(X)
    model.compile()
    assert type(model.optimizer) is nn.RMSprop and np.array_equal(model.predict(X), uncompiled)
    for what in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match="not compiled with a loss"):
            what(X, LABELS)


def test_names_objects_and_classes_are_the_same() -> None:
    models = []
    for optimizer, loss, metric in (
        ("sgd", "mse", "mae"),
        ("SGD", "mean_squared_error", "mean_absolute_error"),
        (nn.SGD(), nn.losses.MeanSquaredError(), nn.metrics.MeanAbsoluteError()),
        (nn.SGD, "MeanSquaredError", nn.metrics.MeanAbsoluteError),
    ):
        model = nn.Model([nn.Dense(1)], seed=0)
        model.compile(optimizer, loss, metrics=[metric])
        model.fit(X, X[:, 0], verbose=0)
        models.append(model)
    assert all(same(models[0], other) for other in models[1:])


def test_an_output_of_one_number_without_an_axis() -> None:
    """Which predicts, but has no loss; a Reshape gives it the axis."""
    x = np.ones((4, 3))
    layers = [nn.Input(3), nn.EinsumDense("ab,b->a", (), kernel_initializer="ones")]
    model = nn.Model(layers)
    np.testing.assert_allclose(model.predict(x), [3.0] * 4)
    with pytest.raises(ValueError, match=r"loss: expected an output with an axis beside the batch.*Reshape\(\(1,\)\)"):
        model.compile("sgd", "mse")
    model = nn.Model([nn.Input(3), nn.EinsumDense("ab,b->a", (), kernel_initializer="ones"), nn.Reshape((1,))])
    model.compile("sgd", "mse")
    assert model.evaluate(x, np.ones(4), verbose=0) == pytest.approx(4.0)


@pytest.mark.parametrize("loss", [["mse"], ("mse",), {"say": ["mse"]}, [["mse"]]])
def test_the_loss_of_an_output_in_a_list_of_its_own(loss: Any) -> None:
    model = nn.Model([nn.Input(4), nn.Dense(1, name="say")])
    model.compile("sgd", loss)
    assert model.loss == nn.losses.MeanSquaredError()


def test_losses_of_several_outputs_in_lists_of_their_own() -> None:
    inputs = nn.Input(4)
    model = nn.Model(inputs, [nn.Dense(1, name="y")(inputs), nn.Dense(1, name="z")(inputs)])
    for loss in ([["mse"], ["mae"]], {"y": ["mse"], "z": "mae"}):
        model.compile("sgd", loss)
        assert model.loss == [nn.losses.MeanSquaredError(), nn.losses.MeanAbsoluteError()]
    with pytest.raises(TypeError, match=r"loss: expected the name of a loss, .* got \['mse', 'mae'\]"):
        model.compile("sgd", [["mse", "mae"], "mae"])
