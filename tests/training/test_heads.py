"""Losses, metrics and data of several outputs: how they are told, what their results are called, what is refused."""

from __future__ import annotations

import csv
import pathlib
from typing import Any

import networks
import numpy as np
import pytest
from structures import KINDS, LOSSES, SPARSE, W, X, Y, Z, assert_trained_alike, close, compiled, trained, two_heads

import nncore as nn
from nncore.callbacks import CSVLogger, EarlyStopping

# ---- names of results ------------------------------------------------------------------------------------------------

ONE = {"loss": {"kind": SPARSE}}
NAMES: dict[str, tuple[dict[str, Any], str]] = {
    "losses": ({}, "loss value_loss kind_loss"),
    "metrics": (
        {"metrics": {"kind": ["acc", "sparse_categorical_accuracy"], "value": "mae"}},
        "loss value_loss kind_loss value_mae kind_acc kind_sparse_categorical_accuracy",
    ),
    "a metric of each": ({"metrics": ["mae", "accuracy"]}, "loss value_loss kind_loss value_mae kind_accuracy"),
    "weighted": (
        {"metrics": [None, ["accuracy"]], "weighted_metrics": [["mae"], "accuracy"]},
        "loss value_loss kind_loss kind_accuracy value_mae kind_weighted_accuracy",
    ),
    "both of one": (
        {"metrics": {"value": "mae"}, "weighted_metrics": {"value": ["mae", "mse"]}},
        "loss value_loss kind_loss value_mae value_weighted_mae value_mse",
    ),
    "weighted alone": ({"weighted_metrics": [[], ["accuracy"]]}, "loss value_loss kind_loss kind_accuracy"),
    "a name": (
        {"metrics": [nn.metrics.MeanAbsoluteError(name="off"), nn.metrics.SparseCategoricalAccuracy]},
        "loss value_loss kind_loss value_off kind_sparse_categorical_accuracy",
    ),
    "one loss": (ONE, "loss"),
    "one loss in a list": ({"loss": [None, SPARSE]}, "loss"),
    "one loss and metrics": (
        ONE | {"metrics": {"value": "mae", "kind": "accuracy"}, "weighted_metrics": [None, ["accuracy"]]},
        "loss value_mae kind_accuracy kind_weighted_accuracy",
    ),
}


class Watch(nn.Callback):
    """The names in the logs of each hook."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        self.seen["params"] = self.params["metrics"]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen["epoch"] = list(logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen["train batch"] = list(logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen["test batch"] = list(logs)

    def on_test_end(self, logs: Any = None) -> None:
        self.seen["test"] = list(logs)


@pytest.mark.parametrize("case", NAMES)
def test_names_are_the_same_everywhere(case: str) -> None:
    settings, words = NAMES[case]
    names, watch = words.split(), Watch()
    both = [*names, *(f"val_{name}" for name in names)]
    data = [X, Z], [Y, KINDS]
    model, history = trained(settings, validation_data=data, callbacks=[watch])
    assert list(history) == both and model.metrics_names == names
    assert watch.seen == {
        "params": both, "epoch": both, "train batch": names, "test batch": names, "test": names
    }  # fmt: skip
    logs = model.evaluate(*data, verbose=0, return_dict=True)
    values = model.evaluate(*data, verbose=0)
    assert list(logs) == names and (list(logs.values()) if len(names) > 1 else logs["loss"]) == values
    assert list(model.test_on_batch(*data, return_dict=True)) == names
    step = model.train_on_batch(*data, return_dict=True)
    assert list(step) == names and list(step.values()) == pytest.approx(list(logs.values()))
    assert np.size(model.train_on_batch(*data)) == len(names)


def test_names_of_a_dict_are_its_keys_in_their_order() -> None:
    [left, right], [value, kind] = (two := two_heads()).inputs, two.outputs
    model = nn.Model({"l": left, "r": right}, {"z": value, "a": kind}, dtype="float64")
    model.compile("sgd", [SPARSE, "mse"], loss_weights={"a": 3.0}, metrics=[["acc"], "mae"])
    assert model.metrics_names == ["loss", "a_loss", "z_loss", "a_acc", "z_mae"]
    logs = model.evaluate({"l": X, "r": Z}, {"a": KINDS, "z": Y}, verbose=0, return_dict=True)
    assert logs == model.evaluate([X, Z], [KINDS, Y], verbose=0, return_dict=True)
    close(logs["loss"], 3 * logs["a_loss"] + logs["z_loss"] + networks.penalties(model, model.get_weights()))
    with pytest.raises(ValueError, match="^loss: .*'a', 'z'.*kind"):
        model.compile("sgd", {"kind": SPARSE})


# ---- values of results -----------------------------------------------------------------------------------------------


def formulas(model: nn.Model) -> tuple[dict[str, Any], float]:
    """Loss and metrics of every row by the names of logs, and the penalties, from the formulas in float64."""
    weights = model.get_weights()
    p, q = networks.outputs(model, weights, [X, Z])
    rows = {
        "value_loss": ((p - Y) ** 2).mean(1),
        "kind_loss": -np.log(q[np.arange(40), KINDS]),
        "value_mae": abs(p - Y).mean(1),
        "kind_acc": q.argmax(1) == KINDS,
    }
    return rows, networks.penalties(model, weights)


WEIGHTS: dict[str, tuple[Any, Any, Any]] = {  # as given, of the values, of the kinds
    "none": (None, np.ones(40), np.ones(40)),
    "one for all": (W, W, W),
    "a list": ([W, W[::-1]], W, W[::-1]),
    "a list with None": ([None, W], np.ones(40), W),
    "a dict": ({"kind": W, "value": W[::-1] ** 2}, W[::-1] ** 2, W),
    "a dict without one": ({"value": W}, W, np.ones(40)),
    "a column": ({"kind": W[:, None]}, np.ones(40), W),
}


@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.parametrize(
    ("loss_weights", "u", "v"), [(None, 1, 1), ([0.5, 2.0], 0.5, 2), ({"kind": 2.0}, 1, 2), ((0, 3), 0, 3)]
)
def test_losses_and_metrics_of_weighted_rows(case: str, loss_weights: Any, u: float, v: float) -> None:
    """Of a loss Σ wᵢ ℓᵢ / n, of a weighted metric Σ wᵢ mᵢ / Σ wᵢ; the weights of a loss are in the sum alone."""
    given, *weights = WEIGHTS[case]
    metrics = [["mae"], ["acc"]]
    model = compiled(loss_weights=loss_weights, metrics=metrics, weighted_metrics=metrics)
    rows, penalty = formulas(model)
    value_loss, kind_loss = (np.mean(w * rows[name]) for w, name in zip(weights, list(rows)[:2], strict=True))
    wanted = {
        "loss": u * value_loss + v * kind_loss + penalty,
        "value_loss": value_loss,
        "kind_loss": kind_loss,
        "value_mae": rows["value_mae"].mean(),
        "kind_acc": rows["kind_acc"].mean(),
        "value_weighted_mae": np.average(rows["value_mae"], weights=weights[0]),
        "kind_weighted_acc": np.average(rows["kind_acc"], weights=weights[1]),
    }
    data: dict[str, Any] = {"x": [X, Z], "y": [Y, KINDS], "sample_weight": given}
    logs = model.evaluate(**data, verbose=0, return_dict=True)
    assert list(logs) == list(wanted) and logs == pytest.approx(wanted, rel=1e-12)
    assert model.train_on_batch(**data, return_dict=True) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("nothing", [None, [], (), {}])
def test_no_metrics_are_none_of_any_output(nothing: Any) -> None:
    model = compiled(metrics=nothing, weighted_metrics=nothing)
    logs = model.evaluate([X, Z], [Y, KINDS], verbose=0, return_dict=True)
    assert list(logs) == ["loss", "value_loss", "kind_loss"]
    model = nn.Model([nn.Input(3), nn.Dense(1)])
    model.compile("sgd", "mse", metrics=nothing, weighted_metrics=nothing)
    assert model.metrics_names == ["loss"]


def test_an_output_without_a_loss_has_weighted_metrics() -> None:
    model = compiled(loss=[None, SPARSE], metrics=["mae", None], weighted_metrics=["mae", None])
    rows, penalty = formulas(model)
    logs = model.evaluate([X, Z], [Y, KINDS], sample_weight=[W, None], verbose=0, return_dict=True)
    assert logs == pytest.approx({
        "loss": rows["kind_loss"].mean() + penalty,
        "value_mae": rows["value_mae"].mean(),
        "value_weighted_mae": np.average(rows["value_mae"], weights=W),
    }, rel=1e-12)  # fmt: skip


def test_metrics_say_what_the_targets_of_an_output_without_a_loss_are() -> None:
    model = compiled(loss=["mse", None], weighted_metrics=[None, "sparse_categorical_accuracy"])
    rows, _ = formulas(model)
    wanted = np.average(rows["kind_acc"], weights=W)
    for y in ([Y, KINDS], [Y, KINDS[:, None]]):
        logs = model.evaluate([X, Z], y, sample_weight=[None, W], verbose=0, return_dict=True)
        assert list(logs) == ["loss", "kind_sparse_categorical_accuracy"]
        close(logs["kind_sparse_categorical_accuracy"], wanted)
    with pytest.raises(ValueError, match=r"^y\['kind'\]: expected whole labels from 0 to 2.*got 5 in row 1"):
        model.evaluate([X, Z], [Y, KINDS + 3 * (np.arange(40) == 1)], verbose=0)


@pytest.mark.parametrize("given", [0.5, [0.5], {"head": 0.5}])
def test_the_weight_of_the_only_loss(given: Any) -> None:
    model = nn.Model([nn.Input(4), nn.Dense(2, name="head")], seed=0, dtype="float64")
    model.compile(nn.SGD(0.1), "mse", loss_weights=given, metrics=["mse"])
    before = model.get_weights()
    e = X @ before[0] + before[1] - Y
    assert model.train_on_batch(X, Y) == pytest.approx([0.5 * (e**2).mean(), (e**2).mean()], rel=1e-12)
    close(model.get_weights()[0], before[0] - 0.1 * 0.5 * X.T @ e / 40)


# ---- ways to say the same --------------------------------------------------------------------------------------------

METRICS = [["mae"], ["acc"]]
SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tuples": ({"loss": tuple(LOSSES), "loss_weights": (0.5, 2), "metrics": (("mae",), ("acc",))}, {}),
    "dicts": (
        {
            "loss": {"kind": SPARSE, "value": "mse"},
            "loss_weights": {"kind": 2.0, "value": 0.5},
            "metrics": {"kind": "acc", "value": ["mae"]},
        },
        {},
    ),
    "objects": ({"loss": [nn.losses.MeanSquaredError, nn.losses.SparseCategoricalCrossentropy()]}, {}),
    "numbers of NumPy": ({"loss_weights": [np.float32(0.5), np.int64(2)]}, {}),
    "data in tuples": ({}, {"x": (X, Z), "y": (Y, KINDS)}),
    "data in dicts": ({}, {"x": {"right": Z, "left": X}, "y": {"kind": KINDS, "value": Y}}),
    "a column of labels": ({}, {"y": [Y, KINDS[:, None]]}),
    "lists of lists": ({}, {"x": [X.tolist(), Z.tolist()], "y": [Y.tolist(), KINDS.tolist()]}),
}


@pytest.mark.parametrize("case", SAME)
def test_lists_and_dicts_say_the_same(case: str) -> None:
    settings, data = SAME[case]
    usual = {"loss": LOSSES, "loss_weights": [0.5, 2.0], "metrics": METRICS}
    assert_trained_alike(trained(usual | settings, **data), trained(usual))


def test_one_loss_is_that_of_all() -> None:
    y = [Y, np.eye(3)[KINDS]]
    for loss in ("mse", nn.losses.MeanSquaredError(), nn.losses.MeanSquaredError):
        assert_trained_alike(trained({"loss": loss}, y=y), trained({"loss": ["mse", "mse"]}, y=y))


@pytest.mark.parametrize(
    "y", [{"kind": KINDS}, {"kind": KINDS, "value": None}, {"kind": KINDS, "value": Y}, [None, KINDS], [Y, KINDS]]
)
def test_targets_may_be_left_out(y: Any) -> None:
    for loss in ({"kind": SPARSE}, [None, SPARSE], {"kind": SPARSE, "value": None}):
        found = trained({"loss": loss}, y=y, validation_data=([X, Z], y))
        assert_trained_alike(found, trained(ONE, validation_data=([X, Z], [Y, KINDS])))


@pytest.mark.parametrize("weight", [None, W, [W, None], {"kind": W}])
def test_a_split_cuts_every_array(weight: Any) -> None:
    def part(rows: slice) -> list[Any]:
        cut = weight
        if isinstance(weight, list):
            cut = [None if w is None else w[rows] for w in weight]
        elif isinstance(weight, dict):
            cut = {name: w[rows] for name, w in weight.items()}
        elif weight is not None:
            cut = weight[rows]
        return [[X[rows], Z[rows]], {"value": Y[rows], "kind": KINDS[rows]}, cut]

    x, y, w = part(slice(30))
    settings = {"metrics": METRICS, "weighted_metrics": METRICS}
    split = trained(settings, sample_weight=weight, validation_split=0.25)
    by_hand = trained(settings, x=x, y=y, sample_weight=w, validation_data=tuple(part(slice(30, None))))
    assert_trained_alike(split, by_hand)


# ---- callbacks -------------------------------------------------------------------------------------------------------


def test_callbacks_read_these_names(tmp_path: pathlib.Path) -> None:
    settings = {"optimizer": nn.Adam(0.1), "metrics": METRICS}
    fit: dict[str, Any] = {"epochs": 40, "validation_split": 0.25}
    _, whole = trained(settings, **fit)
    watched = whole["val_kind_loss"]
    end = next(i for i in range(1, 40) if watched[i] >= min(watched[:i])) + 1
    assert end < 40
    stop = EarlyStopping(monitor="val_kind_loss", patience=1, restore_best_weights=True)
    settings["optimizer"] = nn.Adam(0.1)
    model, history = trained(settings, **fit, callbacks=[stop, CSVLogger(tmp_path / "log.csv")])
    assert history == {name: values[:end] for name, values in whole.items()}
    assert stop.best == min(watched[:end])
    logs = model.evaluate([X[30:], Z[30:]], [Y[30:], KINDS[30:]], verbose=0, return_dict=True)
    assert logs["kind_loss"] == stop.best
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", *sorted(history)]
    assert [float(row["val_kind_loss"]) for row in rows] == history["val_kind_loss"]


def test_sums_of_other_losses_are_not_gone_on_with() -> None:
    """A callback that compiles within an epoch: as many sums, of other names, begin anew."""

    class Compile(nn.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                self.model.compile(nn.SGD(0.0), {"kind": SPARSE}, metrics={"kind": "acc"})

    model = compiled(optimizer=nn.SGD(0.0))
    fit: dict[str, Any] = {"batch_size": 8, "shuffle": False, "verbose": 0}
    history = model.fit([X, Z], [Y, KINDS], **fit, callbacks=[Compile()]).history
    wanted = model.evaluate([X[24:], Z[24:]], [None, KINDS[24:]], verbose=0, return_dict=True)
    assert {name: values[0] for name, values in history.items()} == pytest.approx(wanted)


class Compiles(nn.Callback):
    """Compiles with other losses after the training step `at`."""

    def __init__(self, at: int, loss: Any) -> None:
        super().__init__()
        self.at, self.loss = at, loss

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == self.at:
            self.model.compile(nn.SGD(0.0), self.loss)


@pytest.mark.parametrize("loss", [[None, SPARSE], ["mse", None]])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_output_of_less_may_be_compared_within_a_fit(loss: list[Any], weighted: bool) -> None:
    model, weight = compiled(optimizer=nn.SGD(0.0)), W if weighted else None
    data: dict[str, Any] = {"x": [X, Z], "y": [Y, KINDS], "sample_weight": weight, "verbose": 0}
    history = model.fit(**data, batch_size=40, epochs=2, callbacks=[Compiles(0, loss)]).history
    assert history["loss"][1] == pytest.approx(model.evaluate(**data))


@pytest.mark.parametrize("first,then", [(["mse", None], LOSSES), (LOSSES, ["mse", "mse"])])
def test_targets_are_those_of_the_losses_at_hand(first: list[Any], then: list[Any]) -> None:
    """A callback that compiles after the last step of an epoch: the validation comes before the next one."""
    model, data = compiled(loss=first), ([X, Z], [Y, KINDS if first[1] else None])
    with pytest.raises(ValueError, match="loss: expected one for targets such as this fit was given, got"):
        model.fit(*data, batch_size=20, validation_data=data, verbose=0, callbacks=[Compiles(1, then)])
    model.compile("sgd", first)
    model.fit(*data, verbose=0)


# ---- one output, several inputs; several outputs of one input --------------------------------------------------------


def test_several_inputs_of_one_output() -> None:
    """Names are those of one output."""
    whole = two_heads()
    for target, output, loss, metric in zip([Y, KINDS], whole.outputs, LOSSES, ["mae", "acc"], strict=True):
        model = nn.Model(whole.inputs, output, dtype="float64")
        model.compile(nn.SGD(0.1), loss, metrics=[metric])
        rows, penalty = formulas(whole)
        loss_rows, metric_rows = [name for name in rows if name.startswith(model.output_names[0])]
        wanted = {"loss": rows[loss_rows].mean(), metric: rows[metric_rows].mean()}
        wanted["loss"] += networks.penalties(model, model.get_weights())
        for x in ([X, Z], {"right": Z, "left": X}):
            assert model.evaluate(x, target, verbose=0, return_dict=True) == pytest.approx(wanted, rel=1e-12)
        history = model.fit([X, Z], target, class_weight=None, validation_split=0.5, verbose=0).history
        assert list(history) == ["loss", metric, "val_loss", f"val_{metric}"]
        assert penalty > 0


def test_class_weights_are_those_of_one_output() -> None:
    whole = two_heads()
    model = nn.Model(whole.inputs, whole.outputs[1], dtype="float64")
    model.compile(nn.SGD(0.1), SPARSE)
    rows, penalty = formulas(whole)
    wanted = np.mean(np.array([1, 3, 1])[KINDS] * rows["kind_loss"]) + penalty
    assert model.train_on_batch([X, Z], KINDS, class_weight={1: 3}) == pytest.approx(wanted, rel=1e-12)
