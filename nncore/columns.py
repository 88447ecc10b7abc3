"""What is given for each input of a model: arrays in a list or dict, or columns of a data frame by name.

A frame is whatever has names of columns and gives a column by its name: pandas, polars, narwhals, pyarrow. None of
them is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import conversion
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.network import Graph


def column_names(data: Any) -> list[str] | None:
    """Names of the columns of a frame, or the keys of a dict; None: it is neither."""
    if isinstance(data, Mapping):
        return list(data)
    if (
        isinstance(data, (list, tuple))
        or not hasattr(type(data), "__getitem__")
        or len(getattr(data, "shape", ())) != 2
    ):
        return None
    # Of the class: columns of pandas are attributes of the frame, and one of them may be named "column_names".
    names = data.column_names if hasattr(type(data), "column_names") else getattr(data, "columns", None)
    return None if names is None or callable(names) else list(names)


def given(x: Any, graph: Graph, argument: str) -> tuple[list[Any], list[str]]:
    """What is given for each input of a graph, in order, and what the user calls each.

    A dict or frame may have more than the model reads: whole tables are at hand, with their targets, and nothing that
    the model needs is missing.
    """
    found = None if type(x) is np.ndarray else column_names(x)
    if len(graph.inputs) == 1:
        own = (*graph.input_names, graph.inputs[0].name)
        known = [name for name in own if name in found] if found and len(found) > 1 else []
        return [x[known[0]] if known else x], [argument]
    names = graph.input_names
    called = [f"{argument}[{name!r}]" for name in names]
    if found is None:
        return graph.takes.match(x, names, argument), called
    if missing := [name for name in names if name not in found]:
        what = "dict with the keys" if isinstance(x, Mapping) else "frame with the columns"
        shown = f"{found[:12]}" + (" …" if len(found) > 12 else "")
        raise ValueError(f"{argument}: expected a {what} {names}, got {shown}: {missing} missing")
    return [x[name] for name in names], called


def unbuilt(x: Any, argument: str, stack: Sequence[Any]) -> Array:
    """The array of the only input of a stack of layers, before it knows its shape."""
    while stack and hasattr(stack[0], "_stack"):  # a model, which begins with its own first layer
        stack = stack[0]._stack
    if stack and stack[0].encodes:
        array: Array = stack[0].read(conversion.sole(x, None), argument)
        return array
    return conversion.as_input(x, argument, None)
