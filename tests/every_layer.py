"""A model with a layer of every kind, and what training and predictions make of it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from kernels import assert_same_bits
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]

ROWS = 230


def every_layer(threads: int = 1, dtype: str = "float32", seed: int = 5) -> nn.Model:
    """All kinds of layers, large enough that each operation is cut into parts, two of them in chunks of the update."""
    x = nn.Input((4, 24))
    h = nn.Dense(50, "gelu", kernel_regularizer="l2")(nn.Rescaling(0.5, 0.1)(x))
    a, b = nn.Dense(50, "relu")(h), nn.Activation("tanh")(h)
    joined = nn.Concatenate(axis=1)([nn.Add()([a, b]), nn.Multiply()([a, b, h])])
    wide = nn.Dropout(0.3)(nn.Flatten()(joined))  # 400
    folded = nn.Reshape((10, -1))(nn.Dense(110, "silu", bias_regularizer="l1")(wide))
    soft = nn.Concatenate()([folded, nn.Dense(3, "softmax")(folded)])
    last = nn.Dense(10, "softmax")(nn.Dropout(0.1)(nn.Flatten()(soft)))
    return nn.Model(x, last, seed=seed, n_threads=threads, dtype=dtype)


def data(rows: int = ROWS) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 4, 24)).astype(np.float32), rng.integers(0, 10, rows), rng.random(rows)


def results(model: nn.Model, **kwargs: Any) -> list[Array]:
    """All that a training leaves: weights, state, history, evaluation, prediction."""
    x, y, w = data()
    history = model.fit(x, y, epochs=2, verbose=0, **{"batch_size": 100, "sample_weight": w} | kwargs).history
    figures = [v for values in history.values() for v in values]
    figures += np.ravel(model.evaluate(x, y, verbose=0, sample_weight=w)).tolist()
    return [
        *model.get_weights(),
        *(model.optimizer_state[name] for name in sorted(model.optimizer_state)),
        np.array(figures),
        model.predict(x),
    ]


def assert_all_same(found: list[Array], wanted: list[Array], what: object) -> None:
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert_same_bits(a, b, (what, i))
        assert np.isfinite(a).all()


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    here = os.pathsep.join(map(str, [Path(nn.__file__).parents[1], *Path(__file__).parents[:2]]))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": here} | environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
