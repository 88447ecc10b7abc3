"""Models at lower precisions: what they compute, and the same bits as ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import reference as ref
from kernels import assert_same_bits
from precisions import LOSS, RNG, Array, X, Y, assert_all_same, has_copies, one_step, stack

import nncore as nn
from nncore import runtime
from nncore.callbacks import BackupAndRestore, LambdaCallback


def branches(precision: str, threads: int = 1, optimizer: Any = None) -> nn.Model:
    """Two kernels that share an input, which needs no gradient; several rows per sample."""
    x = nn.Input((5, 170))
    joined = nn.Add()([nn.Dense(137, "gelu")(x), nn.Dense(137, "silu")(x)])
    last = nn.Dense(10, "softmax")(nn.Dense(50, "elu")(nn.Flatten()(nn.Dropout(0.2)(joined))))
    made = nn.Model(x, last, seed=3, n_threads=threads)
    made.compile(nn.SGD(0.1) if optimizer is None else optimizer, LOSS, matmul_precision=precision)
    return made


WIDE = RNG.standard_normal((150, 5, 170)).astype(np.float32)
MODELS: dict[str, tuple[Callable[..., nn.Model], Array]] = {"stack": (stack, X), "branches": (branches, WIDE)}


def distance(found: list[Array], wanted: list[Array]) -> float:
    """The largest ‖a − b‖ / ‖b‖."""
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(found, wanted, strict=True))


# -- what is computed ----------------------------------------------------------------------------------------------


def forward(made: nn.Model, x: Array, rounding: Callable[[Array], Array]) -> Array:
    """A stack of Dense layers in float64, operands of products that are large enough rounded first."""
    y: Array = ref.float64(x)
    for layer in made.layers:
        W, *b = (ref.float64(w) for w in layer.get_weights())
        large = W.shape[0] >= 32 and W.shape[1] >= 16
        z = (rounding(y) @ rounding(W) if large else y @ W) + (b[0] if b else 0)
        y = networks.activated(layer.activation, z)
    return y


def test_prediction_is_of_rounded_operands(precision: str) -> None:
    made = stack(precision)
    networks.randomize(made, scale=0.06)
    p, exact = made.predict(X), forward(made, X, ref.float64)
    arithmetic = runtime.kernels("float32").arithmetic(precision)
    error = np.linalg.norm(p - exact) / np.linalg.norm(exact)
    if arithmetic == "bfloat16":  # an activation within its error of a tie may be rounded the other way
        assert np.linalg.norm(p - forward(made, X, ref.bfloat16)) < 0.05 * np.linalg.norm(p - exact)
        assert error < 1e-2
    else:
        assert error < (1e-5 if arithmetic == "split bfloat16" else 1e-6)


@pytest.mark.parametrize("which", MODELS)
def test_gradients_and_training_are_close(precision: str, which: str) -> None:
    make, x = MODELS[which]
    models = [make(name, optimizer=nn.SGD(1.0)) for name in ("highest", precision)]
    (loss, exact), (value, found) = (networks.gradients(made, x[:96], Y[:96]) for made in models)
    limit = {"high": 2e-5, "medium": 1e-2}[precision]
    assert value == pytest.approx(loss, rel=limit / 5)
    assert distance(found, exact) < limit
    if has_copies(precision):
        assert any(not np.array_equal(a, b) for a, b in zip(found, exact, strict=True))
    models = [make(name, optimizer=nn.Adam(1e-3)) for name in ("highest", precision)]
    exact_loss, loss = (made.fit(x, Y, epochs=6, verbose=0).history["loss"] for made in models)
    assert loss == pytest.approx(exact_loss, rel=limit / 5)
    assert loss[-1] < 0.8 * loss[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_change_where_there_is_no_such_arithmetic(precision: str, dtype: str) -> None:
    """float64 models, and instruction sets without bfloat16, compute as ever."""
    if dtype == "float32" and has_copies(precision):
        assert stack(precision).graph.packed is not None
        return
    found = [
        one_step(stack(name, optimizer=nn.Adam(global_clipnorm=0.1), dtype=dtype)) for name in ("highest", precision)
    ]
    assert_all_same(found[1], found[0])


def test_summary_says_what_is_computed(precision: str, tmp_path: Path) -> None:
    """Of a new model, of one that was compiled, of its file, and of float64, which has one arithmetic only."""

    def last_line(made: nn.Model) -> str:
        said: list[str] = []
        made.summary(print_fn=said.append)
        return said[0].splitlines()[-1]

    made, arithmetic = stack(precision), runtime.kernels("float32").arithmetic(precision)
    large = " where large enough" if has_copies(precision) else ""
    assert last_line(made) == f'Products: {arithmetic}{large} (matmul_precision="{precision}")'
    assert (arithmetic == "float32") == (made.graph.packed is None)
    made.save(tmp_path / "model")
    assert last_line(nn.load_model(tmp_path / "model")) == last_line(made)
    assert last_line(stack(precision, dtype="float64")) == f'Products: float64 (matmul_precision="{precision}")'
    made.compile()
    assert last_line(made) == last_line(nn.Model([nn.Input(3), nn.Dense(1)]))
    assert last_line(made) == 'Products: float32 (matmul_precision="highest")'


# -- bits ----------------------------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: nn.SGD(0.05, momentum=0.9, nesterov=True, clipvalue=0.01),
    "adam-clipnorm": lambda: nn.Adam(0.003, clipnorm=0.1),
    "adamw-global": lambda: nn.AdamW(0.003, global_clipnorm=0.2),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("which", MODELS)
def test_threads(precision: str, which: str, optimizer: str) -> None:
    """The last batch, of 22 rows, is too small for products of bfloat16."""
    make, x = MODELS[which]
    wanted: list[Array] = []
    for threads in (1, 1, 2, 3, 5):
        made = make(precision, threads, OPTIMIZERS[optimizer]())
        history = made.fit(x, Y, batch_size=64, epochs=2, verbose=0).history
        states = [made.optimizer_state[name] for name in sorted(made.optimizer_state)]
        found = [*made.get_weights(), *states, np.array(list(history.values())), made.predict(x)]
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.parametrize("which", MODELS)
def test_rows(precision: str, which: str) -> None:
    """A row has the same bits alone, in any batch, and on any number of threads."""
    make, x = MODELS[which]
    made = make(precision)
    networks.randomize(made, scale=0.1)
    whole = made.predict(x)
    for i, j in [*((i, i + 1) for i in range(0, 150, 13)), (0, 2), (3, 17), (1, 34), (20, 149), (149, 150)]:
        assert_same_bits(made.predict(x[i:j]), whole[i:j], (i, j))
        assert_same_bits(made(x[i:j]), whole[i:j], (i, j))
    for threads in (2, 3, 5):
        team = make(precision, threads)
        team.set_weights(made.get_weights())
        assert_same_bits(team.predict(x), whole, threads)
        assert_same_bits(team.predict(x[7:48]), whole[7:48], threads)


def test_resume(precision: str, tmp_path: Path) -> None:
    """A fit that is killed and run again in a new process has the bits of one that never was."""
    found = []
    for kills in ([], [2, 5]):
        for after in [*kills, 10**9]:
            made = stack(precision, optimizer=nn.Adam(clipnorm=0.5))

            def kill(batch: int, logs: Any, left: list[int] = [after]) -> None:  # noqa: B006
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt

            callbacks = [
                BackupAndRestore(tmp_path / str(len(kills)), save_freq=2),
                LambdaCallback(on_train_batch_end=kill),
            ]
            try:
                history = made.fit(X, Y, batch_size=40, epochs=3, verbose=0, callbacks=callbacks).history
            except KeyboardInterrupt:
                continue
        found.append([*made.get_weights(), np.array(list(history.values())), made.predict(X)])
    assert_all_same(*found)


@pytest.mark.parametrize("equation", ["abc,cde->abde", "abc,dec->abde"])
def test_kernels_of_more_than_two_axes(precision: str, equation: str) -> None:
    """A kernel (c,d,e) is a matrix (c,d e) to the product and to its packed copies, before and after an update.

    Likewise one (d,e,c), of which the product reads the transpose.
    """
    rng = np.random.default_rng(3)
    x = rng.standard_normal((20, 4, 128)).astype(np.float32)
    symbol = nn.Input((4, 128))
    y = nn.EinsumDense(equation, (None, 8, 16))(symbol)
    model = nn.Model(symbol, y, seed=2, n_threads=2)
    model.compile(nn.SGD(0.01), "mse", matmul_precision=precision)
    for _ in range(2):
        [w] = model.get_weights()
        wide = np.einsum(equation, x.astype(np.float64), w)
        error = {"high": 2e-5, "medium": 2e-2}[precision]
        assert abs(model.predict(x, verbose=0) - wide).max() <= error * abs(wide).max()
        model.fit(x, np.zeros_like(wide), batch_size=20, verbose=0)
