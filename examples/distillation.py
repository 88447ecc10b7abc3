"""Knowledge distillation: a small network learns from the doubts of a large one, with few labels of its own.

The loss is ½ crossentropy of the labels + ½ T² crossentropy of the teacher's softened probabilities, whose gradient by
the logits is written in two lines and given to `train_on_batch(x, grad=…)`. Needs nothing but nncore.
Run: .venv/bin/python -P examples/distillation.py
"""

import numpy as np

import nncore as nn

(x, y), (x_test, y_test) = nn.datasets.load_digits()
x, x_test = (part.reshape(len(part), -1).astype(np.float32) / 16 for part in (x, x_test))
few = 120  # labels that the student is given; the teacher has all
T = 4.0  # the temperature


def network(units, seed):
    """Logits of ten digits."""
    model = nn.Model([nn.Input(64), nn.Dense(units, "relu"), nn.Dense(10)], seed=seed)
    model.compile(nn.Adam(0.003), nn.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def softmax(z):
    """Along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


teacher = network(256, seed=0)
teacher.fit(x, y, epochs=30, verbose=0)
soft = softmax(teacher.predict(x) / T)

alone, student = network(16, seed=1), network(16, seed=1)
alone.fit(x[:few], y[:few], epochs=300, verbose=0)

rng, labels = np.random.default_rng(0), np.eye(10)[y]
for _ in range(60):
    for batch in np.array_split(rng.permutation(len(x)), len(x) // 32):

        def gradient(z, batch=batch):
            """dL/dz, over the batch's mean; labels count where there are some."""
            known = (batch < few)[:, None]
            dz = 0.5 * known * (softmax(z) - labels[batch]) + 0.5 * T * (softmax(z / T) - soft[batch])
            return dz / len(batch)

        student.train_on_batch(x[batch], grad=gradient)

accuracy = {}
for name, model in {"teacher": teacher, "student alone": alone, "student taught": student}.items():
    accuracy[name] = model.evaluate(x_test, y_test, verbose=0)[1]
    print(f"{name}: {model.count_params():,} parameters, held-out accuracy {accuracy[name]:.3f}")
assert accuracy["student taught"] > accuracy["student alone"] + 0.02
