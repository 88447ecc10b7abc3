"""Layers and a model of one's own by a method `call`: an autoencoder that adds noise in training, with residual blocks.

Shows `nn.Layer` and `nn.Model` as bases of classes that join other layers, in attributes, lists and nested; an argument
`training`; inputs and outputs in dicts, each with a loss; a file with classes of one's own. Needs nothing but nncore.
Run: .venv/bin/python -P examples/subclassing.py
"""

import numpy as np

import nncore as nn


@nn.saving.register_keras_serializable()
class Residual(nn.Layer):
    """x + what two dense layers make of it, brought to mean 0 and variance 1."""

    def __init__(self, units, rate=0.1, **kwargs):
        super().__init__(**kwargs)
        self.units, self.rate = units, rate
        self.norm = nn.LayerNormalization()
        self.wide = nn.Dense(2 * units, "gelu")
        self.drop = nn.Dropout(rate)
        self.narrow = nn.Dense(units)

    def call(self, x):
        """Of symbols: it is called once, when the model is built."""
        return x + self.narrow(self.drop(self.wide(self.norm(x))))


@nn.saving.register_keras_serializable()
class Reader(nn.Model):
    """Reads the digit of an image, and restores the image from few numbers."""

    def __init__(self, depth=2, code=12, **kwargs):
        super().__init__(**kwargs)
        self.depth, self.code = depth, code
        self.flatten = nn.Flatten()
        self.enter = nn.Dense(64)
        self.blocks = [Residual(64) for _ in range(depth)]
        self.narrow = nn.Dense(code)
        self.heads = {"digit": nn.Dense(10, "softmax"), "image": nn.Dense(64, "sigmoid")}

    def call(self, inputs, training=False):
        """In training the image is noisy; what it is compared with is not."""
        x = self.flatten(inputs["image"])
        if training:
            x = nn.GaussianNoise(0.2)(x)
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        x = self.narrow(x)
        return {name: head(x) for name, head in self.heads.items()}


(x, y), (x_test, y_test) = nn.datasets.load_digits()
x, x_test = x.astype(np.float32) / 16, x_test.astype(np.float32) / 16
targets, targets_test = {"digit": y, "image": x.reshape(-1, 64)}, {"digit": y_test, "image": x_test.reshape(-1, 64)}

model = Reader(seed=0)
model.compile(
    nn.Adam(0.002),
    {"digit": "sparse_categorical_crossentropy", "image": "binary_crossentropy"},
    metrics={"digit": "accuracy", "image": "mae"},
)
model.fit({"image": x}, targets, epochs=30, verbose=0)
model.summary()
scores = model.evaluate({"image": x_test}, targets_test, verbose=0, return_dict=True)
print(f"{scores['digit_accuracy']:.0%} of the digits are read from {model.code} numbers, which restore images within "
      f"{scores['image_mae']:.2f} of their range")  # fmt: skip

model.save("reader.safetensors")
again = nn.load_model("reader.safetensors")
assert isinstance(again, Reader) and isinstance(again.blocks[0], Residual)
assert np.array_equal(again.predict({"image": x_test})["digit"], model.predict({"image": x_test})["digit"])

# A layer of one's own is one among others: here in a stack, and by itself on arrays.
stack = nn.Sequential([nn.Flatten(), nn.Dense(64), Residual(64), nn.Dense(10, "softmax")], seed=0)
stack.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
stack.fit(x, y, epochs=20, verbose=0)
assert model.blocks[0](np.zeros((3, 64))).shape == (3, 64)
assert scores["digit_accuracy"] > 0.93 and scores["image_mae"] < 0.15
assert stack.evaluate(x_test, y_test, verbose=0)[1] > 0.93
