"""The network of an estimator: its layers, and its weights as the arrays that scikit-learn shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import nncore as nn
from nncore import activations
from nncore.layers.base import Layer
from nncore.state import Array

#: nncore's names of scikit-learn's activations.
ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}

#: Activations that increase, or stay: with the others no signs of weights make a network monotonic.
INCREASING = {
    "linear", "relu", "leaky_relu", "elu", "selu", "celu", "sigmoid", "tanh", "softplus", "softsign", "hard_sigmoid",
    "hard_tanh", "log_sigmoid", "exponential", "squareplus", "sparse_plus", "sparse_sigmoid", "relu_general",
}  # fmt: skip


def activation(given: Any) -> Any:
    """What an estimator was given, as nncore's activation; a ValueError or TypeError where it is none."""
    return activations.get(ACTIVATIONS.get(given, given) if isinstance(given, str) else given, "activation")


def network(estimator: Any, units: Sequence[int], dtype: str, seed: int, penalty: float) -> nn.Model:
    """An estimator's layers of these units, the inputs first, with `penalty` Σ w² on kernels; the weights are any."""
    hidden: list[Layer] = []
    signs, regularizer = constraints(estimator._signs, units), squares(penalty)

    def dense(place: int, of: Any) -> nn.Dense:
        return nn.Dense(
            units[place + 1], activation(of), kernel_regularizer=regularizer, kernel_constraint=signs[place]
        )

    for place in range(len(units) - 2):
        if estimator.batch_norm:
            norm = nn.BatchNormalization(gamma_constraint="non_neg" if signs[place] else None)
            hidden += [dense(place, "linear"), norm, nn.Activation(activation(estimator.activation))]
        else:
            hidden.append(dense(place, estimator.activation))
        if estimator.dropout:
            hidden.append(nn.Dropout(estimator.dropout))
    last = dense(len(units) - 2, estimator.out_activation_)
    layers = [nn.Input(units[0]), *hidden, last, *estimator._last()]
    threads = None if estimator.n_jobs in (None, -1) else int(estimator.n_jobs)
    return nn.Sequential(layers, seed=seed, dtype=dtype, n_threads=threads)


def constraints(signs: Sequence[int] | None, units: Sequence[int]) -> list[nn.constraints.Signs | None]:
    """Of each kernel, what makes the network monotonic by these signs of the inputs; None where it need not be.

    Of the units of a hidden layer every other one counts negatively, so that the function may bend both ways.
    """
    if signs is None:
        return [None] * (len(units) - 1)
    turns = [list(signs), *([1 - 2 * (j % 2) for j in range(n)] for n in units[1:-1]), [1] * units[-1]]
    return [nn.constraints.Signs(rows, columns) for rows, columns in pairwise(turns)]


def monotonic(estimator: Any) -> list[int] | None:
    """Signs of the inputs, from `monotonic_cst`, as scikit-learn takes it; None where nothing is asked for."""
    given = estimator.monotonic_cst
    n = estimator.n_features_in_
    if given is None:
        return None
    if isinstance(given, Mapping):
        names = list(getattr(estimator, "feature_names_in_", ()))
        if strange := sorted(set(given).difference(names)):
            raise ValueError(f"monotonic_cst: expected names of columns, got {strange[0]!r}; known: {names or 'none'}")
        given = [given.get(name, 0) for name in names]
    signs = np.asarray(given).tolist()
    if not isinstance(signs, list) or len(signs) != n or not all(s in (-1, 0, 1) for s in signs):
        raise ValueError(
            f"monotonic_cst: expected -1, 0 or 1 for each of {n} features, got {estimator.monotonic_cst!r}"
        )
    if estimator.solver == "lbfgs":
        raise ValueError("monotonic_cst: expected solver 'adam' or 'sgd', after whose updates weights are made to fit")
    if activation(estimator.activation).kernel not in INCREASING:
        raise ValueError(f"activation: expected one that increases, with monotonic_cst, got {estimator.activation!r}")
    return [int(s) for s in signs] if any(signs) else None


def dense_layers(model: nn.Model) -> list[nn.Dense]:
    """Those whose weights are `coefs_` and `intercepts_`."""
    return [layer for layer in model.layers if isinstance(layer, nn.Dense)]


def live_weights(model: nn.Model) -> tuple[list[Array], list[Array]]:
    """`coefs_` and `intercepts_`: the weights themselves, which follow the training, and which it follows.

    They may be written, unless products read copies of a lower precision.
    """
    state = model._built().state
    coefs: list[Array] = []
    intercepts: list[Array] = []
    for layer in dense_layers(model):
        for parameter, arrays in zip(layer.weights, (coefs, intercepts), strict=True):
            array = state.view(parameter)
            array.flags.writeable &= model.matmul_precision == "highest"
            arrays.append(array)
    return coefs, intercepts


def put(model: nn.Model, coefs: Sequence[Any], intercepts: Sequence[Any]) -> None:
    """Let the model have these weights."""
    for layer, kernel, bias in zip(dense_layers(model), coefs, intercepts, strict=True):
        layer.set_weights([kernel, bias])


def drawn(
    rng: np.random.RandomState, units: Sequence[int], logistic: bool, dtype: Any, signs: Sequence[int] | None
) -> list[tuple[Array, Array]]:
    """Kernels and biases as scikit-learn draws them: uniform on ±√(6 / (fan_in + fan_out)), 2 for 6 before sigmoids.

    Where signs are asked for, kernels have them.
    """
    pairs = []
    for (inputs, outputs), constraint in zip(pairwise(units), constraints(signs, units), strict=True):
        bound = np.sqrt((2.0 if logistic else 6.0) / (inputs + outputs))
        kernel = rng.uniform(-bound, bound, (inputs, outputs))
        if constraint is not None:
            wanted = np.multiply.outer(*constraint.of(kernel.shape))
            kernel = np.where(wanted == 0, kernel, wanted * abs(kernel))
        pairs.append((kernel.astype(dtype), rng.uniform(-bound, bound, outputs).astype(dtype)))
    return pairs


def squares(factor: float) -> nn.regularizers.Regularizer | None:
    """The penalty factor Σ w²."""
    return nn.regularizers.L2(factor) if factor else None


def decay(model: nn.Model, factor: float) -> None:
    """Let the penalty be factor Σ w² over all kernels."""
    regularizer = squares(factor)
    for layer in dense_layers(model):
        if layer.kernel_regularizer != regularizer:
            layer.kernel_regularizer = regularizer


def read(model: nn.Model) -> tuple[list[nn.Dense], nn.Dense]:
    """The hidden layers and the last one of a stack of `Dense` with biases; a ValueError for another model."""
    layers = model.layers
    dense = [layer for layer in layers if isinstance(layer, nn.Dense) and layer.use_bias]
    kinds = {layer.activation for layer in dense[:-1]}
    if not dense or len(dense) < len(layers) or len(kinds) > 1 or not model.is_stack or not model.built:
        raise ValueError(
            f"model: expected a built stack of Dense with biases, the hidden ones of one activation, got {model!r}"
        )
    return dense[:-1], dense[-1]


def of_hidden(hidden: Sequence[nn.Dense]) -> dict[str, Any]:
    """The constructor's argument for the activation of these layers."""
    return {"activation": hidden[0].activation} if hidden else {}


def told(last: nn.Dense) -> str:
    """scikit-learn's name of the last activation."""
    name = last.activation.kernel
    return {ours: theirs for theirs, ours in ACTIVATIONS.items()}.get(name, name)
