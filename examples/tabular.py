"""Which bookings will be cancelled: a table of numbers, texts, dates and gaps, with no word of preparation.

Shows nncore.sklearn's TabularClassifier: columns as they come, probabilities that can be believed, which columns
matter, the model in one file, and the prediction of one booking from a dict.
Needs scikit-learn. Run: .venv/bin/python -P examples/tabular.py
"""

import os
import tempfile

import numpy as np
from sklearn.metrics import log_loss

from nncore.sklearn import TabularClassifier


def bookings(n, seed):
    """Columns by name, and whether a booking was cancelled: the earlier it was made, and the cheaper to do so."""
    rng = np.random.default_rng(seed)
    ahead = rng.gamma(1.2, 40, n).round()
    source = rng.choice(["web", "phone", "agency"], n, p=[0.6, 0.1, 0.3])
    country = rng.integers(0, 30, n)
    deposit = rng.random(n) < 0.2
    price = rng.gamma(8, 15, n).round(2)
    logit = 0.02 * ahead - 2.5 * deposit + (source == "agency") - 0.8 * (source == "phone") + np.sin(country) - 1
    cancelled = rng.random(n) < 1 / (1 + np.exp(-2 * logit))
    price[rng.random(n) < 0.1] = np.nan
    source = np.where(rng.random(n) < 0.05, None, source.astype(object))
    arrival = np.datetime64("2026-01-01") + rng.integers(0, 365, n).astype("timedelta64[D]")
    columns = {
        "days ahead": ahead, "arrival": arrival, "source": source, "deposit": deposit, "price": price,
        "country": np.array([f"C{i:02d}" for i in country]),
    }  # fmt: skip
    return columns, np.where(cancelled, "cancelled", "came")


table, y = bookings(2500, seed=0)
new_table, new_y = bookings(2500, seed=1)

# 1. No scaling, no encoding, no imputation, no argument (but for the seed).
model = TabularClassifier(random_state=0).fit(table, y)
probabilities = model.predict_proba(new_table)
accuracy, guess = model.score(new_table, new_y), max((new_y == name).mean() for name in model.classes_)
print(f"{accuracy:.0%} are told right; a guess tells {guess:.0%}")
assert accuracy > guess + 0.15

# 2. Of the bookings with a probability near 0.7, about 70 % are cancelled.
cancelled, says = new_y == "cancelled", probabilities[:, model.classes_.tolist().index("cancelled")]
for low in (0.0, 0.2, 0.4, 0.6, 0.8):
    these = (says >= low) & (says < low + 0.2)
    print(f"said {says[these].mean():.2f}: {cancelled[these].mean():.2f} of {these.sum()} were cancelled")
    assert abs(says[these].mean() - cancelled[these].mean()) < 0.1
print(f"log loss {log_loss(new_y, probabilities):.2f}")

# 3. What a column tells: the accuracy that is lost when its values are shuffled among the rows.
rng = np.random.default_rng(0)
losses = {}
for name, column in new_table.items():
    shuffled = new_table | {name: rng.permutation(column)}
    losses[name] = accuracy - model.score(shuffled, new_y)
for name, loss in sorted(losses.items(), key=lambda item: -item[1]):
    print(f"{name:>10}  {loss:6.1%}")
assert losses["country"] > 0.05 > abs(losses["arrival"])

# 4. One file with columns, levels and networks, which can be loaded without trust; and one booking.
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "bookings.safetensors")
    model.save(path)
    again = TabularClassifier.load(path)
booking = {
    "days ahead": 90, "arrival": np.datetime64("2026-07-01"), "source": "agency", "deposit": False, "price": None,
    "country": "a country that was not there",
}  # fmt: skip
print(f"that booking: {again.predict(booking)[0]} ({again.predict_proba(booking).max():.0%})")
assert again.predict(new_table).tolist() == model.predict(new_table).tolist()
