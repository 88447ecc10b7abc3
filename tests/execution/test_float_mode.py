"""Denormals are 0 in all arithmetic, whatever mode the calling thread is in, which has its own again afterwards."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref
from kernels import ISAS, Array, assert_same_bits, each_table, generator, is_denormal, multiply, output
from libraries import compiled
from networks import use_isa
from test_kernels_update import structs

import nncore as nn
from nncore import products, runtime
from nncore._kernels import elementwise, loss, update
from nncore._kernels.products import Products
from nncore._kernels.table import ACTIVATIONS, LOSS_TARGETS, LOSSES, OPTIMIZERS, PRECISIONS, ROWWISE, STATES, Table
from nncore.execution import team

# The control and status word within fenv_t, its status bits, and modes that another library may have left.
OFFSET, STATUS, MODES = {
    "x86_64": (
        28,
        0x3F,
        {
            "usual": 0x1F80, "flush and zero": 0x9FC0, "flush": 0x9F80, "zero": 0x1FC0, "upwards": 0x5F80,
            "towards zero": 0x7F80, "upwards, flush and zero": 0xDFC0, "trapping": 0x1900,
        },
    ),
    "aarch64": (0, 0, {"usual": 0, "flush and zero": 1 << 24, "upwards": 1 << 22, "towards zero": 3 << 22}),
}.get(platform.machine(), (0, 0, {}))  # fmt: skip

pytestmark = pytest.mark.skipif(not MODES, reason="nncore sets no mode on this machine")
each_mode = pytest.mark.parametrize("mode", MODES)
QUIET = [mode for mode in MODES if mode != "trapping"]  # in which Python and NumPy work as ever: 0 / 0 is no signal
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
LOW = {"float32": -44, "float64": -322}  # decades


def word() -> int:
    """The calling thread's mode, flags of past operations included."""
    environment = (ctypes.c_ubyte * 512)()
    ctypes.CDLL("libm.so.6").fegetenv(environment)
    return int.from_bytes(bytes(environment[OFFSET : OFFSET + 4]), "little")


def set_word(mode: int) -> None:
    libm, environment = ctypes.CDLL("libm.so.6"), (ctypes.c_ubyte * 512)()
    libm.fegetenv(environment)
    environment[OFFSET : OFFSET + 4] = mode.to_bytes(4, "little")
    libm.fesetenv(environment)


@contextmanager
def calling(mode: int) -> Iterator[None]:
    before = word()
    set_word(mode)
    try:
        yield
    finally:
        set_word(before)


def all_sizes(dtype: str, *shape: int, key: object = None) -> Array:
    """Of either sign and all sizes up to 1: a third of them denormal or nearly so."""
    rng = generator(dtype, shape, key)
    normal_end = math.log10(np.finfo(dtype).tiny)
    decades = np.where(
        rng.random(shape) < 1 / 3, rng.uniform(LOW[dtype], normal_end + 1, shape), rng.uniform(normal_end, 0, shape)
    )
    return (rng.choice([-1.0, 1.0], shape) * 10.0**decades).astype(dtype)


def test_the_cases_hold_denormals() -> None:
    for dtype in LOW:
        assert 0.1 < is_denormal(all_sizes(dtype, 1000)).mean() < 0.4


# ---- kernels: what is denormal counts as 0 of its sign, and nothing denormal comes out (kernels.Output) --------------


def kernels(table: Table) -> dict[str, tuple[Callable[..., Any], list[Array]]]:
    """Functions of arrays that call each kind of kernel, with arrays that have denormals; the results are arrays."""
    n, dtype = 5 * table.lanes + 3, table.dtype
    a, b, c = (all_sizes(dtype, 7, n, key=k) for k in range(3))
    ones, labels = np.ones_like(a), (np.arange(7) % n).astype("int32")
    found: dict[str, tuple[Callable[..., Any], list[Array]]] = {}

    def elements(function: Callable[..., Any], *options: Any) -> Callable[..., list[Array]]:
        def call(*arrays: Array) -> list[Array]:
            y = output(table, 7, n)
            function(table, *arrays, y.flat, *options)
            return [y.written()]

        return call

    def loss_of(name: str) -> Callable[..., list[Array]]:
        def call(p: Array, t: Array) -> list[Array]:
            width = n - n % 2 if LOSS_TARGETS[name] == "HALF" else n
            grad = output(table, 7, width)
            target = labels if LOSS_TARGETS[name] == "LABELS" else t
            columns = np.full(n, 0.5, table.dtype) if LOSS_TARGETS[name] == "ONE" else None
            settings: Any = {"scale": 1 / 7, "parameters": (0.5,), "grad": grad.flat, "columns": columns}
            value = loss.apply_rows(table, "loss", name, p, target, 7, width, **settings)
            return [np.array([value]), grad.written()]

        return call

    def update_of(name: str, rule: ref.Rule) -> Callable[..., list[Array]]:
        def call(w: Array, g: Array, *states: Array) -> list[Array]:
            outputs = [output(table, 7, n, fill=x) for x in (w, *states)]
            update.apply_update(table, name, outputs[0].flat, g, [x.flat for x in outputs[1:]], *structs(name, rule, 3))
            return [x.written() for x in outputs]

        return call

    for name in ACTIVATIONS:
        p = ref.settings_of(name)[0]
        found[name] = elements(lambda t, z, y, name=name, p=p: elementwise.apply_activation(t, name, z, y, p)), [a]
        backward = elements(
            lambda t, k, d, y, name=name, p=p: elementwise.apply_activation_backward(t, name, k, d, y, p)
        )
        found[f"{name}, backward"] = backward, [a, b]
    del found["linear"], found["linear, backward"]  # copies
    for name in ROWWISE.keys() - {"glu"}:  # which halves its rows
        found[name] = elements(lambda t, z, y, name=name: elementwise.apply_rowwise(t, name, z, y, 7)), [a]
        backward = elements(lambda t, k, d, y, name=name: elementwise.apply_rowwise_backward(t, name, k, d, y, 7))
        found[f"{name}, backward"] = backward, [np.abs(a), b]
    found["add"] = elements(elementwise.apply_add), [a, b]
    found["multiply"] = elements(elementwise.apply_multiply), [a, b]
    found["rescale"] = elements(elementwise.apply_rescale, 0.5, 0.0), [a]
    found["dropout"] = elements(elementwise.apply_dropout, 0.25, 0, 1, 2), [a]
    for name in LOSSES:
        found[name] = loss_of(name), [np.abs(a), np.abs(b)]
    for name in OPTIMIZERS.keys() - {"adafactor"}:  # which has no rule of elements
        for rule in (ref.Rule(), ref.Rule(momentum=0.9, weight_decay=0.1), ref.Rule(momentum=0.9, centered=True)):
            states = [c, np.abs(all_sizes(dtype, 7, n, key=3)), all_sizes(dtype, 7, n, key=4)]
            squares = name in ("rmsprop", "adagrad", "adadelta", "ftrl")
            states[0] = np.abs(states[0]) if squares else states[0]
            used = {"sgd": 1 if rule.momentum else 0, "adam": 2, "rmsprop": 1 + (rule.momentum > 0) + rule.centered}
            used = used.get(name, len(STATES[name]))
            found[f"{name} {rule}"] = update_of(name, rule), [a, b, *states[:used]]
    for precision in PRECISIONS:
        found[f"product, {precision}"] = (
            lambda x, w, p=precision: [multiply(table, x, np.ascontiguousarray(w.T), precision=p)], [a, b]
        )  # fmt: skip
    found["product with a bias"] = (
        lambda x, w, bias: [multiply(table, x, np.ascontiguousarray(w.T), bias=bias[0, :7].copy())], [a, ones, c]
    )  # fmt: skip
    found["sum of squares"] = lambda x: [np.array([update.apply_sum_squares(table, x)])], [a]

    def penalty(w: Array, g: Array) -> list[Array]:
        y = output(table, 7, n, fill=g)
        return [np.array([update.apply_regularize(table, 0.3, 0.2, w, y.flat)]), y.written()]

    def sums(x: Array) -> list[Array]:
        y = output(table, n)
        update.apply_column_sums(table, x, y.flat, 7, n)
        return [y.written()]

    found["penalty"], found["column sums"] = (penalty, [a, b]), (sums, [a])
    return found


@each_table
def test_denormal_operands_are_zeros(table: Table) -> None:
    for name, (kernel, arrays) in kernels(table).items():
        assert any(is_denormal(x).any() for x in arrays), name
        for got, want in zip(kernel(*arrays), kernel(*(ref.flush(x, x.dtype) for x in arrays)), strict=True):
            assert_same_bits(got, want, name)


@each_table
def test_results_do_not_depend_on_the_callers_mode(table: Table) -> None:
    for name, (kernel, arrays) in kernels(table).items():
        wanted = kernel(*arrays)
        for mode in MODES:
            with calling(MODES[mode]):
                got = kernel(*arrays)
            for a, b in zip(got, wanted, strict=True):
                assert_same_bits(a, b, (name, mode))


@each_table
@each_mode
def test_a_kernel_gives_the_callers_word_back(table: Table, mode: str) -> None:
    """All of it: also the flags of past operations, where an exponential that overflows would raise some."""
    x, y = np.full(70, 1e30, table.dtype), np.empty(70, table.dtype)
    square, out, many = x[:64].reshape(8, 8).copy(), y[:64].reshape(8, 8), Products(table, table)
    for flags in {0, STATUS}:
        with calling(MODES[mode] | flags if mode != "trapping" else MODES[mode]):
            before = word()
            elementwise.apply_function(table, "exp", x, y)
            after = word()
            many.multiply(square, square, out, 0, lambda: 1, 0.0)
            last = word()
        assert (before, after, last) == (before,) * 3


# ---- optimizers: what a dead unit leaves behind reaches 0 ------------------------------------------------------------


@each_table
@pytest.mark.parametrize(
    ("name", "rule", "start", "factors"),
    [
        ("sgd", ref.Rule(momentum=0.9), [0.01], [0.9]),
        ("sgd", ref.Rule(momentum=0.9, nesterov=True), [0.01], [0.9]),
        ("adam", ref.Rule(beta_2=0.99), [0.1, 0.01], [0.9, 0.99]),
        ("rmsprop", ref.Rule(rho=0.95), [0.05], [0.95]),
        ("rmsprop", ref.Rule(momentum=0.8, centered=True), [0.1, 0.4, 0.1], [0.9, 0.9, 0.9]),
    ],
)
def test_the_state_of_dead_units_reaches_0(
    table: Table, name: str, rule: ref.Rule, start: list[float], factors: list[float]
) -> None:
    """After one gradient and then none: in the steps that a geometric decay takes to the smallest normal number."""
    arrays = [np.ones(3, table.dtype), *(np.zeros(3, table.dtype) for _ in start)]
    ends = [
        math.ceil(math.log(first / float(np.finfo(table.dtype).tiny)) / -math.log(factor)) + 3
        for first, factor in zip(start, factors, strict=True)
    ]
    for step in range(1, max(ends) + 2):
        g = np.full(3, 1.0 if step == 1 else 0.0, table.dtype)
        update.apply_update(table, name, arrays[0], g, arrays[1:], *structs(name, rule, step))
        for state, end in zip(arrays[1:], ends, strict=True):
            assert not is_denormal(state).any(), step
            assert state.all() or step > 100, step
            assert not state.any() or step <= end + 1, (step, state)


# ---- models ----------------------------------------------------------------------------------------------------------


def numbers_of_all_sizes(dtype: str, threads: int, mode: int) -> dict[str, Array]:
    """What a model computes that is called in a mode; the data are made in the usual one."""
    x, w = all_sizes(dtype, 203, 9), all_sizes(dtype, 9, 40, key="w")
    y = (np.arange(203) % 3).astype("int32")
    layers = [nn.Dense(40, "elu"), nn.Dropout(0.2), nn.Dense(33, "relu"), nn.Dense(3, "softmax")]
    model = nn.Model([nn.Input(9), *layers], seed=1, n_threads=threads, dtype=dtype)
    model.compile(nn.Adam(0.01, weight_decay=1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    first, *others = model.get_weights()
    model.set_weights([all_sizes(dtype, *first.shape, key="first"), *others])
    gathered = x[:, ::-1].copy()[:, ::-1]  # cannot be read in place
    with calling(mode):
        found = {"before": model.predict(x, verbose=0)}
        model.fit(x, y, epochs=2, batch_size=24, verbose=0)
        for i in range(20):  # Adam's moments decay
            model.train_on_batch(0 * x[:50] if i else x[:50], y[:50])
        found |= {"after": model.predict(x, verbose=0), "gathered": model.predict(gathered, verbose=0)}
        found |= {"row": model(x[5:6]), "product": nn.matmul(x, w)}
        evaluated = model.evaluate(x, y, verbose=0)
    found["evaluated"] = np.array(evaluated, np.float32)  # Python has divided the sums, in the caller's mode
    return found | {str(i): a for i, a in enumerate(model.get_weights())}


def small_numbers(dtype: str, threads: int, mode: int) -> dict[str, Array]:
    """The same where all that counts lies around the smallest normal number, and there is work for all threads."""
    tiny, rng = float(np.finfo(dtype).tiny), generator(dtype)
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in ((203, 150), (150, 600)))
    w *= np.dtype(dtype).type(tiny)
    y, given = (np.arange(203) % 3).astype("int32"), nn.Input(150)
    tail = {"predicted": [nn.Rescaling(1 / tiny)], "trained": [nn.Dense(3, "softmax")]}
    made = {k: nn.Model([given, nn.Dense(600), *v], seed=1, n_threads=threads, dtype=dtype) for k, v in tail.items()}
    for model in made.values():
        model.set_weights([w, *model.get_weights()[1:]])
    trained = made["trained"]
    trained.compile(nn.SGD(4 * tiny, momentum=0.9), "sparse_categorical_crossentropy")
    with calling(mode):
        found = {"predicted": made["predicted"].predict(x, verbose=0), "row": made["predicted"](x[5:6])}
        trained.fit(x, y, epochs=2, batch_size=50, verbose=0)
        found["product"] = nn.matmul(x, w)
    return found | {str(i): a for i, a in enumerate(trained.get_weights())}


@pytest.mark.parametrize("isa", ISAS)
@each_dtype
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("results", [numbers_of_all_sizes, small_numbers])
def test_models_do_not_depend_on_the_callers_mode(
    isa: str, dtype: str, threads: int, results: Callable[..., dict[str, Array]], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_isa(isa, monkeypatch)
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    monkeypatch.setattr(products, "PARALLEL_FLOPS", 0)
    monkeypatch.setattr(products, "_products", Products(runtime.kernels("float32"), runtime.kernels("float64")))
    monkeypatch.setattr(runtime, "_threads", threads)
    wanted = results(dtype, 1, MODES["usual"])
    for name, want in wanted.items():
        assert np.isfinite(want).all() and not is_denormal(want).any(), name
    for mode in QUIET:
        for name, got in results(dtype, threads, MODES[mode]).items():
            assert_same_bits(got, wanted[name], (mode, name))


@pytest.mark.parametrize("mode", QUIET)
@pytest.mark.parametrize("threads", [1, 3])
def test_the_caller_stays_in_its_mode(mode: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each call, also of one that raises, and inside callbacks."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    monkeypatch.setattr(products, "PARALLEL_FLOPS", 0)
    monkeypatch.setattr(runtime, "_threads", threads)
    x, y, seen = np.ones((90, 9), np.float32), np.arange(90) % 3, []
    bad = x.copy()
    bad[70, 2] = np.nan

    def look(*_: Any) -> None:
        seen.append(word() & ~STATUS)

    model = nn.Model([nn.Input(9), nn.Dense(40, "gelu"), nn.Dense(3, "softmax")], seed=1, n_threads=threads)
    model.compile("adam", "sparse_categorical_crossentropy")
    listener = nn.callbacks.LambdaCallback(on_epoch_end=look, on_train_batch_end=look)
    with calling(MODES[mode]):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[listener])
        calls: list[Callable[[], Any]] = [
            lambda: model.evaluate(x, y, verbose=0), lambda: model.predict(x), lambda: model(x[:1]),
            lambda: model.train_on_batch(x, y), lambda: nn.matmul(x, x.T), lambda: model.fit(bad, y, verbose=0),
            lambda: model.predict(x[:, :5]), lambda: model.fit(x, y + 1, verbose=0), lambda: nn.matmul(x, x),
        ]  # fmt: skip
        raised = 0
        for call in calls:
            try:
                call()
            except ValueError:
                raised += 1
            look()
    assert raised == 4
    assert seen == [MODES[mode]] * len(seen) and len(seen) > len(calls)


POOL = """
#include <fenv.h>
#include <omp.h>
#include <string.h>
/* the modes of the threads that a region of the caller has, at `offset` of fenv_t */
int modes(int n, int offset, unsigned *found) {
    int threads = 0;
#pragma omp parallel num_threads(n)
    {
        fenv_t environment;
        fegetenv(&environment);
        memcpy(&found[omp_get_thread_num()], (char *)&environment + offset, 4);
        fesetenv(&environment);
#pragma omp single
        threads = omp_get_num_threads();
    }
    return threads;
}
"""


def look_at_the_pool(library: str) -> None:
    """Print the modes of a region's threads, the caller's first, after a fit in the usual mode and one in another."""
    pool, found = ctypes.CDLL(library), (ctypes.c_uint * 3)()
    team.PARALLEL_FLOPS = 0
    x, y = np.ones((90, 9), np.float32), np.arange(90) % 3
    model = nn.Model([nn.Input(9), nn.Dense(40), nn.Dense(3, "softmax")], seed=1, n_threads=3)
    model.compile("adam", "sparse_categorical_crossentropy")
    for mode in ("usual", "flush and zero"):
        with calling(MODES[mode]):
            model.fit(x, y, verbose=0)
            model.predict(x, verbose=0)
            threads = pool.modes(3, OFFSET, found)
        print(threads, *(f & ~STATUS for f in found))


def test_the_runtimes_threads_stay_in_their_mode(tmp_path: Path) -> None:
    """They serve other libraries as well: those that a fit makes have its caller's mode, whatever a later one's.

    In a process of its own, whose threads no other test has made.
    """
    if runtime.config()["openmp"] != "libgomp.so.1":
        pytest.skip("a pool of another runtime cannot be looked at")
    library = compiled(tmp_path, "pool", POOL, "-fopenmp", "-lm")
    code = f"import test_float_mode as t; t.look_at_the_pool({library!r})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    usual = MODES["usual"]
    expected = [[3, usual, usual, usual], [3, MODES["flush and zero"], usual, usual]]
    assert [list(map(int, line.split())) for line in done.stdout.splitlines()] == expected
