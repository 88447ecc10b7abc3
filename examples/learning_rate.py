"""A learning rate that was not guessed: a range test, then a schedule with warm-up around what it suggests.

Shows `find_learning_rate`, which leaves the model as it was, and `OneCycle`. Its peak is a third of the suggestion,
where the loss falls fastest, which with momentum is near the rates at which it rises; beside it a hundredth, a guess
too low. (search.py searches for rates and other settings.) Needs nothing but nncore.
Run: .venv/bin/python -P examples/learning_rate.py
"""

import nncore as nn
from nncore.schedules import OneCycle

(x, y), (x_test, y_test) = nn.datasets.load_digits()
x, x_test = x.reshape(len(x), -1) / 16, x_test.reshape(len(x_test), -1) / 16
epochs, batch = 12, 32


def network(rate):
    """A network of one hidden layer, compiled."""
    model = nn.Model([nn.Dense(64, "relu"), nn.Dense(10, "softmax")], seed=0)
    model.compile(nn.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


found = network(0.01).find_learning_rate(x, y, batch_size=batch, low=1e-5, high=10.0)
print(f"suggested learning rate: {found.suggestion:.1e}; the loss rose again beyond {found.rates[-1]:.0e}")

accuracy = {}
for factor in 0.01, 0.33:
    model = network(OneCycle(factor * found.suggestion, total_steps=epochs * (len(x) // batch + 1)))
    loss = model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0).history["loss"][-1]
    accuracy[factor] = model.evaluate(x_test, y_test, verbose=0)[1]
    print(f"{factor} × suggestion: training loss {loss:.3f}, held-out accuracy {accuracy[factor]:.3f}")
assert accuracy[0.33] > max(0.95, accuracy[0.01] + 0.02)
