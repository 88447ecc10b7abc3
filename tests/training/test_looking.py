"""Activations and gradients as arrays, and their check by differences: against PyTorch, steps, and planted errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.execution import team

torch = pytest.importorskip("torch")

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(4)
X, Y = RNG.standard_normal((20, 5)), RNG.standard_normal((20, 2))


def net(dtype: str = "float64", threads: int = 1) -> nn.Model:
    layers = [nn.Input(5), nn.Dense(8, "tanh", name="a"), nn.Dense(6, "gelu", name="b"), nn.Dense(2, name="c")]
    model = nn.Model(layers, seed=1, dtype=dtype, n_threads=threads)
    model.compile("adam", "mse")
    return model


def of_torch(model: nn.Model) -> dict[str, Any]:
    """Activations and gradients by PyTorch, in float64."""
    x = torch.tensor(X, requires_grad=True)
    W = [torch.tensor(w.astype(float), requires_grad=True) for w in model.get_weights()]
    a = torch.tanh(x @ W[0] + W[1])
    b = torch.nn.functional.gelu(a @ W[2] + W[3])
    c = b @ W[4] + W[5]
    for t in (a, b, c):
        t.retain_grad()
    ((c - torch.tensor(Y)) ** 2).mean().backward()
    return {"weights": [w.grad.numpy() for w in W], "inputs": x.grad.numpy(),
            "layers": [t.grad.numpy() for t in (a, b, c)], "made": [t.detach().numpy() for t in (a, b, c)]}  # fmt: skip


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("threads", [1, 2])
def test_against_pytorch(dtype: str, tolerance: float, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    model = net(dtype, threads)
    wanted, before = of_torch(model), model.get_weights()

    def close(found: Any, expected: Any) -> None:
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, tolerance, tolerance)

    weights = model.gradients(X, Y)
    assert list(weights) == ["a/kernel", "a/bias", "b/kernel", "b/bias", "c/kernel", "c/bias"]
    for g, w in zip(weights.values(), wanted["weights"], strict=True):
        close(g, w)
    close(model.gradients(X, Y, of="inputs"), wanted["inputs"])
    for of in ("abc", model.layers, [layer.output for layer in model.layers]):
        for g, w in zip(model.gradients(X, Y, of=list(of)), wanted["layers"], strict=True):
            close(g, w)
    close(model.gradients(X, Y, of=model.layers[1].kernel), wanted["weights"][2])
    close(model.gradients(X, of="a", grad=lambda out: 2 * (out - Y) / Y.size), wanted["layers"][0])
    made = model.activations(X)
    assert list(made) == ["a", "b", "c"]
    for found, w in zip(made.values(), wanted["made"], strict=True):
        close(found, w)
    close(model.activations(X, "b"), wanted["made"][1])
    close(model.activations(X, model.layers[1]), wanted["made"][1])
    np.testing.assert_array_equal(model.activations(X, "c"), model.predict(X))
    until_b = nn.Model(model.inputs, model.layers[1].output, dtype=dtype)
    np.testing.assert_array_equal(model.activations(X, "b"), until_b.predict(X))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == model.counters[0] == 0


def test_they_are_those_of_the_next_step_with_its_dropout() -> None:
    layers = [nn.Input(5), nn.Dense(8, "tanh"), nn.Dropout(0.5), nn.BatchNormalization(), nn.Dense(2)]
    model = nn.Model(layers, seed=3, dtype="float64")
    model.compile(nn.SGD(0.1), "mse")
    for _ in range(3):
        gradients, before = model.gradients(X, Y), dict(model.named_weights)
        before = {path: w.copy() for path, w in before.items()}
        statistics = model.layers[2].get_weights()[2:]
        again = model.gradients(X, Y)
        for a, b in zip(gradients.values(), again.values(), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(statistics, model.layers[2].get_weights()[2:])
        model.train_on_batch(X, Y)
        for path, g in gradients.items():
            np.testing.assert_allclose(model.named_weights[path], before[path] - 0.1 * g, 1e-12, 1e-14)


def test_graphs_nested_models_and_whole_numbers() -> None:
    inner = nn.Model([nn.Input(3), nn.Dense(4, "tanh", name="deep")], name="inner")
    ids, x = nn.Input(2, name="ids"), nn.Input(3, name="x")
    joined = nn.Concatenate(name="join")([nn.Flatten()(nn.Embedding(7, 2, name="table")(ids)), inner(x)])
    model = nn.Model([ids, x], {"p": nn.Dense(1, name="p")(joined), "q": nn.Dense(2, name="q")(joined)}, seed=1)
    model.compile("sgd", "mse", loss_weights=[1.0, 0.5])
    data = [np.array([[0, 1], [1, 6], [2, 2]]), X[:3, :3].astype("f4")]
    targets = {"p": Y[:3, :1].astype("f4"), "q": Y[:3].astype("f4")}
    made = model.activations(data)
    np.testing.assert_allclose(made["join"][:, 4:], model.activations(data, inner.layers[0]), 1e-6)
    np.testing.assert_array_equal(made["p"], model.predict(data)["p"])
    dp, dq = 2 * (made["p"] - targets["p"]) / 3, 0.5 * 2 * (made["q"] - targets["q"]) / 6
    found = model.gradients(data, targets, of=["p", "q", "join", inner.layers[0], "table"])
    (V, U) = (model.get_layer(name).get_weights()[0] for name in "pq")
    dj = dp @ V.T + dq @ U.T
    for a, b in zip(found, [dp, dq, dj, dj[:, 4:], dj[:, :4].reshape(3, 2, 2)], strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-6)
    table = model.gradients(data, targets)["table/embeddings"]
    expected = np.zeros((7, 2))
    np.add.at(expected, data[0], dj[:, :4].reshape(3, 2, 2))
    np.testing.assert_allclose(table, expected, 1e-4, 1e-6)
    of_input = model.gradients(data, targets, of="x")
    np.testing.assert_array_equal(of_input, model.gradients(data, targets, of=x))
    (W,) = (w for w in inner.get_weights() if w.ndim == 2)
    np.testing.assert_allclose(of_input, (dj[:, 4:] * (1 - made["join"][:, 4:] ** 2)) @ W.T, 1e-4, 1e-6)
    np.testing.assert_array_equal(model.activations(data, of="x"), data[1])
    of_other = model.gradients(data, of=model.get_layer("q").kernel, grad={"p": dp})
    np.testing.assert_array_equal(of_other, np.zeros((8, 2)))


def test_views_of_weights() -> None:
    model = net()
    views = model.named_weights
    for (path, view), w in zip(views.items(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(view, w)
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
        assert path.split("/")[0] in "abc"
    model.train_on_batch(X, Y)
    for view, w in zip(views.values(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(view, w)


def test_what_is_not_right_is_told() -> None:
    model = net()
    with pytest.raises(ValueError, match=r"of: expected the name of a layer or an input, .*'nobody'"):
        model.activations(X, "nobody")
    with pytest.raises(ValueError, match="of: expected a layer of this model"):
        model.gradients(X, Y, of=nn.Dense(3))
    with pytest.raises(ValueError, match="of: expected a symbol of this model"):
        model.gradients(X, Y, of=nn.Input(3))
    with pytest.raises(TypeError, match="of: expected layers, their names or symbols, got an int"):
        model.gradients(X, Y, of=3)
    with pytest.raises(ValueError, match="of: expected weights of this model"):
        model.gradients(X, Y, of=net().layers[0].kernel)
    with pytest.raises(ValueError, match="grad: expected None beside y"):
        model.gradients(X, Y, grad=Y)
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    assert "a/kernel" not in model.gradients(X, Y)
    with pytest.raises(ValueError, match=r"of: expected weights that are trained, got a/kernel\. Set trainable"):
        model.gradients(X, Y, of=model.layers[0].kernel)
    softmax = nn.Model([nn.Input(5), nn.Dense(2, "softmax", name="s")], seed=1)
    softmax.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="of: expected what the loss depends on.*from_logits=True"):
        softmax.gradients(X, np.zeros(20, int), of="s")
    assert softmax.gradients(X, np.zeros(20, int), of="inputs").shape == (20, 5)


# -- the check ---------------------------------------------------------------------------------------------------------


class Cube(nn.Layer):
    """Y = w X³, whose gradient is wrong by a factor where that is asked for."""

    def __init__(self, factor: float = 1.0, of_weight: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        self.factor, self.of_weight = factor, of_weight

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(input_shape[-1], "ones", name="w")

    def forward(self, x: Array) -> Array:
        return self.w * x**3

    def backward(self, dy: Array, x: Array) -> Any:
        return self.factor * 3 * self.w * x**2 * dy, self.of_weight * (dy * x**3).sum(axis=0)


def with_layer(layer: nn.Layer, loss: Any = "mse") -> nn.Model:
    model = nn.Model(
        [nn.Input(5), nn.Dense(4, "tanh", name="a"), layer, nn.Dropout(0.2), nn.Dense(2, name="z")], seed=1
    )
    model.compile("adam", loss)
    return model


def test_the_check_finds_what_is_wrong() -> None:
    model = with_layer(Cube(name="cube"))
    before = model.get_weights()
    report = nn.check_gradients(model, X, Y)
    assert report and "all gradients agree" in repr(report)
    assert [row.name for row in report] == ["a/kernel", "a/bias", "cube/w", "z/kernel", "z/bias", "input input_layer"]
    assert [row.elements for row in report] == [20, 4, 4, 8, 2, 32]
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    wrong = with_layer(Cube(of_weight=1.01, name="cube"))
    with pytest.raises(ValueError, match=r"(?s)cube/w .*DIFFER.*differ from the loss's differences: cube/w \("):
        nn.check_gradients(wrong, X, Y)
    report = nn.check_gradients(with_layer(Cube(0.99, name="cube")), X, Y, raise_exception=False)
    assert not report
    assert {row.name for row in report if not row.good} == {"a/kernel", "a/bias", "input input_layer"}
    [row] = [row for row in report if row.name == "a/bias"]
    assert row.gradient == pytest.approx(0.99 * row.difference, rel=1e-4)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "log_cosh", nn.losses.Huber(0.3)])
def test_native_networks_pass(loss: Any) -> None:
    layers = [nn.Input(5), nn.Dense(6, "gelu", kernel_regularizer="l2"), nn.LayerNormalization(),
              nn.BatchNormalization(), nn.Dropout(0.3), nn.Dense(4, "elu"), nn.Dense(2)]  # fmt: skip
    model = nn.Model(layers, seed=1)
    model.compile("adam", loss)
    assert nn.check_gradients(model, X, Y, sample_weight=RNG.random(20))


def test_fused_crossentropies_and_tables_pass() -> None:
    model = nn.Model([nn.Input(2), nn.Embedding(9, 3), nn.Flatten(), nn.Dense(3, "softmax")], seed=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = RNG.integers(0, 9, (12, 2)), RNG.integers(0, 3, 12)
    report = nn.check_gradients(model, x, y)
    assert [row.name for row in report] == ["embedding/embeddings", "dense/kernel", "dense/bias"]
    a, b = nn.Input(2), nn.Input(3)
    both = nn.Model([a, b], [nn.Dense(1, "sigmoid")(nn.Concatenate()([a, b])), nn.Dense(2)(b)], seed=1)
    both.compile("adam", ["binary_crossentropy", "mse"], loss_weights=[0.3, 2.0])
    assert nn.check_gradients(both, [X[:, :2], X[:, 2:]], [RNG.integers(0, 2, 20), Y], elements=5)


def test_an_activation_in_python_is_checked() -> None:
    for derivative, good in ((np.cos, True), (np.sin, False)):
        with nn.saving.custom_object_scope({"sin": np.sin, "cos": np.cos}):
            model = nn.Model([nn.Input(5), nn.Dense(4, (np.sin, derivative)), nn.Dense(2)], seed=1)
            model.compile("adam", "mse")
            assert bool(nn.check_gradients(model, X, Y, raise_exception=False)) == good


def test_arguments_of_the_check() -> None:
    with pytest.raises(ValueError, match="not compiled"):
        nn.check_gradients(nn.Model([nn.Input(5), nn.Dense(2)]), X, Y)
    with pytest.raises(ValueError, match="elements: expected a whole number"):
        nn.check_gradients(net(), X, Y, elements=0)
    with pytest.raises(ValueError, match="eps: expected a finite number > 0"):
        nn.check_gradients(net(), X, Y, eps=0.0)
