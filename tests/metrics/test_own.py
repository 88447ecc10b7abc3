"""Metrics of a user's own, on arrays: what they keep, how it is shown and begun anew."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import nncore as nn


class SquaresPerRow(nn.Metric):
    """Σ e² over the number of rows."""

    def __init__(self, name: str = "squares", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable(shape=(), initializer=nn.initializers.Zeros(), name="total")
        self.rows = self.add_variable((), "zeros", dtype="int32", name="rows")

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        self.total.assign(self.total + np.sum((np.asarray(y_true) - y_pred) ** 2))
        self.rows.assign_add(len(y_true))

    def result(self) -> Any:
        return np.asarray(self.total / self.rows, self.dtype)


class Counted(nn.metrics.Mean):
    """A mean of magnitudes that counts its updates."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.updates = self.add_weight(name="updates")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        self.updates.assign_add(1)
        super().update_state(np.abs(values), sample_weight)


def test_an_own_metric_sums_and_begins_anew() -> None:
    metric = SquaresPerRow()
    assert metric([[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [3.0, 2.0]]) == 4.5  # (1 + 4 + 0 + 4) / 2
    metric.update_state([[0.0, 0.0]], [[3.0, 0.0]])
    assert metric.result() == 6 and metric.result().dtype == np.float32
    assert [(v.name, v.shape, str(v.dtype)) for v in metric.variables] == [
        ("total", (), "float32"),
        ("rows", (), "int32"),
    ]
    assert metric.total == 18 and int(metric.rows) == 3 and float(metric.total) == 18
    assert metric.get_config() == {"name": "squares", "dtype": "float32"}
    other = copy.deepcopy(metric)
    metric.reset_state()
    assert [v.numpy() for v in metric.variables] == [0, 0]
    assert other.result() == 6 and other.variables[0] is other.total
    assert pickle.loads(pickle.dumps(other)).result() == 6
    half = SquaresPerRow("mine", "float16")
    assert half([[2.0]], [[0.0]]) == 4 and half.result().dtype == np.float16


def test_own_metrics_are_themselves() -> None:
    one, two = SquaresPerRow(), SquaresPerRow()
    assert one != two and len({one, two}) == 2 and one.name == "squares"
    assert SquaresPerRow.from_config(one.get_config()).name == "squares"
    one.note = "of the user"  # what a class of the user's own may have

    class Equal(SquaresPerRow):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        __hash__ = SquaresPerRow.__hash__

    assert Equal() == Equal()
    with pytest.raises(AttributeError, match="dtype: fixed when the metric is made"):
        one.dtype = "float16"


def test_those_that_it_holds_are_its_own() -> None:
    outer = SquaresPerRow("outer")
    outer.parts = {"a": [SquaresPerRow("a")], "b": SquaresPerRow("b")}
    outer.parts["b"].inner = nn.metrics.Sum()
    outer.parts["b"].inner.update_state([1.0, 2.0])
    assert [v.name for v in outer.variables] == ["total", "rows"] * 3 + ["total"]
    assert outer.variables[-1] == 3
    outer.reset_state()
    assert outer.variables[-1] == 0


def test_a_known_one_may_be_extended() -> None:
    metric = Counted(name="size")
    assert metric([-1.0, 3.0]) == 2 and metric([[5.0], [-3.0]], [[1.0], [0.0]]) == 3
    assert {v.name: float(v) for v in metric.variables} == {"updates": 2, "total": 9, "count": 3}
    with pytest.raises(ValueError, match="^total: follows from what the metric has seen. Call its reset_state"):
        metric.variables[1].assign(3.0)
    metric.reset_state()
    assert [float(v) for v in metric.variables] == [0, 0, 0] and metric.result() == 0


def test_variables_are_arrays_of_their_shape() -> None:
    metric = SquaresPerRow()
    counts = metric.add_variable((2, 3), "ones", name="counts")
    counts.assign_sub([[1, 0, 0], [0, 0, 3]])
    np.testing.assert_array_equal(2 * counts + 1, [[1, 3, 3], [3, 3, -3]])
    np.testing.assert_array_equal(np.exp(counts[0]), np.exp(np.array([0, 1, 1], np.float32)))
    assert counts.ndim == 2 and len(counts) == 2 and counts.sum() == 2 and list(counts[1]) == [1, 1, -2]
    counts.numpy()[:] = 7
    assert counts.max() == 1 and counts.value.tolist() == [[0, 1, 1], [1, 1, -2]]
    with pytest.raises(AttributeError, match="nothing: expected an attribute of Variable or of NumPy's arrays"):
        _ = counts.nothing
    assert bool(metric.add_variable(3, name="v").shape == (3,))
    with pytest.raises(ValueError, match=r"counts: expected an array of shape \(2, 3\), got \(3,\)"):
        counts.assign([1, 2, 3])
    with pytest.raises(ValueError, match="dtype: expected one of real numbers"):
        metric.add_variable((), dtype="complex64")


def test_what_is_not_said_is_asked_for() -> None:
    class Bare(nn.Metric):
        pass

    assert Bare().variables == [] and Bare().name == "bare"
    with pytest.raises(NotImplementedError, match="Bare: expected update_state and result of a metric of your own"):
        Bare()([1.0], [2.0])
    with pytest.raises(NotImplementedError, match="Bare: expected update_state and result of a metric of your own"):
        Bare().result()
    model = nn.Model([nn.Input(2), nn.Dense(1)])
    with pytest.raises(TypeError, match="metrics: .* give a function .*, or call yours on what predict returns"):
        model.compile("sgd", "mse", metrics=[SquaresPerRow()])


def test_known_metrics_name_what_they_sum() -> None:
    names = {
        nn.metrics.Precision(): ["true_positives", "false_positives"],
        nn.metrics.Recall(): ["true_positives", "false_negatives"],
        nn.metrics.MeanSquaredError(): ["total", "count"],
        nn.metrics.Sum(): ["total"],
    }
    for metric, expected in names.items():
        assert [v.name for v in metric.variables] == expected
    precision = nn.metrics.Precision()
    precision.update_state([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    assert [v.tolist() for v in map(np.asarray, precision.variables)] == [[2], [1]]


def test_nothing_but_assign_changes_a_variable() -> None:
    """Nor does what would change a copy pass for it; it is NumPy's array in all other respects."""
    one = nn.metrics.Sum().add_variable((), "ones", name="one")
    many = nn.metrics.Sum().add_variable((3,), "ones", name="many")
    for variable in one, many:
        with pytest.raises(TypeError, match=f"{variable.name}: expected an array to write in, got a variable. Call"):
            variable += 1
        with pytest.raises(TypeError, match="expected an array to write in, got a variable"):
            np.add(1, 2, out=variable)
        for name in "fill", "sort", "put", "itemset", "resize":
            if hasattr(np.ndarray, name):
                with pytest.raises(AttributeError, match=rf"{name}: .*{variable.name}.* Call assign\(value\)"):
                    getattr(variable, name)
        shared = variable.__array__(copy=False)
        variable.assign_add(np.ones(variable.shape))
        assert (np.asarray(variable) == 2).all() and not shared.flags.writeable
    with pytest.raises(TypeError, match="iteration over a 0-d array"):
        list(one)
    with pytest.raises(TypeError, match="len"):
        len(one)
    assert list(many) == [2, 2, 2] and np.shares_memory(many.__array__(copy=False), many.__array__(copy=False))


def test_metrics_may_hold_each_other() -> None:
    one, two = SquaresPerRow("one"), SquaresPerRow("two")
    one.other, two.other = two, [one, two]
    one.update_state([[2.0]], [[0.0]])
    two.update_state([[3.0]], [[0.0]])
    assert [float(v) for v in one.variables] == [4, 1, 9, 1]
    assert [float(v) for v in two.variables] == [9, 1, 4, 1]
    two.reset_state()
    assert [float(v) for v in one.variables] == [0, 0, 0, 0]
    assert not any(name in vars(one) for name in vars(two).keys() - vars(SquaresPerRow("new")).keys() - {"other"})
