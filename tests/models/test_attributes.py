"""What is set on a live object is checked as by its constructor, or is the user's own, or is refused."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from live_objects import X, Y, net

import nncore as nn
from nncore.attributes import arguments
from nncore.callbacks import EarlyStopping, ModelCheckpoint


def kinds() -> dict[str, Any]:
    model = net()
    return {
        "layer": model.layers[0],
        "free layer": nn.Dense(3),
        "optimizer": model.optimizer,
        "loss": nn.losses.Huber(),
        "metric": nn.metrics.BinaryAccuracy(),
        "regularizer": nn.regularizers.L2(),
        "initializer": nn.initializers.Constant(),
        "activation": nn.activations.LeakyRelu(),
        "callback": nn.callbacks.EarlyStopping(),
        "bare callback": nn.Callback(),
        "model": model,
    }


@pytest.mark.parametrize(
    ("kind", "slip", "meant"),
    [
        ("layer", "unit", "units"),
        ("layer", "trainble", "trainable"),
        ("free layer", "kernel_regulariser", "kernel_regularizer"),
        ("free layer", "Activation", "activation"),
        ("optimizer", "learningrate", "learning_rate"),
        ("optimizer", "beta1", "beta_1"),
        ("optimizer", "anything", "Known: amsgrad, batches, beta_1"),
        ("optimizer", "kernel", "Known: amsgrad, batches, beta_1"),
        ("loss", "detla", "delta"),
        ("metric", "treshold", "threshold"),
        ("regularizer", "l3", "Known: l2"),
        ("initializer", "val", "Known: value"),
        ("activation", "slope", "Known: negative_slope"),
        ("callback", "patiance", "patience"),
        ("bare callback", "on_epoch_ned", "on_epoch_end"),
        ("model", "trainble", "trainable"),
        ("model", "stop_traning", "stop_training"),
        ("model", "n_thread", "n_threads"),
        ("model", "optimiser", "optimizer"),
    ],
)
def test_slips_are_refused(kind: str, slip: str, meant: str) -> None:
    thing = kinds()[kind]
    before = dict(vars(thing))
    with pytest.raises(AttributeError, match=rf"^{slip}: expected an attribute of .*{meant}"):
        setattr(thing, slip, 0.5)
    assert vars(thing) == before


def test_lr_is_neither_read_nor_set() -> None:
    optimizer = nn.SGD(0.5)
    with pytest.raises(AttributeError, match="^lr: cannot be set on an? SGD.*learning_rate"):
        optimizer.lr = 0.25
    with pytest.raises(AttributeError, match="^lr: expected an attribute of SGD.*learning_rate"):
        optimizer.lr *= 0.5
    assert optimizer.learning_rate == 0.5 and not hasattr(optimizer, "lr")


def test_a_callback_of_ones_own_may_have_a_mode() -> None:
    callback = nn.Callback()
    callback.mode = "max"
    assert callback.mode == "max"


@pytest.mark.parametrize(
    ("make", "name", "value", "words"),
    [
        (lambda: EarlyStopping(), "mode", "MIN", "mode: expected 'auto', 'min' or 'max', got 'MIN'"),
        (lambda: EarlyStopping(), "patience", "3", "patience: expected a whole number of at least 0, got '3'"),
        (
            lambda: EarlyStopping(),
            "monitor",
            "val_accuracy",
            "monitor: fixed when the EarlyStopping is made. .*another",
        ),
        (
            lambda: ModelCheckpoint("a"),
            "save_best_only",
            True,
            "save_best_only: fixed when the ModelCheckpoint is made",
        ),
        (lambda: ModelCheckpoint("a"), "filepath", "a.h5", "filepath: expected a name for a safetensors file"),
        (lambda: nn.callbacks.BackupAndRestore("a"), "save_freq", 0, "save_freq: expected 'epoch' or a positive"),
        (lambda: nn.callbacks.CSVLogger("a"), "append", "no", "append: expected True or False, got 'no'"),
        (lambda: nn.callbacks.LambdaCallback(on_epoch_end=print), "on_epoch_end", 3, "on_epoch_end: expected a funct"),
    ],
)
def test_what_is_set_on_a_callback_is_checked_as_by_its_constructor(
    make: Any, name: str, value: Any, words: str
) -> None:
    callback = make()
    before = dict(vars(callback))
    with pytest.raises((AttributeError, TypeError, ValueError), match=f"^{words}"):
        setattr(callback, name, value)
    assert vars(callback) == before


@pytest.mark.parametrize("built", [False, True])
def test_what_a_constructor_settles_for_its_base_is_fixed(built: bool) -> None:
    """A file holds the arguments of the class alone: another activation would be saved as tanh."""

    class Block(nn.Dense):
        def __init__(self, units: int, name: str | None = None) -> None:
            super().__init__(units, activation="tanh", name=name)

    block = Block(3)
    model = net(block, nn.Dense(1)) if built else None
    with pytest.raises(AttributeError, match="^activation: fixed by the constructor of Block, which does not take it"):
        block.activation = "relu"
    block.units = 2
    assert block.activation == nn.activations.get("tanh") and (model is None or block.kernel.shape == (4, 2))


def test_arguments_of_a_callback_change() -> None:
    class Impatient(EarlyStopping):
        made = 0

        def __init__(self) -> None:
            super().__init__("loss", patience=5)
            Impatient.made += 1

    model, stop = net(), Impatient()
    stop.patience, stop.mode, stop.min_delta, stop.start_from_epoch = 1, "max", -0.25, np.int64(2)
    assert (stop.min_delta, stop.mode, Impatient.made) == (0.25, "max", 1) and type(stop.start_from_epoch) is int
    model.fit(X, Y, epochs=9, verbose=0, callbacks=[stop])
    assert (stop.best_epoch, stop.stopped_epoch) == (2, 3)  # the loss never grows by 0.25


def test_a_hook_that_nothing_calls() -> None:
    for slip, meant in [("on_epoch_ends", "on_epoch_end"), ("on_training_begin", "on_train_begin")]:
        with pytest.raises(TypeError, match=f"^{slip}: expected the name of a hook.*{meant}"):
            type("Mine", (nn.Callback,), {slip: print})
    assert type("Mine", (nn.Callback,), {"on_improvement": print})().on_improvement is not None


def test_parameters_follow_from_their_layer() -> None:
    model = net()
    kernel = model.layers[0].kernel
    before = dict(vars(kernel))
    for name, remedy in [
        ("trainable", "Set that of its layer, and call compile"),
        ("regularizer", "Set kernel_regularizer"),
        ("value", "Call assign"),
        ("shape", "It follows from its layer"),
        ("trainble", "Did you mean 'trainable'"),
    ]:
        with pytest.raises(AttributeError, match=f"^{name}: .*{remedy}"):
            setattr(kernel, name, False)
    assert vars(kernel) == before
    model.layers[0].trainable = False
    assert kernel.trainable
    model.compile("sgd", "mse")
    assert not kernel.trainable


@pytest.mark.parametrize("kind", ["layer", "free layer", "callback", "bare callback", "model"])
@pytest.mark.parametrize(
    "name",
    "scaler classes_ n_features_in_ layer1 layer_2 weight metric models label step epochs_done best_epochs names2 _lr "
    "_trainble hidden input_dim vocabulary threshold_ data tag".split(),
)
def test_attributes_of_ones_own(kind: str, name: str) -> None:
    thing, value = kinds()[kind], object()
    setattr(thing, name, value)
    assert getattr(thing, name) is value


def test_constructors_set_what_they_like() -> None:
    class Net(nn.Model):
        def __init__(self, units: int) -> None:
            self.unit = self.trainble = units
            super().__init__([nn.Dense(units)])
            self.nam = "n"

    class Block(nn.Dense):
        def __init__(self, units: int, **kwargs: Any) -> None:
            super().__init__(units, **kwargs)
            self.unit, self.units = 3, 2 * self.units

    class Watch(nn.Callback):
        def __init__(self) -> None:
            self.on_epoch_ned = 3

    assert (Net(2).trainble, Net(2).nam, Block(2).units, Block(2).unit, Watch().on_epoch_ned) == (2, "n", 4, 3, 3)
    for made, slip in [(Net(2), "trainabel"), (Block(2, name="b"), "activatoin"), (Watch(), "on_tik")]:
        with pytest.raises(AttributeError, match=f"^{slip}: "):
            setattr(made, slip, 1)


def test_a_constructor_that_fails_leaves_nothing_open() -> None:
    layer = nn.Dense.__new__(nn.Dense)
    with pytest.raises(ValueError, match="units"):
        layer.__init__(-1)
    with pytest.raises(AttributeError, match="unit: "):
        layer.unit = 3


def test_arguments_behind_kwargs_are_those_of_the_base(tmp_path: pathlib.Path) -> None:
    class Wide(nn.Dense):
        def __init__(self, factor: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.factor = factor

    assert list(arguments(Wide)) == ["factor", *arguments(nn.Dense)]
    model = net(Wide(3, units=2, activation="relu", kernel_regularizer="l2"), nn.Dense(1))
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={"Wide": Wide})
    assert loaded.layers[0].get_config() == model.layers[0].get_config() and loaded.layers[0].factor == 3
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_an_argument_that_is_no_attribute_is_named() -> None:
    class Lost(nn.Layer):
        def __init__(self, times: float, name: str | None = None) -> None:
            super().__init__(name)

    with pytest.raises(AttributeError, match=r"times: expected as an attribute of Lost.*set self\.times there"):
        Lost(2.0).get_config()


@pytest.mark.parametrize("kind", ["optimizer", "loss", "metric", "regularizer", "initializer", "activation"])
def test_arguments_of_finished_objects(kind: str) -> None:
    thing = kinds()[kind]
    for name in set(arguments(type(thing))) - {"learning_rate"}:
        before = getattr(thing, name)
        with pytest.raises(AttributeError, match=f"^{name}: fixed when the {kind} is made, cannot become 0.25"):
            setattr(thing, name, 0.25)
        assert getattr(thing, name) is before


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("weights", [], "cannot be set on a Sequential. Call set_weights"),
        ("layers", [], "add and pop"),
        ("optimizer", "sgd", "Give it to compile"),
        ("loss", "mae", "Give it to compile"),
        ("dtype", "float32", "fixed when the Sequential is made"),
        ("input_shape", (3,), "cannot be set"),
    ],
)
def test_what_follows_from_other_things_cannot_be_set(name: str, value: Any, words: str) -> None:
    model = net()
    with pytest.raises(AttributeError, match=f"^{name}: .*{words}"):
        setattr(model, name, value)
