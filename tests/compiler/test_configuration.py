"""What compile is told for the only output, and which activation a loss looks through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nncore as nn

RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 4)).astype(np.float32)


def stack(*layers: Any) -> nn.Model:
    return nn.Model([nn.Input(4), *layers], seed=1)


# ---- a view after the last activation --------------------------------------------------------------------------------


def rows_of(a: Any) -> np.ndarray:
    return np.asarray(a, np.float64).reshape(len(a), -1)


@pytest.mark.parametrize(
    ("before", "activation", "after", "loss"),
    [
        ([], "softmax", [nn.Reshape((1, 3)), nn.Flatten()], "categorical_crossentropy"),
        ([nn.Reshape((2, 2))], "softmax", [nn.Reshape((1, 2, 3))], "categorical_crossentropy"),
        ([nn.Reshape((2, 2))], "softmax", [nn.Reshape((1, 2, 3))], "sparse_categorical_crossentropy"),
        ([nn.Reshape((2, 2))], "sigmoid", [nn.Flatten()], "binary_crossentropy"),
        ([nn.Reshape((2, 2))], "sigmoid", [nn.Reshape((3, 2))], "binary_crossentropy"),
    ],
)
def test_views_are_seen_through(before: list[Any], activation: str, after: list[Any], loss: str) -> None:
    """Loss by the formula in float64, and the gradient (p − t) of fused logits as it moves the bias.

    Fused it must be: logits of ±200 have probabilities whose logarithm float32 does not hold.
    """
    before = [type(layer).from_config(layer.get_config()) for layer in before]
    after = [type(layer).from_config(layer.get_config()) for layer in after]
    dense = nn.Dense(3, activation=activation)
    model = stack(*before, dense, *after)
    model.compile(nn.SGD(0.5), loss, metrics=["accuracy"])
    for scale in (1, 200):
        kernel, bias = RNG.normal(size=dense.get_weights()[0].shape) * scale, RNG.normal(size=3)
        model.set_weights([kernel, bias])
        shape = model.output_shape[1:]
        z = X.reshape(len(X), -1, len(kernel)).astype(np.float64) @ kernel.astype(np.float32) + bias.astype(np.float32)
        if activation == "softmax":
            labels = RNG.integers(0, 3, z.shape[:-1])
            t = np.eye(3)[labels]
            top = z.max(-1, keepdims=True)
            e = np.exp(z - top)
            p = e / e.sum(-1, keepdims=True)
            losses = rows_of(np.log(e.sum(-1)) + top[..., 0] - (t * z).sum(-1)).mean(1)
            per_row = z.shape[1]
            y = labels.reshape(len(X), *shape[:-1]) if "sparse" in loss else t.reshape(len(X), *shape)
        else:
            t = RNG.integers(0, 2, z.shape).astype(float)
            p = 0.5 + 0.5 * np.tanh(z / 2)
            losses = rows_of(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean(1)
            per_row = z[0].size
            y = t.reshape(len(X), *shape)
        assert np.isclose(model.evaluate(X, y, verbose=0)[0], losses.mean(), rtol=2e-5)
        assert np.allclose(model.predict(X), p.reshape(len(X), *shape), atol=1e-5)
        model.train_on_batch(X, y)
        moved = bias - 0.5 * (p - t).reshape(-1, 3).sum(0) / (len(X) * per_row)
        assert np.allclose(model.get_weights()[1], moved, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "loss", "words"),
    [
        (
            [nn.Reshape((2, 2)), nn.Dense(3, "softmax"), nn.Flatten()],
            "categorical_crossentropy",
            "The softmax has rows of 3, which are cut or joined to rows of 6 after it$",
        ),
        (
            [nn.Dense(4, "softmax"), nn.Reshape((2, 2))],
            "categorical_crossentropy",
            "The softmax has rows of 4, which are cut or joined to rows of 2 after it$",
        ),
        (
            [nn.Dense(3, "softmax"), nn.Dropout(0.1)],
            "categorical_crossentropy",
            "The softmax is followed by Dropout, which changes the probabilities: put it before$",
        ),
        (
            [nn.Dense(3, "softmax"), nn.Rescaling(2.0), nn.Reshape((3, 1))],
            "categorical_crossentropy",
            "The softmax is followed by Rescaling, which changes the probabilities: put it before$",
        ),
        (
            [nn.Dense(3, "sigmoid"), nn.Reshape((3, 1)), nn.Rescaling(2.0), nn.Flatten()],
            "binary_crossentropy",
            "The sigmoid is followed by Rescaling, which changes the probabilities: put it before$",
        ),
        (
            [nn.Dense(3, "tanh"), nn.Rescaling(2.0)],
            "binary_crossentropy",
            r"the last layer's activation 'linear' gives none\. [^.]*from_logits=True$",
        ),
    ],
)
def test_what_changes_probabilities_is_named(layers: list[Any], loss: str, words: str) -> None:
    model = stack(*[type(layer).from_config(layer.get_config()) for layer in layers])
    with pytest.warns(UserWarning, match=f"^loss: {loss} expects probabilities, .*{words}"):
        model.compile("sgd", loss)
    model.compile("sgd", "mse")  # what the outputs are does not matter


def test_dropout_that_drops_nothing_is_no_obstacle() -> None:
    stack(nn.Dense(3, "softmax"), nn.Dropout(0)).compile("sgd", "categorical_crossentropy")


def test_metrics_see_the_shape_of_the_outputs() -> None:
    """The largest of 6 outputs, not of the 3 in each row of the sigmoid."""
    model = stack(nn.Reshape((2, 2)), nn.Dense(3, "sigmoid"), nn.Flatten())
    model.compile("sgd", "binary_crossentropy", metrics=["categorical_accuracy", "binary_accuracy"])
    y = np.eye(6)[RNG.integers(0, 6, len(X))]
    p = model.predict(X)
    right, same = (p.argmax(1) == y.argmax(1)).mean(), ((p > 0.5) == y).mean()
    logs = model.evaluate(X, y, verbose=0, return_dict=True)
    assert np.isclose(logs["categorical_accuracy"], right) and np.isclose(logs["binary_accuracy"], same)


# ---- the only output -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", ["mse"], ("MSE",), {"out": "mse"}, [nn.losses.MeanSquaredError()]])
@pytest.mark.parametrize(
    "metrics",
    ["mae", ["mae"], [["mae"]], ("mae",), {"out": "mae"}, {"out": ["mae"]}, nn.metrics.MeanAbsoluteError("mae")],
)
def test_lists_and_dicts_of_one_output(loss: Any, metrics: Any) -> None:
    model = stack(nn.Dense(2, name="out"))
    model.compile("sgd", loss, metrics=metrics, weighted_metrics=metrics)
    assert type(model.loss) is nn.losses.MeanSquaredError
    logs = model.evaluate(X, X[:, :2], verbose=0, return_dict=True)
    assert list(logs) == ["loss", "mae", "weighted_mae"]


def test_nothing_for_the_only_output() -> None:
    model = stack(nn.Dense(2))
    for nothing in (None, [], [[]], [None], {"dense": None}):
        model.compile("sgd", "mse", metrics=nothing)
        assert model.metrics == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"loss": ["mse", "mae"]}, r"^loss: expected that of the only output, got \['mse', 'mae'\] for 2"),
        ({"loss": []}, r"^loss: expected that of the only output, got \[\] for 0"),
        ({"loss": {"out": "mse", "other": "mse"}}, "^loss: expected that of the only output, .* for 2"),
        ({"loss": {"other": "mse"}}, "^loss: expected as key the last layer's name 'out', got 'other'"),
        ({"metrics": {"other": "mse"}}, "^metrics: expected as key the last layer's name 'out', got 'other'"),
        ({"metrics": [["mse"], ["mae"]]}, "^metrics: expected that of the only output, .* for 2"),
        ({"weighted_metrics": [["mse"], "mae"]}, "^weighted_metrics: expected that of the only output, .* for 2"),
    ],
)
def test_several_outputs_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        stack(nn.Dense(2, name="out")).compile("sgd", **({"loss": "mse"} | arguments))


def test_a_name_that_is_not_settled_is_not_compared() -> None:
    model = nn.Model([nn.Dense(2)])
    model.compile("sgd", {"output": "mse"}, metrics={"output": ["mae"]})
    model.fit(X, X[:, :2], verbose=0)
    assert list(model.history.history) == ["loss", "mae"]


def test_a_precision_may_be_a_string_of_numpy() -> None:
    """A grid search gives such."""
    model = stack(nn.Dense(1))
    model.compile("sgd", "mse", matmul_precision=np.str_("medium"))
    assert type(model.matmul_precision) is str
