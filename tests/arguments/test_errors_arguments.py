"""Arguments and sizes that are refused: by which name, with which remedy, and what stays as it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from refusals import X, Y, classifier, unchanged, with_row

import nncore as nn

FIT: list[tuple[dict[str, Any], str]] = [
    ({"batch_size": 0}, "batch_size: expected a whole number of at least 1, got 0"),
    ({"batch_size": -1}, "batch_size: .*got -1"),
    ({"batch_size": 2.5}, "batch_size: .*got 2.5"),
    ({"batch_size": "all"}, "batch_size: .*got 'all'"),
    ({"batch_size": True}, "batch_size: .*got True"),
    ({"epochs": -1}, "epochs: expected a whole number of at least 0, got -1"),
    ({"epochs": 1.0}, "epochs: "),
    ({"epochs": None}, "epochs: "),
    ({"initial_epoch": -1}, "initial_epoch: "),
    ({"steps_per_epoch": 0}, "steps_per_epoch: "),
    ({"validation_freq": 0}, "validation_freq: "),
    ({"validation_batch_size": 0}, "validation_batch_size: "),
    ({"shuffle": "batch"}, "shuffle: expected True or False, got 'batch'"),
    ({"validation_split": 1}, r"validation_split: expected a number in \[0, 1\), got 1"),
    ({"validation_split": -0.1}, "validation_split: .*got -0.1"),
    ({"validation_split": float("nan")}, "validation_split: .*got nan"),
    ({"validation_split": "a"}, "validation_split: "),
    ({"validation_split": 0.99}, "validation_split: expected at least one row on each side"),
    ({"validation_data": X}, r"validation_data: expected \(x, y\) or \(x, y, sample_weight\)"),
    ({"validation_data": (X,)}, "validation_data: "),
    ({"validation_data": (X, Y, None, None)}, "validation_data: "),
    ({"validation_data": (X, None)}, "validation y: expected an array, got None"),
    ({"validation_data": (X, Y, np.full(40, np.inf))}, "validation sample_weight: expected finite numbers"),
    ({"sample_weight": np.ones(39)}, r"sample_weight: expected shape \(40,\), one weight per sample, got \(39,\)"),
    ({"sample_weight": np.ones((40, 3))}, "sample_weight: expected shape"),
    ({"sample_weight": with_row(np.ones(40), 8, np.nan)}, "sample_weight: expected finite numbers .*got nan in row 8"),
    ({"sample_weight": with_row(np.ones(40), 8, np.nan)}, "sample_weight: .*got nan in row 8"),
    ({"sample_weight": with_row(np.ones(40), 8, 1e39)}, r"sample_weight: .*float32.*got 1e\+39 in row 8"),
    ({"sample_weight": ["a"] * 40}, "sample_weight: expected real numbers"),
    ({"sample_weight": np.ones(39), "validation_split": 0.5}, "sample_weight: expected shape"),
    ({"class_weight": [1, 2]}, r"class_weight: expected 3 weights, one per class, got shape \(2,\)"),
    ({"class_weight": "even"}, "class_weight: expected a dict from class to weight, a list .*\"balanced\", got 'even'"),
    ({"class_weight": {3: 1.0}}, "class_weight: expected classes from 0 to 2 as keys, got 3"),
    ({"class_weight": {-1: 1.0}}, "class_weight: .*got -1"),
    ({"class_weight": {"a": 1.0}}, "class_weight: .*got 'a'"),
    ({"class_weight": {0.5: 1.0}}, "class_weight: .*got 0.5"),
    ({"class_weight": {0: -1.0}}, "class_weight: expected finite numbers ≥ 0, got -1.0 for class 0"),
    ({"class_weight": {0: float("nan")}}, "class_weight: .*got nan"),
    ({"class_weight": {0: 1e39}}, "class_weight: "),
    ({"class_weight": {0: "a"}}, "class_weight: .*got 'a'"),
    ({"callbacks": [3]}, "callbacks: expected objects of nncore.callbacks.Callback, got 3"),
    ({"callbacks": [nn.callbacks.History]}, r"callbacks: .*did you mean History\(…\)\?"),
    ({"verbose": "loud"}, "verbose: expected"),
]


@pytest.mark.parametrize(("arguments", "words"), FIT, ids=lambda v: None if isinstance(v, str) else "-".join(v))
def test_bad_arguments_of_fit(arguments: dict[str, Any], words: str) -> None:
    model = classifier()
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(X, Y, **({"verbose": 0} | arguments))
    assert unchanged(model, before) and model.fit_state is None
    if set(arguments) <= {"batch_size", "sample_weight", "verbose"}:
        with pytest.raises((ValueError, TypeError), match=words):
            model.evaluate(X, Y, **({"verbose": 0} | arguments))
    if "batch_size" in arguments:
        with pytest.raises(ValueError, match=words):
            model.predict(X, **arguments)
    model.fit(X, Y, verbose=0)


UNKNOWN: list[tuple[Callable[..., Any], str, str, str]] = [
    (nn.Adam, "lr", "Adam", r"The optimizers call it learning_rate\. Known: learning_rate, beta_1, .*, name$"),
    (nn.SGD, "momentun", "SGD", "Did you mean 'momentum'"),
    (
        nn.Flatten,
        "activity_regularizer",
        "Flatten",
        r"Put an ActivityRegularization layer behind it\. Known: data_format, name$",
    ),
    (partial(nn.Dense, 3), "kernel_initialiser", "Dense", "Did you mean 'kernel_initializer'"),
    (nn.losses.Huber, "dleta", "Huber", "Did you mean 'delta'"),
    (nn.metrics.BinaryAccuracy, "treshold", "BinaryAccuracy", "Did you mean 'threshold'"),
    (nn.initializers.RandomNormal, "stdev", "RandomNormal", "Did you mean 'stddev'"),
    (nn.regularizers.L1L2, "l_2", "L1L2", "Did you mean 'l2'"),
    (nn.callbacks.EarlyStopping, "patients", "EarlyStopping", "Did you mean 'patience'"),
    (partial(nn.callbacks.ModelCheckpoint, "m"), "save_best", "ModelCheckpoint", "Did you mean 'save_best_only'"),
    (partial(nn.callbacks.BackupAndRestore, "b"), "save_frequency", "BackupAndRestore", "Did you mean 'save_freq'"),
    (partial(nn.callbacks.CSVLogger, "f"), "seperator", "CSVLogger", "Did you mean 'separator'"),
    (nn.callbacks.ProgressBar, "verbosity", "ProgressBar", "Did you mean 'verbose'"),
    (nn.Model, "n_thread", "Model", "Did you mean 'n_threads'"),
    (nn.Sequential, "layer", "Sequential", "Did you mean 'layers'"),
    (nn.Model().compile, "optimiser", "compile", "Did you mean 'optimizer'"),
    (partial(classifier().fit, X, Y), "batchsize", "fit", "Did you mean 'batch_size'"),
    (partial(classifier().evaluate, X, Y), "batchsize", "evaluate", "Did you mean 'batch_size'"),
]


@pytest.mark.parametrize(("call", "name", "owner", "words"), UNKNOWN)
def test_an_unknown_argument_is_told_the_nearest(call: Callable[..., Any], name: str, owner: str, words: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: expected an argument of {owner}, got an unknown name. {words}"):
        call(**{name: 1})


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: nn.Dense(), "units: expected an argument of Dense, got none"),
        (lambda: nn.Conv2D(8), "kernel_size: expected an argument of Conv2D, got none"),
        (lambda: nn.AveragePooling2D(strides=2), "pool_size: expected an argument of AveragePooling2D, got none"),
    ],
)
def test_what_is_missing_is_said_of_the_class_that_is_made(make: Any, expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        make()


def test_what_a_subclass_forgot_is_said_of_its_base() -> None:
    class Forgets(nn.Dense):
        def __init__(self, neurons: int = 3, **settings: Any) -> None:
            super().__init__(**settings)

    with pytest.raises(TypeError, match="units: expected an argument of Dense, got none"):
        Forgets(neurons=5)


def test_what_is_called_rightly_is_not_explained() -> None:
    """Signatures stay those of the classes, other TypeErrors Python's own, also for classes derived from ours."""
    assert [*inspect.signature(nn.Flatten).parameters] == ["data_format", "name"]
    make: Any = nn.Flatten  # which mypy knows to take fewer
    with pytest.raises(TypeError, match="positional arguments but"):
        make("channels_last", "name", 3)

    class Mine(nn.Dense):
        def __init__(self, size: int, **settings: Any) -> None:
            super().__init__(size, **settings)

    assert Mine(size=3, use_bias=False).units == 3
    with pytest.raises(TypeError, match="use_bais: expected an argument of Mine, .*'use_bias'"):
        Mine(size=3, use_bais=False)


def test_huge_numbers_are_no_trouble() -> None:
    model = classifier()
    for n in (2**31, 2**63 - 1, 2**63, 2**64, 10**30):
        model.fit(X, Y, batch_size=n, validation_batch_size=n, validation_split=0.5, verbose=0)
        model.fit(X, Y, initial_epoch=n, epochs=n, verbose=0)
        model.evaluate(X, Y, batch_size=n, verbose=0)
        model.predict(X, batch_size=n, callbacks=[nn.Callback()])
        stop = nn.callbacks.LambdaCallback(on_tick=lambda *_: setattr(model, "stop_training", True))
        model.fit(X, Y, steps_per_epoch=n, verbose=0, callbacks=[stop])


@pytest.mark.parametrize("units", [2**40, 2**61, 2**62, 2**63 - 1, 2**63, 2**64, 10**30])
def test_huge_layers(units: int) -> None:
    """Numbers that no memory holds are refused before anything is computed with them."""
    for layers in (
        [nn.Dense(units)],
        [nn.Dense(1), nn.Dense(units, use_bias=False)],
        [nn.Dense(units), nn.Dense(units)],
    ):
        model = nn.Model(layers)
        with pytest.raises((ValueError, MemoryError)):
            model.build(784)
        assert not model.built
    for make in (
        lambda: nn.Input(units * 2**20),
        lambda: nn.Input((units, units)),
        lambda: nn.Input((3, units, 2**30)),
    ):
        with pytest.raises(ValueError, match="shape: expected a sample of at most"):
            make()
    with pytest.raises(ValueError, match="Reshape: expected a target_shape of 4 elements"):
        nn.Model([nn.Reshape((units, 4))]).build(4)


@pytest.mark.parametrize("loss", sorted({*nn.losses.LOSSES.names()} - {"function_loss"}))
def test_softmax_over_a_single_unit_is_refused(loss: str) -> None:
    """Always 1, whatever the loss; found by compile where units or shapes are known, else by the first fit."""
    words = rf'loss: {loss} expects .* differ, but .*softmax.* always 1\. Either .*"sigmoid" .*binary_crossentropy'
    stack = [nn.Dense(3), nn.Dense(1, activation="softmax")]
    reshaped = [nn.Input((2, 3)), nn.Reshape((6, 1)), nn.Activation("softmax")]
    for layers in (stack, reshaped):
        with pytest.raises(ValueError, match=words):
            nn.Model(layers).compile("sgd", loss)
    late = nn.Model([nn.Dense(1), nn.Activation("softmax")])
    late.compile("sgd", loss)
    with pytest.raises(ValueError, match=words):
        late.fit(X, np.zeros(40, int), verbose=0)
    assert not late.built
    inner = nn.Model([nn.Input(4), nn.Dense(1, activation="softmax"), nn.Dense(1, activation="sigmoid")])
    inner.compile("sgd", "binary_crossentropy")  # odd, but what it predicts can be learned
    nn.Model([nn.Input(4), nn.Dense(1, activation="softmax")]).compile()  # without a loss


def test_warnings_point_at_the_line_of_the_user() -> None:
    model = nn.Model([nn.Input(4), nn.Dense(3, "softmax")])
    with pytest.warns(UserWarning, match="from_logits") as found:
        model.compile("sgd", nn.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert [warning.filename for warning in found] == [__file__]
    optimizer = nn.SGD(0.1)
    models = [nn.Model([nn.Input(4), nn.Dense(1)]) for _ in range(2)]
    models[0].compile(optimizer, "mse")
    with pytest.warns(UserWarning, match="optimizer: expected one that no other model uses") as found:
        models[1].compile(optimizer, "mse")
    assert found[0].filename == __file__
