"""Clipping by norm in whole training steps, against steps worked out by hand, at every scale of the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import use_isa
from numpy.typing import NDArray

import nncore as nn
from nncore.execution import team

Array = NDArray[Any]

WIDE = 40_000  # weights: three chunks of the norms
FIRST, SECOND = 5, 20_000  # in chunks of their own

#: dtype, the two elements of the gradient that are not 0, the limit of the norm, and the two of the step
SCALES = [
    ("float64", (3.0, 4.0), 10.0, (3.0, 4.0)),
    ("float64", (3.0, 4.0), 1.0, (0.6, 0.8)),
    ("float64", (3e200, 4e200), 1.0, (0.6, 0.8)),
    ("float64", (3e300, 4e300), 1e-5, (6e-6, 8e-6)),
    ("float64", (3e307, 4e307), 1e300, (6e299, 8e299)),
    ("float64", (3e-200, 4e-200), 1e-210, (6e-211, 8e-211)),
    ("float64", (3e-200, 4e-200), 1.0, (3e-200, 4e-200)),
    ("float64", (3e-300, 4e-300), 1e-305, (6e-306, 8e-306)),
    ("float64", (3e200, 4e10), 1.0, (1.0, 4e-190 / 3)),
    ("float64", (3e-200, 4e-10), 2e-10, (1.5e-200, 2e-10)),
    ("float64", (3e-200, 4e200), 1e-10, (0.0, 1e-10)),
    ("float64", (3 * 2.0**498, 4 * 2.0**498), 1.0, (0.6, 0.8)),
    ("float64", (3 * 2.0**-451, 4 * 2.0**-451), 2.0**-500, (0.6 * 2.0**-500, 0.8 * 2.0**-500)),
    ("float32", (3.0, 4.0), 1.0, (0.6, 0.8)),
    ("float32", (3e37, 4e37), 1.0, (0.6, 0.8)),
    ("float32", (3e37, 4e37), 1e-6, (6e-7, 8e-7)),
    ("float32", (3e-30, 4e-30), 1e-31, (6e-32, 8e-32)),
]


def step_of(gradient: Array, dtype: str, **clips: float) -> Array:
    """What SGD with learning rate 1 subtracts: the prediction is x W, the loss |x W − y|, so the gradient is x."""
    model = nn.Model(
        [nn.Input(len(gradient)), nn.Dense(1, use_bias=False, kernel_initializer="zeros")], dtype=dtype, n_threads=2
    )
    model.compile(nn.SGD(1.0, **clips), "mae")
    model.train_on_batch(gradient[None], np.full((1, 1), -1.0))
    return -model.get_weights()[0][:, 0]


@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize(("dtype", "gradient", "limit", "step"), SCALES)
def test_clipping_by_norm_at_every_scale(
    isa: str, clip: str, dtype: str, gradient: Any, limit: float, step: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the sum of squares overflows or underflows, in one chunk of the sums or in several."""
    use_isa(isa, monkeypatch)
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    for second in (FIRST + 1, SECOND):
        x, expected = np.zeros((2, WIDE))
        x[[FIRST, second]], expected[[FIRST, second]] = gradient, step
        np.testing.assert_allclose(
            step_of(x, dtype, **{clip: limit}), expected, rtol=4 * np.finfo(dtype).eps, atol=limit * 1e-150
        )


@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.parametrize(("dtype", "each"), [("float64", 1e308), ("float32", 3e38)])
def test_clipping_where_the_norm_itself_overflows(
    isa: str, dtype: str, each: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40,000 equal elements each becomes limit / √40,000."""
    use_isa(isa, monkeypatch)
    for limit in (1.0, 1e-3, 1e3):
        step = step_of(np.full(WIDE, each), dtype, global_clipnorm=limit)
        np.testing.assert_allclose(step, np.full(WIDE, limit / 200), rtol=4 * np.finfo(dtype).eps + 1e-12)
