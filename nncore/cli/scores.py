"""How well an estimator predicts rows that it was not fitted to, beside a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn import dummy, metrics
from sklearn.model_selection import train_test_split

from nncore.state import Array

Row = tuple[str, float, float]  # a score: its name, the estimator's, the constant's

LEAST_FITTED = 5
BASELINES = {
    "accuracy": "always the most frequent class",
    "log loss": "always the frequencies of the classes",
    "RMSE": "always the mean",
    "MAE": "always the mean",
}


def split(y: Array, task: str, fraction: float, seed: int) -> tuple[Array, Array]:
    """The rows to fit and those held out: at least a row of each class is fitted, and each has its share where it can.

    Raises
    ------
    ValueError
        Hardly a row would be left to fit.
    """
    rows, first, n_held = np.arange(len(y)), np.zeros(0, np.intp), max(1, round(fraction * len(y)))
    if len(y) - n_held < LEAST_FITTED:
        words = f"a fraction that leaves {LEAST_FITTED} rows to fit"
        raise ValueError(f"--held-out: expected {words}, got {fraction:g} of {len(y)}")
    strata = None
    if task == "classification":
        order = np.random.default_rng(seed).permutation(rows)
        first = order[np.unique(y[order], return_index=True)[1]]
        rows = np.setdiff1d(rows, first)
        if len(rows) <= n_held:
            return first, rows
        _, codes, counts = np.unique(y[rows], return_inverse=True, return_counts=True)
        strata = codes if counts.min() >= 2 and min(n_held, len(rows) - n_held) >= len(counts) else None
    used, held = train_test_split(rows, test_size=n_held, random_state=seed, stratify=strata)
    return np.concatenate([first, used]), held


def table(estimator: Any, X: pd.DataFrame, y_used: Array, y: Array, task: str) -> list[Row]:
    """Score an estimator, and the constant that `y_used` gives, on rows that were held out."""
    nothing = np.zeros((len(y_used), 1))
    if task == "regression":
        constant = dummy.DummyRegressor().fit(nothing, y_used)
        made = [estimator.predict(X), constant.predict(nothing[:1]).repeat(len(y))]
        root, absolute = (
            [score(y, p) for p in made] for score in (metrics.root_mean_squared_error, metrics.mean_absolute_error)
        )
        return [("RMSE", *root), ("MAE", *absolute)]
    constant = dummy.DummyClassifier().fit(nothing, y_used)
    chances = [estimator.predict_proba(X), constant.predict_proba(nothing[:1]).repeat(len(y), axis=0)]
    right = [np.mean(y == estimator.classes_[chances[0].argmax(axis=1)]), np.mean(y == constant.predict(nothing[:1]))]
    loss = [metrics.log_loss(y, p, labels=estimator.classes_) for p in chances]
    return [("accuracy", *right), ("log loss", *loss)]


def lines(rows: list[Row]) -> list[str]:
    """Scores with the baseline beside them."""
    found = [f"{'held-out score':<14}  {'model':>9}  {'baseline':>9}"]
    return [*found, *(f"{name:<14}  {model:>#9.4g}  {base:>#9.4g}  {BASELINES[name]}" for name, model, base in rows)]
