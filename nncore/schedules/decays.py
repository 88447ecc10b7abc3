"""Schedules of one formula: those of Keras, with its arguments, and the one-cycle policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore.arguments import check_count, check_flag, check_number
from nncore.schedules.base import SCHEDULES, Array, LearningRateSchedule


def finite(value: Any, argument: str) -> float:
    """`value` as a finite number."""
    return float(check_number(value, argument, "a finite number", math.isfinite))


def steps(value: Any, argument: str, least: float = 0.0) -> float:
    """`value` as a number of steps above `least`."""
    return check_number(
        value, argument, f"a number of steps > {least:g}", lambda v: least < v < math.inf, "it counts updates"
    )


def cosine(fraction: Array, alpha: float) -> Array:
    """From 1 at 0 to `alpha` at 1, by half a period of a cosine."""
    return (1 - alpha) * 0.5 * (1 + np.cos(math.pi * fraction)) + alpha


@SCHEDULES.register()
class ExponentialDecay(LearningRateSchedule):
    """η₀ rate^(t / T).

    Parameters
    ----------
    initial_learning_rate : float
        η₀.
    decay_steps : float
        T > 0.
    decay_rate : float
        rate > 0: the factor of T steps.
    staircase : bool, default False
        Take ⌊t / T⌋ for t / T.
    name : str
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = finite(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = steps(decay_steps, "decay_steps")
        self.decay_rate = finite(decay_rate, "decay_rate")
        self.staircase = check_flag(staircase, "staircase")
        self.name = name

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        passed = step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (np.floor(passed) if self.staircase else passed)


@SCHEDULES.register("PiecewiseConstant")
class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] for the steps beyond boundaries[i − 1], up to boundaries[i].

    Parameters
    ----------
    boundaries : list of float
        Steps, rising. A boundary is the last step of its value.
    values : list of float
        One more than boundaries.
    name : str
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        self.boundaries, self.values, self.name = list(boundaries), list(values), name
        for argument in ("boundaries", "values"):
            for number in getattr(self, argument):
                finite(number, argument)
        if len(self.boundaries) != len(self.values) - 1:
            raise ValueError(
                f"boundaries: expected one less than values, of which there are {len(self.values)}, got "
                f"{len(self.boundaries)}; each value ends at its boundary, the last one never"
            )
        if self.boundaries != sorted(self.boundaries):
            raise ValueError(f"boundaries: expected rising steps, got {self.boundaries}; sort them with their values")

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        return np.array(self.values, float)[np.searchsorted(np.array(self.boundaries, float), step, side="left")]


@SCHEDULES.register()
class PolynomialDecay(LearningRateSchedule):
    """(η₀ − η₁) (1 − t / T)^power + η₁, and η₁ from T on.

    Parameters
    ----------
    initial_learning_rate : float
        η₀.
    decay_steps : float
        T > 0.
    end_learning_rate : float, default 1e-4
        η₁.
    power : float, default 1.0
    cycle : bool, default False
        Beyond T start again, each time with T multiplied: T is then the least multiple of `decay_steps` that is not
        below t.
    name : str
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = finite(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = steps(decay_steps, "decay_steps")
        self.end_learning_rate = finite(end_learning_rate, "end_learning_rate")
        self.power = finite(power, "power")
        self.cycle = check_flag(cycle, "cycle")
        self.name = name

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        span = self.decay_steps * (np.maximum(np.ceil(step / self.decay_steps), 1) if self.cycle else 1)
        left = 1 - np.minimum(step, span) / span
        return (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate


@SCHEDULES.register()
class InverseTimeDecay(LearningRateSchedule):
    """η₀ / (1 + rate t / T).

    Parameters
    ----------
    initial_learning_rate : float
        η₀.
    decay_steps : float
        T > 0.
    decay_rate : float
    staircase : bool, default False
        Take ⌊t / T⌋ for t / T.
    name : str
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = finite(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = steps(decay_steps, "decay_steps")
        self.decay_rate = finite(decay_rate, "decay_rate")
        self.staircase = check_flag(staircase, "staircase")
        self.name = name

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        passed = step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (np.floor(passed) if self.staircase else passed))


@SCHEDULES.register()
class CosineDecay(LearningRateSchedule):
    """η₀ ((1 − α) (1 + cos(π t / T)) / 2 + α), and α η₀ from T on; with a warm-up, that from its end on.

    Parameters
    ----------
    initial_learning_rate : float
        η₀, or where the warm-up starts.
    decay_steps : float
        T > 0, counted from the end of the warm-up.
    alpha : float, default 0.0
        α: what is left in the end.
    name : str
    warmup_target : float, optional
        What takes the place of η₀ after the warm-up, in which the number goes there on a straight line.
    warmup_steps : float, default 0
        Of the warm-up; without a target there is none.

    References
    ----------
    I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts, ICLR 2017, arXiv:1608.03983.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = finite(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = steps(decay_steps, "decay_steps")
        self.alpha = finite(alpha, "alpha")
        self.name = name
        self.warmup_target = None if warmup_target is None else finite(warmup_target, "warmup_target")
        self.warmup_steps = steps(warmup_steps, "warmup_steps", -1)

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        if self.warmup_target is None:
            return self.initial_learning_rate * cosine(np.minimum(step / self.decay_steps, 1), self.alpha)
        passed = np.clip((step - self.warmup_steps) / self.decay_steps, 0, 1)
        rising = (self.warmup_target - self.initial_learning_rate) * (step / max(self.warmup_steps, 1))
        decayed = self.warmup_target * cosine(passed, self.alpha)
        return np.where(step < self.warmup_steps, self.initial_learning_rate + rising, decayed)


@SCHEDULES.register()
class CosineDecayRestarts(LearningRateSchedule):
    """Periods of a cosine, each from its peak to α: η₀ ((1 − α) mᵢ (1 + cos(π f)) / 2 + α).

    f is the part of period i that has passed, mᵢ = m_mulⁱ, and period i has T t_mulⁱ steps.

    Parameters
    ----------
    initial_learning_rate : float
        η₀.
    first_decay_steps : float
        T > 0.
    t_mul : float, default 2.0
        Factor of a period to the one before, ≥ 1.
    m_mul : float, default 1.0
        Factor of its peak.
    alpha : float, default 0.0
        α.
    name : str

    References
    ----------
    I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts, ICLR 2017, arXiv:1608.03983.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = finite(initial_learning_rate, "initial_learning_rate")
        self.first_decay_steps = steps(first_decay_steps, "first_decay_steps")
        self.t_mul = check_number(t_mul, "t_mul", "a number ≥ 1", lambda v: 1 <= v < math.inf, "periods do not shrink")
        self.m_mul = finite(m_mul, "m_mul")
        self.alpha = finite(alpha, "alpha")
        self.name = name

    def starts(self, period: Array) -> Array:
        """Where periods begin, in units of the first."""
        return period if self.t_mul == 1 else (self.t_mul**period - 1) / (self.t_mul - 1)

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        passed = step / self.first_decay_steps
        if self.t_mul == 1:
            period = np.floor(passed)
        else:
            period = np.floor(np.log1p(passed * (self.t_mul - 1)) / math.log(self.t_mul))
            # the logarithm may be a bit off where a period begins
            period = period + (passed >= self.starts(period + 1)) - (passed < self.starts(period))
        fraction = (passed - self.starts(period)) / self.t_mul**period
        peak = self.m_mul**period
        return self.initial_learning_rate * ((1 - self.alpha) * peak * cosine(fraction, 0.0) + self.alpha)


@SCHEDULES.register()
class OneCycle(LearningRateSchedule):
    """Up to a maximum and down again, below where it began, each on half a period of a cosine; there it stays.

    From η / initial_divisor at step 0 to η at step warmup_fraction · total_steps − 1, and from there to
    η / (initial_divisor · final_divisor) at step total_steps − 1. PyTorch's OneCycleLR, without its momentum.

    Parameters
    ----------
    max_learning_rate : float
        η.
    total_steps : float
        > 1.
    warmup_fraction : float, default 0.3
        In (0, 1); PyTorch calls it pct_start.
    initial_divisor, final_divisor : float, default 25.0, 1e4
        > 0; PyTorch calls them div_factor and final_div_factor.
    anneal : {"cosine", "linear"}, default "cosine"
        On what curve.
    name : str

    References
    ----------
    L. N. Smith, N. Topin: Super-convergence: very fast training of neural networks using large learning rates,
    arXiv:1708.07120.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: float,
        warmup_fraction: float = 0.3,
        initial_divisor: float = 25.0,
        final_divisor: float = 1e4,
        anneal: str = "cosine",
        name: str = "OneCycle",
    ) -> None:
        def positive(value: Any, argument: str) -> float:
            return check_number(value, argument, "a number > 0", lambda v: 0 < v < math.inf, "it divides")

        self.max_learning_rate = finite(max_learning_rate, "max_learning_rate")
        self.total_steps = steps(total_steps, "total_steps", 1)
        self.warmup_fraction = check_number(
            warmup_fraction, "warmup_fraction", "a number in (0, 1)", lambda v: 0 < v < 1, "it is a part of the steps"
        )
        self.initial_divisor = positive(initial_divisor, "initial_divisor")
        self.final_divisor = positive(final_divisor, "final_divisor")
        if anneal not in ("cosine", "linear"):
            raise ValueError(f"anneal: expected 'cosine' or 'linear', got {anneal!r}")
        self.anneal, self.name = anneal, name

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        top, start = self.max_learning_rate, self.max_learning_rate / self.initial_divisor
        peak = max(self.warmup_fraction * self.total_steps - 1, 0.0)
        rising = step / peak if peak else np.ones_like(step)
        falling = np.clip((step - peak) / max(self.total_steps - 1 - peak, 1e-300), 0, 1)

        def between(high: float, low: float, fraction: Array) -> Array:
            part = cosine(fraction, 0.0) if self.anneal == "cosine" else 1 - fraction
            return low + (high - low) * part

        return np.where(step <= peak, between(start, top, rising), between(top, start / self.final_divisor, falling))


@SCHEDULES.register()
class CosineCycles(LearningRateSchedule):
    """η₀ (1 − cos(2π log₂(1 + (2^cycles − 1) t / T))) / 2: cycles from 0 to η₀ and back, each twice as long.

    After T it is 0.

    Parameters
    ----------
    peak_learning_rate : float
        η₀.
    decay_steps : float
        T > 0.
    cycles : int, default 4
    name : str

    References
    ----------
    D. Holzmüller, L. Grinsztajn, I. Steinwart: Better by default, NeurIPS 2024, arXiv:2407.04491 ("coslog4").
    """

    def __init__(
        self, peak_learning_rate: float, decay_steps: float, cycles: int = 4, name: str = "CosineCycles"
    ) -> None:
        self.peak_learning_rate = finite(peak_learning_rate, "peak_learning_rate")
        self.decay_steps = steps(decay_steps, "decay_steps")
        self.cycles = check_count(cycles, "cycles")
        self.name = name

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        passed = np.log2(1 + (2.0**self.cycles - 1) * np.minimum(step / self.decay_steps, 1))
        return self.peak_learning_rate * 0.5 * (1 - np.cos(2 * math.pi * passed))


@SCHEDULES.register()
class FlatCosine(LearningRateSchedule):
    """A number that stays for a share of the steps, then falls to 0 by half a period of a cosine.

    Parameters
    ----------
    initial_learning_rate : float
        The number: a learning rate, a weight decay or the rate of a dropout.
    decay_steps : float
        T > 0: when it is 0.
    flat : float, default 0.5
        The share, in [0, 1).
    name : str
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, flat: float = 0.5, name: str = "FlatCosine"
    ) -> None:
        self.initial_learning_rate = finite(initial_learning_rate, "initial_learning_rate")
        self.decay_steps = steps(decay_steps, "decay_steps")
        self.flat = float(check_number(flat, "flat", "a number in [0, 1)", lambda v: 0 <= v < 1))
        self.name = name

    def at(self, step: Array) -> Array:
        """See `LearningRateSchedule`."""
        fallen = (np.minimum(step / self.decay_steps, 1) - self.flat) / (1 - self.flat)
        return self.initial_learning_rate * cosine(np.maximum(fallen, 0), 0.0)
