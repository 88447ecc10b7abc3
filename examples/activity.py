"""What somebody does, from the sensors of a phone at the belt: windows of 128 steps and nine channels, by Conv1D.

The signals are made up: of each of six activities a window has gravity, steps or none, and noise, as accelerometer and
gyroscope at 50 Hz might have them, and every person walks and stands in a way of their own. No recording of people is
used, so accuracies here say nothing of real ones. The people of the test are others than those of the training. Needs
nothing but nncore. Run: .venv/bin/python -P examples/activity.py
"""

import numpy as np

import nncore as nn

STEPS, RATE = 128, 50  # of a window; per second
# steps per second of an average person, how strong they are, how strong their second harmonic; how the body leans
ACTIVITIES = {
    "walking": (1.8, 0.25, 0.4, (0, 0, 0)),
    "upstairs": (1.4, 0.2, 0.2, (0, 0.3, 0)),
    "downstairs": (1.9, 0.4, 0.8, (0, -0.1, 0)),
    "sitting": (0, 0, 0, (0, 0.4, 0.2)),
    "standing": (0, 0, 0, (0, 0, 0)),
    "lying": (0, 0, 0, (-1, 0.9, 0.4)),
}


def windows(people, each, rng):
    """(n, 128, 9): accelerometer less gravity, gyroscope, accelerometer, three axes each; and the activities (n,)."""
    x, y = [], []
    for _ in range(people):
        pace, strength, tilt = rng.normal(1, 0.08), rng.normal(1, 0.15), rng.normal(0, 0.1, 3)
        gait = rng.normal(0, 0.3, (2, 6))  # of two harmonics, in six channels
        for activity, (steps, size, second, lean) in enumerate(ACTIVITIES.values()):
            for _ in range(each):
                t = 2 * np.pi * (pace * rng.normal(steps, 0.05) * np.arange(STEPS) / RATE + rng.random())
                waves = [part * np.sin(k * t[:, None] + 3 * gait[k - 1]) for k, part in ((1, 1), (2, second))]
                moves = strength * size * sum(waves) * (1 + gait[0])
                moves += rng.normal(0, 0.02 + 0.2 * size, (STEPS, 6))
                gravity = rng.normal(tilt, 0.05) + lean + (1, 0, 0)
                gravity /= np.linalg.norm(gravity)
                x.append(np.concatenate([moves, moves[:, :3] + gravity], axis=1))
                y.append(activity)
    return np.array(x, np.float32), np.array(y)


rng = np.random.default_rng(0)
(x, y), (x_test, y_test) = windows(20, 12, rng), windows(8, 12, rng)
print(f"{len(x)} windows of {x.shape[1:]} of 20 people for training, {len(x_test)} of 8 others held out")

normalization = nn.Normalization()
normalization.adapt(x)  # mean and variance of each channel
model = nn.Model(
    [
        nn.Input(x.shape[1:]),
        normalization,
        nn.Conv1D(64, 5, activation="relu"),
        nn.Conv1D(64, 5, activation="relu"),
        nn.Dropout(0.5),
        nn.MaxPooling1D(2),
        nn.Flatten(),
        nn.Dense(100, activation="relu"),
        nn.Dense(len(ACTIVITIES), activation="softmax"),
    ],
    seed=0,
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=64, epochs=5, verbose=0)
_, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"of people never seen, {accuracy:.0%} of the windows are told right; by guessing, {1 / len(ACTIVITIES):.0%}")

names = list(ACTIVITIES)
said = model.predict(x_test).argmax(axis=1)
table = np.zeros((len(ACTIVITIES),) * 2, int)
np.add.at(table, (y_test, said), 1)
for activity, row in zip(names, table, strict=True):
    print(f"{activity:>10} {row}")

# One window at a time, as they come from a sensor.
window = x_test[:1]
print("the first window:", names[model(window).argmax()])
assert accuracy > 0.8
