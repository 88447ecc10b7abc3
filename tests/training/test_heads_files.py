"""Models of several outputs in files, copies and backups: they keep their losses, and go on with the same bits."""

from __future__ import annotations

import copy
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest
from structures import KINDS, LOSSES, SPARSE, W, X, Y, Z, same, two_heads

import nncore as nn
from nncore import files
from nncore.callbacks import BackupAndRestore, CSVLogger, EarlyStopping

SETTINGS: dict[str, Any] = {
    "loss": LOSSES,
    "loss_weights": {"kind": 2.0, "value": 0.3},
    "metrics": {"value": "mae"},
    "weighted_metrics": [["mae"], ["acc"]],
}
DATA: dict[str, Any] = {
    "x": {"left": X, "right": Z},
    "y": [Y, KINDS],
    "sample_weight": {"kind": W},
    "validation_data": ([X[:9], Z[:9]], {"value": Y[:9], "kind": KINDS[:9]}, [W[:9], None]),
    "batch_size": 8,
    "verbose": 0,
}


def lists(seed: int = 0, **settings: Any) -> nn.Model:
    model = two_heads(dtype="float32")
    model.seed = seed
    return compiled(model, **settings)


def compiled(model: nn.Model, **settings: Any) -> nn.Model:
    model.compile(nn.Adam(0.01, global_clipnorm=0.3), **(SETTINGS | settings))
    return model


def dicts(seed: int = 0) -> nn.Model:
    """Keys for outputs: one twice, one that another is made from, one without a loss; dropout."""
    x, z = nn.Input(4), nn.Input((2, 3))
    h = nn.Dense(5, "sigmoid")(nn.Concatenate()([x, nn.Flatten()(z)]))
    kind = nn.Dense(3, "softmax")(nn.Dropout(0.3)(h))
    outputs = {"kind": kind, "h": h, "same": kind, "value": nn.Dense(2)(kind)}
    model = nn.Model({"left": x, "right": z}, outputs, seed=seed)
    model.compile(
        nn.RMSprop(0.01, momentum=0.5),
        {"kind": SPARSE, "h": "binary_crossentropy", "same": "mse"},
        loss_weights={"h": 0.5},
        metrics={"value": ["mae"], "kind": "acc"},
    )
    return model


def dicts_data() -> dict[str, Any]:
    y = {"kind": KINDS, "h": np.abs(np.hstack([X, Y[:, :1]])) % 1, "same": np.eye(3)[KINDS], "value": Y}
    return {"x": [X, Z], "y": y, "sample_weight": W, "validation_split": 0.25, "batch_size": 8, "verbose": 0}


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {"lists": (lists, DATA), "dicts": (dicts, dicts_data())}


def assert_alike(a: nn.Model, b: nn.Model) -> None:
    assert same(a, b) and a.output_names == b.output_names and a.metrics_names == b.metrics_names
    assert a.optimizer_state.keys() == b.optimizer_state.keys() and a.optimizer.iterations == b.optimizer.iterations
    assert all(np.array_equal(a.optimizer_state[name], b.optimizer_state[name]) for name in a.optimizer_state)


# ---- files and copies ------------------------------------------------------------------------------------------------


def through_a_file(model: nn.Model, directory: pathlib.Path) -> nn.Model:
    model.save(directory / "model")
    return nn.load_model(directory / "model")


WAYS: dict[str, Any] = {
    "file": through_a_file,
    "file of a file": lambda m, directory: through_a_file(through_a_file(m, directory), directory),
    "deepcopy": lambda m, _: copy.deepcopy(m),
    "pickle": lambda m, _: pickle.loads(pickle.dumps(m)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", MODELS)
def test_losses_come_back_and_training_goes_on(case: str, way: str, tmp_path: pathlib.Path) -> None:
    make, data = MODELS[case]
    model = make()
    model.fit(**data, epochs=2)
    twin = WAYS[way](model, tmp_path)
    assert_alike(model, twin)
    data = data | {"epochs": 4, "initial_epoch": 2}
    histories = [m.fit(**data).history for m in (model, twin)]
    assert histories[0] == histories[1]
    assert_alike(model, twin)
    whole = make()
    whole.fit(**data | {"initial_epoch": 0})
    assert_alike(whole, model)
    for a, b in zip(*(listed(m.predict(data["x"])) for m in (model, twin)), strict=True):
        assert np.array_equal(a, b)
    values = [m.evaluate(data["x"], data["y"], verbose=0, return_dict=True) for m in (model, twin)]
    assert values[0] == values[1] and list(values[0]) == model.metrics_names


def listed(outputs: Any) -> list[Any]:
    return list(outputs.values()) if isinstance(outputs, dict) else outputs


@pytest.mark.parametrize("case", MODELS)
def test_clones_have_the_same_outputs(case: str) -> None:
    make, data = MODELS[case]
    model = make()
    clone = nn.clone_model(model)
    assert clone.compiled and clone.output_names == model.output_names and not same(clone, model)
    clone.set_weights(model.get_weights())
    for a, b in zip(*(listed(m.predict(data["x"])) for m in (model, clone)), strict=True):
        assert np.array_equal(a, b)


def test_clones_are_compiled_anew() -> None:
    model = lists()
    clone = nn.clone_model(model)
    clone.set_weights(model.get_weights())
    clone.seed = model.seed
    histories = [m.fit(**DATA, epochs=2).history for m in (model, compiled(clone))]
    assert histories[0] == histories[1] and same(clone, model)


def test_weights_alone(tmp_path: pathlib.Path) -> None:
    model, other = lists(), two_heads(dtype="float32")
    model.fit(**DATA)
    model.save_weights(tmp_path / "weights")
    other.load_weights(tmp_path / "weights")
    assert same(model, other)
    model.save(tmp_path / "model")
    fresh = nn.Model.from_config(model.get_config())
    fresh.load_weights(tmp_path / "model")
    assert same(model, fresh) and not fresh.compiled


def test_a_file_of_a_model_that_only_predicts(tmp_path: pathlib.Path) -> None:
    model = two_heads()
    twin = through_a_file(model, tmp_path)
    assert same(model, twin) and not twin.compiled
    twin.compile("sgd", LOSSES)
    twin.fit([X, Z], [Y, KINDS], verbose=0)
    model.compile("sgd")
    assert through_a_file(model, tmp_path).metrics_names == []


# ---- interrupted fits ------------------------------------------------------------------------------------------------


class KilledError(BaseException):
    """What stands for a kill -9 within the process."""


class Kill(nn.Callback):
    """Ends the fit after some batches of it."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise KilledError


def life(make: Any, data: dict[str, Any], directory: pathlib.Path, seed: int, *more: Any) -> Any:
    """A fit of one process; what it leaves, if it comes to its end."""
    directory.mkdir(exist_ok=True)
    stop = EarlyStopping("val_kind_loss" if make is lists else "val_h_loss", patience=3, restore_best_weights=True)
    model = make(seed)
    history = model.fit(**data, epochs=6, callbacks=[stop, CSVLogger(directory / "log.csv"), *more])
    states = [model.optimizer_state[name].tobytes() for name in sorted(model.optimizer_state)]
    weights = [w.tobytes() for w in model.get_weights()]
    return history.history, weights, states, (directory / "log.csv").read_text(), stop.best, model.counters.tolist()


@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
@pytest.mark.parametrize("case", MODELS)
def test_killed_again_and_again(case: str, save_freq: Any, tmp_path: pathlib.Path) -> None:
    make, data = MODELS[case]
    wanted = life(make, data, tmp_path / "whole", 0)
    lives = 0
    for batches in (7, 2, 13, 9, 11, 10**9):
        backup = BackupAndRestore(tmp_path / "backup", save_freq)
        lives += 1
        try:
            found = life(make, data, tmp_path / "killed", 0 if lives == 1 else lives, backup, Kill(batches))
            break
        except KilledError:
            continue
    assert lives > 2 and found == wanted


def other(array: Any, row: int = -1) -> Any:
    array = array.copy()
    array[row] = (array[row] + 1) % 3
    return array


VALIDATION = DATA["validation_data"]
GIVEN = "x, y, sample_weight, validation_data: expected what the interrupted fit was given"
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "first input": ({}, {"x": [other(X), Z]}, GIVEN),
    "second input": ({}, {"x": [X, other(Z)]}, GIVEN),
    "second input, first row": ({}, {"x": [X, other(Z, 0)]}, GIVEN),
    "first targets": ({}, {"y": [other(Y), KINDS]}, GIVEN),
    "second targets": ({}, {"y": [Y, other(KINDS)]}, GIVEN),
    "weights of the second": ({}, {"sample_weight": {"kind": other(W)}}, GIVEN),
    "weights of the first": ({}, {"sample_weight": {"value": W}}, GIVEN),
    "weights of both": ({}, {"sample_weight": W}, GIVEN),
    "no weights": ({}, {"sample_weight": None}, GIVEN),
    "second validation input": ({}, {"validation_data": ([X[:9], other(Z[:9])], *VALIDATION[1:])}, GIVEN),
    "second validation targets": (
        {}, {"validation_data": (VALIDATION[0], [Y[:9], other(KINDS[:9])], VALIDATION[2])}, GIVEN
    ),
    "validation weights": ({}, {"validation_data": (*VALIDATION[:2], [None, W[:9]])}, GIVEN),
    "fewer rows": ({}, {"x": [X[:32], Z[:32]], "y": [Y[:32], KINDS[:32]], "sample_weight": {"kind": W[:32]}}, GIVEN),
    "weights of losses": ({"loss_weights": {"kind": 2.0}}, {}, "compile: expected"),
    "weight of the other loss": ({"loss_weights": {"kind": 0.3, "value": 2.0}}, {}, "compile: expected"),
    "a loss": ({"loss": ["mae", SPARSE]}, {}, "compile: expected"),
    "no loss of one": ({"loss": [None, SPARSE], "loss_weights": None}, {}, "compile: expected"),
    "metrics of the other": ({"metrics": {"kind": "acc"}}, {}, "compile: expected"),
    "metrics that are weighted": ({"metrics": None}, {}, "compile: expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_another_fit_is_refused(case: str, tmp_path: pathlib.Path) -> None:
    settings, data, words = REFUSED[case]
    keep = BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    lists().fit(**DATA, callbacks=[keep])
    model, before = lists(**settings), two_heads(dtype="float32")
    with pytest.raises(ValueError, match=words):
        model.fit(**DATA | data, epochs=2, callbacks=[keep])
    assert same(model, before) and model.optimizer.iterations == 0
    whole, rest = lists(), lists()
    whole.fit(**DATA, epochs=2)
    history = rest.fit(**DATA, epochs=2, callbacks=[keep]).history
    assert_alike(whole, rest)
    assert history == whole.history.history


@pytest.mark.parametrize("threads", [1, 3])
def test_ways_to_give_the_same_data_do_not_matter(threads: int, tmp_path: pathlib.Path) -> None:
    """Nor do layouts, nor threads."""
    whole = lists()
    whole.fit(**DATA, epochs=2)
    keep = BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    lists().fit(**DATA, callbacks=[keep])
    rest = lists()
    rest.n_threads = threads
    same_data: dict[str, Any] = {
        "x": [np.asfortranarray(X), np.repeat(Z, 2, axis=-1)[..., ::2]],
        "y": {"kind": KINDS, "value": Y.astype(">f8")},
        "sample_weight": [None, W],
    }
    rest.fit(**DATA | same_data, epochs=2, callbacks=[keep])
    assert_alike(whole, rest)


def test_a_backup_is_a_model_too(tmp_path: pathlib.Path) -> None:
    model = lists()
    keep = BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    model.fit(**DATA, callbacks=[keep])
    assert_alike(nn.load_model(keep.path), model)


# ---- files that make no sense ----------------------------------------------------------------------------------------


def test_a_file_whose_losses_do_not_fit_its_outputs(tmp_path: pathlib.Path) -> None:
    """What compile refuses, a file may not bring in: here the losses of three outputs, of which there are two."""
    x = nn.Input(4)
    three = nn.Model(x, [nn.Dense(2, name=name)(x) for name in "abc"])
    three.compile("sgd", ["mse", "mae", "mse"])
    two_heads().save(tmp_path / "two")
    three.save(tmp_path / "three")
    tensors, document = files.read(tmp_path / "two")
    document["compile"] = files.read(tmp_path / "three")[1]["compile"]
    files.write(tmp_path / "two", tensors, document)
    with pytest.raises(nn.FormatError):
        nn.load_model(tmp_path / "two")
