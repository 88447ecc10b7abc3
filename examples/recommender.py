"""A recommender: what users think of films, from embeddings whose inner product is the taste they share.

Ratings are made up of three hidden tastes, and noise. Shows two inputs of numbers, `Embedding`, `Dot`, biases by
embeddings of one number, and `LazyAdam`, whose step costs by the rows that a batch reads. Needs nothing but nncore.
Run: .venv/bin/python -P examples/recommender.py
"""

import numpy as np

import nncore as nn

rng = np.random.default_rng(0)
users, films, n = 400, 300, 30_000
tastes, contents = rng.standard_normal((users, 3)), rng.standard_normal((films, 3))
quality = 0.5 * rng.standard_normal(films)
user, film = rng.integers(users, size=n), rng.integers(films, size=n)
rating = 3 + quality[film] + (tastes[user] * contents[film]).sum(axis=1) / 2 + 0.3 * rng.standard_normal(n)
known, unseen = slice(0, 27_000), slice(27_000, n)

u, f = nn.Input((), name="user"), nn.Input((), name="film")
match = nn.layers.Dot(axes=-1)([nn.Embedding(users, 8)(u), nn.Embedding(films, 8)(f)])
score = match + nn.Embedding(users, 1)(u) + nn.Embedding(films, 1)(f) + rating[known].mean()
model = nn.Model({"user": u, "film": f}, score, seed=0)
model.compile(nn.LazyAdam(0.005), "mse", metrics=["mae"])
model.fit({"user": user[known], "film": film[known]}, rating[known], batch_size=128, epochs=15, verbose=0)
_, error = model.evaluate({"user": user[unseen], "film": film[unseen]}, rating[unseen], verbose=0)
plain = np.abs(rating[unseen] - rating[known].mean()).mean()
print(f"ratings never seen are guessed within {error:.2f}, by their mean alone within {plain:.2f}")
assert error < 0.6 * plain

best = model.predict({"user": np.full(films, 7), "film": np.arange(films)})[:, 0].argsort()[::-1][:5]
truth = quality + contents @ tastes[7] / 2
print(f"five films for user 7: true scores {np.round(truth[best], 1)}, of all films at most {truth.max():.1f}")
assert truth[best].mean() > np.quantile(truth, 0.9)
