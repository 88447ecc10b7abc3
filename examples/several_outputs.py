"""One network, two answers: how old someone is, in years, and of which of three kinds; half of the ages are unknown.

Both are learned by the same hidden layers, each with a loss of its own. The data are made up.
Needs nothing but nncore. Run: .venv/bin/python -P examples/several_outputs.py
"""

import numpy as np

import nncore as nn

rng = np.random.default_rng(0)
n = 3000
age, kind = rng.uniform(5, 85, n), rng.integers(0, 3, n)
look = np.column_stack([np.sin(age / 20), np.cos(age / 20), kind == 1, kind == 2, age / 80 * (kind - 1)])
x = np.tanh(look @ rng.normal(size=(5, 24))) + 0.2 * rng.normal(size=(n, 24))
known = rng.random(n) < 0.5

inputs = nn.Input(24)
h = nn.Dense(64, activation="relu")(nn.Dense(64, activation="relu")(inputs))
years = nn.Rescaling(20.0, 45.0)(nn.Dense(1)(h))  # so that the layer before it works with numbers around 0
model = nn.Model(inputs, {"age": years, "kind": nn.Dense(3, activation="softmax")(h)}, seed=0)
model.compile(
    nn.Adam(0.002),
    loss={"age": "mse", "kind": "sparse_categorical_crossentropy"},
    loss_weights={"age": 1 / 20**2},  # years squared are large numbers beside a crossentropy
    metrics={"kind": "accuracy"},
    weighted_metrics={"age": "mae"},
)
model.summary()

train, test = slice(0, 2400), slice(2400, n)
stop = nn.callbacks.EarlyStopping("val_age_loss", patience=10, restore_best_weights=True)
history = model.fit(
    x[train],
    {"age": np.where(known, age, 0)[train], "kind": kind[train]},
    sample_weight={"age": known[train]},  # an age that is unknown weighs nothing
    validation_split=0.2,
    epochs=200,
    callbacks=[stop],
    verbose=0,
)
print(f"stopped after {len(history.epoch)} epochs; in the history: {', '.join(history.history)}")

scores = model.evaluate(x[test], {"age": age[test], "kind": kind[test]}, verbose=0, return_dict=True)
print(f"held out: {scores['age_mae']:.1f} years off, {scores['kind_accuracy']:.0%} of the kinds right")
guess = model.predict(x[test][:3])
print("the first three:", guess["age"].ravel().round(), guess["kind"].argmax(axis=1))
print("in truth:", age[test][:3].round(), kind[test][:3])
assert scores["age_mae"] < 8 < np.abs(age - age.mean()).mean() and scores["kind_accuracy"] > 0.85
