"""An advantage actor-critic: landers learn to come down softly on the moon, 32 of them at once.

One model has two outputs, the probabilities of the actions and the value of the state. The actor's loss is the
crossentropy of the actions that were taken, weighted by their advantage: what they brought beyond that value. It has
any sign, so actions that did worse than expected become less probable. Shows sample weights below 0, for one of two
outputs, with `train_on_batch`. Needs nothing but nncore. Run: .venv/bin/python -P examples/actor_critic.py
"""

import numpy as np

import nncore as nn

LANDERS, STEPS, DISCOUNT = 32, 16, 0.99
SCALE = np.array([100, 10])  # a state of 1: height in m, speed in m/s, upwards


def start(n):
    """States of landers that arrive."""
    return rng.uniform([0.5, -1], [1, 0], (n, 2))


def move(state, burn):
    """Fly half a second, with the engine's 4 m/s² or without; rewards, who is down or lost, and who landed softly."""
    height, speed = (state * SCALE).T
    after = speed + 0.5 * (4 * burn - 1.62)
    height = height + 0.5 * (speed + after) / 2
    down, lost = height <= 0, height > 150
    reward = np.select([down, lost], [np.maximum(1 + after / 5, -1), -1], -0.01 * burn)
    return np.column_stack([height, after]) / SCALE, reward, down | lost, down & (after > -2)


def landings(n=200):
    """What part of new landers lands softly by the more probable actions, and for how many seconds they burn."""
    state, flying, landed, burnt = start(n), np.ones(n, bool), 0, 0
    for _ in range(300):
        burn = model(state)["burn"].argmax(axis=1)
        state, _, ends, soft = move(state, burn)
        landed += (flying & soft).sum()
        burnt += 0.5 * (flying & burn).sum()
        flying &= ~ends
    return landed / n, burnt / n


rng = np.random.default_rng(0)
state = nn.Input(2)
hidden = nn.Dense(64, "tanh")(nn.Dense(64, "tanh")(state))
model = nn.Model(state, {"burn": nn.Dense(2, "softmax")(hidden), "value": nn.Dense(1)(hidden)}, seed=0)
losses = {"burn": "sparse_categorical_crossentropy", "value": "mse"}
model.compile(nn.Adam(0.003), losses, loss_weights={"value": 0.5})

now = start(LANDERS)
for update in range(1, 801):
    steps = []
    for _ in range(STEPS):
        burn = rng.random(LANDERS) < model(now)["burn"][:, 1]
        after, reward, ends, _ = move(now, burn)
        steps.append((now, burn, reward, ends))
        now = np.where(ends[:, None], start(LANDERS), after)
    states, actions, rewards, ended = map(np.array, zip(*steps, strict=True))

    # What was gained from each step on: the rewards, and the value of where the last step led.
    gains, gain = np.empty_like(rewards), model(now)["value"][:, 0]
    for t in reversed(range(STEPS)):
        gains[t] = gain = rewards[t] + DISCOUNT * ~ended[t] * gain

    x, target = states.reshape(-1, 2), gains.ravel()
    advantage = target - model(x)["value"][:, 0]
    model.train_on_batch(x, {"burn": actions.ravel(), "value": target}, sample_weight={"burn": advantage})
    if update % 50 == 0:
        landed, burnt = landings()
        print(f"{update} updates: {landed:.0%} land softly, after {burnt:.1f} s of burning")
        if landed > 0.95 and burnt < 8:
            break
assert landed > 0.95 and burnt < 8
