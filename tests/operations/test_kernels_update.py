"""Update rules, regularizers and sums, against float64 NumPy."""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import pytest
import reference as ref
from kernels import (
    ISAS,
    Array,
    assert_close,
    assert_same_bits,
    each_name,
    each_table,
    edges,
    eps,
    is_denormal,
    lengths,
    normal,
    output,
)
from reference import Rule

from nncore._kernels import update
from nncore._kernels.table import NUMBERS, NUMBERS_BYTES, OPTIMIZERS, RULE_NUMBERS, STATES, Table
from nncore.optimizers.numbers import packed

# What a rule is told for all optimizers, and what only some listen to.
COMMON: list[dict[str, Any]] = [
    {},
    {"grad_scale": 0.25},
    {"clip_value": 0.5},
    {"weight_decay": 0.1},
    {"grad_scale": 3.0, "clip_value": 1.0, "weight_decay": 0.5},
]
OWN: dict[str, list[dict[str, Any]]] = {
    "sgd": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "adam": [{"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}, {"beta_1": 0.0}, {"amsgrad": True, "beta_2": 0.5}],
    "rmsprop": [
        {"momentum": 0.9}, {"centered": True}, {"momentum": 0.5, "centered": True}, {"rho": 0.5, "epsilon": 1e-2},
    ],
    "adagrad": [{"initial_accumulator_value": 0.0, "epsilon": 1e-3}],
    "adadelta": [{"rho": 0.5, "epsilon": 1e-2}],
    "adamax": [{"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}],
    "nadam": [{"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}],
    "lion": [{"beta_1": 0.5, "beta_2": 0.5}],
    "ftrl": [
        {"l1_regularization_strength": 0.5, "l2_regularization_strength": 0.25, "beta": 0.5},
        {"learning_rate_power": -0.25, "l2_shrinkage_regularization_strength": 0.1, "initial_accumulator_value": 1.0},
    ],
    "schedule_free_adamw": [{"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "warmup_steps": 3.0}],
    "muon": [{"adam_beta_1": 0.5, "adam_beta_2": 0.9, "epsilon": 1e-3}],
}  # fmt: skip
#: Whose rule is not made of elements alone: see update_cases.py and tests/training/test_matrices.py.
WHOLE = {"lamb", "adafactor"}
ELEMENTWISE = [name for name in OPTIMIZERS if name not in WHOLE]
RULES = [(name, Rule(**kind | own)) for name in ELEMENTWISE for kind in COMMON for own in [{}, *OWN.get(name, [])]]
each_rule = pytest.mark.parametrize(("name", "rule"), RULES)


def structs(name: str, rule: Rule, step: int) -> tuple[Array, Array]:
    """nn_rule, and the struct of the optimizer's own numbers."""
    values = asdict(rule) | {"step": step}
    own = packed(NUMBERS[name], values)
    assert own.nbytes == NUMBERS_BYTES[name]
    return packed(RULE_NUMBERS, values), own


def train(table: Table, name: str, rule: Rule, w: Array, gradients: Array) -> list[Array]:
    """W and the state after one update for each row of `gradients`."""
    arrays = [output(table, w.size, fill=x) for x in (w, *(0 for _ in STATES[name]))]
    for step, g in enumerate(gradients, start=1):
        kept = g.copy()
        update.apply_update(table, name, arrays[0].flat, g, [x.flat for x in arrays[1:]], *structs(name, rule, step))
        assert_same_bits(g, kept, "the gradient")
    return [x.written()[0] for x in arrays]


@each_table
@each_rule
def test_training(table: Table, name: str, rule: Rule) -> None:
    """After several steps W and the state in use are those of the formula, a few roundings of each step apart."""
    steps = 6
    for n in lengths(table):
        w, gradients = normal(table, n), normal(table, steps, n, key="g")
        want, states = ref.float64(w), [np.zeros(n) for _ in STATES[name]]
        moved, largest = np.zeros(n), [np.zeros(n) for _ in STATES[name]]
        for step, g in enumerate(gradients, start=1):
            before, want = want, ref.update(name, want, g, states, rule, step)
            moved += np.abs(before) + 4 * np.abs(want - before) + 8 * rule.learning_rate
            largest = [np.maximum(a, np.abs(s)) for a, s in zip(largest, states, strict=True)]
        got, *got_states = train(table, name, rule, w, gradients)
        assert_close(got, want, 4 * eps(table) * moved, n)
        for k, state in enumerate(STATES[name]):
            if got_states[k].any():  # one may be idle where its part of the rule is not asked for
                assert_close(got_states[k], states[k], 8 * steps * eps(table) * (largest[k] + 1e-2), (state, n))


@each_table
@each_rule
def test_elements_are_independent(table: Table, name: str, rule: Rule) -> None:
    """An element's bits do not depend on the run it is in, so parameters may be divided anywhere."""
    n = 5 * table.lanes + 2
    w, gradients = normal(table, n), normal(table, 3, n, key="g")
    together = train(table, name, rule, w, gradients)
    for part in [slice(i, i + 1) for i in range(n)] + [slice(1, n), slice(table.lanes - 1, 2 * table.lanes + 1)]:
        for alone, all_of_it in zip(train(table, name, rule, w[part], gradients[:, part]), together, strict=True):
            assert_same_bits(alone, all_of_it[part], part)


@each_table
@each_name(ELEMENTWISE)
def test_clipping(table: Table, name: str) -> None:
    """Clipped after scaling: a step along ±1e20 is that along ±clip_value."""
    w = normal(table, 20)
    g, clipped = normal(table, 20, scale=1e20), normal(table, 20)
    clipped[:] = np.copysign(0.5, g)
    one = train(table, name, Rule(clip_value=0.5, grad_scale=0.25), w, g[None])
    two = train(table, name, Rule(), w, clipped[None])
    for a, b in zip(one, two, strict=True):
        assert_same_bits(a, b)


@each_table
@each_rule
def test_nan_gradient(table: Table, name: str, rule: Rule) -> None:
    """A nan reaches its own parameter, also through a clip, and no other."""
    n = 2 * table.lanes + 3
    w, g = normal(table, n), normal(table, 1, n, key="g")
    clean = train(table, name, rule, w, g)[0]
    for i in (0, table.lanes, n - 1):
        bad = g.copy()
        bad[0, i] = np.nan
        expected = clean.copy()
        expected[i] = np.nan
        assert_same_bits(train(table, name, rule, w, bad)[0], expected, i)


@each_table
@each_name(ELEMENTWISE)
def test_zero_gradient(table: Table, name: str) -> None:
    """Nothing moves, nothing is divided by 0; but FTRL's weights are a function of the gradients alone."""
    w = normal(table, 20)
    first = train(table, name, Rule(), w, np.zeros((1, 20), table.dtype))
    got, *states = train(table, name, Rule(), w, np.zeros((3, 20), table.dtype))
    assert_same_bits(np.abs(got) if name == "ftrl" else got, np.zeros_like(w) if name == "ftrl" else w)
    for s, after_one in zip(states, first[1:], strict=True):
        assert_same_bits(s, after_one)


EXTREMES = [
    ("adam", Rule()),
    ("adam", Rule(beta_1=0.0, beta_2=0.0)),
    ("adam", Rule(epsilon=0.0)),
    ("adam", Rule(beta_2=0.0, epsilon=0.0)),
    ("rmsprop", Rule()),
    ("rmsprop", Rule(rho=0.0, momentum=0.9)),
    ("rmsprop", Rule(momentum=0.9, centered=True)),
    ("rmsprop", Rule(epsilon=0.0)),
    ("adam", Rule(amsgrad=True)),
    ("adagrad", Rule(initial_accumulator_value=0.0, epsilon=0.0)),
    ("adadelta", Rule(epsilon=0.0)),
    ("adamax", Rule(epsilon=0.0)),
    ("nadam", Rule(epsilon=0.0)),
    ("ftrl", Rule()),
    ("lion", Rule()),
    ("schedule_free_adamw", Rule(epsilon=0.0)),
    ("muon", Rule(epsilon=0.0)),
]


@each_table
@pytest.mark.parametrize(("name", "rule"), EXTREMES)
def test_finite_gradients_keep_weights_finite(table: Table, name: str, rule: Rule) -> None:
    """Also those whose square overflows, one after another or between others, and those whose square is 0."""
    info = np.finfo(table.dtype)
    root = float(np.sqrt(info.max))
    sizes = np.array([info.max, 2 * root, root, root / 2, 1, 1 / root, float(info.tiny), 0], table.dtype)
    w = normal(table, sizes.size)
    rows = {"same": 1.0, "alternating": -1.0, "shrinking": 0.01, "collapsing": -3e-15}
    for what, factor in rows.items():
        with np.errstate(under="ignore"):
            gradients = np.stack([sizes * np.array(factor**k, table.dtype) for k in range(12)])
        for g in (gradients, gradients[::-1].copy()):
            for x in train(table, name, rule, w, g):
                assert np.isfinite(x).all(), what


@each_table
def test_a_gradient_whose_square_overflows_is_a_step_of_the_learning_rate(table: Table) -> None:
    """Adam's step for a constant gradient is η sign(g), whatever its size; RMSprop's at first η sign(g) / √(1 − ρ)."""
    largest, rule = np.finfo(table.dtype).max, Rule(learning_rate=0.01)
    g = np.array([[largest, -largest, 100, -100]] * 2000, table.dtype)
    w = train(table, "adam", rule, np.zeros(4, table.dtype), g)[0]
    np.testing.assert_allclose(w, [-20, 20, -20, 20], rtol=2e-3)
    w = train(table, "rmsprop", rule, np.zeros(4, table.dtype), g[:1])[0]
    np.testing.assert_allclose(w, np.array([-1, 1, -1, 1]) * 0.01 / math.sqrt(0.1), rtol=1e-5)


def hard_quotients() -> tuple[Array, Array]:
    """Integers X, Y from 2²³ to 2²⁴ whose quotient is as near to the middle of two float32 as can be.

    That is X 2ˢ = (2Q + 1) Y ± 1 with 2²³ ≤ Q < 2²⁴: of s = 24 the quotients above 1, of s = 25 those below.
    """
    y = np.arange(0xF00001, 2**24, 2)
    x, found = np.ones_like(y), []
    for s in range(1, 26):
        x = np.where(x % 2, x + y, x) // 2  # 2⁻ˢ modulo y
        if s == 24:
            found += [(x + y, y), (2 * y - x, y)]
        if s == 25:
            found += [(x, y), (y - x, y)]
    x, y = np.concatenate(found, axis=1)
    in_range = (x >= 2**23) & (x < 2**24)
    return x[in_range], y[in_range]


@pytest.mark.parametrize("isa", ISAS)
def test_quotients_are_rounded_to_nearest(isa: str) -> None:
    """Adam's step is η m / (√v + ε), also where no divider computes it; a denormal step is 0."""
    table = Table(isa, "float32")
    x, y = (np.ldexp(np.float32(a), -23) for a in hard_quotients())
    x *= np.random.default_rng(0).choice([-1, 1], x.size).astype("float32")
    rule = Rule(learning_rate=1.0, beta_1=0.5, beta_2=1 - 2.0**-30, epsilon=2.0**-39)  # η = 1, m is halved
    for scale, scale_y in product((0, -60, -100, -103, -126, 40), (0, 20, -13)):
        m, v = np.ldexp(x, scale), np.ldexp(y * y, 2 * scale_y)
        step = m / (np.ldexp(y, scale_y) + np.float32(2.0**-39))
        step[is_denormal(step)] = 0
        w = np.zeros_like(x)
        update.apply_update(table, "adam", w, np.zeros_like(x), [2 * m, v], *structs("adam", rule, 2**40))
        assert_same_bits(w, np.float32(0) - step, (scale, scale_y))


@each_table
def test_centered_variance_is_not_negative(table: Table) -> None:
    """Of a constant gradient the variance tends to 0, and rounding must not push it below."""
    w, g = np.zeros(64, table.dtype), np.broadcast_to(normal(table, 64, scale=100), (3000, 64)).copy()
    got = train(table, "rmsprop", Rule(centered=True, epsilon=1e-7), w, g)[0]
    assert np.isfinite(got).all()


@each_table
def test_structs_of_another_size_are_refused(table: Table) -> None:
    x = np.zeros(3, table.dtype)
    rule, own = structs("sgd", Rule(), 1)
    for wrong in [(rule[:3], own), (rule, own[:1]), (rule, structs("adam", Rule(), 1)[1])]:
        with pytest.raises(ValueError, match="one float64 per field"):
            update.apply_update(table, "sgd", x, x.copy(), [], *wrong)


# --- sums -------------------------------------------------------------------------------------------------------


def column_sums(table: Table, x: Array) -> tuple[Array, bool]:
    y = output(table, x.shape[1])
    finite = update.apply_column_sums(table, x, y.flat, *x.shape)
    return y.written()[0], finite


@each_table
def test_column_sums(table: Table) -> None:
    for rows, cols in product([0, 1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 129, 300], lengths(table)):
        x = normal(table, rows, cols)
        y, finite = column_sums(table, x)
        magnitude = np.abs(ref.float64(x)).sum(axis=0)
        assert_close(y, ref.float64(x).sum(axis=0), (rows + 1) * eps(table) / 2 * magnitude, (rows, cols))
        assert finite
        whole = np.round(4 * x)
        assert_close(column_sums(table, whole)[0], ref.float64(whole).sum(axis=0), 0, (rows, cols))


@each_table
def test_column_sums_of_many_rows(table: Table) -> None:
    """The error grows far slower than the number of rows."""
    rows, cols = 20_000, 5
    x = np.abs(normal(table, rows, cols))
    want = np.array([math.fsum(column) for column in ref.float64(x).T])
    assert_close(column_sums(table, x)[0], want, (16 + rows / 64) * eps(table) / 2 * want)


@each_table
def test_column_bits(table: Table) -> None:
    """A column's bits are the same whatever columns are summed beside it."""
    for rows in (1, 5, 64, 65, 300):
        x = normal(table, rows, 6 * table.lanes + 3)
        together, _ = column_sums(table, x)
        for j in range(x.shape[1]):
            for width in (1, 2, table.lanes + 1):
                part = x[:, j : j + width]
                assert_same_bits(column_sums(table, part.copy())[0], together[j : j + width], (rows, j, width))


@each_table
def test_column_sums_flag(table: Table) -> None:
    """inf and nan are seen in every column, also where only the sum overflows."""
    cols, largest = 2 * table.lanes + 3, np.finfo(table.dtype).max
    for rows, j, value in product([2, 65], range(cols), [np.inf, np.nan, largest]):
        x = np.zeros((rows, cols), table.dtype)
        x[0, j] = x[-1, j] = value
        expected = np.zeros(cols)
        expected[j] = np.inf if value == largest else value
        y, finite = column_sums(table, x)
        assert not finite, (rows, j, value)
        assert_close(y, expected, 0, (rows, j, value))


@each_table
def test_sum_squares(table: Table) -> None:
    for n in sorted({*lengths(table), *edges(16 * table.lanes), 5000}):
        x = normal(table, n)
        want = math.fsum(v * v for v in ref.float64(x).tolist())
        tolerance = (n / table.lanes + 8) * np.finfo(float).eps  # squares and sums are in float64
        scaled, unit = update.apply_sum_squares(table, x)
        assert scaled == pytest.approx(want, rel=tolerance), n
        assert unit == 1 or not n, n
    for i in range(4 * table.lanes + 1):
        one = np.zeros(4 * table.lanes + 1, table.dtype)
        one[i] = 1e30
        scaled, unit = update.apply_sum_squares(table, one)
        assert scaled * unit**2 == float(one[i]) ** 2, i
        one[i] = np.nan
        assert np.isnan(update.apply_sum_squares(table, one)[0]), i


@each_table
def test_squares_beyond_the_range_of_a_double_have_a_unit(table: Table) -> None:
    """A norm of 5 from 3 and 4, at every power of two: where squares overflow or underflow, and around."""
    low, high = np.log2([np.finfo(table.dtype).tiny, np.finfo(table.dtype).max]).astype(int)
    ones = np.zeros(3 * table.lanes + 2, table.dtype)
    ones[table.lanes], ones[-1] = 3, 4
    for power in range(low, high - 2):
        scaled, unit = update.apply_sum_squares(table, np.ldexp(ones, power))
        mantissa, exponent = math.frexp(scaled)
        root = math.sqrt(math.ldexp(mantissa, exponent % 2))  # √Σ = root 2^half unit, none of which has to be in range
        half = exponent // 2
        assert math.ldexp(root, half + int(math.log2(unit)) - power) == 5, power
    ones[:] = np.finfo(table.dtype).max
    scaled, unit = update.apply_sum_squares(table, ones)
    largest = float(ones[0]) / unit
    assert math.isfinite(scaled) and scaled == pytest.approx(len(ones) * largest**2, rel=1e-15)


@each_table
@pytest.mark.parametrize(("l1", "l2"), [(0.01, 0.0), (0.0, 0.01), (0.3, 0.7)])
def test_regularize(table: Table, l1: float, l2: float) -> None:
    for n in sorted({*lengths(table), *edges(16 * table.lanes), 5000}):
        w, g = normal(table, n), normal(table, n, key="g")
        w[::3] = 0
        value, gradient = ref.regularize(w, l1, l2)
        tolerance = (n / table.lanes + 8) * np.finfo(float).eps
        assert update.apply_regularize(table, l1, l2, w) == pytest.approx(value, rel=tolerance), n
        total = output(table, n, fill=g)
        assert update.apply_regularize(table, l1, l2, w, total.flat) == pytest.approx(value, rel=tolerance), n
        magnitude = np.abs(g) + 2 * np.abs(gradient)
        assert_close(total.written()[0], ref.float64(g) + gradient, 2 * eps(table) * magnitude, n)
