"""Layers and models that are called several times, several inputs and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from structures import RNG, X, Y, autoencoder, base, close, dense, same, twice, two_of_each

import nncore as nn

# ---- shared layers ---------------------------------------------------------------------------------------------------


def test_a_layer_called_twice_has_its_weights_once() -> None:
    model, layer = twice()
    assert [p.path for p in model.weights] == ["shared/kernel", "shared/bias", "end/kernel", "end/bias"]
    assert model.layers == [layer, model.get_layer("end")] and model.count_params() == 20 + 10
    close(model.predict(X), dense(dense(dense(X, layer), layer), model.layers[1]))
    first, second = layer.calls
    assert layer.input is model.input and layer.output is first.outputs[0] is second.inputs[0]  # of the first call
    assert "2 calls" in repr(layer) and repr(layer).count("parameters") == 1


def test_later_calls_must_fit_the_weights() -> None:
    layer = nn.Dense(3)
    layer(nn.Input(4))
    layer(nn.Input((7, 4)))  # the same kernel
    with pytest.raises(
        ValueError, match=r"Dense: expected inputs that its weights fit, .*\(None, 4\), got \(None, 5\)"
    ):
        layer(nn.Input(5))
    model, shared = twice()
    with pytest.raises(ValueError, match="shared: expected inputs that its weights fit"):
        shared(nn.Input(3))
    assert shared.kernel is model.weights[0] and nn.Flatten()(nn.Input((2, 3))).shape == (None, 6)
    flatten = nn.Flatten()
    assert flatten(nn.Input((2, 3))).shape == (None, 6) and flatten(nn.Input((4, 5))).shape == (None, 20)


def test_what_a_layer_learns_from_its_first_shape_must_hold_for_later_ones() -> None:
    class Scaled(nn.Layer):
        def __init__(self, name: str | None = None) -> None:
            super().__init__(name)
            self.factor = 0.0

        def declare(self, *shapes: Any) -> None:
            self.factor = 1 / shapes[0][0]

    layer = Scaled()
    layer(nn.Input(4))
    layer(nn.Input((4, 2)))
    with pytest.raises(ValueError, match="scaled|Scaled: expected inputs that its weights fit"):
        layer(nn.Input(5))
    assert layer.factor == 0.0


def test_a_dropped_call_is_forgotten() -> None:
    layer, x = nn.Dense(4), nn.Input(4)
    y = layer(x)
    layer(y)
    assert len(layer.calls) == 1 and layer.output is y
    del y
    with pytest.raises(AttributeError, match="has no input and output before it is called"):
        repr(layer.output)


def test_dropout_of_each_call_is_its_own() -> None:
    x, drop = nn.Input(50), nn.Dropout(0.5)
    model = nn.Model(x, nn.Add()([drop(x), drop(x)]), seed=0, dtype="float64")
    model.compile(nn.SGD(0.0), "mse")
    loss = model.train_on_batch(np.ones((1, 50)), np.zeros((1, 50)))
    # each value is 0, 2 or 4: had both calls one mask, there would be no 2, whose square is 4
    assert abs(loss * 50 - 16 * round(loss * 50 / 16)) > 1e-9


# ---- several inputs and outputs --------------------------------------------------------------------------------------


def test_lists_of_inputs_and_outputs() -> None:
    a, b, value, tall = two_of_each()
    model = nn.Model([a, b], [value, tall], seed=0, dtype="float64")
    assert model.inputs == [a, b] == model.input and model.outputs == [value, tall] == model.output
    assert model.input_names == ["left", "right"] and model.output_names == ["value", "tall"]
    assert model.input_shape == [(None, 4), (None, 2, 3)] and model.output_shape == [(None, 2), (None, 3, 1)]
    z = RNG.normal(size=(40, 2, 3)).astype(np.float32)
    h = dense(X, model.get_layer("h"))
    expected = [dense(np.hstack([h, z.reshape(40, 6)]), model.get_layer("value")), h[:, :, None]]
    for given in ([X, z], (X, z), {"right": z, "left": X}):
        found = model.predict(given)
        assert type(found) is list and len(found) == 2 and found[1].flags.c_contiguous
        for f, e in zip(found, expected, strict=True):
            close(f, e)
    for f, e in zip(model([X[:3], z[:3]]), expected, strict=True):
        close(f, e[:3])
    for f, e in zip(model.predict([X, z], batch_size=7, verbose=0, callbacks=[nn.Callback()]), expected, strict=True):
        close(f, e)


def test_dicts_of_inputs_and_outputs() -> None:
    """Their order is that of the sorted keys, as in Keras."""
    a, b, value, tall = two_of_each()
    model = nn.Model({"z": a, "y": b}, {"v": value, "t": tall}, seed=0, dtype="float64")
    assert model.inputs == [b, a] and model.input_names == ["y", "z"] and model.output_names == ["t", "v"]
    assert model.input == {"y": b, "z": a} and model.output == {"t": tall, "v": value}
    z = RNG.normal(size=(40, 2, 3))
    found = model.predict({"z": X, "y": z})
    assert list(found) == ["t", "v"] and found["t"].shape == (40, 3, 1)
    close(model.predict([z, X])["v"], found["v"])


def test_one_input_and_several_outputs() -> None:
    x = nn.Input(4)
    h = nn.Dense(3, "softmax")(x)
    model = nn.Model(x, [h, x, nn.Dense(2)(h)], seed=0, dtype="float64")
    assert model.output_names == ["dense", "input_layer", "dense_1"] and model.input_shape == (None, 4)
    first, second, third = model.predict(X)
    close(first.sum(1), np.ones(40))
    assert np.array_equal(second, X) and third.shape == (40, 2)
    rows = model(X[:1])
    assert [r.tobytes() for r in rows] == [p[:1].tobytes() for p in (first, second, third)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([X], "x: expected a list of 2, or a dict with the keys .'left', 'right'.*, got 1"),
        (X, "x: expected a list of 2, .* got ndarray"),
        ({"left": X}, r"x: expected a dict with the keys \['left', 'right'\], got \['left'\]"),
        ([X, X], r"x\['right'\]: expected shape \(n, 2, 3\), got \(40, 4\)"),
        ([X, np.zeros((3, 2, 3))], "x: expected as many rows for each input, got 40 for left, 3 for right"),
        ([X, np.full((40, 2, 3), "a")], "x.*right.*"),
    ],
)
def test_inputs_that_do_not_fit(given: Any, words: str) -> None:
    a, b, value, _ = two_of_each()
    model = nn.Model([a, b], value, seed=0, dtype="float64")
    with pytest.raises((ValueError, TypeError), match=words):
        model.predict(given)


def test_a_value_that_is_too_large_for_an_input_is_named() -> None:
    a, b, value, _ = two_of_each()
    x = np.zeros((40, 2, 3))
    x[7] = 1e39
    with pytest.raises(
        ValueError, match=r"x\['right'\]: expected values that float32 can hold, got .*1e\+39.* in row 7"
    ):
        nn.Model([a, b], value).predict([X, x])


def test_a_model_between_two_symbols_of_another() -> None:
    model = base()
    hidden = model.get_layer("hidden").output
    upper = nn.Model(hidden, model.output, dtype="float64")
    assert upper.layers == [model.get_layer("head")] and upper.input_shape == (None, 5)
    h = RNG.normal(size=(3, 5))
    close(upper.predict(h), dense(h, model.get_layer("head")))


# ---- models as layers ------------------------------------------------------------------------------------------------


def test_a_model_is_a_layer() -> None:
    encoder, decoder, both = autoencoder()
    assert both.layers == [encoder, decoder] and both.get_layer("decoder") is decoder
    assert encoder.state is decoder.state is both.state
    close(both.predict(X), decoder.predict(encoder.predict(X)))
    assert [w.shape for w in both.get_weights()] == [(4, 3), (3,), (3, 2), (2,), (2, 3), (3,), (3, 4), (4,)]
    assert both.weights == [*encoder.weights, *decoder.weights] and both.count_params() == 23 + 25
    before = encoder.get_weights()
    both.compile(nn.SGD(0.1), "mse")
    loss = both.fit(X, X, epochs=3, verbose=0).history["loss"]
    assert loss[-1] < loss[0] and not np.array_equal(encoder.get_weights()[0], before[0])
    close(both.predict(X), decoder.predict(encoder.predict(X)))  # the parts have what the whole has learned
    encoder.set_weights(before)
    assert np.array_equal(both.get_weights()[0], before[0])


def test_training_through_a_nested_model_is_that_of_its_layers() -> None:
    """The same network flat, with the same weights, learns the same to the last bit."""
    _, _, both = autoencoder()
    flat = nn.Model([nn.Input(4), nn.Dense(3, "tanh"), nn.Dense(2), nn.Dense(3, "tanh"), nn.Dense(4)], dtype="float64")
    flat.set_weights(both.get_weights())
    for model in (both, flat):
        model.seed = 5
        model.compile(nn.Adam(0.01, global_clipnorm=0.5, weight_decay=0.1), "mse", metrics=["mae"])
    histories = [model.fit(X, X, epochs=4, batch_size=16, verbose=0).history for model in (both, flat)]
    assert histories[0] == histories[1] and same(both, flat)


def test_nested_models_of_several_inputs_and_outputs() -> None:
    a, b, value, tall = two_of_each()
    inner = nn.Model({"a": a, "b": b}, [value, tall], seed=0, dtype="float64")
    x = nn.Input(4)
    y = nn.Reshape((2, 3))(nn.Dense(6)(x))
    v, t = inner({"a": x, "b": y})
    outer = nn.Model(x, [nn.Flatten()(t), v], seed=1, dtype="float64")
    assert v.shape == (None, 2) and [layer.name for layer in outer.layers].count("model") == 1
    found = outer.predict(X)
    z = dense(X, outer.get_layer("dense")).reshape(40, 2, 3)
    wanted = inner.predict({"a": X, "b": z})
    close(found[1], wanted[0])
    close(found[0], wanted[1][:, :, 0])
    assert [s.shape for s in inner([x, y])] == [(None, 2), (None, 3, 1)]
    with pytest.raises(
        ValueError, match=r"model: expected for its input a a symbol of shape \(None, 4\), got \(None, 6\)"
    ):
        inner([nn.Input(6), y])
    with pytest.raises(ValueError, match="model: expected a list of 2"):
        inner(x)
    only = nn.Model(x, v, seed=1, dtype="float64")  # an output that nothing reads is not computed, nor learned from
    only.compile(nn.SGD(0.1), "mse")
    only.fit(X, Y, verbose=0)
    close(only.predict(X), inner.predict({"a": X, "b": dense(X, outer.get_layer("dense")).reshape(40, 2, 3)})[0])


def test_what_the_loss_does_not_depend_on_stays() -> None:
    x = nn.Input(4)
    h = nn.Dense(3, kernel_regularizer="l2", name="used")(x)
    inner = nn.Model(x, [h, nn.Dense(2, "softmax", kernel_regularizer="l2", name="unused")(h)], seed=0)
    model = nn.Model(i := nn.Input(4), inner(i)[0], seed=0)
    model.compile(nn.Adam(0.1, weight_decay=0.1), "mse")
    before = model.get_weights()
    model.fit(X, np.zeros((40, 3)), verbose=0)
    after = model.get_weights()
    assert not np.array_equal(before[0], after[0]) and np.array_equal(before[2], after[2])


def test_a_stack_of_models() -> None:
    """Keras's way to put a head on a trained base."""
    bottom = base()
    model = nn.Sequential(seed=4, dtype="float64")
    model.add(nn.Input(4))
    model.add(bottom)
    model.add(nn.Dense(3, name="new"))
    assert model.layers[0] is bottom and [p.path for p in model.weights][:2] == ["hidden/kernel", "hidden/bias"]
    close(model.predict(X), dense(bottom.predict(X), model.layers[1]))
    bottom.trainable = False
    model.compile(nn.SGD(0.1), "mse")
    before = bottom.get_weights()
    model.fit(X, RNG.normal(size=(40, 3)), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, bottom.get_weights(), strict=True))
    assert len(model.trainable_weights) == 2 and len(model.non_trainable_weights) == 4
    top = model.pop()
    assert top.name == "new" and model.layers == [bottom] and model.output_shape == (None, 2)
    other = nn.Sequential([*bottom.layers[:1], nn.Dense(1)], dtype="float64")
    other.build(4)
    assert other.state is model.state and other.layers[0] is bottom.layers[0]
    a, b, value, _ = two_of_each()
    with pytest.raises(ValueError, match="joins several inputs"):
        nn.Sequential([nn.Model([a, b], value)])
    with pytest.raises(TypeError, match="A model cannot be a layer of itself"):
        model.add(model)


def test_an_unbuilt_stack_is_built_by_its_first_call() -> None:
    stack = nn.Sequential([nn.Dense(3), nn.Dense(2)], seed=0)
    y = stack(nn.Input(4))
    assert stack.built and y.shape == (None, 2) and stack.input_shape == (None, 4)
    with pytest.raises(
        ValueError, match=r"expected for its input input_layer a symbol of shape \(None, 4\), got \(None, 5\)"
    ):
        stack(nn.Input(5))
    with pytest.raises(ValueError, match="add, pop: .* the model was called as a layer"):
        stack.add(nn.Dense(2))
    with pytest.raises(AttributeError, match="units: fixed since the model was called as a layer"):
        stack.layers[0].units = 5


def test_a_model_called_twice() -> None:
    """A siamese network: one tower for two inputs."""
    tower = base(name="tower")
    a, b = nn.Input(4), nn.Input(4)
    model = nn.Model([a, b], nn.Concatenate()([tower(a), tower(b)]), seed=0, dtype="float64")
    assert model.count_params() == tower.count_params() and model.layers[0] is tower and len(tower.calls) == 2
    other = RNG.normal(size=X.shape)
    close(model.predict([X, other]), np.hstack([tower.predict(X), tower.predict(other)]))


# ---- names -----------------------------------------------------------------------------------------------------------


def test_names_that_we_gave_make_way() -> None:
    def part() -> nn.Model:
        x = nn.Input(4)
        return nn.Model(x, nn.Dense(2)(nn.Dense(3)(x)), dtype="float64")

    a, b = part(), part()
    model = nn.Model([a.input, b.input], nn.Dense(1)(nn.Add()([a.output, b.output])), dtype="float64")
    assert [layer.name for layer in (*a.layers, *b.layers)] == ["dense", "dense_1"] * 2
    names = list(model.graph.layers.values())
    assert len(set(names)) == len(names) == 6
    assert model.get_layer(names[2]) is b.layers[0] and len(set(model.graph.paths.values())) == 10
    nested = nn.Model(x := nn.Input(4), nn.Add()([a(x), b(x)]), dtype="float64")
    assert list(nested.graph.paths.values())[::4] == ["model/dense/kernel", "model_1/dense/kernel"]
    x = nn.Input(4)
    first, second = nn.Dense(2, name="mine")(x), nn.Dense(2, name="mine")(x)
    with pytest.raises(ValueError, match=r"name: expected a name of its own for each layer, got \['mine'\]"):
        nn.Model(x, nn.Add()([first, second]))


def test_an_argument_may_not_break_another_call() -> None:
    x = nn.Input(4)
    d = nn.Dense(4)
    model = nn.Model(x, d(d(x)), seed=0)
    before = model.predict(np.ones((2, 4)))
    with pytest.raises(ValueError, match="expected inputs that its weights fit"):
        d.units = 5
    assert d.units == 4
    np.testing.assert_array_equal(model.predict(np.ones((2, 4))), before)


def test_a_stack_on_a_built_model_has_its_shapes() -> None:
    base = nn.Model([nn.Input((8, 8, 1)), nn.Conv2D(4, 3), nn.Flatten()])
    model = nn.Sequential([base, nn.Dense(2)])
    assert model.built and model.input_shape == (None, 8, 8, 1) and model.output_shape == (None, 2)
    grown = nn.Sequential()
    grown.add(base)
    grown.add(nn.Dense(3))
    assert grown.output_shape == (None, 3)
    assert not nn.Sequential([nn.Sequential([nn.Dense(2)]), nn.Dense(2)]).built
