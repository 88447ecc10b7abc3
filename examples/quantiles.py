"""Intervals instead of single numbers: three quantiles at once, which cannot cross.

The noise grows with x, so the interval has to as well. Shows `Pinball` with several quantiles, `NonCrossing`, and how
often held-out values lie inside. Needs nothing but nncore.
Run: .venv/bin/python -P examples/quantiles.py
"""

import numpy as np

import nncore as nn

rng = np.random.default_rng(0)


def sample(n):
    """Of a sine whose noise grows with x, n points."""
    x = rng.uniform(0, 4, (n, 1))
    return x, np.sin(x) + 0.2 * (0.2 + x) * rng.standard_normal((n, 1))


(x, y), (x_test, y_test) = sample(4000), sample(2000)
quantiles = (0.05, 0.5, 0.95)
model = nn.Model([nn.Dense(32, "tanh"), nn.Dense(32, "tanh"), nn.Dense(3), nn.layers.NonCrossing(3)], seed=0)
model.compile(nn.Adam(0.005), nn.losses.Pinball(quantiles))
model.fit(x, y, batch_size=64, epochs=40, verbose=0)

low, middle, high = model.predict(x_test).T
inside = np.mean((low <= y_test[:, 0]) & (y_test[:, 0] <= high))
print(f"{inside:.0%} of the held-out values lie between the quantiles 5 % and 95 %")
narrow, wide = (np.mean((high - low)[part]) for part in (x_test[:, 0] < 1, x_test[:, 0] > 3))
print(f"the interval is {wide / narrow:.1f} times as wide at the right end as at the left")
assert 0.87 < inside < 0.93 and wide > 2 * narrow and (low <= middle).all() and (middle <= high).all()
