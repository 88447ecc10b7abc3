"""Arguments of Keras that have none here: when they are left out, and what else is said."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import activations
from nncore.habits import HABITS, Habit

X = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)


def trained() -> nn.Model:
    model = nn.Model([nn.Input(4), nn.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    return model


MODEL = trained()
DENSE, DROPOUT = partial(nn.Dense, 3), partial(nn.Dropout, 0.1)
FIT, EVALUATE, PREDICT = (
    partial(trained().fit, X, X[:, :2], verbose=0),
    partial(trained().evaluate, X, X[:, :2], verbose=0),
    partial(MODEL.predict, X),
)

TAKEN: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (DENSE, {"dtype": "float32", "lora_rank": None, "quantization_config": None}),
    (DENSE, {"dtype": np.float32}),
    (DENSE, {"dtype": np.dtype("float32")}),
    (DENSE, {"dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}}),
    (partial(nn.Embedding, 3, 2), {"mask_zero": False, "input_length": 20}),
    (DROPOUT, {"seed": None, "noise_shape": None, "trainable": False}),
    (nn.Flatten, {"data_format": "channels_last", "dtype": None}),
    (partial(nn.clone_model, MODEL), {"input_tensors": None, "call_function": None, "recursive": True}),
    (nn.losses.Huber, {"reduction": "sum_over_batch_size", "name": "huber", "dtype": None}),
    (nn.losses.CategoricalCrossentropy, {"label_smoothing": 0.0, "axis": -1}),
    (nn.metrics.MeanSquaredError, {"dtype": None}),
    (partial(trained().compile, "sgd", "mse"), {"run_eagerly": False, "jit_compile": "auto", "steps_per_execution": 8}),
    (partial(trained().compile, "sgd", "mse"), {"jit_compile": True, "auto_scale_loss": True, "run_eagerly": True}),
    (FIT, {"workers": 4, "use_multiprocessing": True, "max_queue_size": 10, "validation_steps": None}),
    (EVALUATE, {"steps": None, "workers": 2}),
    (PREDICT, {"steps": None, "workers": 2, "use_multiprocessing": False}),
    (nn.Input, {"shape": 4, "sparse": True}),
    (nn.Input, {"shape": 4, "sparse": False, "ragged": False, "tensor": None, "optional": False}),
    (
        partial(MODEL.summary, print_fn=lambda text: None),
        {"line_length": 100, "expand_nested": False, "positions": None},
    ),
]


@pytest.mark.parametrize(("call", "arguments"), TAKEN)
def test_what_asks_for_nothing_is_left_out(call: Callable[..., Any], arguments: dict[str, Any]) -> None:
    call(**arguments)


REFUSED: list[tuple[Callable[..., Any], str, Any, str, str]] = [
    (DENSE, "dtype", "float16", "Dense", r"A model has one dtype: Model\(…, dtype=…\)"),
    (nn.Flatten, "activity_regularizer", "l2", "Flatten", "Put an ActivityRegularization layer behind it"),
    (DENSE, "dtype", {"class_name": "DTypePolicy", "config": {"name": "float64"}}, "Dense", "A model has one dtype"),
    (nn.Flatten, "seed", 1, "Flatten", r"Every random choice derives from the model's: Model\(…, seed=…\)"),
    (nn.SGD, "decay", 1e-6, "SGD", r"Set optimizer\.learning_rate in a callback"),
    (trained().compile, "run_eagerly", "yes", "compile", "Python is called at each step .*: give True or False"),
    (FIT, "nb_epoch", 3, "fit", "It is called epochs"),
    (
        PREDICT,
        "batchsize",
        3,
        "predict",
        r"Did you mean 'batch_size'\? Known: x, batch_size, verbose, steps, call",
    ),
    (partial(nn.CategoryEncoding, 4), "sparse", True, "CategoryEncoding", "Columns are made as dense arrays"),
    (partial(nn.Input, 4), "nam", "x", "Input", "Did you mean 'name'"),
    (MODEL.summary, "positions", [1], "summary", "Columns are as wide as they must be"),
    (partial(MODEL.save, "x"), "save_format", "h5", "save", "What is written is safetensors"),
    (
        partial(MODEL.save, "x"),
        "include_optimizer",
        False,
        "save",
        "For weights without the optimizer call save_weights",
    ),
    (partial(nn.clone_model, MODEL), "input_tensors", nn.Input(4), "clone_model", "Call the clone: clone_model"),
    (partial(MODEL.load_weights, "x"), "skip_mismatch", True, "load_weights", "The file must fit"),
    (partial(nn.load_model, "x"), "custom_object", {}, "load_model", "Did you mean 'custom_objects'"),
]


@pytest.mark.parametrize(("call", "name", "value", "owner", "words"), REFUSED)
def test_what_asks_for_something_is_explained(
    call: Callable[..., Any], name: str, value: Any, owner: str, words: str
) -> None:
    with pytest.raises(TypeError, match=f"^{name}: expected an argument of {owner}, got an unknown name. {words}"):
        call(**{name: value})


def test_signatures_stay() -> None:
    assert [*inspect.signature(nn.load_model).parameters] == ["path", "custom_objects", "compile", "verify"]
    assert [*inspect.signature(nn.Input).parameters][:2] == ["shape", "name"]


@pytest.mark.parametrize("name", HABITS)
def test_every_remedy_is_a_sentence(name: str) -> None:
    remedy = HABITS[name].remedy
    assert remedy[0].isupper() and remedy.endswith(".")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("quantization_config", "For products of lower precision call compile(…, matmul_precision=…)."),
        ("gptq_unpacked_column_size", "No weights are packed: leave it out."),
    ],
)
def test_what_asks_for_other_numbers_of_bits_is_told_of_products(name: str, words: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: expected an argument of Dense, got .*{re.escape(words)}"):
        nn.Dense(3, **{name: 8})


def test_values_are_compared_with_their_types() -> None:
    """True is no 1, and an array is compared with nothing."""
    for value in (True, np.ones(3), [1], 0, 1.5):
        assert not Habit("It is 1.", (1,)).asks_nothing(value)
    assert Habit("It is 1.", (1,)).asks_nothing(1)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"shape": (4,), "batch_size": 32, "dtype": "float32"}, (4,)),
        ({"batch_shape": (None, 4)}, (4,)),
        ({"batch_shape": [32, 2, 3], "dtype": np.uint8, "name": "x"}, (2, 3)),
        ({"shape": (None, 4)}, (None, 4)),
        ({"batch_shape": (None, None)}, (None,)),
        ({"batch_shape": (2, None, 3)}, (None, 3)),
    ],
)
def test_input(arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    symbol = nn.Input(**arguments)
    assert symbol.shape == (None, *shape) and symbol.name == arguments.get("name")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "shape: expected the sizes of a sample, such as 784"),
        ({"shape": (0, 4)}, "shape: expected the positive sizes of one sample"),
        ({"batch_shape": 4}, "batch_shape: expected the batch axis and a sample's shape"),
        ({"batch_shape": ()}, "batch_shape: expected the batch axis and a sample's shape"),
        ({"shape": (None, -4)}, "shape: expected the positive sizes of one sample"),
        ({"shape": 4, "batch_shape": (None, 4)}, "batch_shape: .*no shape beside it"),
        ({"shape": 4, "batch_size": 0}, "batch_size: expected a whole number of at least 1, got 0"),
        ({"shape": 4, "dtype": "complex64"}, "dtype: expected one of real numbers"),
    ],
)
def test_input_refuses(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        nn.Input(**arguments)


def test_calls_of_a_model() -> None:
    assert np.array_equal(MODEL(X, training=False), MODEL.predict(X))
    with pytest.raises(TypeError, match="training: expected True or False, got 'yes'"):
        MODEL(X, training="yes")


@pytest.mark.parametrize("name", ["train_step", "test_step", "predict_step"])
def test_a_model_with_a_method_that_nothing_calls(name: str) -> None:
    made = type("Mine", (nn.Sequential,), {name: lambda self, data: data})
    with pytest.raises(TypeError, match=rf"^Mine: expected a model without {name}, which nothing calls: .*callbacks"):
        made([nn.Dense(1)])


def test_a_stack_with_a_method_that_joins_layers() -> None:
    made = type("Mine", (nn.Sequential,), {"call": lambda self, x: x})
    with pytest.raises(TypeError, match="^Mine: expected layers as attributes, self.hidden = Dense.*got them as arg"):
        made([nn.Dense(1)])


def test_functions_take_the_habits_too() -> None:
    i = nn.Input(3)
    assert nn.layers.Softmax(axis=-1)(i).shape == nn.layers.ReLU(max_value=None, threshold=0.0)(i).shape == (None, 3)
    assert nn.layers.LeakyReLU(0.1, dtype="float32").activation == activations.LeakyRelu(0.1)
    for make, words in [
        (lambda: nn.layers.LeakyReLU(alpha=0.1), "alpha: .* of LeakyReLU.* It is called negative_slope"),
        (lambda: nn.models.clone_model(MODEL, input_tensor=i), "input_tensor: expected an argument of clone_model"),
    ]:
        with pytest.raises(TypeError, match=f"^{words}"):
            make()


def test_numbers_in_arrays() -> None:
    """As hyper-parameters: the numbers they hold, which no later change of the array changes."""
    rate = np.array(0.25)
    objects = {
        "learning_rate": nn.Adam(rate),
        "beta_1": nn.Adam(beta_1=rate),
        "delta": nn.losses.Huber(rate),
        "threshold": nn.metrics.BinaryAccuracy(threshold=rate),
        "negative_slope": activations.LeakyRelu(rate),
        "rate": nn.Dropout(rate),
        "scale": nn.Rescaling(rate),
        "l2": nn.regularizers.L2(rate),
        "stddev": nn.initializers.RandomNormal(stddev=rate),
    }
    optimizer = objects["learning_rate"]
    optimizer.learning_rate = rate
    rate[...] = 3
    for name, thing in objects.items():
        assert getattr(thing, name) == 0.25 and not isinstance(getattr(thing, name), np.ndarray), name
    assert nn.Dense(np.array(3)).units == 3
    assert len(trained().fit(X, X[:, :2], batch_size=np.array(2), epochs=np.array(3), verbose=0).epoch) == 3
