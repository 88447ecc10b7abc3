"""Prices with intervals, from a network that no larger flat can make cheaper.

Shows nncore.sklearn's MLPRegressor beyond scikit-learn's: several quantiles at once, an ensemble, inputs in which the
prediction never falls (or rises), intervals that hold what they promise, and the network as a model in a file.
Needs scikit-learn. Run: .venv/bin/python -P examples/intervals.py
"""

import os
import tempfile

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

import nncore as nn
from nncore.sklearn import MLPRegressor


def flats(n, seed):
    """Area in m², age in years, distance to the centre in km; price in thousands, with more spread where it is far."""
    rng = np.random.default_rng(seed)
    x = np.stack([rng.gamma(6, 13, n), rng.gamma(2, 20, n), rng.gamma(3, 3, n)], axis=1)
    price = 4 * x[:, 0] ** 0.9 * (0.6 + 0.4 * np.exp(-x[:, 1] / 40)) * (0.5 + np.exp(-x[:, 2] / 8))
    return x, price * (1 + (0.05 + 0.01 * x[:, 2]) * rng.standard_normal(n))


x, y = flats(3000, seed=0)
x_new, y_new = flats(3000, seed=1)
scaler = StandardScaler().fit(x)
x, x_new = scaler.transform(x), scaler.transform(x_new)

# 1. In place of scikit-learn's, with all that scikit-learn does around an estimator.
plain = MLPRegressor(hidden_layer_sizes=(32,), learning_rate_init=0.01, max_iter=300, random_state=0)
scores = cross_val_score(TransformedTargetRegressor(plain, transformer=StandardScaler()), x, y, cv=3)
print(f"R² in three folds: {scores.min():.2f} to {scores.max():.2f}")
assert scores.min() > 0.85

# 2. Quantiles that never cross, of five networks; area counts upwards, age and distance downwards, whatever the data.
unit = y.std()
model = MLPRegressor(
    nn.losses.Pinball([0.05, 0.5, 0.95]), (32, 32), learning_rate_init=0.01, random_state=0, n_jobs=2,
    early_stopping=True, validation_fraction=0.3, ensemble=5, monotonic_cst=[1, -1, -1],
)  # fmt: skip
model.fit(x, y / unit)
low, high = unit * model.predict_interval(x_new, coverage=0.9).T
inside = (low <= y_new) & (y_new <= high)
near = x_new[:, 2] < np.median(x_new[:, 2])
print(f"{inside.mean():.0%} of the prices are within their intervals, which promise 90%")
print(f"an interval is {np.mean((high - low)[near] / y_new[near]):.0%} of the price near the centre", end=" and ")
print(f"{np.mean((high - low)[~near] / y_new[~near]):.0%} far from it")
assert 0.86 < inside.mean() < 0.94

areas = np.linspace(-2, 4, 200)
for flat in x_new[:50]:
    rows = np.tile(flat, (200, 1))
    rows[:, 0] = areas
    assert (np.diff(model.predict(rows)) >= 0).all()
print("a larger flat is never cheaper")

# 3. A network of the ensemble as a model of nncore, in a file that any program can load safely.
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "flats.safetensors")
    model.estimators_[0].to_model().save(path)
    again = nn.load_model(path)
np.testing.assert_array_equal(again.predict(x_new, verbose=0), model.estimators_[0].predict_quantiles(x_new))
print("the file predicts the same bits")
