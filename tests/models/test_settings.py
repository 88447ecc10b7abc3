"""What is set on a model and its layers has effect at once or at the next compile, and is saved as it acts."""

from __future__ import annotations

import copy
import gc
import pathlib
import warnings
from typing import Any

import numpy as np
import pytest
from live_objects import X, Y, net

import nncore as nn
from nncore.operations import dense


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


def test_settings_of_a_model_are_checked_and_have_effect() -> None:
    model = net()
    for name, bad in [("n_threads", 0), ("seed", -1), ("name", ""), ("trainable", "no")]:
        with pytest.raises((ValueError, TypeError), match=f"^{name}: expected"):
            setattr(model, name, bad)
    model = net(nn.Dense(8), nn.Dropout(0.5), nn.Dense(1))
    twin = copy.deepcopy(model)
    for m in (model, twin):
        m.train_on_batch(X, Y)  # there is a program now, with the old seed
    model.seed = 99
    twin.reseed(99)
    for m in (model, twin):
        m.train_on_batch(X, Y)
    assert same(model, twin)
    third = net(nn.Dense(8), nn.Dropout(0.5), nn.Dense(1))
    third.train_on_batch(X, Y)
    third.train_on_batch(X, Y)
    assert not same(model, third)
    model.n_threads = 1
    assert model.threads() == 1


def test_restarted_models_train_as_new_ones() -> None:
    """Dropout, shuffles, schedules, the optimizer's state and averages of weights: all are those of another model."""

    def made(seed: int) -> nn.Model:
        model = nn.Sequential([nn.Input((X.shape[1],)), nn.Dense(8), nn.Dropout(0.5), nn.Dense(1)], seed=seed)
        decay = nn.schedules.ExponentialDecay(0.1, 3, 0.5)
        model.compile(nn.AdamW(decay, use_ema=True, ema_momentum=0.5), "mse")
        return model

    def trained(model: nn.Model) -> list[Any]:
        history = model.fit(X, Y, 16, 2, verbose=0, validation_data=(X, Y)).history
        step = model.train_on_batch(X[:5], Y[:5])
        return [history, step, model(X, training=True).tolist(), model.predict(X).tolist()]

    model, other = made(1), made(2)
    first = trained(model)
    assert first == trained(made(1))
    model.restart(2)
    model.set_weights(other.get_weights())
    assert trained(model) == trained(other) != first
    assert same(model, other) and model.seed == 2

    class Restart(nn.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.restart(3)

    with pytest.raises(RuntimeError, match="restart: this model is being fitted"):
        model.fit(X, Y, verbose=0, callbacks=[Restart()])
    fresh = nn.Sequential([nn.Input((2,)), nn.Dense(1)], seed=5)
    with pytest.raises(ValueError, match="not compiled"):
        fresh.restart(9)
    model = made(4)
    with pytest.raises(ValueError, match="seed: "):
        model.restart("9")
    assert (fresh.seed, model.seed) == (5, 4)


# ---- trainable -------------------------------------------------------------------------------------------------------


def test_trainable_of_a_model_is_that_of_its_layers() -> None:
    model = net()
    model.trainable = False
    assert [layer.trainable for layer in model.layers] == [False, False] and model.trainable is False
    assert model.trainable_weights == [] and model.non_trainable_weights == model.weights
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])  # not before the next compile, as in Keras
    before = model.get_weights()
    model.compile(nn.SGD(0.1), "mse")
    model.fit(X, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    model.layers[1].trainable = True
    assert model.trainable is True
    model.compile(nn.SGD(0.1), "mse")
    model.fit(X, Y, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert moved == [False, False, True, True]


class Gain(nn.Layer):
    """A layer of one's own, whose constructor has no `trainable`."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def declare(self, *shapes: Any) -> None:
        n = shapes[0][-1]
        self.kernel = self.add_parameter("kernel", (n, n), nn.initializers.get("glorot_uniform"))

    def emit(self, b: Any, *inputs: Any) -> Any:
        return dense(b, inputs[0], self.kernel, None)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("copied", ["file", "deepcopy"])
def test_what_is_in_force_is_saved(own: bool, copied: str, tmp_path: pathlib.Path, capsys: Any) -> None:
    first: Any = Gain() if own else nn.Dense(4)

    def travel(model: nn.Model) -> nn.Model:
        if copied == "deepcopy":
            return copy.deepcopy(model)
        model.save(tmp_path / "m")
        return nn.load_model(tmp_path / "m", custom_objects={"Gain": Gain})

    model = net(first, nn.Dense(1))
    model.layers[0].trainable = False
    model.summary()
    total = model.count_params()
    assert f"{total} trainable (5 from the next compile on)" in capsys.readouterr().out
    twin = travel(model)
    for m in (model, twin):
        m.fit(X, Y, verbose=0)
    assert same(model, twin)
    assert twin.layers[0].trainable is (copied == "file")  # a copy keeps what is to come, too
    model.compile("sgd", "mse")
    model.summary()
    assert "5 trainable\n" in capsys.readouterr().out
    frozen, twin = model.layers[0].get_weights(), travel(model)
    for m in (model, twin):
        m.fit(X, Y, verbose=0)
        m.compile("sgd", "mse")
        m.fit(X, Y, verbose=0)
        assert np.array_equal(m.layers[0].get_weights()[0], frozen[0])
    assert same(model, twin)


# ---- arguments of a layer of a built model ---------------------------------------------------------------------------


def test_layers_without_shapes_take_what_their_constructor_takes() -> None:
    layer = nn.Dense(3)
    layer.units, layer.activation, layer.kernel_regularizer, layer.name = 4, "relu", nn.regularizers.L2(0.5), "first"
    assert (
        layer.get_config() == nn.Dense(4, "relu", kernel_regularizer=nn.regularizers.L2(0.5), name="first").get_config()
    )
    for name, bad in [("units", -3), ("units", 2.5), ("activation", "rellu"), ("name", "a/b"), ("bias_initializer", 3)]:
        with pytest.raises((ValueError, TypeError), match=f"^{name}: expected"):
            setattr(layer, name, bad)
    for made, name, bad in [
        (nn.Dropout(0.5), "rate", 1.0),
        (nn.Rescaling(0.5), "scale", np.inf),
        (nn.Reshape(3), "target_shape", (-1, -1)),
        (nn.Concatenate(), "axis", 0),
    ]:
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            setattr(made, name, bad)


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (0, "activation", "relu"),
        (0, "activation", nn.activations.LeakyRelu(0.3)),
        (0, "kernel_regularizer", nn.regularizers.L2(0.5)),
        (0, "bias_regularizer", "l1"),
        (1, "scale", 2.0),
        (1, "offset", 0.5),
        (2, "rate", 0.9),
        (0, "name", "first"),
    ],
)
@pytest.mark.parametrize("used", [False, True])
def test_a_built_model_follows_at_once(layer: int, name: str, value: Any, used: bool, tmp_path: pathlib.Path) -> None:
    """As a model that was made so from the start, with the weights, optimizer state and steps of the one at hand."""

    def make(**changed: Any) -> nn.Model:
        dense = {"units": 5, "activation": "tanh"} | (changed if layer == 0 else {})
        scale = {"scale": 1.0} | (changed if layer == 1 else {})
        drop = {"rate": 0.2} | (changed if layer == 2 else {})
        return net(nn.Dense(**dense), nn.Rescaling(**scale), nn.Dropout(**drop), nn.Dense(1, name="last"))

    model, wanted = make(), make(**{name: value})
    if used:
        model.fit(X, Y, epochs=2, verbose=0)
        model.predict(X)
        wanted.set_weights(model.get_weights())
        wanted.counters[:] = model.counters
        for state, values in wanted.optimizer_state.items():
            values[:] = model.optimizer_state[state]
        wanted.optimizer.iterations = model.optimizer.iterations
    setattr(model.layers[layer], name, value)
    assert model.get_config() == wanted.get_config()
    model.save(tmp_path / "m")
    models = (model, wanted, nn.load_model(tmp_path / "m"))
    losses = [m.evaluate(X, Y, verbose=0) for m in models]
    outputs = [m.predict(X) for m in models]
    for m in models:
        m.fit(X, Y, epochs=2, verbose=0)
    for m, loss, output in zip(models[1:], losses[1:], outputs[1:], strict=True):
        assert loss == losses[0] and np.array_equal(output, outputs[0]) and same(m, model)
    assert model.optimizer.iterations == wanted.optimizer.iterations == (8 if used else 4)


def test_weights_whose_shape_changes_are_drawn_anew() -> None:
    model = net(nn.Dense(5), nn.Dense(6), nn.Dense(1))
    model.fit(X, Y, verbose=0)
    old, stale = model.get_weights(), model.layers[2].kernel
    model.layers[1].units = 7
    new = model.get_weights()
    assert [w.shape for w in new] == [(4, 5), (5,), (5, 7), (7,), (7, 1), (1,)]
    assert all(np.array_equal(new[i], old[i]) for i in (0, 1, 5))
    assert model.count_params() == sum(w.size for w in new)
    assert np.ptp(new[2]) > 0 and np.ptp(new[4]) > 0 and model.predict(X).shape == (40, 1)
    model.fit(X, Y, verbose=0)
    assert np.array_equal(np.asarray(stale), old[4])
    with pytest.raises(ValueError, match=r"dense_2/kernel: its model is gone, or was built again; take it"):
        stale.assign(old[4])
    model.layers[0].use_bias = False
    assert [w.shape for w in model.get_weights()] == [(4, 5), (5, 7), (7,), (7, 1), (1,)]


def test_a_graph_follows_too() -> None:
    x = nn.Input(4)
    a = nn.Dense(3, name="a")(x)
    b = nn.Dense(3, name="b")(x)
    model = nn.Model(x, nn.Dense(1, name="c")(nn.Concatenate(name="both")([a, b])), seed=0)
    model.get_layer("a").units = 5
    assert model.get_layer("c").kernel.shape == (8, 1) and model.get_layer("both").output.shape == (None, 8)
    assert model.predict(X).shape == (40, 1)


def test_what_does_not_fit_changes_nothing() -> None:
    model = net(nn.Dense(5, activation="tanh"), nn.Dense(3, activation="softmax"))
    model.compile("adam", "categorical_crossentropy")
    target = np.eye(3)[np.arange(40) % 3]
    model.fit(X, target, verbose=0)
    twin = copy.deepcopy(model)
    first, last = model.layers
    for layer, name, value, words in [
        (last, "units", 1, "expects predictions that can differ"),
        (first, "units", 0, "units: expected a positive"),
        (first, "name", "dense_1", "a name of its own"),
        (first, "kernel_initializer", "zeros", "has drawn the weights of layer dense already.*set_weights"),
        (first, "kernel", np.zeros((4, 5)), r"call layer\.kernel\.assign"),
    ]:
        with pytest.raises((ValueError, AttributeError), match=words):
            setattr(layer, name, value)
    assert model.get_config() == twin.get_config()
    for m in (model, twin):
        m.fit(X, target, verbose=0)
    assert same(model, twin) and model.optimizer.iterations == twin.optimizer.iterations == 4


def test_frozen_layers_stay_frozen_until_the_next_compile() -> None:
    model = net(nn.Dense(5, trainable=False), nn.Dense(1))
    model.layers[0].trainable = True
    frozen = model.layers[0].get_weights()
    model.layers[1].kernel_regularizer = "l2"
    model.fit(X, Y, verbose=0)
    assert np.array_equal(frozen[0], model.layers[0].get_weights()[0])


def test_layers_that_are_called_and_in_no_model() -> None:
    layer = nn.Dense(3)
    symbol = layer(nn.Input(4))
    with pytest.raises(AttributeError, match="units: fixed since Dense was called, cannot become 4; make another"):
        layer.units = 4
    assert layer.units == 3 and symbol.shape == (None, 3)
    model = net()
    left = model.layers[0]
    del model
    gc.collect()
    with pytest.raises(AttributeError, match="units: fixed since dense was called"):
        left.units = 4


def test_a_fit_that_runs_refuses_it() -> None:
    model, seen = net(), []

    def change(epoch: int, logs: Any) -> None:
        for act in (
            lambda: setattr(model.layers[0], "activation", "relu"),
            lambda: model.optimizer.exclude_from_weight_decay(["bias"]),
        ):
            with pytest.raises(RuntimeError, match="this model is being fitted") as caught:
                act()
            seen.append(str(caught.value))

    model.fit(X, Y, epochs=1, verbose=0, callbacks=[nn.callbacks.LambdaCallback(on_epoch_end=change)])
    assert len(seen) == 2 and model.layers[0].activation.kernel == "tanh"


def test_exclusions_from_weight_decay_take_effect_at_the_next_fit() -> None:
    model = net()
    model.compile(nn.SGD(0.1, weight_decay=0.5), "mse")
    model.fit(X, Y, verbose=0)
    model.optimizer.exclude_from_weight_decay(["kernel"])
    twin = copy.deepcopy(model)
    for m in (model, twin):
        m.fit(X, Y, verbose=0)
    assert same(model, twin)
    with pytest.raises(AttributeError, match="Call exclude_from_weight_decay"):
        model.optimizer.excluded_from_weight_decay = ()


# ---- an optimizer belongs to one model -------------------------------------------------------------------------------


def test_a_second_model_gets_a_copy_of_an_optimizer() -> None:
    adam = nn.Adam(0.01)
    first, second = net(), net()
    first.compile(adam, "mse")
    first.fit(X, Y, verbose=0)
    with pytest.warns(UserWarning, match="expected one that no other model uses, got the Adam of <Sequential"):
        second.compile(adam, "mse")
    assert first.optimizer is adam and second.optimizer is not adam and second.optimizer == adam
    assert (adam.iterations, second.optimizer.iterations) == (2, 0)
    alone = net()
    alone.compile(nn.Adam(0.01), "mse")
    for model in (second, alone):
        model.fit(X, Y, verbose=0)
    assert same(second, alone) and adam.iterations == 2


@pytest.mark.parametrize("how", ["same model", "recompiled", "dropped", "popped", "failed"])
def test_an_optimizer_is_free_when_no_model_uses_it(how: str) -> None:
    adam, first = nn.Adam(0.01), net()
    if how == "failed":
        with pytest.raises(ValueError, match="expects a mean and a variance for each target, got 1 output"):
            first.compile(adam, "gaussian_nll")
    else:
        first.compile(adam, "mse")
        first.fit(X, Y, verbose=0)
    second = first if how == "same model" else net()
    if how == "recompiled":
        first.compile("sgd", "mse")
    if how == "dropped":
        del first
    if how == "popped":
        first.pop()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second.compile(adam, "mse")
    assert second.optimizer is adam and adam.iterations == 0


def test_copies_of_a_model_have_an_optimizer_of_their_own() -> None:
    model = net()
    twin = copy.deepcopy(model)
    assert twin.optimizer is not model.optimizer and twin.optimizer.owner() is twin and model.optimizer.owner() is model
    with pytest.warns(UserWarning, match="expected one that no other model uses"):
        model.compile(twin.optimizer, "mse")


def test_a_callback_in_two_fits_at_once() -> None:
    first, second, shared = net(), net(), nn.Callback()

    def nested(epoch: int, logs: Any) -> None:
        with pytest.raises(RuntimeError, match="callbacks: expected objects that no other fit is using"):
            second.fit(X, Y, verbose=0, callbacks=[shared])
        first.evaluate(X, Y, verbose=0, callbacks=[shared])
        assert shared.model is first
        nested.seen = True

    first.fit(X, Y, verbose=0, callbacks=[shared, nn.callbacks.LambdaCallback(on_epoch_end=nested)])
    assert nested.seen and second.fit(X, Y, verbose=0, callbacks=[shared]).history["loss"]
