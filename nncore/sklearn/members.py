"""One network of an ensemble for tables: its layers, its weights before the first step, its training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nncore as nn
from nncore.callbacks import Callback, EarlyStopping
from nncore.layers.features import ParametricActivation, PeriodicEmbedding, Scale
from nncore.schedules.decays import CosineCycles, FlatCosine
from nncore.sklearn.columns import DTYPES, Columns
from nncore.state import Array

HIDDEN = ("dense_0", "dense_1", "dense_2")
OUTPUTS = "outputs"
DENSE = (*HIDDEN, OUTPUTS)
UNITS = 64  # four times as many networks as one of the recipe's 256 has room for: see bench/NOTES.md
STDDEV = 0.05, 0.8  # of frequencies, in periods per range between the quartiles
DTYPE = DTYPES["features"]  # whatever that of other models is
VECTOR = 8  # elements of what is learned for a level of a category with many
CYCLES = 4  # of the learning rate
KINKS = 5  # rows between which a neuron's kink lies at the start
SAME = 1e-5  # how far from each other, to their size, rows may be by rounding alone
LOOKED_AT = 1024  # rows that the first weights are made for


class Recipe(NamedTuple):
    """How a network is trained."""

    outputs: int
    activation: str
    loss: Any
    learning_rate: float
    epochs: int
    batch_size: int
    validation_fraction: float
    dropout: float
    weight_decay: float
    verbose: int
    callbacks: Callable[[], list[Callback]] = list  # further ones, for each network its own


class Rows(NamedTuple):
    """What was given to fit: columns by name, targets (n, outputs) as the network has them, weights (n,) or None."""

    given: dict[str, Array]
    targets: Array
    weights: Array | None


class Member(NamedTuple):
    """A network that is trained, its outputs for the rows that it was not trained on, and these rows' numbers."""

    network: nn.Model
    outputs: Array
    held: Array


class Best(EarlyStopping):
    """The weights of the epoch with the least loss of the rows for validation.

    Training ends before the last cycle of the learning rate where the one before it has brought none.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(patience=epochs, restore_best_weights=True)
        self.second, self.third = (round(epochs * (2**cycle - 1) / (2**CYCLES - 1)) - 1 for cycle in (2, 3))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare."""
        super().on_epoch_end(epoch, logs)
        if epoch == self.third > self.second >= self.best_epoch:
            self.model.stop_training = True


class Trainer:
    """What trains networks, one after another, by programs that are compiled once.

    Parameters
    ----------
    columns : Columns
    rows : Rows
    recipe : Recipe
    n_threads : int
        Of a step.
    """

    def __init__(self, columns: Columns, rows: Rows, recipe: Recipe, n_threads: int) -> None:
        self.columns, self.rows, self.recipe = columns, rows, recipe
        count = len(rows.targets)
        self.used = count - min(max(1, round(recipe.validation_fraction * count)), count - 1)
        self.total = recipe.epochs * math.ceil(self.used / recipe.batch_size)
        self.model = network(columns, recipe, self.total, 0)
        self.model.n_threads = n_threads
        layers = [self.model.get_layer(name).output for name in DENSE]
        self.layers = nn.Model(self.model.input, layers, n_threads=n_threads, dtype=DTYPE)  # the last: the network's
        self.model.compile(optimizer(recipe, self.total), recipe.loss)

    def train(self, seed: int) -> Member:
        """Train a network on rows of its own choice; the others say which epoch was the best."""
        rows, recipe, used, model = self.rows, self.recipe, self.used, self.model
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(rows.targets))  # those for validation are the last: both parts are views
        inputs, targets = self.columns(rows.given, order), rows.targets[order]
        weights = None if rows.weights is None else rows.weights[order]
        trained = network(self.columns, recipe, self.total, seed)
        model.restart(seed)
        model.set_weights(trained.get_weights())
        self.prepare({name: array[:used][:LOOKED_AT] for name, array in inputs.items()}, rng)
        held = {name: array[used:] for name, array in inputs.items()}
        model.fit(
            {name: array[:used] for name, array in inputs.items()},
            targets[:used],
            recipe.batch_size,
            recipe.epochs,
            recipe.verbose,
            [Best(recipe.epochs), *recipe.callbacks()],
            validation_data=(held, targets[used:], *([] if weights is None else [weights[used:]])),
            sample_weight=None if weights is None else weights[:used],
        )
        trained.set_weights(model.get_weights())
        return Member(trained, self.layers.predict(held)[-1], order[used:])

    def prepare(self, inputs: dict[str, Array], rng: np.random.Generator) -> None:
        """Let each neuron have standard deviation 1 on these rows, and its kink among them, layer by layer."""
        for place, name in enumerate(DENSE):
            layer, z = self.model.get_layer(name), self.layers.predict(inputs)[place]
            spread = z.std(axis=0)
            spread[spread <= SAME * np.abs(z).max(axis=0)] = 1
            z /= spread
            layer.kernel.assign(layer.kernel.numpy() / spread)
            shares = rng.dirichlet(np.ones(KINKS), z.shape[1]).T
            picked = z[rng.integers(0, len(z), (KINKS, z.shape[1])), np.arange(z.shape[1])]
            layer.bias.assign(-(shares * picked).sum(axis=0))


def train(columns: Columns, rows: Rows, recipe: Recipe, seeds: list[int], n_threads: int) -> list[Member]:
    """Train networks, one after another."""
    trainer = Trainer(columns, rows, recipe, n_threads)
    return [trainer.train(seed) for seed in seeds]


def network(columns: Columns, recipe: Recipe, total: int, seed: int) -> nn.Model:
    """Three layers of 64 neurons, whose weights are of order 1: inputs are divided by the root of their number.

    It is to be trained for `total` steps.
    """
    normal = nn.initializers.RandomNormal(stddev=1.0)
    symbols = inputs_of(columns)
    parts = []
    if columns.numbers:
        numbers = symbols["features"][:, : columns.numbers]
        parts.append(PeriodicEmbedding(stddev=STDDEV, knots=columns.knots(), name="periodic")(numbers))
    if columns.widths.get("features", 0) > columns.numbers:
        parts.append(symbols["features"][:, columns.numbers :])
    if columns.n_codes:
        vectors = nn.Embedding(columns.n_codes, VECTOR, normal, name="vectors")
        parts.append(nn.Flatten()(vectors(symbols["codes"])))
    h = Scale(name="scale")(parts[0] if len(parts) == 1 else nn.Concatenate()(parts))
    for i, name in enumerate(HIDDEN):
        z = nn.Dense(UNITS, kernel_initializer=normal, name=name)(nn.Rescaling(h.shape[-1] ** -0.5)(h))
        h = ParametricActivation(recipe.activation, name=f"activation_{i}")(z)
        h = nn.Dropout(FlatCosine(recipe.dropout, total))(h) if recipe.dropout else h
    outputs = nn.Dense(recipe.outputs, kernel_initializer=normal, name=OUTPUTS)(nn.Rescaling(UNITS**-0.5)(h))
    return nn.Model(list(symbols.values()), outputs, seed=seed, dtype=DTYPE)


def optimizer(recipe: Recipe, total: int) -> nn.optimizers.Optimizer:
    """Adam with what the recipe says of weights, for `total` steps."""
    rate, decay = CosineCycles(recipe.learning_rate, total, CYCLES), FlatCosine(recipe.weight_decay, total)
    made = nn.AdamW(rate, weight_decay=decay, beta_1=0.9, beta_2=0.95, epsilon=1e-8)
    made.exclude_from_weight_decay(var_names=["bias"])
    made.scale_learning_rate({"bias": 0.1, "alpha": 0.1, "periodic": 0.1, "scale/": 6.0})
    return made


def inputs_of(columns: Columns) -> dict[str, Any]:
    """A symbol for each input."""
    return {name: nn.Input((width,), dtype=DTYPES[name], name=name) for name, width in columns.widths.items()}


def joined(columns: Columns, members: list[nn.Model], factors: list[float] | None) -> nn.Model:
    """The mean of the networks' outputs as one network; of classifiers, of probabilities of logits times factors."""
    symbols = inputs_of(columns)
    given = list(symbols.values())
    for number, member in enumerate(members):
        member.name = f"member_{number}"
    outputs = [member(given if len(given) > 1 else given[0]) for member in members]
    if factors:
        scaled = zip(outputs, factors, strict=True)
        outputs = [nn.Activation("softmax")(nn.Rescaling(factor)(logits)) for logits, factor in scaled]
    mean = nn.Average()(outputs) if len(outputs) > 1 else outputs[0]
    seed = members[0].seed  # nothing is drawn, but a file of the same fit is the same
    return nn.Model(given, mean, seed=seed, dtype=DTYPE)
