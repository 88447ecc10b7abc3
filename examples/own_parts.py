"""Parts of a user's own, in Python, within native training: a layer, an activation, a loss; and the check of gradients.

Waves of which frequency and phase are learned, with an error that counts shortfalls three times. Shows
`nn.Layer` with build, forward and backward on NumPy arrays, ``activation=(f, derivative)``, a loss as a function that
returns loss and gradient, `nn.check_gradients`, and a file that names them all. Needs nothing but nncore.
Run: .venv/bin/python -P examples/own_parts.py
"""

import numpy as np

import nncore as nn


@nn.saving.register_keras_serializable()
class Waves(nn.Layer):
    """Y = sin(X ω + φ), ω (inputs, units) and φ (units) being learned."""

    def __init__(self, units, name=None):
        super().__init__(name)
        self.units = units

    def build(self, input_shape):
        """Declare the weights, which the native optimizer trains."""
        self.omega = self.add_weight((input_shape[-1], self.units), nn.initializers.RandomUniform(-3, 3), name="omega")
        self.phi = self.add_weight((self.units,), nn.initializers.RandomUniform(-3, 3), name="phi")

    def forward(self, x):
        """Y for a batch, of NumPy arrays."""
        return np.sin(x @ self.omega + self.phi)

    def backward(self, dy, x):
        """The gradients of x, ω and φ."""
        dz = dy * np.cos(x @ self.omega + self.phi)
        return dz @ self.omega.T, x.T @ dz, dz.sum(axis=0)


@nn.saving.register_keras_serializable()
def bent(z):
    """An activation: z of small size, its root of large."""
    return np.sign(z) * (np.sqrt(1 + 2 * np.abs(z)) - 1)


@nn.saving.register_keras_serializable()
def bent_derivative(z):
    """Its derivative."""
    return 1 / np.sqrt(1 + 2 * np.abs(z))


@nn.saving.register_keras_serializable()
def shortfalls(y_true, y_pred):
    """Loss of each sample, and its gradient by y_pred: squares, three times where too little is predicted."""
    error = y_pred - y_true
    factor = np.where(error < 0, 3, 1)
    return (factor * error**2).mean(axis=1), 2 * factor * error / error.shape[1]


rng = np.random.default_rng(0)
x = rng.uniform(-2, 2, (2000, 1)).astype(np.float32)
y = (np.sin(5 * x) + 0.3 * np.sin(9 * x + 1) + 0.2 * rng.standard_normal(x.shape)).astype(np.float32)

model = nn.Model([nn.Input(1), Waves(24), nn.Dense(16, activation=(bent, bent_derivative)), nn.Dense(1)], seed=0)
model.compile(nn.Adam(0.01), loss=shortfalls)
print(nn.check_gradients(model, x[:16], y[:16]))

history = model.fit(x, y, batch_size=50, epochs=30, verbose=0).history
value = history["loss"][-1]
error = y - model.predict(x)
print(f"loss {value:.3f}; of the predictions {np.mean(error > 0):.0%} are too low, {np.mean(error < 0):.0%} too high")

model.save("waves.safetensors")
again = nn.load_model("waves.safetensors")
assert np.array_equal(again.predict(x), model.predict(x))
assert np.abs(error).mean() < 0.3 and 0.2 < np.mean(error > 0) < 0.45
