"""Data of several inputs and outputs: each with its own layout; what is refused, by its name; predictions."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
from structures import (
    KINDS,
    LOSSES,
    SPARSE,
    W,
    X,
    Y,
    Z,
    assert_trained_alike,
    close,
    compiled,
    same,
    trained,
    two_heads,
)

import nncore as nn

# ---- layouts ---------------------------------------------------------------------------------------------------------

LAYOUTS: dict[str, Any] = {
    "fortran": np.asfortranarray,
    "float16": lambda a: a.astype(np.float16),
    "uint8": lambda a: (16 * abs(a)).astype(np.uint8),
    "big-endian": lambda a: a.astype(">f4"),
    "every second": lambda a: np.repeat(a, 2, axis=0)[::2],
    "columns": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: a[::-1],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("case", LAYOUTS)
def test_each_input_and_target_has_its_own_layout(case: str, shuffle: bool) -> None:
    """As they would be converted beforehand: one of them, or all."""
    change = LAYOUTS[case]
    x, z, y = (change(a) for a in (X, Z, Y))
    kinds = KINDS.astype(np.uint8)[::-1]
    for given, targets in (([X, z], [Y, KINDS]), ([x, Z], [y, KINDS]), ([x, z], [y, kinds])):
        whole = [np.ascontiguousarray(a, np.float64) for a in given]
        labels = [np.ascontiguousarray(targets[0], np.float64), np.ascontiguousarray(targets[1], np.int32)]
        found = trained({}, x=given, y=targets, shuffle=shuffle)
        assert_trained_alike(found, trained({}, x=whole, y=labels, shuffle=shuffle))
        for a, b in zip(found[0].predict(given), found[0].predict(whole), strict=True):
            assert np.array_equal(a, b)


# ---- what is refused when compiling ----------------------------------------------------------------------------------

NAMES = "'value', 'kind'"
COMPILE: dict[str, tuple[dict[str, Any], str]] = {
    "loss of no output": ({"loss": {"value": "mse", "knd": SPARSE}}, f"^loss: .*{NAMES}.*knd"),
    "weight of no output": ({"loss_weights": {"knd": 2.0}}, f"^loss_weights: .*{NAMES}.*knd"),
    "metrics of no output": ({"metrics": {"knd": "acc"}}, f"^metrics: .*{NAMES}.*knd"),
    "weighted metrics of no output": ({"weighted_metrics": {"knd": "acc"}}, f"^weighted_metrics: .*{NAMES}.*knd"),
    "too few losses": ({"loss": ["mse"]}, "^loss: expected"),
    "too many losses": ({"loss": ["mse", SPARSE, "mse"]}, "^loss: expected"),
    "too few weights": ({"loss_weights": [1.0]}, "^loss_weights: expected"),
    "a weight for two": ({"loss_weights": 0.5}, "^loss_weights: expected .*0.5"),
    "a weight that is text": ({"loss_weights": ["much", 1]}, "^loss_weights.*much"),
    "a weight that is no number": ({"loss_weights": {"kind": float("nan")}}, "^loss_weights.*nan"),
    "a metric for two": ({"metrics": "mae"}, "^metrics: expected .*mae"),
    "a metric in a list": ({"metrics": ["mae"]}, "^metrics: expected"),
    "three metrics": ({"weighted_metrics": ["mae", "acc", "mse"]}, "^weighted_metrics: expected"),
    "an unknown loss": ({"loss": ["mse", "mes"]}, "^loss.*: expected a known loss, got 'mes'"),
    "an unknown metric": ({"metrics": [None, ["acuracy"]]}, "^metrics.*: expected a known metric, got 'acuracy'"),
    "a loss that does not fit": (
        {"loss": [nn.losses.Pinball([0.1, 0.5, 0.9, 0.95, 0.99]), SPARSE]},
        "^(?=.*'value').*loss: pinball expects",
    ),
    "a metric that does not fit": (
        {"metrics": {"kind": "categorical_accuracy"}},
        "^(?=.*'kind').*metrics: categorical_accuracy expects .* integer labels",
    ),
}


@pytest.mark.parametrize("case", COMPILE)
def test_compile_refuses_and_changes_nothing(case: str) -> None:
    settings, words = COMPILE[case]
    model, other = compiled(metrics=["mae", "acc"]), compiled(metrics=["mae", "acc"])
    with pytest.raises((ValueError, TypeError), match=words):
        model.compile(**({"optimizer": nn.Adam(0.5), "loss": LOSSES} | settings))
    histories = [m.fit([X, Z], [Y, KINDS], verbose=0).history for m in (model, other)]
    assert same(model, other) and histories[0] == histories[1]


@pytest.mark.parametrize("loss", [None, [None, None], {}, {"value": None}])
def test_no_loss_at_all(loss: Any) -> None:
    model = two_heads()
    with pytest.raises(ValueError, match="loss"):
        model.compile("sgd", loss)
        model.fit([X, Z], [Y, KINDS], verbose=0)
    close(model.predict([X, Z])[0], networks.outputs(model, model.get_weights(), [X, Z])[0])


# ---- data that are refused -------------------------------------------------------------------------------------------


def changed(array: Any, row: int, value: Any) -> Any:
    array = array.astype(np.float64)
    array[row].flat[-1:] = value
    return array


def with_label(row: int, value: Any) -> list[Any]:
    labels = KINDS.astype(np.float64)
    labels[row] = value
    return [Y, labels]


SHORT = KINDS[:39]
DATA: dict[str, tuple[dict[str, Any], str]] = {
    "one array": ({"y": Y}, "^y: expected"),
    "no targets": ({"y": None}, "^y: expected"),
    "too many": ({"y": [Y, KINDS, KINDS]}, "^y: expected .*3"),
    "a target is missing": ({"y": {"value": Y}}, r"^y.*kind"),
    "a target is None": ({"y": [Y, None]}, r"^y.*kind"),
    "a target of no output": ({"y": {"value": Y, "kind": KINDS, "knd": KINDS}}, f"^y: .*{NAMES}.*knd"),
    "rows of a target": ({"y": {"value": Y, "kind": SHORT}}, r"^y\['kind'\]: .*40.*39"),
    "rows of all targets": ({"y": [Y[:39], SHORT]}, r"^y\['value'\]: .*40.*39"),
    "rows of an input": ({"x": [X, Z[:39]]}, r"^x\b.*(40.*39|39.*40)"),
    "shape of a target": ({"y": [Y[:, :1], KINDS]}, r"^y\['value'\]: expected shape \(40, 2\), got \(40, 1\)"),
    "a label": ({"y": with_label(9, 3)}, r"^y\['kind'\]: expected whole labels from 0 to 2.*got 3.* in row 9"),
    "a fraction": ({"y": with_label(11, 0.5)}, r"^y\['kind'\]: expected whole labels .*got 0.5 in row 11"),
    "a value": ({"x": [X, Z.astype(str)]}, r"^x\['right'\]: expected"),
    "no rows": ({"x": [X[:0], Z[:0]], "y": [Y[:0], KINDS[:0]]}, "^x.*at least one row"),
    "rows of weights": ({"sample_weight": W[:39]}, "^sample_weight.*40.*39"),
    "rows of a weight": ({"sample_weight": {"kind": W[:39]}}, r"^sample_weight\['kind'\]: .*40.*39"),
    "a weight of no output": ({"sample_weight": {"knd": W}}, f"^sample_weight: .*{NAMES}.*knd"),
    "three weights": ({"sample_weight": [W, W, W]}, "^sample_weight: expected .*3"),
    "a weight that is no number": (
        {"sample_weight": [W, changed(W[:, None], 5, np.nan)[:, 0]]},
        r"^sample_weight\['kind'\]: .*nan in row 5",
    ),
    "weights of classes": ({"class_weight": {0: 2.0}}, "^class_weight"),
}
FINITE = "expected finite values, but"
FIT: dict[str, tuple[dict[str, Any], str]] = {
    "validation targets": (
        {"validation_data": ([X, Z], [Y, SHORT])}, r"^validation y\['kind'\]: .*40.*39"
    ),
    "validation label": (
        {"validation_data": ([X, Z], with_label(2, 7))}, r"^validation y\['kind'\]: .*got 7.* in row 2"
    ),
    "validation weights": (
        {"validation_data": ([X, Z], [Y, KINDS], {"knd": W})}, f"^validation sample_weight: .*{NAMES}.*knd"
    ),
    "validation input": ({"validation_data": ([X], [Y, KINDS])}, "^validation x: expected a list of 2"),
    "rows of a split": ({"y": [Y, SHORT], "validation_split": 0.5}, r"^y\['kind'\]: .*39"),
    "rows of a split's input": ({"x": [X, Z[:39]], "validation_split": 0.5}, r"^x\b.*39"),
    "rows of a split's weights": (
        {"sample_weight": [W[:9], None], "validation_split": 0.5}, r"^sample_weight\['value'\]: .*9"
    ),
    "NaN": ({"x": [X, changed(Z, 7, np.nan)]}, rf"^x\['right'\]: {FINITE} row 7 of x\['right'\] holds nan"),
    "infinity": ({"y": [changed(Y, 30, np.inf), KINDS]}, rf"^y\['value'\]: {FINITE} row 30 of y\['value'\] holds inf"),
}  # fmt: skip


@pytest.mark.parametrize("case", [*DATA, *FIT])
def test_data_that_do_not_fit(case: str) -> None:
    model, before = compiled(), two_heads()
    changes, words = (DATA | FIT)[case]
    data: dict[str, Any] = {"x": [X, Z], "y": [Y, KINDS]} | changes
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(**data, batch_size=40, verbose=0)
    assert same(model, before)
    if case in DATA:
        with pytest.raises((ValueError, TypeError), match=words):
            model.train_on_batch(**data)
        if "class_weight" not in data:
            with pytest.raises((ValueError, TypeError), match=words):
                model.evaluate(**data, verbose=0)
    model.fit([X, Z], [Y, KINDS], verbose=0)  # nothing stays behind


def test_targets_of_the_only_output_that_has_a_loss() -> None:
    """They need no list, as in Keras; of two outputs they do."""
    model = compiled(loss={"kind": SPARSE})
    assert model.evaluate([X, Z], KINDS, verbose=0) == model.evaluate([X, Z], [None, KINDS], verbose=0)
    for call in (model.train_on_batch, model.test_on_batch):
        call([X, Z], KINDS)
    model.fit([X, Z], KINDS, validation_data=([X, Z], KINDS), verbose=0)
    with pytest.raises(ValueError, match="y: expected a list of 2"):
        compiled().evaluate([X, Z], KINDS, verbose=0)


def test_class_weights_want_one_output_and_not_one_loss() -> None:
    with pytest.raises(ValueError, match="^class_weight"):
        compiled(loss={"kind": SPARSE}).fit([X, Z], {"kind": KINDS}, class_weight={0: 2.0}, verbose=0)


def test_probabilities_of_the_second_head() -> None:
    y = [Y, changed(np.eye(3)[KINDS], 3, 1.5)]
    with pytest.raises(ValueError, match=r"^y\['kind'\]: expected targets from 0 to 1 .*got 1.5 in row 3"):
        compiled(loss=["mse", "categorical_crossentropy"]).fit([X, Z], y, verbose=0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_value_that_is_too_large_for_an_input(shuffle: bool) -> None:
    """Those that the engine converts, and those that Python does."""
    model = two_heads("float32")
    model.compile("sgd", LOSSES)
    z = changed(Z, 33, 1e39)
    for given in (z, np.repeat(z, 2, axis=0)[::2], z.astype(">f8")):
        with pytest.raises(
            ValueError, match=r"^x\['right'\]: expected values that float32 can hold, got .*1e\+39.* row 33"
        ):
            model.fit([X, given], [Y, KINDS], batch_size=16, shuffle=shuffle, verbose=0)


def test_one_head_that_diverges_ends_the_fit() -> None:
    model, y = compiled(loss=["mse", "mse"]), [Y, np.zeros((40, 3))]
    y[1][20] = 1e200  # whose square is not finite
    with pytest.raises(nn.DivergedError):
        model.fit([X, Z], y, batch_size=10, shuffle=False, verbose=0)
    other = compiled(loss=["mse", "mse"])
    other.fit([X[:20], Z[:20]], [a[:20] for a in y], batch_size=10, shuffle=False, verbose=0)
    assert same(model, other)  # the last finite ones


# ---- predictions -----------------------------------------------------------------------------------------------------


def every_output() -> nn.Model:
    a, b = nn.Input(4, name="left"), nn.Input((2, 3), name="right")
    h = nn.Dense(6, "sigmoid", name="h")(nn.Concatenate()([a, nn.Flatten()(b)]))
    p = nn.Activation("softmax", name="p")(h)
    outputs = {"h": h, "again": h, "tall": nn.Reshape((3, 2))(h), "b": b, "a": a, "p": p, "flat": nn.Flatten()(b)}
    return nn.Model([a, b], outputs, seed=0, dtype="float64")


def test_predictions_of_every_kind_of_output() -> None:
    model = every_output()
    wanted = dict(zip(model.output_names, networks.outputs(model, model.get_weights(), [X, Z]), strict=True))
    for found in (model.predict([X, Z]), model({"left": X, "right": Z}), model.predict([X, Z], batch_size=7)):
        assert list(found) == ["a", "again", "b", "flat", "h", "p", "tall"]
        for name, array in found.items():
            close(array, wanted[name])
        arrays = [X, Z, *found.values()]
        assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    listed = nn.Model(model.inputs, list(model.outputs), dtype="float64")
    for a, b in zip(listed.predict([X, Z]), found.values(), strict=True):
        assert np.array_equal(a, b)
    model.compile("sgd", {"h": "binary_crossentropy", "p": SPARSE})  # fused losses do not change what is predicted
    for name, array in model.predict([X, Z]).items():
        assert np.array_equal(array, found[name])


@pytest.mark.parametrize("rows", [1, 2, 31, 33, 40])
def test_a_row_has_the_same_prediction_in_whatever_company(rows: int) -> None:
    model, watch = every_output(), EveryBatch()
    whole = model.predict([X, Z])
    for found in (
        model.predict([X[:rows], Z[:rows]]),
        {name: a[:rows] for name, a in model.predict([X, Z], batch_size=rows, callbacks=[watch]).items()},
    ):
        assert all(found[name].tobytes() == a[:rows].tobytes() for name, a in whole.items())


class EveryBatch(nn.Callback):
    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        pass
