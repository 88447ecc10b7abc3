"""Training steps of the nets, by every candidate: one run is an epoch of shuffled batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from machine import candidates
from measure import Case, Run
from nets import AGED, EPOCHS, NETS, Net


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """A case per net with its first weights, and one per net that every candidate has trained for EPOCHS before."""
    for net in (*NETS.values(), *AGED.values()):
        if names and net.name not in names:
            continue
        runs: dict[str, Callable[[], Run]] = {
            "NumPy": partial(numpy_run, net),
            "scikit-learn": partial(sklearn_run, net),
            "PyTorch": partial(torch_run, net, threads),
            "PyTorch bf16": partial(torch_run, net, threads, bf16=True),
            "JAX": partial(jax_run, net),
        }
        runs |= {name: partial(nncore_run, net, threads, level) for name, level in candidates().items()}
        old = EPOCHS // net.copies if net.copies > 1 else 1
        yield Case(net.label, net.steps, runs, net.flops, warm_up=old)


def numpy_run(net: Net) -> Run:
    from numpy_nets import NumpyNet

    model, (x, y) = NumpyNet(net), net.data()
    return lambda: model.epoch(x, y)


def sklearn_run(net: Net) -> Run:
    """partial_fit on the whole set is one epoch of shuffled batches, without its checks at every batch.

    With two classes it trains one logistic output, a little less work than the others' two.
    """
    from sklearn.neural_network import MLPClassifier

    x, y = net.data()
    model = MLPClassifier(
        net.widths[1:-1],
        solver=net.optimizer,
        alpha=0.0,
        batch_size=net.batch,
        learning_rate_init=net.learning_rate,
        momentum=0.0,
        nesterovs_momentum=False,
        random_state=0,
    )
    return lambda: model.partial_fit(x, y, classes=range(net.widths[-1]))


def torch_model(net: Net) -> Any:
    import torch

    layers: list[Any] = []
    for i, o in net.layers:
        layers += [torch.nn.Linear(i, o), torch.nn.ReLU()]
    with torch.no_grad():
        for layer, (w, b) in zip(layers[::2], net.weights(), strict=True):
            layer.weight.copy_(torch.from_numpy(w.T.copy()))
            layer.bias.copy_(torch.from_numpy(b))
    return torch.nn.Sequential(*layers[:-1])


def torch_run(net: Net, threads: int, bf16: bool = False) -> Run:
    """Eager, with the fused optimizers: torch.compile is slower on these nets."""
    import torch

    torch.set_num_threads(threads)
    model = torch_model(net)
    kind = torch.optim.Adam if net.optimizer == "adam" else torch.optim.SGD
    optimizer = kind(model.parameters(), lr=net.learning_rate, fused=True)
    x, y = (torch.from_numpy(a) for a in net.data())
    crossentropy = torch.nn.functional.cross_entropy

    def run() -> None:
        for rows in torch.randperm(len(x)).split(net.batch):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = crossentropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def jax_run(net: Net) -> Run:
    """Its best case: the whole epoch is one compiled loop, and NumPy draws the shuffle."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, y = (jnp.asarray(a) for a in net.data())
    rate, adam = net.learning_rate, net.optimizer == "adam"

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for w, b in weights[:-1]:
            x = jax.nn.relu(x @ w + b)
        w, b = weights[-1]
        return -jnp.take_along_axis(jax.nn.log_softmax(x @ w + b), y[:, None], axis=1).mean()

    def step(state: Any, rows: Any) -> tuple[Any, Any]:
        weights, m, v, t = state
        value, g = jax.value_and_grad(loss)(weights, x[rows], y[rows])
        each, t = jax.tree.map, t + 1
        if adam:
            m = each(lambda m, g: m + 0.1 * (g - m), m, g)
            v = each(lambda v, g: v + 0.001 * (g * g - v), v, g)
            alpha = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            weights = each(lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
        else:
            weights = each(lambda w, g: w - rate * g, weights, g)
        return (weights, m, v, t), value

    epoch = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
    weights = jax.tree.map(jnp.asarray, net.weights())
    zeros = jax.tree.map(jnp.zeros_like, weights) if adam else ()
    state = (weights, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))
    rng = np.random.default_rng(0)

    def run() -> None:
        nonlocal state
        order = rng.permutation(len(x)).astype(np.int32).reshape(-1, net.batch)
        state, losses = epoch(state, order)
        jax.block_until_ready((state, losses))

    return run


def nncore_model(net: Net, threads: int) -> Any:
    import nncore as nn

    if not hasattr(nn, "Model"):
        raise ImportError("nncore.Model is missing")
    layers = [nn.Dense(n, activation="relu") for n in net.widths[1:-1]]
    model = nn.Model([*layers, nn.Dense(net.widths[-1], activation="softmax")], seed=0, n_threads=threads)
    model.build(net.widths[0])
    model.set_weights([a for pair in net.weights() for a in pair])
    return model


def compiled_model(net: Net, threads: int, level: str = "highest") -> Any:
    model = nncore_model(net, threads)

    import nncore as nn

    optimizer = (nn.Adam if net.optimizer == "adam" else nn.SGD)(net.learning_rate)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", matmul_precision=level)
    return model


def nncore_run(net: Net, threads: int, level: str = "highest", **options: Any) -> Run:
    """An epoch, or what `options` of fit say."""
    model, (x, y) = compiled_model(net, threads, level), net.data()
    options = {"batch_size": net.batch, "verbose": 0} | options
    return lambda: model.fit(x, y, **options)
