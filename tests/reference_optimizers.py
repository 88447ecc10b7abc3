"""Optimizers: one update of a weight, its state changed in place."""
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from reference_arithmetic import Array, float64


@dataclass
class Rule:
    """The hyper-parameters of an update, named as in ``optimizers.def``; each rule listens to some."""

    learning_rate: float = 0.01
    weight_decay: float = 0.0
    grad_scale: float = 1.0
    clip_value: float = math.inf
    momentum: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    rho: float = 0.9
    epsilon: float = 1e-7
    nesterov: bool = False
    centered: bool = False
    amsgrad: bool = False
    initial_accumulator_value: float = 0.1
    learning_rate_power: float = -0.5
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0
    warmup_steps: float = 0.0
    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True
    muon_a: float = 3.4445
    muon_b: float = -4.775
    muon_c: float = 2.0315


def sgd(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m. m ← μ m − η g;  w += m, or with Nesterov's momentum w += μ m − η g."""
    (m, *_) = state
    m[...] = r.momentum * m - r.learning_rate * g
    return w + (r.momentum * m - r.learning_rate * g if r.nesterov else m)


def moments(g: Array, state: Sequence[Array], r: Rule) -> tuple[Array, Array]:
    """Running means of g and g², the first two arrays of the state."""
    m, v = state[:2]
    m[...] = r.beta_1 * m + (1 - r.beta_1) * g
    v[...] = r.beta_2 * v + (1 - r.beta_2) * g**2
    return m, v


def adam(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m, v. w −= α m / (√v + ε),  α = η √(1 − β₂ᵗ) / (1 − β₁ᵗ); the greatest v so far with amsgrad."""
    m, v = moments(g, state, r)
    if r.amsgrad:
        state[2][...] = v = np.maximum(state[2], v)
    alpha = r.learning_rate * math.sqrt(1 - r.beta_2**step) / (1 - r.beta_1**step)
    return w - alpha * m / (np.sqrt(v) + r.epsilon)


def rmsprop(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: v, m, a. w −= m,  m ← μ m + η g / √(v − a² + ε), where a (the mean gradient) is 0 unless centered."""
    v, m, a = state
    v[...] = r.rho * v + (1 - r.rho) * g**2
    if r.centered:
        a[...] = r.rho * a + (1 - r.rho) * g
    m[...] = r.momentum * m + r.learning_rate * g / np.sqrt(v - a**2 + r.epsilon)
    return w - m


def adagrad(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: a, the sum of g² on top of what it starts with. w −= η g / √(a + ε)."""
    (a, *_) = state
    a[...] = (r.initial_accumulator_value if step == 1 else a) + g**2
    return w - r.learning_rate * g / np.sqrt(a + r.epsilon)


def adadelta(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: mean of g², mean of d². w −= η d,  d = RMS(d) / RMS(g) g."""
    v, u, *_ = state
    v[...] = r.rho * v + (1 - r.rho) * g**2
    d = np.sqrt((u + r.epsilon) / (v + r.epsilon)) * g
    u[...] = r.rho * u + (1 - r.rho) * d**2
    return w - r.learning_rate * d


def adamax(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m, u. w −= η / (1 − β₁ᵗ) m / (u + ε),  u = max(β₂ u, |g|)."""
    m, u, *_ = state
    m[...] = r.beta_1 * m + (1 - r.beta_1) * g
    u[...] = np.maximum(r.beta_2 * u, np.abs(g))
    return w - r.learning_rate / (1 - r.beta_1**step) * m / (u + r.epsilon)


def nadam(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m, v. The products of μ step by step."""
    m, v = moments(g, state, r)
    mu = [r.beta_1 * (1 - 0.5 * 0.96**t) for t in range(1, step + 2)]
    now, then = math.prod(mu[:-1]), math.prod(mu)
    ahead = mu[-1] * m / (1 - then) + (1 - mu[-2]) * g / (1 - now)
    return w - r.learning_rate * ahead / (np.sqrt(v / (1 - r.beta_2**step)) + r.epsilon)


def ftrl(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: n, z. w = (clip(z, ±l1) − z) / (nᵖ / η + 2 l2 + β / η)."""
    n, z, *_ = state
    before = r.initial_accumulator_value + 0 * n if step == 1 else n.copy()
    n[...] = before + g**2
    power = -r.learning_rate_power
    rise, high = before**power * np.expm1(power * np.log1p(g**2 / before)), n**power
    z += g + 2 * r.l2_shrinkage_regularization_strength * w - rise / r.learning_rate * w
    l1 = r.l1_regularization_strength
    return (np.clip(z, -l1, l1) - z) / ((high + r.beta) / r.learning_rate + 2 * r.l2_regularization_strength)


def lion(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m. w −= η sign(β₁ m + (1 − β₁) g)."""
    (m, *_) = state
    d = np.sign(r.beta_1 * m + (1 - r.beta_1) * g)
    m[...] = r.beta_2 * m + (1 - r.beta_2) * g
    return w - r.learning_rate * d


def schedule_free_adamw(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: z, v. w = (1 − β₁) z + β₁ x, where x is the mean of all z since the start."""
    z, v, *_ = state
    z[...] = w if step == 1 else z
    x = (w - (1 - r.beta_1) * z) / r.beta_1
    v[...] = r.beta_2 * v + (1 - r.beta_2) * g**2
    warm = min(step / r.warmup_steps, 1) if r.warmup_steps else 1
    z -= r.learning_rate * warm * g / (np.sqrt(v / (1 - r.beta_2**step)) + r.epsilon)
    return (1 - r.beta_1) * z + r.beta_1 * (x * (1 - 1 / step) + z / step)


def lamb(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m, v. w −= η ‖w‖ / ‖u‖ u, where w is one parameter."""
    m, v = moments(g, state, r)
    u = m / (1 - r.beta_1**step) / (np.sqrt(v / (1 - r.beta_2**step)) + r.epsilon)
    norms = np.linalg.norm(w), np.linalg.norm(u)
    return w - r.learning_rate * (norms[0] / norms[1] if all(norms) else 1) * u


def adafactor(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: row, column, of the shapes (…, rows) and (…, columns); of a vector v in the former."""
    row, column, *_ = state
    keep, square = 1 - step**r.beta_2_decay, g**2 + r.epsilon_1
    if w.ndim < 2:
        v = row[...] = keep * row + (1 - keep) * square
    else:
        row[...] = keep * row + (1 - keep) * square.mean(-1)
        column[...] = keep * column + (1 - keep) * square.mean(-2)
        v = (row / row.mean(-1, keepdims=True))[..., None] * column[..., None, :]
    u = g / np.sqrt(v)
    u /= max(1.0, math.sqrt((u**2).mean()) / r.clip_threshold)
    return w - max(r.epsilon_2, math.sqrt((w**2).mean())) * min(r.learning_rate, step**-0.5) * u


def muon(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """Its rule for what is no matrix: Adam."""
    return adam(w, g, state, replace(r, beta_1=r.adam_beta_1, beta_2=r.adam_beta_2), step)


def orthogonalized(x: Array, steps: int, a: float, b: float, c: float) -> Array:
    """X / ‖X‖ after `steps` times X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X."""
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x


OPTIMIZERS = {
    "sgd": sgd,
    "adam": adam,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "adamax": adamax,
    "nadam": nadam,
    "ftrl": ftrl,
    "lion": lion,
    "schedule_free_adamw": schedule_free_adamw,
    "lamb": lamb,
    "adafactor": adafactor,
    "muon": muon,
}


def update(name: str, w: ArrayLike, g: ArrayLike, state: Sequence[Array], rule: Rule, step: int) -> Array:
    """The new w; `state` is changed in place. Gradient scaling and clipping, then weight decay, then the rule."""
    g = np.clip(rule.grad_scale * float64(g), -rule.clip_value, rule.clip_value)
    w = float64(w) * (1 - rule.learning_rate * rule.weight_decay)
    return OPTIMIZERS[name](w, g, state, rule, step)


def states(name: str, shape: tuple[int, ...]) -> list[Array]:
    """The state of one parameter before the first step, as the formulas take it."""
    if name == "adafactor" and len(shape) > 1:
        return [np.zeros(shape[:-1]), np.zeros((*shape[:-2], shape[-1]))]
    return [np.zeros(shape) for _ in range(3)]


def norm_scale(gradients: Sequence[Array], clip_norm: float) -> float:
    """The factor that brings the joint norm of `gradients` down to `clip_norm`; 1 where it is not above."""
    norm = math.sqrt(math.fsum(float((float64(g) ** 2).sum()) for g in gradients))
    return clip_norm / norm if norm > clip_norm else 1.0


def regularize(w: ArrayLike, l1: float, l2: float) -> tuple[float, Array]:
    """l1 Σ|w| + l2 Σw², and its gradient."""
    w = float64(w)
    return float(l1 * np.abs(w).sum() + l2 * (w**2).sum()), l1 * np.sign(w) + 2 * l2 * w
