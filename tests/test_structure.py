"""Layers and models that are called several times, several inputs and outputs, and models that share weights."""

from __future__ import annotations

import copy
import gc
import io
import pathlib
import pickle
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import files

RNG = np.random.default_rng(11)
X = RNG.normal(size=(40, 4))
Y = RNG.normal(size=(40, 2))


def dense(x: Any, layer: nn.Dense) -> Any:
    w, b = layer.get_weights()
    z = x @ w + b
    return np.tanh(z) if layer.activation.kernel == "tanh" else z


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights(), strict=True))


def twice() -> tuple[nn.Model, nn.Dense]:
    """A layer that reads its own output."""
    x, layer = nn.Input(4), nn.Dense(4, "tanh", name="shared")
    return nn.Model(x, nn.Dense(2, name="end")(layer(layer(x))), seed=0, dtype="float64"), layer


def base(seed: int = 0, name: str = "base", **settings: Any) -> nn.Model:
    x = nn.Input(4)
    h = nn.Dense(5, "tanh", name="hidden")(x)
    return nn.Model(x, nn.Dense(2, name="head")(h), seed=seed, dtype="float64", name=name, **settings)


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
    assert shared.kernel is model.weights[0] and nn.Flatten()(nn.Input((2, 3))).shape == (6,)
    flatten = nn.Flatten()
    assert flatten(nn.Input((2, 3))).shape == (6,) and flatten(nn.Input((4, 5))).shape == (20,)


def test_what_a_layer_learns_from_its_first_shape_must_hold_for_later_ones() -> None:
    class Scaled(nn.Layer):
        def __init__(self, name: str | None = None) -> None:
            super().__init__(name)
            self.factor = 0.0

        def build(self, *shapes: Any) -> None:
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


def two_of_each() -> tuple[Any, Any, Any, Any]:
    a, b = nn.Input(4, name="left"), nn.Input((2, 3), name="right")
    h = nn.Dense(3, "tanh", name="h")(a)
    joined = nn.Concatenate(name="joined")([h, nn.Flatten(name="flat")(b)])
    return a, b, nn.Dense(2, name="value")(joined), nn.Reshape((3, 1), name="tall")(h)


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


def test_what_cannot_be_trained_yet() -> None:
    a, b, value, tall = two_of_each()
    for outputs in (value, [value, tall]):
        model = nn.Model([a, b], outputs, seed=0)
        with pytest.raises(ValueError, match="expected a model with one input and one output, got 2 and [12]: a loss"):
            model.compile("sgd", "mse")
        assert not model.compiled
        model.compile("sgd")
        with pytest.raises(ValueError, match="not compiled with a loss"):
            model.fit([X, X], Y)


def test_a_model_between_two_symbols_of_another() -> None:
    model = base()
    hidden = model.get_layer("hidden").output
    upper = nn.Model(hidden, model.output, dtype="float64")
    assert upper.layers == [model.get_layer("head")] and upper.input_shape == (None, 5)
    h = RNG.normal(size=(3, 5))
    close(upper.predict(h), dense(h, model.get_layer("head")))


# ---- models as layers ------------------------------------------------------------------------------------------------


def autoencoder() -> tuple[nn.Model, nn.Model, nn.Model]:
    encoder = nn.Sequential([nn.Input(4), nn.Dense(3, "tanh"), nn.Dense(2)], seed=1, name="encoder", dtype="float64")
    code = nn.Input(2)
    decoder = nn.Model(code, nn.Dense(4)(nn.Dense(3, "tanh")(code)), seed=2, name="decoder", dtype="float64")
    x = nn.Input(4)
    return encoder, decoder, nn.Model(x, decoder(encoder(x)), seed=3, name="both", dtype="float64")


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
    assert v.shape == (2,) and [layer.name for layer in outer.layers].count("model") == 1
    found = outer.predict(X)
    z = dense(X, outer.get_layer("dense")).reshape(40, 2, 3)
    wanted = inner.predict({"a": X, "b": z})
    close(found[1], wanted[0])
    close(found[0], wanted[1][:, :, 0])
    assert [s.shape for s in inner([x, y])] == [(2,), (3, 1)]
    with pytest.raises(ValueError, match=r"model: expected for its input a a symbol of shape \(4,\), got \(6,\)"):
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
    assert stack.built and y.shape == (2,) and stack.input_shape == (None, 4)
    with pytest.raises(ValueError, match=r"expected for its input input_layer a symbol of shape \(4,\), got \(5,\)"):
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


# ---- one state for what is shared ------------------------------------------------------------------------------------


def test_a_model_of_symbols_within_another_shares_its_weights() -> None:
    model = base()
    model.compile(nn.SGD(0.1), "mse")
    features = nn.Model(model.input, model.get_layer("hidden").output, dtype="float64")
    assert features.state is model.state and features.get_weights()[0].shape == (4, 5)
    for _ in range(2):
        close(features.predict(X), dense(X, model.get_layer("hidden")))
        model.fit(X, Y, verbose=0)
    features.set_weights([w + 1 for w in features.get_weights()])
    close(model.get_weights()[0], features.get_weights()[0])


def test_a_new_head_on_the_output_of_another_model() -> None:
    model = base()
    model.compile(nn.Adam(0.01), "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    twin, weights = copy.deepcopy(model), model.get_weights()
    old = model.predict(X)
    x = model.get_layer("hidden").output
    new = nn.Model(model.input, nn.Dense(3, name="other")(x), seed=7, dtype="float64")
    assert new.state is model.state and model.predict(X).tobytes() == old.tobytes()
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    close(new.predict(X), dense(dense(X, model.layers[0]), new.layers[1]))
    # the older model goes on as if nothing had happened, its optimizer's state included
    for m in (model, twin):
        m.fit(X, Y, epochs=2, verbose=0)
    assert same(model, twin) and model.history.history == twin.history.history
    close(new.predict(X), dense(dense(X, model.layers[0]), new.layers[1]))
    new.compile(nn.Adam(0.01), "mse")
    head = model.layers[1].get_weights()
    new.fit(X, RNG.normal(size=(40, 3)), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(head, model.layers[1].get_weights(), strict=True))  # not its own
    close(model.predict(X), dense(dense(X, model.layers[0]), model.layers[1]))


def test_initial_weights_of_new_layers_follow_the_new_model_s_seed() -> None:
    heads = []
    for seed in (7, 7, 8):
        model = base()
        new = nn.Model(model.input, nn.Dense(3, name="other")(model.output), seed=seed, dtype="float64")
        heads.append(new.layers[-1].get_weights()[0])
    assert np.array_equal(heads[0], heads[1]) and not np.array_equal(heads[0], heads[2])


def test_states_of_several_models_become_one() -> None:
    models = [base(seed, f"m{seed}") for seed in range(4)]
    for m in models:
        m.compile(nn.Adam(0.01, global_clipnorm=0.1), "mse")
        m.fit(X, Y, verbose=0)
    twins = copy.deepcopy(models)
    x = nn.Input(4)
    pairs = [nn.Model(x, nn.Add()([a(x), b(x)]), dtype="float64") for a, b in (models[:2], models[2:])]
    assert models[0].state is models[1].state is not models[2].state is models[3].state
    nn.Model(x, nn.Add()([p(x) for p in pairs]), dtype="float64")
    assert len({id(m.state) for m in models}) == 1 and len({id(m.turn.root) for m in models}) == 1
    for m, twin in zip(models, twins, strict=True):
        for each in (m, twin):
            each.fit(X, Y, epochs=2, verbose=0)
        assert same(m, twin)
        assert np.array_equal(m.predict(X), twin.predict(X))


def test_what_is_trainable_is_a_matter_of_each_model_s_compile() -> None:
    """As in an adversarial pair: the judge learns by itself, and is frozen in the pair."""
    judge = base(name="judge")
    judge.compile(nn.SGD(0.1), "mse")
    judge.trainable = False
    maker = nn.Dense(4, name="maker")
    x = nn.Input(3)
    pair = nn.Model(x, judge(maker(x)), dtype="float64")
    pair.compile(nn.SGD(0.1), "mse")
    before, made = judge.get_weights(), maker.get_weights()
    noise = RNG.normal(size=(40, 3))
    pair.train_on_batch(noise, Y)
    assert all(np.array_equal(a, b) for a, b in zip(before, judge.get_weights(), strict=True))
    assert not np.array_equal(made[0], maker.get_weights()[0])
    made = maker.get_weights()
    judge.train_on_batch(X, Y)
    assert not any(np.array_equal(a, b) for a, b in zip(before, judge.get_weights(), strict=True))
    assert np.array_equal(made[0], maker.get_weights()[0])
    judge.evaluate(X, Y, verbose=0)
    before = judge.get_weights()
    pair.fit(noise, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, judge.get_weights(), strict=True))


def test_a_dtype_that_differs() -> None:
    model = base()
    with pytest.raises(ValueError, match=r"dtype: expected that of .* layer hidden.* Call Model\(…, dtype='float64'\)"):
        nn.Model(model.input, model.layers[0].output)


def test_layers_of_several_models_keep_their_arguments() -> None:
    model = base()
    features = nn.Model(model.input, model.layers[0].output, dtype="float64")
    with pytest.raises(AttributeError, match="units: fixed since 2 models share it, cannot become 7"):
        model.layers[0].units = 7
    with pytest.raises(AttributeError, match="units: fixed since its layer hidden is part of another model, too"):
        model.layers[1].units = 7
    del features
    gc.collect()
    model.layers[1].units = 7
    assert model.output_shape == (None, 7)


class DuringFit(nn.Callback):
    def __init__(self, action: Any) -> None:
        self.action, self.found = action, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.found = self.action()


def test_models_that_share_weights_have_one_turn() -> None:
    model = base()
    features = nn.Model(model.input, model.layers[0].output, dtype="float64")
    features.compile("sgd", "mse")
    model.compile("sgd", "mse")
    found: list[str] = []

    def others() -> None:
        for action in (
            lambda: features.set_weights(features.get_weights()),
            lambda: features.train_on_batch(X, np.zeros((40, 5))),
            lambda: nn.Model(model.input, nn.Dense(3)(model.output), dtype="float64"),
        ):
            try:
                action()
            except RuntimeError as error:
                found.append(str(error))

    def thread() -> None:
        other = threading.Thread(target=others)
        other.start()
        other.join()

    model.fit(X, Y, verbose=0, callbacks=[DuringFit(thread)])
    assert [text.partition(" is being")[0] for text in found] == [
        "weights: this model, or one that shares its weights,",
        "train_on_batch: this model, or one that shares its weights,",
        "Model: this model, or one that shares its weights,",
    ]
    assert features.fit_state is None
    # its own thread may look at it by a new model, which needs no other state
    seen = DuringFit(lambda: nn.Model(model.input, model.layers[0].output, dtype="float64").predict(X))
    model.fit(X, Y, verbose=0, callbacks=[seen])
    close(seen.found, dense(X, model.layers[0]))
    with pytest.raises(RuntimeError, match="Model: .* is being fitted"):
        model.fit(
            X, Y, verbose=0,
            callbacks=[DuringFit(lambda: nn.Model(model.input, nn.Dense(3)(model.output), dtype="float64"))],
        )  # fmt: skip


def test_readers_and_a_training_thread_while_states_are_joined() -> None:
    """Other threads predict, read and train while models join theirs: each sees one network or the next."""
    shared = base()
    stop, errors = threading.Event(), list[BaseException]()
    weights = shared.get_weights()
    expected = shared.predict(X)

    def read() -> None:
        try:
            while not stop.is_set():
                assert shared.predict(X).tobytes() == expected.tobytes()
                assert all(np.array_equal(a, b) for a, b in zip(shared.get_weights(), weights, strict=True))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for t in threads:
        t.start()
    held = [nn.Model(shared.input, nn.Dense(3, name=f"n{i}")(shared.output), dtype="float64") for i in range(30)]
    stop.set()
    for t in threads:
        t.join()
    assert not errors and held[-1].state is shared.state and len(shared.state.parameters) == 4 + 60


# ---- files and copies ------------------------------------------------------------------------------------------------


def every() -> dict[str, nn.Model]:
    encoder, _, both = autoencoder()
    x = nn.Input(4)
    reused = nn.Add()([encoder(x), encoder(both(x)), encoder.layers[1](nn.Dense(3)(x))])  # a layer from within, too
    a, b, value, tall = two_of_each()
    inner = nn.Model({"a": a, "b": b}, [value, tall], seed=0, dtype="float64")
    v, t = inner([x, nn.Reshape((2, 3))(nn.Dense(6)(x))])
    bottom = nn.Sequential([nn.Input(4, name="start"), base(), nn.Dense(3)], seed=2, dtype="float64")
    return {
        "twice": twice()[0],
        "autoencoder": both,
        "reused": nn.Model(x, reused, seed=9, dtype="float64"),
        "dicts": nn.Model({"q": a, "p": b}, {"t": tall, "v": value}, dtype="float64"),
        "inner": nn.Model(x, nn.Concatenate()([v, nn.Flatten()(t)]), seed=4, dtype="float64"),
        "stack": bottom,
        "subset": nn.Model(encoder.inputs[0], encoder.layers[0].output, dtype="float64"),
        "named": nn.Model(i := nn.Input(4, name="start"), nn.Dense(2)(i), dtype="float64"),
    }


def data_of(model: nn.Model) -> Any:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(6, *s.shape)) for s in model.inputs]
    return parts if len(parts) > 1 else parts[0]


def assert_alike(a: nn.Model, b: nn.Model) -> None:
    assert list(a.graph.paths.values()) == list(b.graph.paths.values())
    assert same(a, b) and a.input_names == b.input_names and a.output_names == b.output_names
    assert [type(layer) for layer in a.layers] == [type(layer) for layer in b.layers]
    assert [layer.name for layer in a.layers] == [layer.name for layer in b.layers]
    p, q = a.predict(data_of(a)), b.predict(data_of(a))
    flat = [list(v.values()) if isinstance(v, dict) else v if isinstance(v, list) else [v] for v in (p, q)]
    assert type(p) is type(q) and all(np.array_equal(v, w) for v, w in zip(*flat, strict=True))
    said: tuple[list[str], list[str]] = ([], [])
    a.summary(print_fn=said[0].append)
    b.summary(print_fn=said[1].append)
    assert said[0] == said[1]


WAYS = {
    "file": None,
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "python's pickler": lambda m: pickle.loads(pickle._dumps(m)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", every())
def test_models_come_back(case: str, way: str, tmp_path: pathlib.Path) -> None:
    model = every()[case]
    trained = len(model.inputs) == len(model.outputs) == 1
    if trained:
        x, y = data_of(model), np.ones((6, *model.outputs[0].shape))
        model.compile(nn.Adam(0.01, weight_decay=0.1), "mse")
        model.fit(x, y, verbose=0)
    if way == "file":
        model.save(tmp_path / "m")
        twin = nn.load_model(tmp_path / "m")
        again = nn.Model.from_config(model.get_config())
        again.load_weights(tmp_path / "m")
        assert_alike(model, again)
    else:
        twin = WAYS[way](model)
        assert not {id(layer) for layer in model.layers} & {id(layer) for layer in twin.layers}
    assert_alike(model, twin)
    assert twin.get_config() == model.get_config()
    if trained:
        for m in (model, twin):
            m.fit(x, y, epochs=2, verbose=0)
        assert_alike(model, twin)


@pytest.mark.parametrize("case", every())
def test_clones(case: str) -> None:
    model = every()[case]
    clone, other = nn.clone_model(model), nn.clone_model(model)
    assert same(clone, other) and not same(clone, model)
    assert not set(map(id, clone._leaves())) & set(map(id, model._leaves()))
    clone.set_weights(model.get_weights())
    assert_alike(clone, model)


def test_sharing_survives_a_file() -> None:
    model = every()["reused"]
    clone = nn.Model.from_config(model.get_config())
    encoder, both = clone.layers[0], next(layer for layer in clone.layers if layer.name == "both")
    assert both.layers[0] is encoder and encoder.layers[1] in clone.layers and encoder.state is clone.state
    encoder.layers[0].kernel.assign(np.zeros((4, 3)))
    assert clone.get_weights()[0].max() == 0


def test_copies_of_several_models_share_as_the_originals_do() -> None:
    encoder, decoder, both = autoencoder()
    for way in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        e, d, b = way([encoder, decoder, both])
        assert b.layers == [e, d] and e.state is b.state and e.turn.root is b.turn.root and e.state is not both.state
        b.compile(nn.SGD(0.1), "mse")
        b.fit(X, X, verbose=0)
        close(b.predict(X), d.predict(e.predict(X)))
        new = nn.Model(e.input, nn.Dense(2, name="new")(e.output), dtype="float64")
        assert new.state is b.state
        close(b.predict(X), d.predict(e.predict(X)))
    assert len(encoder.calls) == 1 and len(e.calls) == 1


def test_a_layer_travels_alone_after_its_state_was_joined() -> None:
    model = base()
    kernel = model.layers[0].get_weights()[0]
    new = nn.Model(model.input, nn.Dense(3, name="other")(model.output), dtype="float64")
    for way in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):
        for layer in (model.layers[0], new.layers[2]):
            twin = way(layer)
            assert np.array_equal(twin.get_weights()[0], layer.get_weights()[0]) and twin.state is not model.state
    assert np.array_equal(kernel, model.layers[0].get_weights()[0])


@pytest.mark.parametrize("case", ["twice", "reused", "stack"])
def test_an_interrupted_fit_goes_on_to_the_same_bits(case: str, tmp_path: pathlib.Path) -> None:
    class PowerCut(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == 7:
                raise KeyboardInterrupt

    x, found = data_of(every()[case]), []
    y = np.ones((6, *every()[case].outputs[0].shape))
    for cut in (None, PowerCut(), None):
        model = every()[case]
        model.compile(nn.Adam(0.01, global_clipnorm=0.1), "mse")
        backup = [] if not found else [nn.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=2)]
        try:
            model.fit(x, y, batch_size=2, epochs=4, verbose=0, callbacks=[*backup, *([cut] if cut else [])])
        except KeyboardInterrupt:
            continue
        found.append(model)
    assert same(*found) and found[0].history.history == found[1].history.history


def test_a_pickled_inner_model_stands_alone() -> None:
    encoder, _, both = autoencoder()
    twin = copy.deepcopy(encoder)
    twin.compile(nn.SGD(0.1), "mse")
    before = both.get_weights()
    twin.fit(X, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, both.get_weights(), strict=True))


def test_documents_that_make_no_sense() -> None:
    model = every()["reused"]

    def changed(change: Any) -> Any:
        config = copy.deepcopy(model.get_config())
        change(config["graph"], config["layers"])
        return config

    for change, words in [
        (lambda g, e: g["calls"].__setitem__(0, [len(e), [0]]), "graph: expected the number of an earlier layer"),
        (lambda g, e: g["calls"].__setitem__(0, [0, [1]]), "reads a layer that does not come before it"),
        (lambda g, e: g.update(outputs=[99]), "graph: expected outputs among"),
        (lambda g, e: g.update(extra=1), r"graph: expected the keys .* got also \['extra'\]"),
        (lambda g, e: e.append(e[0]), "graph: expected calls of all layers, got none of number"),
    ]:
        with pytest.raises(ValueError, match=words):
            nn.Model.from_config(changed(change))


def test_a_short_document_asks_for_no_work_without_end() -> None:
    entry = {"class": "activation", "config": {"activation": "relu", "name": "a"}}
    layers: list[Any] = [entry]
    graph = {"inputs": [[None, [3]]], "outputs": [2], "takes": None, "gives": None}
    for i in range(40):
        layers.append(
            {"class": "model", "graph": graph | {"name": f"m{i}", "seed": "0", "calls": [[i, [0]], [i, [1]]]}}
        )
    about = {"name": "m", "dtype": "float32", "seed": "0", "stack": False, "layers": layers}
    with pytest.raises(ValueError, match="graph: expected at most 1048576 calls of layers, got"):
        nn.Model.from_config(about | {"graph": graph | {"calls": [[40, [0]]], "outputs": [1]}})


# ---- show, and let go ------------------------------------------------------------------------------------------------


def test_summary_and_repr() -> None:
    a, b, value, tall = two_of_each()
    model = nn.Model([a, b], [value, tall], dtype="float64")
    stream = io.StringIO()
    model.summary(print_fn=stream.write)
    rows = {line.split()[0]: line for line in stream.getvalue().splitlines()}
    assert "(Input)" in rows["left"] and "(None, 2, 3)" in rows["right"] and rows["value"].split()[-1] == "20"
    assert "(None, 4), (None, 2, 3) -> (None, 2), (None, 3, 1)" in repr(model) and "<table>" in model._repr_html_()
    stream = io.StringIO()
    shared = twice()[0]
    shared.summary(print_fn=stream.write)
    assert stream.getvalue().count("shared") == 1 and "shared (Dense), 2 calls" in stream.getvalue()
    assert "Total: 30 parameters" in stream.getvalue()
    _, _, both = autoencoder()
    stream = io.StringIO()
    both.summary(print_fn=stream.write)
    assert "encoder (Sequential)" in stream.getvalue() and "Total: 48 parameters" in stream.getvalue()


@pytest.mark.parametrize("case", every())
def test_dropped_models_are_gone_at_once(case: str) -> None:
    gc.collect()
    gc.disable()
    try:
        model = every()[case]
        if len(model.inputs) == len(model.outputs) == 1:
            model.compile("adam", "mse")
            model.fit(data_of(model), np.ones((6, *model.outputs[0].shape)), verbose=0)
        model.predict(data_of(model))
        parts = [model, model.graph, model.state, *model.layers, *model._leaves(), *(c for c, _ in model.graph.calls)]
        watched = [(type(part).__name__, weakref.ref(part)) for part in parts]
        del model, parts
        assert [name for name, part in watched if part() is not None] == []
    finally:
        gc.enable()


# ---- files of earlier builds -----------------------------------------------------------------------------------------

FILES = pathlib.Path(__file__).parent / "files"


@pytest.mark.parametrize("kind", ["graph", "stack"])
def test_files_of_format_1_are_read(kind: str, tmp_path: pathlib.Path) -> None:
    """Written when a layer had one call in one model; saved again, such models say the same."""
    path = FILES / f"{kind}_of_format_1.safetensors"
    model = nn.load_model(path)
    names = {"graph": ["hidden", "dense", "concatenate", "dense_1"], "stack": ["dense", "dropout", "dense_1"]}[kind]
    assert [layer.name for layer in model.layers] == names and model.optimizer.iterations == 6
    assert model.history.epoch == [0, 1] and type(model).__name__ == {"graph": "Model", "stack": "Sequential"}[kind]
    w = model.get_weights()
    if kind == "graph":
        assert [layer.trainable for layer in model.layers] == [True, False, True, True]
        z = np.hstack([np.tanh(X @ w[0] + w[1]), X @ w[2] + w[3]]) @ w[4] + w[5]
        wanted = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    else:
        wanted = np.maximum(X @ w[0] + w[1], 0) @ w[2] + w[3]
    np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "again")
    with files.File(path) as old, files.File(tmp_path / "again") as new:
        for key in ("architecture", "counters", "history"):
            assert new.document[key] == old.document[key]
        a, b = old.tensors(), new.tensors()
        assert set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)
    both = nn.Model(model.input, nn.Dense(1, name="top")(model.output))
    assert both.state is model.state


def test_an_argument_may_not_break_another_call() -> None:
    x = nn.Input(4)
    d = nn.Dense(4)
    model = nn.Model(x, d(d(x)), seed=0)
    before = model.predict(np.ones((2, 4)))
    with pytest.raises(ValueError, match="expected inputs that its weights fit"):
        d.units = 5
    assert d.units == 4
    np.testing.assert_array_equal(model.predict(np.ones((2, 4))), before)
