"""Handwritten digits: training that stops by itself, what the network confuses, and a file that gives it back.

Needs nothing but nncore, whose wheel holds the images. Run: .venv/bin/python -P examples/digits.py
"""

import numpy as np

import nncore as nn

(x_train, y_train), (x_test, y_test) = nn.datasets.load_digits()
print(f"{len(x_train)} images of {x_train.shape[1:]} {x_train.dtype} for training, {len(x_test)} held out")

model = nn.Model(
    [
        nn.Input((8, 8)),
        nn.Rescaling(1 / 16),
        nn.Flatten(),
        nn.Dense(128, activation="relu"),
        nn.Dropout(0.3),
        nn.Dense(10, activation="softmax"),
    ],
    seed=0,
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.summary()

stop = nn.callbacks.EarlyStopping("val_loss", patience=10, restore_best_weights=True)
history = model.fit(x_train, y_train, epochs=200, validation_split=0.15, callbacks=[stop], verbose=0)
print(f"stopped after {len(history.epoch)} epochs; the weights are those of epoch {stop.best_epoch + 1}")

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"held-out accuracy {accuracy:.3f}, loss {loss:.3f}")

said = model.predict(x_test).argmax(axis=1)
table = np.zeros((10, 10), int)
np.add.at(table, (y_test, said), 1)
print("rows: the digit, columns: what the network says")
print(table)

model.save("digits.safetensors")
again = nn.load_model("digits.safetensors")
assert np.array_equal(again.predict(x_test), model.predict(x_test))
assert accuracy > 0.94 and len(history.epoch) < 200
assert table.trace() == round(accuracy * len(y_test))
