"""Layers that join others by `call`: beside functional models of the same layers, and formulas in NumPy."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from composed_parts import LOSS, Block, X, Y, around, functional, same

import nncore as nn


def layer(call: Callable[..., Any], **parts: Any) -> Any:
    """A layer with this `call` and these attributes."""
    made = type("Mine", (nn.Layer,), {"call": call})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_it_trains_to_the_bits_of_the_same_functional_model(dtype: str, threads: int) -> None:
    made, other = around(dtype), functional(dtype=dtype)
    other.set_weights(made.get_weights())
    histories = []
    for model in made, other:
        model.n_threads = threads
        model.compile(nn.Adam(0.01, clipnorm=1.0), LOSS, metrics=["accuracy"])
        histories.append(model.fit(X, Y, batch_size=16, epochs=3, validation_split=0.2, verbose=0).history)
    assert histories[0] == histories[1]
    assert same(made.get_weights(), other.get_weights())
    assert np.array_equal(made.predict(X), other.predict(X))
    assert np.array_equal(made(X, training=True), other(X, training=True))
    assert made.evaluate(X, Y, verbose=0) == other.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_it_has_the_precision_of_its_model(precision: str) -> None:
    made, other = around(), functional()
    other.set_weights(made.get_weights())
    for model in made, other:
        model.compile("sgd", LOSS, matmul_precision=precision)
        model.fit(X, Y, verbose=0)
    assert np.array_equal(made.predict(X), other.predict(X))


def test_its_weights_are_drawn_as_those_of_a_functional_model() -> None:
    assert same(around().get_weights(), functional().get_weights())


def test_gradients_are_those_of_its_loss() -> None:
    model = around()
    model.compile("sgd", LOSS)
    assert nn.check_gradients(model, X[:8], Y[:8])


def test_on_arrays_it_computes_what_its_layers_do() -> None:
    block = Block(8)
    made = block(X.astype(np.float64))
    W1, b1, W2, b2 = (w.astype(np.float64) for w in block.get_weights())
    want = np.maximum(np.maximum(X @ W1 + b1, 0) @ W2 + b2 + X, 0)
    np.testing.assert_allclose(made, want, rtol=1e-5, atol=1e-6)
    assert made.dtype == np.float32
    assert not np.array_equal(block(X, training=True), made)  # dropout is on
    assert np.array_equal(block(X), made)


def test_without_weights_it_keeps_float64() -> None:
    made = layer(lambda self, x: x * 0.1 + 1)(np.full((2, 3), 0.3))
    np.testing.assert_allclose(made, np.full((2, 3), 1.03), rtol=1e-15)


A, B = X[:, :4], X[:, 4:]
CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = {
    "list": (lambda self, xs: xs[0] - 2 * xs[1], ([A, B],), {}, A - 2 * B),
    "tuple": (lambda self, xs: xs[0] - 2 * xs[1], ((A, B),), {}, A - 2 * B),
    "dict": (lambda self, xs: xs["a"] - 2 * xs["b"], ({"b": B, "a": A},), {}, A - 2 * B),
    "two": (lambda self, a, b: a - 2 * b, (A, B), {}, A - 2 * B),
    "by name": (lambda self, a, b=None: a - 2 * b, (A,), {"b": B}, A - 2 * B),
    "nested": (lambda self, a, bs: a - bs["b"][0] * bs["b"][1], (A, {"b": (B, A)}), {}, A - B * A),
    "constant": (lambda self, a, scale, shift=0: a * scale + shift, (A, 3), {"shift": 0.5}, A * 3 + 0.5),
    "list of constants": (lambda self, a, by: a * by[0] + by[1], (A, [3, 0.5]), {}, A * 3 + 0.5),
    "none": (lambda self, a, b=None: a if b is None else a + b, (A, None), {}, A),
    "outputs": (lambda self, a: (a + 1, -a), (A,), {}, (A + 1, -A)),
    "named outputs": (lambda self, a: {"p": a + 1, "n": -a}, (A,), {}, {"p": A + 1, "n": -A}),
    "unread": (lambda self, a, b: a + 1, (A, B), {}, A + 1),
    "itself": (lambda self, a: a, (A,), {}, A),
}


def symbols_for(given: Any) -> Any:
    """Inputs in place of arrays."""
    if isinstance(given, dict):
        return {key: symbols_for(part) for key, part in given.items()}
    if isinstance(given, (list, tuple)):
        return type(given)(map(symbols_for, given))
    return nn.Input(given.shape[1:]) if isinstance(given, np.ndarray) else given


def flat(given: Any) -> list[Any]:
    """The symbols or arrays in a structure."""
    if isinstance(given, dict):
        return [part for key in sorted(given) for part in flat(given[key])]
    if isinstance(given, (list, tuple)):
        return [part for one in given for part in flat(one)]
    return [given] if isinstance(given, np.ndarray) or hasattr(given, "sample_shape") else []


@pytest.mark.parametrize("name", CALLS)
def test_arguments_and_outputs(name: str, tmp_path: Path) -> None:
    """On arrays; in a model, and in one that a file gives back."""
    call, args, named, want = CALLS[name]
    own = type("Given", (nn.Layer,), {"call": call})
    made = own()(*args, **named)
    assert type(made) is type(want)
    inputs, given = [symbols_for(args), symbols_for(named)], [*flat(args), *flat(named)]
    outputs = own()(*inputs[0], **inputs[1])
    assert type(outputs) is type(want) or not isinstance(want, (tuple, dict))
    model = nn.Model(flat(inputs), flat(outputs))
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={"Given": own})
    for values in flat(made), flat([model.predict(given)]), flat([loaded.predict(given)]):
        for value, expected in zip(values, flat(want), strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_its_layers_are_in_attributes_lists_and_dicts_in_the_order_in_which_these_were_set() -> None:
    """As Keras has its weights: not in the order in which they are called."""

    class Many(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Dense(1)
            self.blocks = [nn.Dense(2), (nn.Dense(3, name="given"), nn.Dense(4))]
            self._heads = {"a": nn.Dense(5)}
            self.also_last = self.last

        def call(self, x: Any) -> Any:
            first, (second, third) = self.blocks
            return self.also_last(self._heads["a"](third(second(first(x)))))

    x, many = nn.Input(7), Many()
    model = nn.Model(x, many(x))
    assert [(p.path, p.shape) for p in many.trainable_weights[::2]] == [
        ("many/last/kernel", (5, 1)), ("many/blocks_0/kernel", (7, 2)), ("many/given/kernel", (2, 3)),
        ("many/blocks_1_1/kernel", (3, 4)), ("many/heads_a/kernel", (4, 5)),
    ]  # fmt: skip
    assert list(model.named_weights)[:2] == ["many/last/kernel", "many/last/bias"]
    assert many.count_params() == 6 + 16 + 9 + 16 + 25
    values = [np.full(p.shape, i, np.float32) for i, p in enumerate(many.weights)]
    many.set_weights(values)
    assert same(model.get_weights(), values)


def test_layers_may_be_made_in_build() -> None:
    """In the ways of Keras's programs: each of these lines has to be harmless."""

    class Built(nn.Layer):
        times = 0

        def build(self, input_shape: Any) -> None:
            self.times += 1
            self.dense = nn.Dense(input_shape[-1])
            self.dense.build(input_shape)
            super().build(input_shape)
            self.built = True

        def call(self, x: Any) -> Any:
            return self.dense(x)

    built = Built()
    built.build((None, 5))
    assert built.built and [w.shape for w in built.get_weights()] == [(5, 5), (5,)]
    x = nn.Input(5)
    model = nn.Model(x, built(built(x)), seed=0)
    assert built.times == 1
    assert same(model.get_weights(), built.get_weights())
    twins = [nn.Model([nn.Input(5), kind], seed=1).get_weights() for kind in (Built(), nn.Dense(5))]
    assert same(*twins)  # drawn by the model's seed, although build has built its layer


def test_build_may_take_the_shapes_of_several_arguments() -> None:
    class Built(nn.Layer):
        def build(self, right_shape: Any, left_shape: Any = None) -> None:
            self.shapes = right_shape, left_shape
            self.dense = nn.Dense(left_shape[-1])

        def call(self, left: Any, right: Any) -> Any:
            return left + self.dense(right)

    built = Built()
    assert built(nn.Input(3), right=nn.Input(5)).shape == (None, 3)
    assert built.shapes == ((None, 5), (None, 3))


def test_a_layer_is_called_on_inputs_of_several_sizes() -> None:
    class Features(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2D(3, 3, padding="same")

        def call(self, x: Any) -> Any:
            return nn.GlobalAveragePooling2D()(self.convolution(x))

    a, b, features = nn.Input((8, 8, 1)), nn.Input((4, 6, 1)), Features()
    made = nn.Model([a, b], features(a) + features(b))
    convolution, pool = nn.Conv2D(3, 3, padding="same"), nn.GlobalAveragePooling2D()
    other = nn.Model([a, b], pool(convolution(a)) + pool(convolution(b)))
    other.set_weights(made.get_weights())
    rng = np.random.default_rng(1)
    images = [rng.normal(size=(5, 8, 8, 1)), rng.normal(size=(5, 4, 6, 1))]
    assert np.array_equal(made.predict(images), other.predict(images))
    assert len(made.weights) == 2


def test_whole_numbers_masks_and_sizes_that_are_open_go_through() -> None:
    class Words(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.vectors, self.mean = nn.Embedding(10, 4, mask_zero=True), nn.GlobalAveragePooling1D()

        def call(self, x: Any) -> Any:
            return self.mean(self.vectors(x))

    x, words = nn.Input((None,)), Words()
    model = nn.Model(x, words(x))
    table = words.get_weights()[0].astype(np.float64)
    for numbers in np.array([[1, 2, 0], [3, 0, 0]]), np.array([[4, 9, 9, 1, 0]]):
        counts = (numbers != 0)[..., None]
        want = (table[numbers] * counts).sum(1) / counts.sum(1)
        np.testing.assert_allclose(model.predict(numbers), want, rtol=1e-5)
        np.testing.assert_allclose(words(numbers), want, rtol=1e-5)
    with pytest.raises(ValueError, match="10"):
        model.predict(np.array([[10]]))


class Branches(nn.Layer):
    """Y = 3 X in training, X + 1 otherwise."""

    def call(self, x: Any, training: bool | None = None) -> Any:
        return x * 3 if training else x + 1


class Outer(nn.Layer):
    """Around it, with nothing said of training."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Branches()

    def call(self, x: Any) -> Any:
        return self.inner(x)


@pytest.mark.parametrize("kind", [Branches, Outer])
def test_the_branches_of_training(kind: Any) -> None:
    np.testing.assert_allclose(kind()(X), X + 1, rtol=1e-6)
    np.testing.assert_allclose(kind()(X, training=True), 3 * X, rtol=1e-6)
    x = nn.Input(8)
    model = nn.Model(x, kind()(nn.Dense(8, use_bias=False, kernel_initializer="identity")(x)))
    model.compile(nn.SGD(0.5), "mse")
    np.testing.assert_allclose(model.predict(X), X + 1, rtol=1e-6)
    np.testing.assert_allclose(model.evaluate(X, X + 1, verbose=0), 0, atol=1e-10)
    loss = model.train_on_batch(X, X)  # mean of (3 x - x)²
    assert loss == pytest.approx((4 * X.astype(np.float64) ** 2).mean(), rel=1e-5)
    gradient = X.T.astype(np.float64) @ (2 * 2 * X * 3) / X.size
    np.testing.assert_allclose(model.get_weights()[0], np.eye(8) - 0.5 * gradient, rtol=1e-4, atol=1e-6)
    assert nn.check_gradients(model, X[:5], X[:5])
    hidden = model.layers[0]
    made = model.gradients(X[:5], X[:5], of=hidden)
    W = model.get_weights()[0]
    np.testing.assert_allclose(made, 2 * 3 * (3 * X[:5] @ W - X[:5]) / 40, rtol=1e-4, atol=1e-6)


def test_training_is_handed_on() -> None:
    made = layer(lambda self, x, training=None: self.drop(x, training=training), drop=nn.Dropout(0.5))
    assert np.array_equal(made(X), X)
    assert set(np.unique((made(X, training=True) / X).round(6))) == {0.0, 2.0}
    assert made(nn.Input(8)).call.inner.in_training is None  # both branches are the same


def test_trainable() -> None:
    block = Block(8, trainable=False)
    x = nn.Input(8)
    block(x)
    block.get_weights()
    assert block.trainable_weights == [] and len(block.non_trainable_weights) == 4
    assert not block.hidden.trainable
    model, part = around(), None
    part = model.layers[0]
    part.hidden.trainable = False
    assert [p.path for p in part.trainable_weights] == ["block/out/kernel", "block/out/bias"]
    model.compile("sgd", LOSS)
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True, True, True]
    part.trainable = False
    assert not part.out.trainable and part.trainable_weights == []


def test_what_is_not_trainable_stays_as_it_is_where_it_is_called_in_training() -> None:
    made = layer(lambda self, x: self.norm(x), norm=nn.BatchNormalization(momentum=0.5))
    scaled = made(X, training=True)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    mean = made.norm.moving_mean.numpy()
    np.testing.assert_allclose(mean, 0.5 * X.mean(0), rtol=1e-4, atol=1e-6)
    made.norm.trainable = False
    assert np.array_equal(made(X, training=True), made(X))
    np.testing.assert_array_equal(made.norm.moving_mean.numpy(), mean)


def test_penalties_of_its_layers_count() -> None:
    made = layer(lambda self, x: self.dense(x), dense=nn.Dense(2, kernel_regularizer=nn.regularizers.L2(0.5)))
    model = nn.Sequential([nn.Input(8), made])
    model.compile("sgd", "mse")
    W, b = model.get_weights()
    want = ((X @ W + b - 1) ** 2).mean() + 0.5 * (W**2).sum()
    assert model.evaluate(X, np.ones((70, 2)), verbose=0) == pytest.approx(want, rel=1e-5)
    assert made.losses == pytest.approx([0.5 * (W**2).sum()], rel=1e-5)


def test_it_is_gone_with_its_model() -> None:
    model = around()
    model.compile("adam", LOSS)
    model.fit(X, Y, verbose=0)
    block = model.layers[0]
    block(X), block(X, training=True)
    held = [weakref.ref(block), weakref.ref(model), weakref.ref(block.hidden)]
    del block, model
    assert [ref() for ref in held] == [None] * 3
