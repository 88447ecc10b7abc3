"""A learning rate that was not guessed: a range test, then a schedule with warm-up around what it suggests.

Shows `find_learning_rate`, which leaves the model as it was, `OneCycle`, and a search over two settings by validation.
Needs nothing but nncore.
Run: .venv/bin/python -P examples/learning_rate.py
"""

import nncore as nn
from nncore.schedules import OneCycle

(x, y), (x_test, y_test) = nn.datasets.load_digits()
x, x_test = x.reshape(len(x), -1) / 16, x_test.reshape(len(x_test), -1) / 16
epochs, batch = 12, 32


def network(units, rate):
    """A network of one hidden layer, compiled."""
    model = nn.Model([nn.Dense(units, "relu"), nn.Dense(10, "softmax")], seed=0)
    model.compile(nn.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


found = network(64, 0.01).find_learning_rate(x, y, batch_size=batch, low=1e-5, high=10.0)
print(f"suggested learning rate: {found.suggestion:.1e}; the loss rose again beyond {found.rates[-1]:.0e}")

results = {}
for units in 32, 128:
    for factor in 0.1, 1.0:
        rate = OneCycle(factor * found.suggestion, total_steps=epochs * (len(x) // batch + 1))
        history = network(units, rate).fit(x, y, batch_size=batch, epochs=epochs, validation_split=0.2, verbose=0)
        results[units, factor] = max(history.history["val_accuracy"])
        print(f"{units:3d} units, {factor} × suggestion: validation accuracy {results[units, factor]:.3f}")
assert max(results.values()) > 0.9
assert results[128, 1.0] > results[128, 0.1]
