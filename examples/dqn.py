"""Q-learning by gradients: what a step of learning says of the one action that was taken, and nothing of the others.

A ship crosses a river of currents to a pier; the reward is the pier, less a little for each move. Shows
`train_on_batch(x, grad=…)` with a function of the step's own outputs, which returns the loss and its gradient, and a
target network by `set_weights`. Needs nothing but nncore. Run: .venv/bin/python -P examples/dqn.py
"""

import numpy as np

import nncore as nn

WIDTH, LENGTH, PIER = 8, 12, 2
CURRENT = np.array([0, 1, 1, 0, -1, -1, 0, 1, 1, 0, 0])  # by the row that is left
MOVES = (-1, 0, 1)


def inputs(column, row):
    """A one-hot column beside a one-hot row."""
    return np.concatenate([np.eye(WIDTH)[column], np.eye(LENGTH)[row]], axis=-1).astype(np.float32)


def move(column, row, action):
    """Steer and drift; the reward, and whether the other bank is reached."""
    column = np.clip(column + np.take(MOVES, action) + CURRENT[row], 0, WIDTH - 1)
    row = row + 1
    end = row == LENGTH - 1
    return column, row, np.where(end & (column == PIER), 1.0, -0.02 * (action != 1)), end


def crossing(start):
    """Cross without chance; the sum of rewards."""
    column, row, total, end = start, 0, 0.0, False
    while not end:
        action = int(model(inputs(column, row)[None]).argmax())
        column, row, reward, end = move(column, row, action)
        total += float(reward)
    return total


rng = np.random.default_rng(0)
model = nn.Model([nn.Input(WIDTH + LENGTH), nn.Dense(64, "relu"), nn.Dense(3)], seed=0)
model.compile(nn.Adam(0.003))  # no loss: its gradient is given
target = nn.clone_model(model)
target.set_weights(model.get_weights())

# What may happen, at random: as from a memory of crossings.
columns, rows = rng.integers(WIDTH, size=20_000), rng.integers(LENGTH - 1, size=20_000)
actions = rng.integers(3, size=20_000)
after, row_after, rewards, ends = move(columns, rows, actions)
states, states_after = inputs(columns, rows), inputs(after, row_after)

for step in range(600):
    batch = rng.integers(len(states), size=128)
    values = rewards[batch] + ~ends[batch] * target(states_after[batch]).max(axis=1)

    def gradient(q, batch=batch, values=values):
        """Huber's loss of the actions taken, and its gradient by all outputs."""
        taken = np.arange(len(batch)), actions[batch]
        error = q[taken] - values
        clipped = np.clip(error, -0.1, 0.1)
        dq = np.zeros_like(q)
        dq[taken] = clipped / len(batch)
        return (clipped * (error - clipped / 2)).mean(), dq

    loss = model.train_on_batch(states[batch], grad=gradient)
    if step % 50 == 0:
        target.set_weights(model.get_weights())
    if step % 200 == 199:
        reached = [crossing(column) for column in range(WIDTH)]
        print(f"{step + 1} steps: loss {loss:.4f}, {sum(r > 0.5 for r in reached)} of {WIDTH} ships reach the pier")
assert all(r > 0.5 for r in reached)
