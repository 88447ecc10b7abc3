"""Steps whose gradients a user gives: dL/dy of the outputs, in place of targets and a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore._kernels import engine
from nncore.arguments import an, is_number
from nncore.bindings import Binding
from nncore.conversion import as_array
from nncore.data import Dataset
from nncore.execution.stepping import Steppers
from nncore.network import Graph
from nncore.state import Array
from nncore.training.fit import explain_divergence

if TYPE_CHECKING:
    from nncore.model import Model

Gradients = list[Array | None]

#: From the outputs of a step to its loss and the gradient of each.
Function = Callable[..., tuple[float, Sequence[Any]]]


def prepared(model: Model, x: Any, grad: Any) -> tuple[Dataset, Steppers]:
    """The rows of a batch, and the programs for the gradients that `grad` is, or returns."""
    inputs = model._inputs(x)
    if not inputs[0].rows:
        raise ValueError(f"x: expected at least one row, got shape {inputs[0].array.shape}")
    graph = model._built()
    graph = graph.sized(graph.sizes(inputs))
    function, outputs = as_function(grad, graph, inputs[0].rows)
    steppers = model.steppers(need_loss=False).by_gradients(outputs)
    assert steppers.configuration.given is not None
    steppers.configuration.given.function = function
    none: list[Binding | None] = [None] * len(graph.outputs)
    return Dataset(inputs, none, none), steppers


def step(model: Model, x: Any, grad: Any) -> dict[str, float]:
    """One step by the gradients that `grad` is, or returns; the logs of it."""
    dataset, steppers = prepared(model, x, grad)
    given = steppers.configuration.given
    assert given is not None
    sizes = steppers.graph.sizes(dataset.inputs)
    stepper = steppers.take(True, dataset.weighted, dataset.rows, model.threads(), sizes)
    try:
        stepper.attach(dataset, shuffled=False)
        stepper.begin(dataset.rows)
        if stepper.whole_step() == engine.DIVERGED:
            raise explain_divergence(model, dataset, stepper.batch_rows(), 0, 0)
        return stepper.logs()
    finally:
        given.function = None  # nor what it holds
        steppers.give(stepper)


def as_function(grad: Any, graph: Graph, rows: int) -> tuple[Function, tuple[int, ...]]:
    """What is called with the outputs of the step for its loss and gradients, and the numbers of these outputs."""
    if not callable(grad):
        arrays = of_outputs(grad, graph, rows)
        numbers = tuple(i for i, array in enumerate(arrays) if array is not None)
        if not numbers:
            raise ValueError("grad: expected the gradient of an output at least, got None for all of them")
        chosen = [arrays[i] for i in numbers]
        return lambda *outputs: (0.0, chosen), numbers

    def function(*outputs: Array) -> tuple[float, Sequence[Any]]:
        given, loss = grad(graph.gives.pack(outputs)), 0.0
        if isinstance(given, tuple) and len(given) == 2 and is_number(given[0]):
            loss, given = float(given[0]), given[1]
        return loss, [0.0 if g is None else g for g in of_outputs(given, graph, rows)]

    return function, tuple(range(len(graph.outputs)))


def of_outputs(given: Any, graph: Graph, rows: int) -> Gradients:
    """The gradient of each output, checked; None where there is none."""
    names, single = graph.output_names, len(graph.outputs) == 1
    if single and not isinstance(given, Mapping):
        given = [given]
    elif isinstance(given, Mapping):
        if not given.keys() <= set(names):
            raise ValueError(f"grad: expected a dict with keys of {names}, got {list(given)}")
        given = [given.get(name) for name in names]
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        what = f"{len(given)}" if isinstance(given, (list, tuple)) else an(type(given).__name__)
        raise ValueError(f"grad: expected a list of {len(names)} gradients, of the outputs {names}, got {what}")
    found: Gradients = []
    for part, name, sample in zip(given, names, graph.made, strict=True):
        argument, shape = "grad" if single else f"grad[{name!r}]", (rows, *sample)
        if part is None and not single:
            found.append(None)
            continue
        array = as_array(part, argument)
        if array.shape != shape and array.shape in ((rows,), (rows, 1)) and sample in ((), (1,)):
            array = array.reshape(shape)
        if array.shape != shape:
            raise ValueError(
                f"{argument}: expected the gradient of the loss by each element of the output, shape {shape}, got "
                f"{array.shape}. It is that of the number which is minimized: for a mean over the batch it has 1/{rows}"
            )
        found.append(array.astype(np.float64) if array.dtype.kind != "f" else array)
    return found
