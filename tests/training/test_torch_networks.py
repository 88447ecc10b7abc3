"""The same networks in PyTorch: embeddings, changed rates, shared layers and nested models, several losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch_twins import (
    HIDDEN,
    INPUTS,
    OPTIMIZERS,
    OUTPUTS,
    ROWS,
    STEPS,
    TINY,
    TOLERANCE,
    F,
    Twin,
    assert_moved_alike,
    labels,
    mlp,
    shares,
    softmax,
    torch,
    torch_step,
    values,
)

import nncore as nn

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_torch_thread")]


@pytest.mark.parametrize("lazy", [False, True])
def test_embedding(lazy: bool) -> None:
    """SparseAdam is LazyAdam, with its ε; Adam moves every row at every step."""
    rng = np.random.default_rng(3)
    model = nn.Model([nn.Input(4), nn.Embedding(50, 3), nn.Flatten(), nn.Dense(2, use_bias=False)], dtype="float64")
    model.compile(nn.LazyAdam(0.02) if lazy else nn.Adam(0.02, epsilon=TINY), "mse")
    table, w = (torch.tensor(array, requires_grad=True) for array in model.get_weights())
    rest = [w] if lazy else [table, w]
    theirs: list[Any] = [torch.optim.Adam(rest, lr=0.02, eps=TINY)]
    if lazy:
        model.layers[-1].trainable = False
        model.compile(nn.LazyAdam(0.02), "mse")
        theirs = [torch.optim.SparseAdam([table], lr=0.02, eps=1e-7)]
    for _ in range(20):
        x, y = rng.integers(0, 50, (8, 4)), rng.standard_normal((8, 2))
        made = F.embedding(torch.from_numpy(x), table, sparse=lazy).reshape(8, 12) @ w
        loss = F.mse_loss(made, torch.from_numpy(y))
        for optimizer in theirs:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in theirs:
            optimizer.step()
        assert model.train_on_batch(x, y) == pytest.approx(loss.item(), rel=1e-9)
    np.testing.assert_allclose(model.get_weights()[0], table.detach().numpy(), 1e-8, 1e-10)


def test_learning_rate_between_fits_rescales_nothing_that_is_remembered() -> None:
    """nncore remembers η g where PyTorch remembers g: after a change of η the momentum keeps the old η."""
    model = mlp("float64", None)
    model.compile(nn.SGD(0.1, momentum=0.9), "mse")
    start = model.get_weights()
    twin = Twin(model, torch.tanh)
    velocity = [torch.zeros_like(p) for p in twin.parameters]
    rng = np.random.default_rng(3)
    for rate in (0.1, 0.1, 0.01, 0.05):
        x, t = rng.standard_normal((ROWS, INPUTS)), values(rng)
        loss = F.mse_loss(twin.logits(torch.from_numpy(x)), torch.from_numpy(t))
        gradients = torch.autograd.grad(loss, twin.parameters)
        with torch.no_grad():
            for p, v, g in zip(twin.parameters, velocity, gradients, strict=True):
                v.mul_(0.9).sub_(rate * g)
                p.add_(v)
        model.optimizer.learning_rate = rate
        model.fit(x, t, batch_size=ROWS, shuffle=False, verbose=0)
    assert_moved_alike(model, twin, start, "float64")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shared_layers_and_nested_models(dtype: str) -> None:
    """A layer used three times, in a model used twice: PyTorch adds up the gradients of all uses."""
    i = nn.Input(HIDDEN)
    shared = nn.Dense(HIDDEN, "tanh", name="shared")
    block = nn.Model(i, nn.Add()([shared(shared(i)), i]), seed=1, dtype=dtype)
    x = nn.Input(INPUTS)
    h = block(shared(block(nn.Dense(HIDDEN, name="first")(x))))
    model = nn.Model(x, nn.Dense(OUTPUTS, name="last")(h), seed=0, dtype=dtype)
    model.compile(nn.SGD(0.1, momentum=0.9), "mse")
    assert [p.path.split("/")[0] for p in model.weights[::2]] == ["first", "shared", "last"]
    start = model.get_weights()
    parameters = [torch.tensor(w, requires_grad=True) for w in start]
    w1, b1, w, b, w2, b2 = parameters

    def layer(z: Any) -> Any:
        return torch.tanh(z @ w + b)

    def twice(z: Any) -> Any:
        return layer(layer(z)) + z

    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    rng = np.random.default_rng(3)
    for _ in range(STEPS):
        data, target = rng.standard_normal((ROWS, INPUTS)).astype(dtype), values(rng).astype(dtype)
        model.train_on_batch(data, target)
        optimizer.zero_grad()
        out = twice(layer(twice(torch.tensor(data) @ w1 + b1))) @ w2 + b2
        F.mse_loss(out, torch.tensor(target)).backward()
        optimizer.step()
    for got, wanted, first in zip(model.get_weights(), parameters, start, strict=True):
        moved = abs(got - first).max()
        np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=0, atol=TOLERANCE[dtype] * moved)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer_name", ["sgd", "sgd-nesterov", "adam", "adam-global"])
def test_several_losses(optimizer_name: str, dtype: str) -> None:
    """Three losses on two inputs: of probabilities that the third output is made from, too, and of a layer used twice.

    Every second step weighs the samples of some.
    """
    make, make_theirs, decay = OPTIMIZERS[optimizer_name]
    a, b = nn.Input(INPUTS, name="a"), nn.Input(INPUTS, name="b")
    shared = nn.Dense(HIDDEN, "tanh", name="shared")
    h = nn.Add()([shared(a), shared(b)])
    kind, signs = nn.Dense(OUTPUTS, "softmax", name="kind")(h), nn.Dense(OUTPUTS, "sigmoid", name="signs")(h)
    end = nn.Dense(OUTPUTS, name="end")(nn.Concatenate()([kind, h]))
    model, optimizer = nn.Model([a, b], [kind, signs, end], seed=0, dtype=dtype), make()
    kinds, sizes = ["sparse_categorical_crossentropy", "binary_crossentropy", "mse"], [0.7, 1.0, 2.0]
    model.compile(optimizer, kinds, loss_weights=sizes)
    assert [p.path.split("/")[0] for p in model.weights[::2]] == ["shared", "kind", "signs", "end"]
    start, twin = model.get_weights(), Twin(model, torch.tanh)
    theirs = make_theirs(twin.parameters)
    rng = np.random.default_rng(9)
    for step in range(1, STEPS + 1):
        x = [rng.standard_normal((ROWS, INPUTS)).astype(dtype) for _ in range(2)]
        y = [labels(rng), shares(rng).astype(dtype), values(rng).astype(dtype)]
        w = {"kind": rng.random(ROWS).astype(dtype), "end": rng.random(ROWS).astype(dtype)} if step % 2 == 0 else {}
        p, q, r = twin_outputs(twin, *map(torch.from_numpy, x))
        t, s, v = map(torch.from_numpy, y)
        rows = {
            "kind": F.cross_entropy(p, t, reduction="none"),
            "signs": F.binary_cross_entropy_with_logits(q, s, reduction="none").mean(dim=1),
            "end": F.mse_loss(r, v, reduction="none").mean(dim=1),
        }
        parts = [(row * torch.from_numpy(w[name]) if name in w else row).mean() for name, row in rows.items()]
        value = sum(size * part for size, part in zip(sizes, parts, strict=True))
        torch_step(twin, optimizer, theirs, value, decay, step)
        got = model.train_on_batch(x, y, w or None, return_dict=True)
        wanted = dict(zip(["loss", "kind_loss", "signs_loss", "end_loss"], [value, *parts], strict=True))
        tolerance = 1e-11 if dtype == "float64" else 1e-4
        assert got == pytest.approx({name: float(v.detach()) for name, v in wanted.items()}, rel=tolerance)
    assert_moved_alike(model, twin, start, dtype)


def twin_outputs(twin: Twin, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Of `test_several_losses`: logits, logits, values."""
    shared, _, kind, _, signs, _, end, _ = twin.parameters
    _, c, _, d, _, e, _, f = twin.parameters
    h = torch.tanh(a @ shared + c) + torch.tanh(b @ shared + c)
    p = h @ kind + d
    return p, h @ signs + e, torch.cat([softmax(p), h], dim=1) @ end + f
