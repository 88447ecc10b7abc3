"""An autoencoder whose encoder is a model of its own: what is in its code, and what it finds strange.

Batches come from a generator, which corrupts the images anew each time. Shows `Model(inputs, hidden)` beside the whole,
which share their weights, a generator with `steps_per_epoch`, and an error by sample. Needs nothing but nncore.
Run: .venv/bin/python -P examples/autoencoder.py
"""

import numpy as np

import nncore as nn

(x, y), (x_test, y_test) = nn.datasets.load_digits()
x, x_test = (part.reshape(len(part), -1).astype(np.float32) / 16 for part in (x, x_test))

image = nn.Input(64)
code = nn.Dense(8, name="code")(nn.Dense(64, "relu")(image))
restored = nn.Dense(64, "sigmoid")(nn.Dense(64, "relu")(code))
autoencoder = nn.Model(image, restored, seed=0)
encoder = nn.Model(image, code)
autoencoder.compile("adam", "binary_crossentropy", metrics=["mae"])


def corrupted(seed):
    """Batches of images with a fifth of the pixels dark, and the whole ones, without an end."""
    rng = np.random.default_rng(seed)
    while True:
        whole = x[rng.integers(len(x), size=64)]
        yield whole * (rng.random(whole.shape) > 0.2), whole


history = autoencoder.fit(
    corrupted(0), steps_per_epoch=len(x) // 64, epochs=60, validation_data=(x_test, x_test), verbose=0
)
loss, error = autoencoder.evaluate(x_test, x_test, verbose=0)
print(f"a code of {encoder.output_shape[-1]} numbers restores held-out pixels within {error:.2f} of their range")

# Neighbours in the code are the same digit, though no label was ever shown.
codes, codes_test = encoder.predict(x), encoder.predict(x_test)
distance = ((codes_test[:, None] - codes[None]) ** 2).sum(axis=2)
same = np.mean(y[distance.argmin(axis=1)] == y_test)
print(f"the nearest code among the others is of the same digit in {same:.0%} of cases")

# What is no digit is restored badly.
noise = np.random.default_rng(1).permuted(x_test, axis=1)
errors = [np.abs(autoencoder.predict(part) - part).mean(axis=1) for part in (x_test, noise)]
found = np.mean(errors[1] > np.quantile(errors[0], 0.95))
print(f"{found:.0%} of images with shuffled pixels are found strange, and 5% of digits")
assert error < 0.12 and same > 0.9 and found > 0.9
