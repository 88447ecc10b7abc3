"""Clones, JSON, and the names of Keras: a program for it whose parts exist here runs after changing its import."""

from __future__ import annotations

import importlib
import operator
import pathlib
import re
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import activations, layers, losses, metrics, models
from nncore.habits import NAMES
from nncore.operations import rescale

RNG = np.random.default_rng(6)
X, LABELS = RNG.normal(size=(60, 4)), RNG.integers(0, 3, 60)


class Twice(nn.Layer):
    def __init__(self, times: float = 2.0, name: str | None = None) -> None:
        super().__init__(name)
        self.times = times

    def emit(self, b: Any, *inputs: Any) -> Any:
        return rescale(b, inputs[0], self.times, 0.0)


def graph() -> nn.Model:
    x = nn.Input(4)
    h = nn.Dense(4, activation="relu", name="a", trainable=False)(x)
    model = nn.Model(x, nn.Dense(3)(Twice(3.0)(nn.Add()([x, h]))), seed=7, name="g", dtype="float64", n_threads=1)
    model.compile("adam", "mse")
    return model


# ---- clones and JSON -------------------------------------------------------------------------------------------------


def test_clone() -> None:
    model = graph()
    model.layers[2].trainable = False  # its constructor has no such argument
    clone = models.clone_model(model)
    assert (
        type(clone) is nn.Model
        and clone.compiled == model.compiled
        and (clone.name, clone.dtype, clone.n_threads) == ("g", "float64", 1)
    )
    assert clone.get_config()["layers"] == model.get_config()["layers"] and clone.seed != model.seed
    assert not {id(layer) for layer in clone.layers} & {id(layer) for layer in model.layers}
    assert not np.array_equal(clone.get_weights()[0], model.get_weights()[0])
    assert [layer.trainable for layer in clone.layers] == [False, True, False, True]
    clone.set_weights(model.get_weights())
    assert np.array_equal(clone.predict(X), model.predict(X))
    first, second = nn.clone_model(model), nn.clone_model(model)  # the same program makes the same clone
    assert np.array_equal(first.get_weights()[0], second.get_weights()[0])
    assert not np.array_equal(first.get_weights()[0], nn.clone_model(first).get_weights()[0])
    unbuilt = nn.clone_model(nn.Sequential([nn.Dense(2), nn.Dropout(0.5)]))
    assert type(unbuilt) is nn.Sequential and not unbuilt.built and len(unbuilt.layers) == 2


def test_clones_are_compiled_as_the_model_is() -> None:
    """With numbers that a callback may have changed, an optimizer and metrics of their own; a step of SGD by hand."""
    model = nn.Sequential([nn.Input(4), nn.Dense(1, kernel_initializer="zeros")])
    model.compile(nn.SGD(0.5, momentum=0.9), nn.losses.MeanSquaredError("sum"), metrics=[nn.metrics.AUC(), "mae"])
    x, y = np.eye(4, dtype=np.float32), np.arange(4, dtype=np.float32)[:, None]
    model.optimizer.learning_rate = 0.125
    model.fit(x, y > 1, batch_size=4, verbose=0)
    clone = nn.clone_model(model)
    assert clone.compiled and clone.metrics_names == ["loss", "auc", "mae"] and nn.clone_model(clone).compiled
    assert clone.optimizer is not model.optimizer and clone.metrics[0] is not model.metrics[0]
    assert clone.optimizer.learning_rate == 0.125
    assert [m.optimizer.iterations for m in (clone, model)] == [0, 1]
    clone.compile(clone.optimizer, clone.loss)
    clone.fit(x, y, batch_size=4, verbose=0)  # w −= 0.125 · 2 (0 − y) for the rows of the identity, b the sum of these
    np.testing.assert_allclose(clone.get_weights()[0][:, 0], 0.25 * y[:, 0])
    np.testing.assert_allclose(clone.get_weights()[1], [0.25 * y.sum()])
    assert model.optimizer.iterations == 1


def test_a_clone_whose_outputs_the_loss_does_not_fit_is_not_compiled() -> None:
    model = nn.Sequential([nn.Input(4), nn.Dense(2)])
    model.compile("sgd", "gaussian_nll")  # of a mean and a variance
    assert not nn.clone_model(model, lambda layer: nn.Dense(3)).compiled
    assert nn.clone_model(model, lambda layer: nn.Dense(2)).compiled


def test_clone_with_a_function() -> None:
    model = nn.Sequential([nn.Input(4), nn.Dense(5), nn.Dropout(0.5)])

    def without_dropout(layer: nn.Layer) -> nn.Layer:
        return nn.Dropout(0.0) if isinstance(layer, nn.Dropout) else type(layer).from_config(layer.get_config())

    assert [getattr(layer, "rate", None) for layer in nn.clone_model(model, without_dropout).layers] == [None, 0.0]
    for bad in (lambda layer: layer, lambda layer: None):
        with pytest.raises(TypeError, match="clone_function: expected it to make another layer"):
            nn.clone_model(model, bad)
    with pytest.raises(TypeError, match="model: expected a Model, got Dense"):
        nn.clone_model(nn.Dense(3))


def test_json() -> None:
    model = graph()
    with pytest.raises(ValueError, match="expected a known layer, got 'Twice'"):
        models.model_from_json(model.to_json())
    again = models.model_from_json(model.to_json(), custom_objects={"Twice": Twice})
    assert again.get_config() == model.get_config() and again.layers[2].times == 3.0
    with pytest.raises(ValueError, match="json_string: expected what Model.to_json returned, got no JSON"):
        models.model_from_json("{")
    for bad in ("3", "{}", "[]", '{"name": "x"}', '{"layers": 3}'):
        with pytest.raises(ValueError, match="config: expected what get_config returned"):
            models.model_from_json(bad)


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("", "Input Layer Loss Metric Model Sequential Optimizer Initializer Regularizer __version__"),
        ("models", "Model Sequential clone_model load_model save_model model_from_json"),
        ("saving", "load_model save_model"),
        ("utils", "to_categorical set_random_seed clear_session register_keras_serializable custom_object_scope"),
        ("utils", "CustomObjectScope get_custom_objects get_registered_name get_registered_object"),
        (
            "layers",
            "Activation Add Concatenate Dense Dropout Flatten Input InputLayer Layer Multiply Rescaling Reshape",
        ),
        ("layers", "Reshape add concatenate multiply ReLU LeakyReLU ELU Softmax Identity serialize deserialize"),
        ("activations", "elu gelu leaky_relu linear relu selu sigmoid silu swish softmax softplus tanh"),
        ("activations", "get serialize deserialize"),
        ("losses", "BinaryCrossentropy CategoricalCrossentropy Huber Loss MeanAbsoluteError MeanSquaredError"),
        ("losses", "SparseCategoricalCrossentropy binary_crossentropy categorical_crossentropy huber"),
        ("losses", "mean_absolute_error mean_squared_error mae mse MAE MSE sparse_categorical_crossentropy get"),
        ("metrics", "Accuracy BinaryAccuracy CategoricalAccuracy MeanAbsoluteError MeanSquaredError Metric"),
        ("metrics", "SparseCategoricalAccuracy binary_accuracy categorical_accuracy sparse_categorical_accuracy"),
        ("metrics", "mean_squared_error mean_absolute_error mse mae get serialize deserialize"),
        ("optimizers", "SGD Adam AdamW RMSprop Optimizer get serialize deserialize"),
        ("initializers", "Constant GlorotNormal GlorotUniform HeNormal HeUniform Initializer LecunNormal LecunUniform"),
        ("initializers", "Ones Orthogonal RandomNormal RandomUniform TruncatedNormal Zeros constant glorot_normal"),
        ("initializers", "glorot_uniform he_normal he_uniform lecun_normal lecun_uniform ones orthogonal"),
        ("initializers", "random_normal random_uniform truncated_normal zeros get serialize deserialize"),
        ("regularizers", "L1 L1L2 L2 Regularizer l1 l2 l1_l2 get serialize deserialize"),
        ("callbacks", "BackupAndRestore CSVLogger Callback CallbackList EarlyStopping History LambdaCallback"),
        ("callbacks", "ModelCheckpoint ProgbarLogger TerminateOnNaN"),
        ("backend", "clear_session"),
    ],
)
def test_names_of_keras(module: str, names: str) -> None:
    here = importlib.import_module(f"nncore.{module}".rstrip("."))
    for name in names.split():
        assert getattr(here, name) is not None, name
        assert name in dir(here) or name.lower() in dir(here), name
    if module:
        assert getattr(nn, module) is here and module in nn.__all__


def test_names_that_stand_for_nothing_here() -> None:
    for module in (activations, losses, metrics, nn.initializers, nn.regularizers):
        with pytest.raises(AttributeError, match=rf"{module.__name__}\.nonsense: expected a known .*Known: "):
            repr(module.nonsense)
        assert not hasattr(module, "__wrapped__")


def test_functions_are_identifiers() -> None:
    assert nn.Dense(3, activation=activations.relu).activation == activations.Relu()
    assert nn.Dense(3, kernel_regularizer=nn.regularizers.l1_l2(l1=0.1, l2=0.2)).kernel_regularizer.l1 == 0.1
    assert nn.Dense(3, kernel_initializer=nn.initializers.he_normal(seed=3)).kernel_initializer.seed == 3
    model = nn.Model([nn.Input(4), nn.Dense(1)])
    model.compile("sgd", losses.mse, metrics=[metrics.mae, metrics.mean_squared_error])
    assert model.metrics_names == ["loss", "mean_absolute_error", "mean_squared_error"]
    for module, thing in [(losses, losses.Huber(2.0)), (nn.optimizers, nn.SGD(0.5)), (layers, nn.Dropout(0.5))]:
        again = module.deserialize(module.serialize(thing))
        assert type(again) is type(thing) and again.get_config() == thing.get_config()


def test_layers_by_other_names() -> None:
    x = RNG.normal(size=(5, 4))

    def run(*stack: Any) -> np.ndarray:
        return nn.Model(list(stack), dtype="float64").predict(x)

    np.testing.assert_array_equal(run(layers.ReLU()), np.maximum(x, 0))
    np.testing.assert_allclose(run(layers.ReLU(negative_slope=0.1)), np.where(x > 0, x, 0.1 * x))
    np.testing.assert_allclose(run(layers.LeakyReLU()), np.where(x > 0, x, 0.3 * x))
    np.testing.assert_allclose(run(layers.ELU(2.0)), np.where(x > 0, x, 2 * np.expm1(x)), rtol=1e-12)
    np.testing.assert_allclose(run(layers.Softmax()).sum(-1), 1)
    np.testing.assert_array_equal(run(layers.Identity()), x)
    assert run(layers.InputLayer((4,)), layers.Dense(2)).shape == (5, 2)
    assert not isinstance(layers.Dense(2), layers.InputLayer)  # as programs ask that go through layers
    i = layers.Input((4,))
    a, b = layers.Dense(3, name="a")(i), layers.Dense(3, name="b")(i)
    joined = layers.concatenate([layers.add([a, b]), layers.multiply([a, b], name="product")], axis=1)
    model = nn.Model(i, joined, dtype="float64")
    p, q = (nn.Model.get_layer(model, n) for n in "ab")
    a, b = (x @ layer.get_weights()[0] + layer.get_weights()[1] for layer in (p, q))
    np.testing.assert_allclose(model.predict(x), np.hstack([a + b, a * b]), rtol=1e-12)
    assert model.get_layer("product") is not None


PROGRAM = """
import numpy as np
import {module} as keras
from {module} import layers, models, regularizers
from {module}.callbacks import EarlyStopping, ModelCheckpoint
from {module}.layers import Dense, Dropout, Input
from {module}.models import Sequential
from {module}.optimizers import Adam
from {module}.utils import to_categorical

keras.utils.set_random_seed(812)
keras.utils.clear_session()
y = to_categorical(labels, 3)

model = Sequential([
    Input(shape=(4,)),
    Dense(16, activation=keras.activations.relu, kernel_regularizer=regularizers.l2(1e-4),
          kernel_initializer=keras.initializers.HeNormal()),
    Dropout(0.1),
    Dense(3, activation="softmax"),
])
model.compile(optimizer=Adam(learning_rate=0.01), loss=keras.losses.CategoricalCrossentropy(),
              metrics=[keras.metrics.CategoricalAccuracy()])
model.summary()
history = model.fit(x, y, batch_size=16, epochs=3, verbose=0, validation_split=0.2,
                    callbacks=[EarlyStopping(monitor="val_loss", patience=5), ModelCheckpoint(path)])
score = model.evaluate(x, y, verbose=0)
assert len(history.history["val_loss"]) == 3 and len(score) == len(model.metrics_names) == 2
again = keras.models.load_model(path)
assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))

inputs = keras.Input(shape=(4,))
h = layers.Dense(8, activation="tanh")(inputs)
h = layers.concatenate([h, inputs])
h = layers.add([layers.Dense(8)(h), layers.Dense(8)(h)])
outputs = layers.Dense(3)(layers.LeakyReLU()(h))
graph = models.Model(inputs=inputs, outputs=outputs, name="graph")
graph.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
              loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
graph.fit(x, labels, epochs=1, verbose=0)
graph.layers[1].trainable = False
graph.trainable = False
assert len(graph.trainable_weights) == 0 and len(graph.weights) == 8
new = keras.models.clone_model(graph)
new.set_weights(graph.get_weights())
assert np.array_equal(np.asarray(new.weights[0]), graph.weights[0].numpy())
"""


def test_a_program_for_keras(tmp_path: pathlib.Path, capsys: Any) -> None:
    names = {"x": X, "labels": LABELS, "path": str(tmp_path / "best.safetensors")}
    exec(PROGRAM.format(module="nncore"), names)
    assert "Total: 131 parameters" in capsys.readouterr().out


def test_save_model_asks_before_it_overwrites(tmp_path: pathlib.Path) -> None:
    model = nn.Sequential([nn.Input(2), nn.Dense(1)])
    path = tmp_path / "m"
    nn.saving.save_model(model, path, include_optimizer=True)
    nn.saving.save_model(model, path, overwrite=True)
    with pytest.raises(FileExistsError, match="overwrite=False"):
        nn.saving.save_model(model, path, overwrite=False)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("layers", "Dens", "nncore.layers: expected a known name, got 'Dens'. Did you mean 'Dense'?"),
        (
            "layers",
            "LSTM",
            "nncore.layers: expected a known name, got 'LSTM'. There are no recurrent layers: Conv1D reads series. "
            "Known: Absolute, Activ",
        ),
        ("callbacks", "EarlyStop", "Did you mean 'EarlyStopping'?"),
        ("optimizers", "Rprop", "Known: Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, LBFGS, Lamb, "),
        ("", "EarlyStopping", "It is nncore.callbacks.EarlyStopping"),
        ("", "relu", "It is nncore.activations.relu"),
        ("", "Densee", "Did you mean 'Dense'?"),
        ("", "Zzz", "nncore: expected a known name, got 'Zzz'. Known: "),
        ("", "ops", "got 'ops'. Symbols take + - * / ** and slices, and so do the functions of nncore.activations; "),
        ("", "preprocessing", "Give images as an array (n, height, width, channels); layers such as RandomFlip"),
        ("", "random", "Draw by numpy.random.default_rng"),
        ("", "base", "nncore: expected a known name, got 'base'"),
        ("datasets", "mnist", "got 'mnist'. Nothing is downloaded: read the arrays by NumPy"),
        ("utils", "model_to_dot", "Call model.plot(). Known: CustomObjectScope, PyDataset, "),
        ("utils", "img_to_array", "Pillow reads and writes pictures"),
        ("saving", "serialize_keras_object", "Each module has its own, such as nncore.layers.serialize and"),
        ("models", "Functional", "It is Model(inputs, outputs). Known: Model, "),
        ("optimizers", "LossScaleOptimizer", "Gradients are float32, which need no scaling. Known: "),
        ("utils", "to_categoricl", "Did you mean 'to_categorical'?"),
        ("backend", "set_value", "got 'set_value'. Assign: model.optimizer.learning_rate = 0.01. Known: clear"),
    ],
)
def test_names_that_are_missing(module: str, name: str, words: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(words)):
        getattr(getattr(nn, module) if module else nn, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("add_loss", "Give losses to compile, penalties to layers"),
        ("fit_generator", "fit, evaluate and predict take batches, too."),
        ("predict_classes", "It is model.predict(x).argmax(axis=-1)."),
        ("export", "model.save writes safetensors"),
    ],
)
def test_methods_that_are_missing(name: str, words: str) -> None:
    model = nn.Sequential([nn.Dense(1)])
    with pytest.raises(AttributeError, match=re.escape(f"Sequential has no {name}. {words}")):
        getattr(model, name)
    assert not hasattr(model, name) and not any(hasattr(model, name) for name in NAMES)


@pytest.mark.parametrize("name", ["strange", "_strange"])
def test_attributes_that_nobody_knows_have_pythons_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'Sequential' object has no attribute '{name}'"):
        getattr(nn.Sequential([nn.Dense(1)]), name)


def test_names_of_keras_are_missing_and_what_is_said_to_do_is_there() -> None:
    modules = (nn, nn.backend, nn.callbacks, nn.datasets, nn.layers, nn.losses, nn.metrics, nn.models, nn.utils)
    assert not [(m.__name__, name) for m in modules for name in NAMES if name in m.__all__]
    paths = {path for words in NAMES.values() for path in re.findall(r"nncore\.(\w+(?:\.\w+)*)", words)}
    assert len(paths) > 3
    for path in paths - {"sklearn", "sklearn.TabularClassifier"}:
        operator.attrgetter(path)(nn)
    for name in {name for words in NAMES.values() for name in re.findall(r"\b(?:Conv1D|Random\w+)", words)}:
        assert name in nn.layers.__all__


def test_arrays_divided_by_their_norms() -> None:
    x = np.array([[3, 4], [0, 0]], np.uint8)
    assert nn.utils.normalize(x).tolist() == [[0.6, 0.8], [0, 0]]
    assert nn.utils.normalize(x, axis=0, order=1).tolist() == [[1, 1], [0, 0]]
    assert nn.utils.normalize([[3.0, 4.0]], order=np.inf).tolist() == [[0.75, 1]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [[1, 2, 3], [0, 0, 4], [0, 0, 0]]),
        ({"padding": "post"}, [[1, 2, 3], [4, 0, 0], [0, 0, 0]]),
        ({"maxlen": 2}, [[2, 3], [0, 4], [0, 0]]),
        ({"maxlen": 2, "truncating": "post", "value": 9}, [[1, 2], [9, 4], [9, 9]]),
        ({"maxlen": 4, "padding": "post", "value": -1}, [[1, 2, 3, -1], [4, -1, -1, -1], [-1, -1, -1, -1]]),
    ],
)
def test_sequences_of_one_length(settings: dict[str, Any], expected: list[list[int]]) -> None:
    made = nn.utils.pad_sequences([[1, 2, 3], (4,), []], **settings)
    assert made.tolist() == expected and made.dtype == np.int32


def test_a_picture_in_a_file(tmp_path: pathlib.Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    model = nn.Sequential([nn.Input(2), nn.Dense(1)])
    nn.utils.plot_model(model, tmp_path / "model.png", show_shapes=True, rankdir="TB", dpi=50)
    assert (tmp_path / "model.png").read_bytes()[:4] == b"\x89PNG" and not pyplot.get_fignums()
    nn.utils.plot_model(model, to_file=str(tmp_path / "model.svg"))
    assert "</svg>" in (tmp_path / "model.svg").read_text()
    with pytest.raises(TypeError, match="rankdir: .* Layers stand below what they read"):
        nn.utils.plot_model(model, rankdir="LR")


def test_sequences_of_texts() -> None:
    for dtype in (object, str, "U7"):
        made = nn.utils.pad_sequences([["a", "bcd"], ["x"]], dtype=dtype, value="padding")
        assert made.tolist() == [["a", "bcd"], ["padding", "x"]]
    with pytest.raises(ValueError, match=r"^dtype: .* holds the value 'pad', got 'int32': .* dtype=object"):
        nn.utils.pad_sequences([[1]], value="pad")


def test_sequences_of_steps_and_what_is_none() -> None:
    made = nn.utils.pad_sequences([np.ones((2, 3)), np.full((1, 3), 2.0)], dtype="float32", value=0.5)
    assert made.tolist() == [[[1] * 3] * 2, [[0.5] * 3, [2] * 3]]
    assert nn.utils.pad_sequences([]).shape == (0, 0)
    with pytest.raises(ValueError, match="sequences: expected sequences, got 3 at 1"):
        nn.utils.pad_sequences([[1], 3])
    with pytest.raises(ValueError, match=r"sequences: expected steps of one shape, got \(2,\), \(3,\)"):
        nn.utils.pad_sequences([np.ones((2, 3)), np.ones((2, 2))])
    with pytest.raises(ValueError, match=r"padding: expected one of \('pre', 'post'\), got 'left'"):
        nn.utils.pad_sequences([[1]], padding="left")
    with pytest.raises(ValueError, match="maxlen: expected"):
        nn.utils.pad_sequences([[1]], maxlen=0)


def test_a_loop_for_keras_resets_metrics() -> None:
    model = nn.Sequential([nn.Input(2), nn.Dense(1)], seed=0)
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = np.ones((4, 2)), np.zeros(4)
    for scale in (1.0, 3.0):
        z = scale * model.predict(x, verbose=0)[:, 0].astype(np.float64)
        made = model.test_on_batch(scale * x, y)
        np.testing.assert_allclose(made, [np.mean(z**2), np.mean(abs(z))], rtol=1e-5)
        assert model.reset_metrics() is None


def test_dir_shows_what_is_public() -> None:
    assert set(nn.__all__) <= set(dir(nn)) and "habits" not in dir(nn)


def test_a_model_may_be_the_first_of_a_stack_without_input() -> None:
    base = nn.Sequential([nn.Dense(3, "relu")], seed=0)
    model = nn.Sequential([base, nn.Dense(1)], seed=1)
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 4)), np.ones(8), verbose=0)
    assert model.predict(np.ones((2, 4)), verbose=0).shape == (2, 1)
