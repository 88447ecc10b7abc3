"""A search over layers, units, learning rate and dropout: successive halving of networks drawn at random.

All train for a few epochs; the third that validates best goes on to three times as many, and so on. A fit with
`initial_epoch` goes on where the one before ended, with the bits of a single fit. `EarlyStopping` ends the last one;
the test data are looked at once, at the end. Needs nothing but nncore. Run: .venv/bin/python -P examples/search.py
"""

import numpy as np

import nncore as nn

NOISE = 2.0
rng = np.random.default_rng(0)
u = rng.random((4000, 10))  # Friedman's function of five columns; the other five say nothing
y = 10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2 + 10 * u[:, 3] + 5 * u[:, 4]
y += NOISE * rng.standard_normal(len(y))
(x, x_valid, x_test), (y, y_valid, y_test) = (np.split(a, [1000, 2000]) for a in (4 * u - 2, y))


def drawn():
    """Settings at random; a learning rate may as well be small as large."""
    return {
        "layers": int(rng.integers(1, 4)),
        "units": int(rng.choice([8, 32, 128])),
        "rate": 10 ** rng.uniform(-4, -1),
        "dropout": rng.choice([0.0, 0.1, 0.3]),
    }


def network(layers, units, rate, dropout):
    """A network, compiled."""
    hidden = [layer for _ in range(layers) for layer in (nn.Dense(units, "relu"), nn.Dropout(dropout))]
    model = nn.Model([*hidden, nn.Dense(1), nn.Rescaling(y.std(), y.mean())], seed=0)
    model.compile(nn.Adam(rate), "mse", metrics=["r2_score"])
    return model


def train(model, **settings):
    """Train, and validate after each epoch; the losses of the validation."""
    return model.fit(x, y, validation_data=(x_valid, y_valid), verbose=0, **settings).history["val_loss"]


trials = [(settings, network(**settings)) for settings in (drawn() for _ in range(27))]
done, cost = 0, 0
for epochs in 3, 9, 27:
    losses = [train(model, initial_epoch=done, epochs=epochs)[-1] for _, model in trials]
    best = np.argsort(losses)
    print(f"{len(trials):2d} networks, {epochs:2d} epochs: losses from {min(losses):.1f} to {max(losses):.1f}")
    cost, done = cost + len(trials) * (epochs - done), epochs
    trials = [trials[i] for i in best[: len(trials) // 3]]
[(settings, model)] = trials
print(f"{cost} epochs in place of {27 * done}; the best:", ", ".join(f"{k} {v:.3g}" for k, v in settings.items()))

at_once = network(**settings)
train(at_once, epochs=done)
assert all(np.array_equal(a, b) for a, b in zip(at_once.get_weights(), model.get_weights(), strict=True))

stop = nn.callbacks.EarlyStopping("val_loss", patience=20, restore_best_weights=True)
train(model, initial_epoch=done, epochs=500, callbacks=[stop])
score = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["r2_score"]
most = 1 - NOISE**2 / y_test.var()
print(f"held out, with the weights of epoch {stop.best_epoch + 1}: R² {score:.2f}; the noise permits {most:.2f}")
assert most - 0.12 < score < most
