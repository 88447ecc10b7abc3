"""Losses with their gradients, against float64 NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import reference as ref
import reference_losses as losses
from kernels import Array, assert_close, assert_same_bits, each_name, each_table, edges, eps, generator, normal, output

from nncore._kernels.loss import apply_rows, row_values
from nncore._kernels.table import LOSS_FORMS, LOSS_TARGETS, LOSSES, Table

SCALE = 1 / 7
ROWS = [0, 1, 2, 3, 5, 17, 33]
LOGITS = [name for name in LOSSES if name.endswith("_logits")]
OF_ROWS = [name for name in LOSSES if LOSS_FORMS[name] != "BATCH"]
OF_BATCHES = [name for name in LOSSES if LOSS_FORMS[name] == "BATCH"]
OF_ELEMENTS = [name for name in LOSSES if LOSS_FORMS[name] in ("TERM", "SUM")]
SUMS = ("SUM", "CROSSENTROPY", "SOFTMAX", "NORMALIZED")  # over a row
PROBABLE = {
    "binary_crossentropy", "kl_divergence", "binary_focal_crossentropy", "categorical_crossentropy",
    "sparse_categorical_crossentropy", "categorical_focal_crossentropy", "categorical_generalized_cross_entropy",
    "tversky",
}  # fmt: skip
POSITIVE = {"poisson", "poisson_deviance", "gamma_deviance", "tweedie_deviance", "mean_squared_logarithmic_error"}


def widths(table: Table, name: str = "") -> list[int]:
    """Of rows, around whole vectors and tiles; even, where a row has two halves."""
    found = {1, 2, 3, 10, *edges(table.lanes, 2 * table.lanes, 16, 512), 1100}
    return sorted({fitting(name, n) for n in found} if name else found)


def fitting(name: str, n: int) -> int:
    return n + n % 2 if targets(name) == "HALF" else n


def targets(name: str) -> str:
    return str(LOSS_TARGETS[name])


def example(table: Table, name: str, rows: int, n: int) -> tuple[Array, Array]:
    """Predictions or logits, and targets in the domain of the loss: reals, labels, or in part one-hot."""
    rng = generator(name, rows, n)
    kind = targets(name)
    p = rng.standard_normal((rows, n)) * 2
    if name in PROBABLE:
        p = rng.uniform(0.05, 0.95, (rows, n))
    elif name in POSITIVE or name == "contrastive":
        p = rng.uniform(0.1, 3, (rows, n))
    elif name == "gaussian_nll":
        p[:, n // 2 :] = np.abs(p[:, n // 2 :]) + 0.1
    elif name == "circle":
        p /= np.sqrt((p**2).sum(axis=1, keepdims=True)) + 0.01  # no product of two rows is 1
    if kind == "LABELS":
        high = 3 if name in OF_BATCHES else n + (name == "corn")
        return p.astype(table.dtype), rng.integers(0, high, rows).astype("int32")
    t = rng.standard_normal((rows, {"VALUES": n, "ONE": 1, "HALF": n // 2}[kind]))
    if name in PROBABLE or "crossentropy" in name or name.startswith(("kl", "contrastive")):
        t = rng.dirichlet(np.ones(n), rows) if "categorical" in name or "kl" in name else rng.uniform(0, 1, (rows, n))
        if not name.startswith("kl"):
            t[::2] = np.eye(n)[rng.integers(0, n, len(t[::2]))]
    elif "hinge" in name:
        t = np.eye(n)[rng.integers(0, n, rows)]
    elif name in POSITIVE:
        t = rng.uniform(0.1, 3, (rows, n))
    return p.astype(table.dtype), t.astype(table.dtype)


def columns(table: Table, name: str, n: int) -> Array | None:
    """The numbers of columns that a loss needs."""
    return losses.levels(n).astype(table.dtype) if name == "pinball" else None


def weights(table: Table, rows: int) -> Array:
    weight = generator("weight", rows).uniform(0, 3, rows).astype(table.dtype)
    weight[1::4] = 0
    return weight


def usual(table: Table, name: str, n: int) -> dict[str, Any]:
    """The scale, parameters and columns of a loss."""
    return {"scale": SCALE, "parameters": losses.parameters(name)[0], "columns": columns(table, name, n)}


def apply(table: Table, name: str, p: Array, t: Array, **options: Any) -> tuple[float, Array, Array | None]:
    """The loss, its gradient, and the probabilities if it is one of logits; outputs poisoned and guarded."""
    rows, n = p.shape
    grad = output(table, rows, n)
    prob = output(table, rows, n) if name in LOGITS else None
    known = usual(table, name, n) | {"prob": None if prob is None else prob.flat}
    options = known | options
    value = apply_rows(table, "loss", name, p, t, rows, n, grad=grad.flat, **options)
    return value, grad.written(), None if prob is None else prob.written()


def probabilities(name: str, z: Array) -> Array:
    return ref.sigmoid(z) if name.startswith("binary") else ref.softmax(z)


def conditioned(name: str, p: Array, t: Array, numbers: tuple[float, ...]) -> Array:
    """How far the value of each row may be from a sum of terms of its size: Σ |terms| that cancel."""
    p, t = np.abs(ref.float64(p)), ref.float64(t)
    if name == "mean_absolute_percentage_error":
        return (100 * (p + np.abs(t)) / np.abs(t)).mean(axis=1)
    if name == "tweedie_deviance":
        a, b = 1 - numbers[0], 2 - numbers[0]
        return 8 * (t**b / abs(a * b) + t * p**a / abs(a) + p**b / abs(b)).mean(axis=1)
    if name == "gaussian_nll":
        return np.abs(losses.values(name, p, t, *numbers)) + 30 * (numbers[0] == 0)
    return np.ones(len(p))


@each_table
@each_name(OF_ROWS)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss(table: Table, name: str, weighted: bool) -> None:
    """Each set of numbers, by values of float64 and, where there is a formula, gradients of float64."""
    for numbers, rows, n in product(losses.parameters(name), ROWS, widths(table, name)):
        if n > 100 and rows > 5:
            continue
        p, t = example(table, name, rows, n)
        w = weights(table, rows) if weighted else np.ones(rows, table.dtype)
        value, grad, prob = apply(table, name, p, t, weight=w if weighted else None, parameters=numbers)
        per_row = losses.values(name, p, t, *numbers)
        roundings = eps(table) * (12 + n / table.lanes)
        bound = roundings * float(w @ (np.abs(per_row) + conditioned(name, p, t, numbers)))
        assert_close(np.array(value), np.array(float(w @ per_row)), bound, (numbers, rows, n))
        if prob is not None:
            assert_close(prob, probabilities(name, p), roundings, ("prob", rows, n))
        if name in ref.LOSSES and (name == "huber" or numbers in [(), (0.0,), (-1.0,)]):
            _, gradient = ref.loss(name, p, t, w, SCALE, *numbers)
            share = 1.0 if LOSS_FORMS[name] in SUMS else 1 / n
            assert_close(grad, gradient, roundings * (np.abs(gradient) + SCALE * share * w[:, None]), ("grad", rows, n))


@each_table
@each_name(OF_ROWS)
def test_gradient(table: Table, name: str) -> None:
    """Against differences in long double."""
    near_kinks = total = 0
    for numbers, n in product(losses.parameters(name), [1, 2, 3, 10, 17, 40]):
        rows, n = 5, fitting(name, n)
        p, t = example(table, name, rows, n)
        w = weights(table, rows)
        _, grad, _ = apply(table, name, p, t, weight=w, parameters=numbers)
        chosen = sorted({0, 1 % n, n // 2, n - 1})
        want = SCALE * losses.gradient(name, p, t, numbers, w.astype("float64"), chosen)
        smooth = np.isfinite(want)
        near_kinks, total = near_kinks + int((~smooth).sum()), total + smooth.size
        size = 1 if LOSS_FORMS[name] in SUMS else np.abs(want)[smooth].max(initial=0) + 1 / n
        bound = 30 * eps(table) * (np.abs(want) + SCALE * size) + 1e-12 * (1 + np.nanmax(np.abs(want)))
        assert_close(grad[:, chosen][smooth], want[smooth], bound[smooth], (numbers, n))
    assert near_kinks < 0.1 * total


@each_table
@each_name(OF_BATCHES)
def test_loss_of_a_batch(table: Table, name: str) -> None:
    for numbers, (rows, n) in product(losses.parameters(name), [(1, 8), (2, 17), (9, 2), (9, 17), (20, 8)]):
        p, t = example(table, name, rows, n)
        w = weights(table, rows)
        grad = output(table, rows, n)
        options: dict[str, Any] = {"weight": w, "scale": SCALE, "parameters": numbers}
        value = apply_rows(table, "loss", name, p, t, rows, n, grad=grad.flat, **options)
        per_row = losses.values(name, p, t, *numbers)
        assert_close(np.array(value), np.array(float(w @ per_row)), 50 * eps(table) * (1 + value), (numbers, rows, n))
        want = SCALE * losses.gradient(name, p, t, numbers, w.astype("float64"), range(n))
        smooth = np.isfinite(want)
        assert smooth.mean() > 0.7
        size = 1 + np.abs(want[smooth]).max(initial=0)
        found = grad.written()
        assert_close(found[smooth], want[smooth], (100 * eps(table) + 1e-10) * size, (numbers, rows, n))
        assert apply_rows(table, "loss", name, p, t, rows, n, **options) == value
        alone = np.empty(rows)
        row_values(table, name, p, t, rows, n, alone, parameters=numbers)
        assert_close(alone, per_row, 50 * eps(table) * (1 + per_row), (numbers, rows, n))


@each_table
@each_name(OF_ROWS)
def test_value_of_each_row(table: Table, name: str) -> None:
    for n in sorted({fitting(name, n) for n in (1, 2, 7, 16, 17, 600)}):
        p, t = example(table, name, 5, n)
        options = {key: value for key, value in usual(table, name, n).items() if key != "scale"}
        out = np.empty(5)
        row_values(table, name, p, t, 5, n, out, **options)
        for i in range(5):
            alone = apply_rows(table, "loss", name, p[i : i + 1], t[i : i + 1], 1, n, **options)
            assert out[i] == alone, (n, i)


@each_table
@each_name(OF_ELEMENTS)
def test_weights_of_elements(table: Table, name: str) -> None:
    """Each multiplies the loss of its element, and the slope there."""
    for rows, n in product([1, 5, 33], [1, 3, 8, 17, 600]):
        p, t = example(table, name, rows, n)
        each = generator("each", rows, n).uniform(-1, 2, (rows, n)).astype(table.dtype)
        w = weights(table, rows)
        value, grad, _ = apply(table, name, p, t, weight=w, each=each)
        ones, plain, _ = apply(table, name, p, t, weight=w)
        assert apply(table, name, p, t, weight=w, each=np.ones_like(each))[0] == ones
        terms = np.stack([losses.values(name, p[:, [j]], t[:, [j]], *losses.parameters(name)[0]) for j in range(n)], 1)
        per_row = (each * terms).sum(axis=1) / (1 if LOSS_FORMS[name] == "SUM" else n)
        size = float(w @ np.abs(terms).sum(axis=1)) + float(w.sum()) * 100 * n
        assert_close(np.array(value), np.array(float(w @ per_row)), 20 * eps(table) * size, (rows, n))
        assert_close(grad, plain.astype("float64") * each, 4 * eps(table) * np.abs(plain * each), (rows, n))


@each_table
@each_name([name for name in LOSSES if name.startswith("sparse")])
def test_a_label_outside_counts_nothing(table: Table, name: str) -> None:
    for n in (3, 16, 17, 40):
        p, t = example(table, name, 9, n)
        t[[2, 7]] = -1, n
        w = weights(table, 9)
        value, grad, _ = apply(table, name, p, t, weight=w)
        keep = [i for i in range(9) if i not in (2, 7)]
        want, gradient, _ = apply(table, name, p[keep], t[keep], weight=w[keep])
        assert value == pytest.approx(want, rel=1e-14)
        assert_same_bits(grad[keep], gradient, n)
        assert not grad[[2, 7]].any()


@each_table
@each_name(OF_ROWS)
def test_value_without_gradient(table: Table, name: str) -> None:
    """The same number whatever else is asked for, and whatever stands in memory that is asked for nothing."""
    for n in widths(table, name):
        p, t = example(table, name, 5, n)
        w = weights(table, 5)
        value, grad, prob = apply(table, name, p, t, weight=w)
        options: dict[str, Any] = {"weight": w} | usual(table, name, n)
        assert apply_rows(table, "loss", name, p, t, 5, n, **options) == value
        alone = output(table, 5, n)
        assert apply_rows(table, "loss", name, p, t, 5, n, grad=alone.flat, **options) == value
        assert_same_bits(alone.written(), grad, n)
        if prob is not None:
            alone = output(table, 5, n)
            assert apply_rows(table, "loss", name, p, t, 5, n, prob=alone.flat, **options) == value
            assert_same_bits(alone.written(), prob, n)


@each_table
@each_name(OF_ROWS)
def test_in_place(table: Table, name: str) -> None:
    """The gradient may take the place of p; so may the probabilities."""
    for rows, n in product([1, 3, 33], widths(table, name)):
        p, t = example(table, name, rows, n)
        options: dict[str, Any] = {"weight": weights(table, rows)} | usual(table, name, n)
        value, grad, prob = apply(table, name, p, t, **options)
        both = p.copy()
        assert apply_rows(table, "loss", name, both, t, rows, n, grad=both, **options) == value
        assert_same_bits(both, grad, ("grad", rows, n))
        if prob is None:
            continue
        other = output(table, rows, n)
        both = p.copy()
        assert apply_rows(table, "loss", name, both, t, rows, n, grad=both, prob=other.flat, **options) == value
        assert_same_bits(both, grad, ("grad", rows, n))
        assert_same_bits(other.written(), prob, ("prob beside grad", rows, n))
        both = p.copy()
        assert apply_rows(table, "loss", name, both, t, rows, n, prob=both, grad=other.flat, **options) == value
        assert_same_bits(both, prob, ("prob", rows, n))
        assert_same_bits(other.written(), grad, ("grad beside prob", rows, n))
        both = p.copy()
        assert apply_rows(table, "loss", name, both, t, rows, n, prob=both, **options) == value
        assert_same_bits(both, prob, ("prob alone", rows, n))


@each_table
@each_name(OF_ROWS)
def test_rows_are_independent(table: Table, name: str) -> None:
    """A row's bits are the same alone and at any place in a batch; the sum goes through float64."""
    rows = 35
    for n in widths(table, name):
        p, t = example(table, name, rows, n)
        w = weights(table, rows)
        value, grad, prob = apply(table, name, p, t, weight=w)
        total = 0.0
        for i in range(rows):
            part = slice(i, i + 1)
            alone, g, q = apply(table, name, p[part], t[part], weight=w[part])
            total += alone
            assert_same_bits(g, grad[part], (n, i))
            if q is not None and prob is not None:
                assert_same_bits(q, prob[part], (n, i))
        assert value == pytest.approx(total, rel=1e-13, abs=1e-300), n
        middle = slice(3, 30)
        assert_same_bits(apply(table, name, p[middle], t[middle], weight=w[middle])[1], grad[middle], n)


@each_table
@each_name([name for name in LOGITS if name in ref.LOSSES])
@pytest.mark.parametrize("size", [1.0, 100.0, 1e4, 1e30])
def test_extreme_logits(table: Table, name: str, size: float) -> None:
    """Right, not merely finite, where the exponential overflows: sure and right, sure and wrong, undecided."""
    binary = name.startswith("binary")
    for n in (1, 2, 10, 16, 17, 40):
        labels = np.arange(4, dtype="int32") % n
        hot = np.eye(n)[labels]
        right, wrong = hot * 2 - 1, 1 - hot * 2
        for z, what in [(right, "right"), (wrong, "wrong"), (np.ones((4, n)), "all"), (-np.ones((4, n)), "none")]:
            z = (z * size).astype(table.dtype)
            t = labels if targets(name) == "LABELS" else hot.astype(table.dtype)
            value, grad, prob = apply(table, name, z, t)
            want, gradient = ref.loss(name, z, t, None, SCALE)
            spread = 1 if binary else n
            assert_close(np.array(value), np.array(want), 8 * eps(table) * (abs(want) + spread), (n, what))
            assert_close(grad, gradient, 8 * eps(table) * SCALE * spread, (n, what))
            assert prob is not None
            assert_close(prob, probabilities(name, z), 8 * eps(table) * spread, (n, what))


@each_table
@each_name([name for name in LOGITS if "categorical" in name and name in ref.LOSSES])
def test_impossible_class(table: Table, name: str) -> None:
    """A logit of −inf has probability 0: it costs nothing, but infinitely much as the right class."""
    for n in (3, 10, 16, 17, 40):
        z = normal(table, 2, n)
        z[:, 1] = -np.inf
        labels = np.array([0, 1], "int32")
        t = labels if targets(name) == "LABELS" else np.eye(n)[labels].astype(table.dtype)
        value, grad, prob = apply(table, name, z, t)
        assert value == np.inf
        first, _, _ = apply(table, name, z[:1], t[:1])
        assert first == pytest.approx(-ref.log_softmax(np.delete(z[0], 1))[0], rel=8 * eps(table))
        q = ref.softmax(z)
        assert prob is not None
        assert_close(prob, q, 8 * eps(table), n)
        assert_close(grad, SCALE * (q - np.eye(n)[labels]), 8 * eps(table), n)


@each_table
def test_saturated_probability(table: Table) -> None:
    """Clipped to [1e-7, 1 − 1e-7] as Keras does: a finite loss, and no gradient beyond."""
    for value, t in product([0.0, 1.0, 5e-8, -3.0, 2.0], [0.0, 1.0]):
        p, target = np.full((1, 3), value, table.dtype), np.full((1, 3), t, table.dtype)
        got, grad, _ = apply(table, "binary_crossentropy", p, target)
        sure = (value > 0.5) == (t > 0.5)
        assert got == pytest.approx(1e-7 if sure else -np.log(1e-7), rel=0.25 if sure or value > 0.5 else 1e-6)
        assert_same_bits(grad, np.zeros((1, 3), table.dtype))


@each_table
@each_name(OF_ROWS)
def test_nan_stays(table: Table, name: str) -> None:
    """A nan in a prediction makes the value nan, and nothing but its own row of the gradient."""
    for n in sorted({fitting(name, n) for n in (1, 3, 16, 17, 40)}):
        for j in {0, n // 2, n - 1}:
            p, t = example(table, name, 7, n)
            _, clean, _ = apply(table, name, p, t)
            p[4, j] = np.nan
            value, grad, _ = apply(table, name, p, t)
            assert np.isnan(value), (n, j)
            assert np.isnan(grad[4, j]), (n, j)
            assert_same_bits(np.delete(grad, 4, axis=0), np.delete(clean, 4, axis=0), (n, j))


@each_table
@each_name(LOSSES)
def test_zero_weight(table: Table, name: str) -> None:
    p, t = example(table, name, 6, fitting(name, 5))
    value, grad, _ = apply(table, name, p, t, weight=np.zeros(6, table.dtype))
    assert value == 0
    assert not grad.any()
