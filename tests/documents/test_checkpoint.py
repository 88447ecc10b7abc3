"""Models in files: what is in them, what comes back, under which names; and weights alone."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from saved_models import X, Y, stack
from small_models import same

import nncore as nn
from nncore.operations import rescale

OPTIMIZERS: list[Any] = [
    "sgd",
    nn.SGD(0.05, momentum=0.9, nesterov=True),
    nn.Adam(0.01, global_clipnorm=1.0),
    nn.AdamW(0.01, clipvalue=0.5),
    nn.RMSprop(0.01, momentum=0.5, centered=True),
]


def functional(optimizer: Any = "adam") -> nn.Model:
    x = nn.Input((4,))
    a = nn.Dense(4, activation="tanh", name="left")(x)
    b = nn.Dense(4, activation="sigmoid", name="right")(x)
    joined = nn.Concatenate()([nn.Add()([a, x]), nn.Multiply(name="gate")([a, b])])
    model = nn.Model(x, nn.Dense(3, activation="softmax")(joined), seed=12, name="gated", dtype="float64")
    model.compile(optimizer, nn.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    return model


@pytest.mark.parametrize("make", [stack, functional])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o if isinstance(o, str) else type(o).__name__)
def test_save_load_continue_equals_going_on(make: Any, optimizer: Any, tmp_path: pathlib.Path) -> None:
    settings = {"batch_size": 16, "verbose": 0, "validation_split": 0.2}
    whole = make(optimizer)
    expected = whole.fit(X, Y, epochs=5, **settings).history
    model = make(optimizer if isinstance(optimizer, str) else type(optimizer).from_config(optimizer.get_config()))
    model.fit(X, Y, epochs=2, **settings)
    model.save(tmp_path / "m.safetensors")
    loaded = nn.load_model(tmp_path / "m.safetensors")
    assert same(model, loaded) and np.array_equal(model.predict(X), loaded.predict(X))
    assert loaded.optimizer == model.optimizer and loaded.optimizer.iterations == model.optimizer.iterations
    assert loaded.history.history == model.history.history == {k: v[:2] for k, v in expected.items()}
    assert (loaded.name, loaded.seed, loaded.dtype) == (model.name, model.seed, model.dtype)
    assert [(layer.name, layer.get_config()) for layer in loaded.layers] == [
        (layer.name, layer.get_config()) for layer in model.layers
    ]
    rest = loaded.fit(X, Y, initial_epoch=2, epochs=5, **settings).history
    assert rest == {k: v[2:] for k, v in expected.items()} and same(whole, loaded)
    assert loaded.evaluate(X, Y, verbose=0, return_dict=True) == whole.evaluate(X, Y, verbose=0, return_dict=True)


def test_a_model_is_described_once_while_it_is_at_rest(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []  # that the thread is in the middle of
    describe = nn.checkpoint.describe

    def watched(model: nn.Model) -> Any:
        reads.append(model.state.gate.own())
        return describe(model)

    monkeypatch.setattr(nn.checkpoint, "describe", watched)
    functional().save(tmp_path / "m")
    assert reads == [1]


def test_a_learning_rate_that_was_set_is_kept(tmp_path: pathlib.Path) -> None:
    model = stack()
    model.build(4)
    model.optimizer.learning_rate = 0.123
    model.save(tmp_path / "m")
    assert nn.load_model(tmp_path / "m").optimizer.learning_rate == 0.123


def test_models_that_are_not_compiled_or_not_trained(tmp_path: pathlib.Path) -> None:
    model = nn.Sequential([nn.Input(4), nn.Dense(3, trainable=False)], seed=3, name="plain")
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m")
    assert same(model, loaded) and loaded.history is None and not loaded.layers[0].trainable
    with pytest.raises(ValueError, match="not compiled"):
        loaded.fit(X, Y)
    loaded.pop()
    with pytest.raises(ValueError, match="no shapes yet"):
        nn.Model([nn.Dense(3)]).save(tmp_path / "no")
    assert os.listdir(tmp_path) == ["m"]


def test_tensors_are_named_as_documented(tmp_path: pathlib.Path) -> None:
    model = nn.Model([nn.Input(4), nn.Dense(6, name="hidden"), nn.Dense(3, activation="softmax")], seed=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    found = safetensors.numpy.load_file(tmp_path / "m")
    paths = ["hidden/kernel", "hidden/bias", "dense/kernel", "dense/bias"]
    names = {f"weights/{p}" for p in paths} | {f"optimizer/{s}/{p}" for s in ("m", "v") for p in paths}
    assert {name for name in found if name.startswith(("weights", "optimizer"))} == names
    for path, weights in zip(paths, model.get_weights(), strict=True):
        assert np.array_equal(found[f"weights/{path}"], weights)
        assert all(found[f"optimizer/{s}/{path}"].shape == weights.shape for s in ("m", "v"))
    with safetensors.safe_open(tmp_path / "m", "np") as opened:
        document = json.loads(opened.metadata()["nncore"])
    assert document["format"] == 2 and document["nncore"] == nn.__version__
    assert document["iterations"] == model.optimizer.iterations
    assert document["compile"]["optimizer"] == {"class": "adam", "config": model.optimizer.get_config()}
    assert [layer["class"] for layer in document["architecture"]["layers"]] == ["dense", "dense"]
    model.save_weights(tmp_path / "w")
    assert sorted(safetensors.numpy.load_file(tmp_path / "w")) == sorted(f"weights/{p}" for p in paths)


def test_weights_alone(tmp_path: pathlib.Path) -> None:
    model, other = stack(), stack()
    model.fit(X, Y, verbose=0)
    other.build(4)
    model.save_weights(tmp_path / "w")
    model.save(tmp_path / "m")
    for name in ("w", "m"):
        fresh = stack()
        fresh.build(4)
        fresh.load_weights(tmp_path / name)
        assert same(fresh, model) and fresh.optimizer.iterations == 0
    with pytest.raises(nn.FormatError, match="expected a whole model, got weights only.*load_weights"):
        nn.load_model(tmp_path / "w")
    with pytest.raises(ValueError, match="no shapes yet"):
        stack().load_weights(tmp_path / "w")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Dense(6, name="other"), nn.Dense(3)], "weights/hidden/bias: expected the layers .*'other'"),
        ([nn.Dense(6, name="hidden"), nn.Dense(4)], r"weights/dense/kernel: expected shape \(6, 4\).*got \(6, 3\)"),
        ([nn.Dense(6, name="hidden")], "weights/dense/bias: expected the layers"),
        ([nn.Dense(6, name="hidden"), nn.Dense(3), nn.Dense(3)], "weights/dense_1/kernel: expected in the file"),
        ([nn.Dense(3), nn.Dense(6, name="hidden")], r"expected shape \(4, 3\)"),
        ([nn.Dense(6, name="hidden", use_bias=False), nn.Dense(3)], "weights/hidden/bias: expected the layers"),
    ],
)
def test_weights_for_another_layer_are_refused(layers: Any, words: str, tmp_path: pathlib.Path) -> None:
    model = nn.Model([nn.Input(4), nn.Dense(6, name="hidden"), nn.Dense(3)], seed=0)
    model.save_weights(tmp_path / "w")
    target = nn.Model([nn.Input(4), *(type(layer).from_config(layer.get_config()) for layer in layers)], seed=1)
    before = target.get_weights()
    with pytest.raises(nn.FormatError, match=f"{tmp_path}/w: .*{words}"):
        target.load_weights(tmp_path / "w")
    assert all(np.array_equal(a, b) for a, b in zip(before, target.get_weights(), strict=True))
    double = nn.Model([nn.Input(4), nn.Dense(6, name="hidden"), nn.Dense(3)], dtype="float64")
    with pytest.raises(nn.FormatError, match="float64.*float32"):
        double.load_weights(tmp_path / "w")


class Twice(nn.Layer):
    def __init__(self, times: float = 2.0, name: str | None = None) -> None:
        super().__init__(name)
        self.times = times

    def emit(self, b: Any, *inputs: Any) -> Any:
        return rescale(b, inputs[0], self.times, 0.0)


def test_custom_layers(tmp_path: pathlib.Path) -> None:
    import copy
    import pickle

    model = nn.Model([nn.Input(4), Twice(3.0), nn.Dense(3, activation="softmax")], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={"Twice": Twice})
    assert loaded.layers[0].times == 3.0 and type(loaded.layers[0]) is Twice
    for twin in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin.predict(X), model.predict(X))
    with pytest.raises(nn.FormatError, match="expected a known layer, got 'Twice'.*Known: .*dense"):
        nn.load_model(tmp_path / "m")
    with pytest.raises(nn.FormatError, match="expected a known layer, got 'Twice'"):
        nn.load_model(tmp_path / "m", custom_objects={"Twice": int})
    for wrong in ({"Twice": 3}, {3: Twice}, [Twice], "Twice"):
        with pytest.raises(TypeError, match="custom_objects: expected a dict from names to classes and functions"):
            nn.load_model(tmp_path / "m", custom_objects=wrong)
    impostor = type("Dense", (nn.Dense,), {})
    with pytest.raises(ValueError, match="expected a class with a name of its own, got another Dense"):
        nn.Model([nn.Input(4), impostor(3)]).save(tmp_path / "n")


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("a.h5", "a.safetensors"),
        ("a.weights.h5", "a.safetensors"),
        ("A.HDF5", "A.safetensors"),
        ("a.pt", "a.safetensors"),
        ("models.h5/a.npz", "models.h5/a.safetensors"),
    ],
)
def test_names_that_promise_another_format(name: str, better: str, tmp_path: pathlib.Path) -> None:
    model, path = stack(), tmp_path / name
    model.build(4)
    words = rf"(path|filepath): expected a name for a safetensors file.*{name}'. Call it '.*/{better}'$"
    for write in (model.save, model.save_weights, nn.callbacks.ModelCheckpoint):
        for given in (path, str(path)):
            with pytest.raises(ValueError, match=words):
                write(given)
    with pytest.raises(ValueError, match=words):
        nn.callbacks.ModelCheckpoint(path, save_weights_only=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "a.safetensors", "a.nn", "keras", ".h5.d", "a.keras"])
def test_other_names(name: str, tmp_path: pathlib.Path) -> None:
    model = stack()
    model.build(4)
    model.save(tmp_path / name)
    assert same(nn.load_model(tmp_path / name), model)
    (tmp_path / name).rename(tmp_path / "old.keras")  # what counts when reading is what is in it
    assert same(nn.load_model(tmp_path / "old.keras"), model)


@pytest.mark.parametrize("method", ["save", "save_weights"])
def test_overwrite(method: str, tmp_path: pathlib.Path) -> None:
    model, path = stack(), tmp_path / "model"
    model.build(4)
    write = getattr(model, method)
    write(path, overwrite=False)
    before = path.read_bytes()
    model.fit(X, Y, verbose=0)
    with pytest.raises(FileExistsError, match="path: expected a new file, since overwrite=False, got .*which exists"):
        write(path, overwrite=False)
    assert path.read_bytes() == before
    write(path)
    assert path.read_bytes() != before
    with pytest.raises(TypeError, match="overwrite: expected True or False, got 'no'"):
        write(path, overwrite="no")


def test_load_without_compiling(tmp_path: pathlib.Path) -> None:
    model = stack()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "model")
    loaded = nn.load_model(tmp_path / "model", compile=False)
    assert same(loaded, model) and np.array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="not compiled"):
        loaded.fit(X, Y)
    loaded.save(tmp_path / "uncompiled")
    assert same(nn.load_model(tmp_path / "uncompiled"), model)
    loaded.compile("sgd", "sparse_categorical_crossentropy")
    loaded.fit(X, Y, verbose=0)
    assert nn.load_model(tmp_path / "model", compile=True).optimizer == model.optimizer
    with pytest.raises(TypeError, match="compile: expected True or False, got None"):
        nn.load_model(tmp_path / "model", compile=None)
