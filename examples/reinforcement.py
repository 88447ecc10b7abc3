"""Double Q-learning of a pole that is balanced on a cart: a step of training after each push.

Shows `model(x)` for a single row, `train_on_batch` on batches that grow with the memory, and weights that go from one
model to another. Needs nothing but nncore. Run: .venv/bin/python -P examples/reinforcement.py
"""

import numpy as np

import nncore as nn

LIMIT, SCALE = 200, np.array([2.4, 3, 0.2, 3])  # steps of 20 ms; a state of ±1: m, m/s, rad, rad/s


def move(state, action):
    """Push a cart of 1 kg with 10 N to the left or right; tell whether its pole, 0.1 kg and 1 m, still stands."""
    _, speed, angle, turn = state * SCALE
    sin, cos = np.sin(angle), np.cos(angle)
    force = (10 * (2 * action - 1) + 0.05 * turn**2 * sin) / 1.1
    bend = (9.8 * sin - cos * force) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    state = state + 0.02 * np.array([speed, force - 0.05 * bend * cos / 1.1, turn, bend]) / SCALE
    return state, max(abs(state[0]), abs(state[2])) < 1


def episode(chance, learning):
    """Push until the pole falls, at random with this chance; return the number of steps."""
    state, steps, up = rng.uniform(-0.02, 0.02, 4), 0, True
    while up and steps < LIMIT:
        action = int(rng.integers(2) if rng.random() < chance else model(state[None]).argmax())
        before, steps, (state, up) = state, steps + 1, move(state, action)
        if learning:
            learn(before, action, state, up)
    return steps


def learn(*transition):
    """Remember, and take a step towards reward + 0.99 × the value of the best next action."""
    memory.append(transition)
    rows = np.arange(min(len(memory), 64))
    picked = [memory[i] for i in rng.integers(len(memory), size=len(rows))]
    states, actions, after, up = map(np.array, zip(*picked, strict=True))
    values, best = model(states), model(after).argmax(axis=1)
    values[rows, actions] = 1 + 0.99 * up * target(after)[rows, best]
    model.train_on_batch(states, values)
    if len(memory) % 200 == 0:
        target.set_weights(model.get_weights())


rng, memory = np.random.default_rng(0), []
layers = [nn.Input(4), nn.Dense(64, activation="relu"), nn.Dense(64, activation="relu"), nn.Dense(2)]
model = nn.Model(layers, seed=0)
model.compile("adam", "huber")
target = nn.clone_model(model)
target.set_weights(model.get_weights())
for number in range(1, 301):
    episode(max(0.05, 1 - number / 50), learning=True)
    if number % 10 == 0:
        steps = np.mean([episode(0, learning=False) for _ in range(10)])
        print(f"{number} episodes, {len(memory)} steps of training: the pole stands for {steps:.0f} of {LIMIT} steps")
        if steps > 0.95 * LIMIT:
            break
assert steps > 0.95 * LIMIT
