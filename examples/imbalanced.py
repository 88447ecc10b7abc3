"""Imbalanced classes: one machine in fifty fails; a network that misses half of the failures is right in 98 of 100.

The readings of sensors are made up. Accuracy hides what is missed; recall, and the area under the precision-recall
curve, show it. `class_weight` and `BinaryFocalCrossentropy` raise the probabilities of the rare class, but rank the
machines no better: what finds failures is a threshold, chosen on validation data for the recall that is wanted.
Needs nothing but nncore. Run: .venv/bin/python -P examples/imbalanced.py
"""

import numpy as np

import nncore as nn
from nncore.losses import BinaryFocalCrossentropy
from nncore.metrics import AUC, PrecisionAtRecall, Recall

WANTED = 0.8  # of the failures are to be found

rng = np.random.default_rng(0)
n = 40_000
x = rng.standard_normal((n, 8)).astype(np.float32)  # temperature, vibration, …: each around 0
stress = 1.5 * x[:, 0] * x[:, 1] + 1.5 * x[:, 2] + 0.7 * x[:, 3] ** 2
fails = rng.random(n) < 1 / (1 + np.exp(9 - 1.4 * stress))
(x, x_valid, x_test), (y, y_valid, y_test) = (np.split(a, [20_000, 30_000]) for a in (x, fails))
never = np.mean(~y_test)
print(f"{y.sum()} of {len(y)} machines for training fail; to say no always is right for {never:.1%} of those held out")


def trained(loss, class_weight):
    """A network, trained until it ranks the validation data no better."""
    model = nn.Model([nn.Dense(32, "relu"), nn.Dense(32, "relu"), nn.Dense(1, "sigmoid")], seed=0)
    metrics = ["accuracy", Recall(name="recall"), AUC(curve="PR", name="area"), PrecisionAtRecall(WANTED, name="at")]
    model.compile(nn.Adam(0.001), loss, metrics=metrics)
    stop = nn.callbacks.EarlyStopping("val_area", mode="max", patience=6, restore_best_weights=True)
    settings = {"class_weight": class_weight, "validation_data": (x_valid, y_valid), "callbacks": [stop]}
    model.fit(x, y, batch_size=64, epochs=40, verbose=0, **settings)
    return model


scores = {}
for name, loss, class_weight in [
    ("plain", "binary_crossentropy", None),
    ("class_weight", "binary_crossentropy", "balanced"),
    ("focal", BinaryFocalCrossentropy(apply_class_balancing=True, alpha=0.9), None),
]:
    model = trained(loss, class_weight)
    score = scores[name] = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    threshold = np.quantile(model.predict(x_valid)[y_valid], 1 - WANTED)
    alarm = model.predict(x_test)[:, 0] > threshold
    score["found"], right = alarm[y_test].mean(), y_test[alarm].mean()
    print(f"{name}: area under the precision-recall curve {score['area']:.2f}")
    print(f"    threshold 0.50: {score['recall']:.0%} found, accuracy {score['accuracy']:.1%}")
    print(f"    threshold {threshold:.2f}: {score['found']:.0%} found, {right:.0%} of the alarms are right")
    print(f"    precision at a recall of {WANTED:.0%}: {score['at']:.0%}")

plain, weighted, focal = scores.values()
assert plain["accuracy"] > 0.975 and plain["recall"] < 0.7 < 0.8 < weighted["recall"] and weighted["accuracy"] < never
assert plain["recall"] + 0.1 < focal["recall"]
assert all(abs(s["area"] - plain["area"]) < 0.1 and abs(s["found"] - WANTED) < 0.12 for s in scores.values())
