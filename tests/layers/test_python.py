"""Layers and activations that a user writes in Python: as the native ones that compute the same, or PyTorch's."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.execution import team

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((130, 5)), RNG.standard_normal((130, 2))


@nn.saving.register_keras_serializable()
class OwnDense(nn.Layer):
    """Y = X W + b."""

    def __init__(self, units: int, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name, trainable)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight((input_shape[-1], self.units), regularizer=nn.regularizers.L2(0.01), name="kernel")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.built = True
        super().build(input_shape)

    def forward(self, x: Array) -> Array:
        return x @ self.w + self.b

    def backward(self, dy: Array, x: Array) -> Any:
        return dy @ self.w.T, x.T @ dy, dy.sum(axis=0)


class Product(nn.Layer):
    """Y = A ⊙ C, keeping its inputs for the backward pass."""

    takes_many = True

    def forward(self, xs: list[Array]) -> Array:
        self.kept = xs
        return xs[0] * xs[1]

    def backward(self, dy: Array) -> list[Array]:
        return [dy * self.kept[1], dy * self.kept[0]]


def net(layer: nn.Layer, dtype: str = "float64", threads: int = 1) -> nn.Model:
    layers = [nn.Input(5), nn.Dense(8, "tanh"), layer, nn.ReLU(), nn.Dense(2)]
    model = nn.Model(layers, seed=1, dtype=dtype, n_threads=threads)
    model.compile(nn.AdamW(0.01), "mse")
    return model


def native() -> nn.Layer:
    return nn.Dense(6, kernel_regularizer=nn.regularizers.L2(0.01), name="own")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 1e-4)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_layer_of_python_trains_as_the_native_one(
    dtype: str, tolerance: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    own, wanted = net(OwnDense(6, name="own"), dtype, threads), net(native(), dtype)
    for a, b in zip(own.get_weights(), wanted.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    found = [m.fit(X, Y, batch_size=48, epochs=3, verbose=0, validation_split=0.2).history for m in (own, wanted)]
    for name in found[0]:
        np.testing.assert_allclose(found[0][name], found[1][name], tolerance)
    for a, b in zip(own.get_weights(), wanted.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, tolerance, tolerance)
    np.testing.assert_allclose(own.predict(X), wanted.predict(X), tolerance, tolerance)
    assert own.count_params() == wanted.count_params()
    assert [w.name for w in own.layers[1].weights] == ["kernel", "bias"]


def test_the_same_bits_at_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    found = []
    for threads in (1, 2):
        model = net(OwnDense(6), "float32", threads)
        model.fit(X, Y, batch_size=48, epochs=2, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()])
    assert found[0] == found[1]


def test_frozen_shared_and_called_twice() -> None:
    x, z = nn.Input(5), nn.Input(5)
    made = []
    for shared in (OwnDense(3, name="s"), nn.Dense(3, kernel_regularizer=nn.regularizers.L2(0.01), name="s")):
        out = nn.Concatenate()([shared(x), nn.Dense(3, "tanh", name="d")(shared(z))])
        model = nn.Model([x, z], nn.Dense(2, name="e")(out), seed=4, dtype="float64")
        model.compile(nn.SGD(0.1), "mse")
        model.fit([X, X[::-1]], Y, epochs=2, verbose=0)
        shared.trainable = False
        model.compile(nn.SGD(0.1), "mse")
        before = shared.get_weights()
        model.fit([X, X[::-1]], Y, epochs=2, verbose=0)
        for a, b in zip(before, shared.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        made.append(model)
    for a, b in zip(made[0].get_weights(), made[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, 1e-11, 1e-13)


def test_several_inputs() -> None:
    found = []
    for layer in (Product(), nn.Multiply()):
        x = nn.Input(5)
        h = layer([nn.Dense(4, "tanh")(x), nn.Dense(4)(x)])
        model = nn.Model(x, nn.Dense(2)(h), seed=4, dtype="float64")
        model.compile("adam", "mse")
        model.fit(X, Y, epochs=2, verbose=0)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, 1e-11, 1e-13)


def test_training_and_output_shapes() -> None:
    class Halves(nn.Layer):
        """Of each row the sum of its halves, in training negated."""

        def forward(self, x: Array, training: bool = False) -> Array:
            n = x.shape[1] // 2
            return (-1 if training else 1) * (x[:, :n] + x[:, n:])

        def backward(self, dy: Array) -> Array:
            return -np.concatenate([dy, dy], axis=1)

    class Said(Halves):
        def compute_output_shape(self, input_shape: Any) -> Any:
            assert input_shape == (None, 6)
            return (None, 3)

    for layer in (Halves(), Said()):
        model = nn.Model([nn.Input(6), layer])
        assert model.output_shape == (None, 3)
        x = np.arange(12, dtype="f4").reshape(2, 6)
        np.testing.assert_array_equal(model.predict(x), x[:, :3] + x[:, 3:])
        np.testing.assert_array_equal(model(x, training=True), -x[:, :3] - x[:, 3:])
        np.testing.assert_array_equal(layer(x), x[:, :3] + x[:, 3:])


def test_alone_on_arrays() -> None:
    layer = OwnDense(3)
    layer.build((None, 5))
    W, b = layer.get_weights()
    np.testing.assert_allclose(layer(X), (X @ W + b).astype("f4"), 1e-4, 1e-5)
    assert OwnDense(2)(X).shape == (130, 2)


@pytest.mark.parametrize("known", ["registered", "given"])
def test_files_and_copies(tmp_path: Path, known: str) -> None:
    layer, custom = (OwnDense(6), None) if known == "registered" else (Doubled(), {"Doubled": Doubled})
    model = net(layer)
    model.fit(X, Y, verbose=0)
    path = tmp_path / "m"
    model.save(path)
    twins = [nn.load_model(path, custom_objects=custom), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    if custom:
        with nn.saving.custom_object_scope(custom):
            twins.append(nn.load_model(path))
        with pytest.raises(nn.FormatError, match="expected a known layer, got 'Doubled'"):
            nn.load_model(path)
    model.fit(X, Y, epochs=2, verbose=0)
    for twin in twins:
        twin.fit(X, Y, epochs=2, verbose=0)
        for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    made = nn.models.model_from_json(model.to_json(), custom)
    made.set_weights(model.get_weights())
    np.testing.assert_array_equal(made.predict(X), model.predict(X))
    assert nn.models.clone_model(model).count_params() == model.count_params()


class Doubled(nn.Layer):
    def forward(self, x: Array) -> Array:
        return 2 * x

    def backward(self, dy: Array) -> Array:
        return 2 * dy


def test_names_of_registered_things() -> None:
    assert nn.saving.get_registered_name(OwnDense) == "Custom>OwnDense"
    assert nn.saving.get_registered_object("Custom>OwnDense") is OwnDense
    assert nn.saving.get_registered_object("nobody") is None
    assert nn.saving.get_registered_name(Doubled) == "Doubled"
    with nn.saving.CustomObjectScope({"D": Doubled}):
        assert nn.saving.get_custom_objects()["D"] is Doubled
    assert "D" not in nn.saving.get_custom_objects()
    with pytest.raises(ValueError, match="name: expected one that no other has"):
        nn.saving.register_keras_serializable(name="OwnDense")(Doubled)
    with pytest.raises(TypeError, match="expected a class or function"):
        nn.saving.register_keras_serializable()(3)


def test_exact_resume(tmp_path: Path) -> None:
    class Stops(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == 4:
                raise KeyboardInterrupt

    whole = net(OwnDense(6))
    whole.fit(X, Y, epochs=3, verbose=0)
    backup = nn.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        net(OwnDense(6)).fit(X, Y, epochs=3, verbose=0, callbacks=[backup, Stops()])
    again = net(OwnDense(6))
    again.fit(X, Y, epochs=3, verbose=0, callbacks=[nn.callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)])
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_and_layers_go_without_the_garbage_collector() -> None:
    model, layer = net(OwnDense(6)), OwnDense(2)
    model.fit(X, Y, verbose=0)
    model.predict(X)
    layer(X)
    seen = [weakref.ref(model), weakref.ref(model.layers[1]), weakref.ref(layer)]
    gc.disable()
    try:
        del model, layer
        assert [ref() for ref in seen] == [None] * 3
    finally:
        gc.enable()


def layer_with(**methods: Any) -> Any:
    return type("Faulty", (nn.Layer,), methods)


@pytest.mark.parametrize(
    ("methods", "error", "words"),
    [
        ({"forward": lambda self, x: x.sum()}, ValueError, "as many samples"),
        ({"forward": lambda self, x: x}, TypeError, r"expected backward\(dy\)"),
        (
            {"forward": lambda self, x: x, "backward": lambda self, dy: dy[:1]},
            ValueError,
            r"of backward the gradient "
            r"of its input, of shape \(32, 8\), got \(1, 8\)",
        ),
        (
            {"forward": lambda self, x: x[:, :-1] if len(x) > 1 else x, "backward": lambda self, dy: dy},
            ValueError,
            r"of forward its output, of shape \(32, 8\), got \(32, 7\)",
        ),
        (
            {"forward": lambda self, x: np.multiply(x, 2, out=x), "backward": lambda self, dy: dy},
            ValueError,
            "read-only",
        ),
        ({"call": lambda self, x: np.exp(x)}, TypeError, "exp: expected arrays, got <Symbol.*a layer of your own"),
        (
            {
                "build": lambda self, s: self.add_weight(2),
                "forward": lambda self, x: x,
                "backward": lambda self, dy: dy,
            },
            ValueError,
            "a tuple of 2.*got ndarray",
        ),
        (
            {"build": lambda self, s: [self.add_weight(2, name="w") for _ in "ab"], "forward": lambda self, x: x},
            ValueError,
            "name: expected one of its own",
        ),
        (
            {"build": lambda self, s: self.add_weight((2, 0.5)), "forward": lambda self, x: x},
            TypeError,
            r"shape: expected ints.* got \(2, 0\.5\)",
        ),
        (
            {"build": lambda self, s: self.add_weight(-1), "forward": lambda self, x: x},
            ValueError,
            r"shape: expected lengths ≥ 0, got \(-1,\)",
        ),
    ],
)
def test_what_is_not_right_is_told(methods: dict[str, Any], error: type, words: str) -> None:
    def train() -> None:
        net(layer_with(**methods)()).fit(X, Y, verbose=0)

    if "read-only" in words:  # zeros of the trial may be written
        methods["compute_output_shape"] = lambda self, s: s
    with pytest.raises(error, match=words):
        train()


# -- activations ---------------------------------------------------------------------------------------------------


@nn.saving.register_keras_serializable("tests")
def soft_sign(z: Array) -> Array:
    return z / (1 + np.abs(z))


@nn.saving.register_keras_serializable("tests")
def soft_sign_derivative(z: Array) -> Array:
    return 1 / (1 + np.abs(z)) ** 2


PAIR = (soft_sign, soft_sign_derivative)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 1e-4)])
def test_an_activation_is_a_pair_of_functions(dtype: str, tolerance: float, tmp_path: Path) -> None:
    found = []
    for activation in (PAIR, "softsign"):
        layers = [nn.Input(5), nn.Dense(8, activation), nn.Dense(4), nn.Activation(activation), nn.Dense(2)]
        model = nn.Model(layers, seed=2, dtype=dtype)
        model.compile("adam", "mse")
        model.fit(X, Y, epochs=3, verbose=0)
        found.append(model)
    own, native = found
    for a, b in zip(own.get_weights(), native.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, tolerance, tolerance)
    own.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(X), own.predict(X))
    assert loaded.layers[0].activation == own.layers[0].activation
    z = RNG.standard_normal((3, 4))
    np.testing.assert_allclose(own.layers[0].activation(z), z / (1 + np.abs(z)), 1e-12)
    for twin in (copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        np.testing.assert_array_equal(twin.predict(X), own.predict(X))


def test_what_is_wrong_with_an_activation_is_told(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="activation: expected the name"):
        nn.Dense(3, soft_sign)
    with pytest.raises(TypeError, match="derivative: expected a function"):
        nn.activations.PythonActivation(soft_sign, 3)
    model = nn.Model([nn.Input(5), nn.Dense(3, (lambda z: z[:1], lambda z: z))])
    with pytest.raises(ValueError, match=r"function: expected to return an array of shape \(128, 3\), got \(1, 3\)"):
        model.predict(X)
    nn.Model([nn.Input(5), nn.Dense(3, (np.sin, np.cos))]).save(tmp_path / "m")
    with pytest.raises(nn.FormatError, match="function: expected the name of a registered function, got 'sin'"):
        nn.load_model(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={"sin": np.sin, "cos": np.cos})
    assert loaded.predict(X).shape == (130, 3)


def test_a_parameter_computes_as_its_array() -> None:
    """Operators, functions and methods of NumPy, beside those of the array itself."""
    layer = nn.Dense(3)
    layer.build((None, 3))
    w, a = layer.kernel, layer.kernel.numpy()
    x = RNG.standard_normal((5, 3)).astype("f4")
    for found, wanted in [
        (x @ w.T, x @ a.T),
        (w @ a, a @ a),
        (w * x[:3], a * x[:3]),
        (2 * w - 1, 2 * a - 1),
        (1 / (w + 9), 1 / (a + 9)),
        (-w, -a),
        (abs(w) ** 2, abs(a) ** 2),
        (w > 0, a > 0),
        (w - w, np.zeros((3, 3))),
        (w.sum(axis=0), a.sum(axis=0)),
        (w.reshape(-1).max(), a.max()),
        (np.exp(w), np.exp(a)),
        (np.add.reduce(w), a.sum(axis=0)),
        (np.sum(w), np.sum(a)),
    ]:
        assert not isinstance(found, type(w))
        assert np.asarray(found).dtype == np.asarray(wanted).dtype or wanted.dtype == np.float64
        np.testing.assert_array_equal(found, wanted)
    before = a.copy()
    np.add(a, w, out=a)
    np.testing.assert_array_equal(a, 2 * w)
    assert w == w
    assert w != layer.bias
    assert {w: 1}[w] == 1
    with pytest.raises(TypeError, match=r"expected an array to write in, got a parameter. Call assign"):
        w += 1
    with pytest.raises(AttributeError, match=r"fill: .* got what changes an array. Call assign\(value\)"):
        w.fill(0)
    w.assign_add(np.ones((3, 3)))
    w.assign_sub(2 * np.ones((3, 3)))
    np.testing.assert_array_equal(w, before + 1 - 2)
    with pytest.raises(AttributeError, match="flurry: expected an attribute of Parameter or of NumPy's arrays"):
        w.flurry()


def test_a_file_that_names_a_lambda_comes_with_a_warning(tmp_path: Path) -> None:
    """Nothing could find it: `load_model` would refuse the file, and two lambdas have one name."""
    pairs: list[tuple[Any, Any]] = [
        ("linear", lambda t, p: ((p - t).sum(axis=1) ** 2, 2 * (p - t).sum(axis=1, keepdims=True))),
        ((lambda z: z, lambda z: np.ones_like(z)), "mse"),
    ]
    for activation, loss in pairs:
        model = nn.Model([nn.Input(5), nn.Dense(2, activation)])
        model.compile("sgd", loss)
        with pytest.warns(
            UserWarning, match="save: expected functions with names.*Define it by def, after @nncore"
        ) as w:
            model.save(tmp_path / "m")
        assert w[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            backup = nn.callbacks.BackupAndRestore(tmp_path / "b")
            nn.Model([nn.Input(5), nn.Dense(2, PAIR)]).save(tmp_path / "m")
            if activation == "linear":
                model = nn.Model([nn.Input(5), nn.Dense(1)])
                model.compile("sgd", loss)
                model.fit(X, Y[:, :1], verbose=0, callbacks=[backup])


def test_what_methods_take_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net(OwnDense(6))
    model.train_on_batch(X, Y)
    model.predict(X)

    def refuse(*given: Any) -> Any:
        raise AssertionError("a signature was asked for within a step")

    monkeypatch.setattr("nncore.layers.arrays.inspect.signature", refuse)
    model.train_on_batch(X, Y)
    model.predict(X)
