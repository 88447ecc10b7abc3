"""Whether gradients are those of the loss: central differences in float64 beside what is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore.architecture import Numbered
from nncore.arguments import check_count, check_number, explained
from nncore.bindings import Binding
from nncore.custom import keeping
from nncore.data import Dataset
from nncore.execution.gradients import Gradients, arrays
from nncore.model import Model
from nncore.optimizers import SGD
from nncore.outline import Outline, remade
from nncore.state import Array


@dataclass(frozen=True)
class Checked:
    """The elements of one array that were looked at.

    Attributes
    ----------
    name : str
        Path of the weight, or name of the input.
    shape : tuple of int
    elements : int
        How many were looked at.
    error : float
        The largest |g − d| / (atol + rtol max(|g|, |d|)), g being the gradient and d the difference; up to 1 is good.
    at : tuple of int
        Where that is.
    gradient, difference : float
        g and d there.
    """

    name: str
    shape: tuple[int, ...]
    elements: int
    error: float
    at: tuple[int, ...]
    gradient: float
    difference: float

    @property
    def good(self) -> bool:
        """Whether all elements agree."""
        return self.error <= 1


class GradientReport(list[Checked]):
    """What `check_gradients` found, a `Checked` for each array; true where all agree, and printed as a table."""

    def __bool__(self) -> bool:
        return all(row.good for row in self)

    def __repr__(self) -> str:
        head = ("", "shape", "looked at", "gradient", "difference", "at", "")
        rows = [
            (
                row.name,
                str(row.shape),
                f"{row.elements:,}",
                f"{row.gradient:.6g}",
                f"{row.difference:.6g}",
                str(list(row.at)),
                "agree" if row.good else "DIFFER",
            )
            for row in self
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
        ]
        wrong = [row.name for row in self if not row.good]
        verdict = (
            f"gradients differ from the loss's differences: {', '.join(wrong)}" if wrong else "all gradients agree"
        )
        return "\n".join([*lines, f"{verdict} (each row: where they differ most)"])


@explained
def check_gradients(
    model: Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    elements: int = 32,
    eps: float = 1e-6,
    rtol: float = 1e-4,
    atol: float = 1e-7,
    seed: int = 0,
    raise_exception: bool = True,
) -> GradientReport:
    """Compare gradients, of weights and of inputs, with central differences of the loss, in float64.

    That is (L(w + h) − L(w − h)) / 2h with h = `eps` max(1, |w|), of a copy of the model in float64, on the batch as
    the next step of training sees it, with the same dropout each time. It is meant for layers, activations and losses
    of a user's own; at a kink, such as that of relu at 0, the two may rightly differ.

    Parameters
    ----------
    model : Model
        Compiled with a loss; it stays as it is.
    x, y, sample_weight : array_like
        A few rows will do.
    elements : int, default 32
        Most elements of each array to look at, drawn by `seed`; each costs two passes over the batch.
    eps, rtol, atol : float, default 1e-6, 1e-4, 1e-7
        They agree where |g − d| ≤ atol + rtol max(|g|, |d|).
    raise_exception : bool, default True
        False: only say in the report that they differ.

    Returns
    -------
    GradientReport
        Which prints as a table, and is true where all agree.

    Raises
    ------
    ValueError
        They differ; the message is the report.
    """
    count = check_count(elements, "elements")
    for name, value in (("eps", eps), ("rtol", rtol), ("atol", atol)):
        check_number(value, name, "a finite number > 0", lambda v: 0 < v < math.inf)
    model._compiled(need_loss=True)
    model._inputs(x)  # builds it
    twin = in_float64(model)
    data = twin._dataset(x, y, sample_weight)
    graph = twin._built().at(training=True)
    inputs = [in_reals(binding) for binding in data.inputs]
    data = Dataset(inputs, data.targets, data.weights)
    fed = [(i, inputs[binding]) for i, binding in graph.fed_inputs().items()]
    names = graph.input_names
    looked_at = [(graph.inputs[i], binding, names[i]) for i, binding in fed if not binding.integers]
    made = Gradients(twin.steppers(), data, 1, [s for s, _, _ in looked_at])
    rng = np.random.default_rng(seed)
    report = GradientReport()
    try:
        made.compute()
        if not math.isfinite(made.loss):
            raise ValueError("check_gradients: expected a finite loss and gradient for these rows, got others")
        state = graph.state
        wanted: list[tuple[str, Array, Any]] = [(graph.paths[p], p.within(state.values), p) for p in graph.trained]
        wanted += [(f"input {name}", binding.array, s) for s, binding, name in looked_at]
        found = [np.array(g) for g in arrays(made, [one for *_, one in wanted], data.rows)]
        for (name, values, _), gradient in zip(wanted, found, strict=True):
            report.append(compared(made, name, values, gradient, rng, count, (eps, rtol, atol)))
    finally:
        made.close()
    if raise_exception and not report:
        raise ValueError(f"check_gradients: expected gradients that are those of the loss, got\n{report!r}")
    return report


def compared(
    made: Gradients, name: str, values: Array, gradient: Array, rng: Any, count: int, settings: tuple[float, ...]
) -> Checked:
    """Look at some elements of an array."""
    eps, rtol, atol = settings
    flat, shape = values.reshape(-1), values.shape
    places = np.sort(rng.permutation(flat.size)[:count])
    worst, at, g, d = -1.0, 0, 0.0, 0.0
    for place in places.tolist():
        was, h, losses = flat[place], eps * max(1.0, abs(flat[place])), []
        for step in (h, -h):
            flat[place] = was + step
            made.compute()
            losses.append(made.loss)
        flat[place] = was
        difference, own = (losses[0] - losses[1]) / (2 * h), float(gradient.reshape(-1)[place])
        error = abs(own - difference) / (atol + rtol * max(abs(own), abs(difference)))
        error = math.inf if math.isnan(error) else error
        if error > worst:
            worst, at, g, d = error, place, own, difference
    index = tuple(int(i) for i in np.unravel_index(at, shape)) if flat.size else ()
    return Checked(name, shape, len(places), max(worst, 0.0), index, g, d)


def in_reals(binding: Binding) -> Binding:
    """An input's rows as an array of its own, which may be written."""
    array = binding.convert(slice(None))
    return Binding(np.array(array, order="C"), binding.argument, binding.dtype, binding.integers)


def in_float64(model: Model) -> Model:
    """A model with the same weights and losses in float64, of new layers."""
    with keeping():
        numbered = Numbered(model)
        outline = Outline(numbered.about(model))
        outline.dtype = "float64"
        twin = remade(numbered, outline)
    twin.n_threads = 1
    if not twin.built:
        twin.build(model.input_shape)
    twin.set_weights([w.astype(np.float64) for w in model.get_weights()])
    assert model.configuration is not None
    arguments = model.configuration.arguments()
    twin.compile(SGD(), arguments["loss"], arguments["loss_weights"])
    twin.counters[:] = model.counters
    return twin
