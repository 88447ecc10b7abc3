"""The table that `Model.summary` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import runtime
from nncore.registry import snake_case

if TYPE_CHECKING:
    from nncore.graph import Symbol
    from nncore.inspection import Inspected
    from nncore.network import Graph
    from nncore.structure import Structure


UNKNOWN = "?"
HEADER = "Layer", "Output shape", "Parameters", "Trainable"
Row = tuple[str, str, str, str]


def rows_of(graph: Graph, nested: bool = False, depth: int = 0) -> list[Row]:
    """Label, output shapes, number of parameters and whether they are trained, of inputs and layers of a built model.

    `nested`: of what models among its layers consist of, and layers that compose others, too, which is `depth` deep.
    """
    single, indent = len(graph.inputs) == 1, "  " * depth
    rows: list[Row] = []
    for s, name in () if depth else zip(graph.inputs, graph.input_names, strict=True):
        rows.append(("input" if single else f"{name} (Input)", str(s.shape), "0", "-"))
    calls: dict[Any, list[list[Symbol]]] = {}
    inner: dict[Any, Graph] = {}
    for call, made in graph.calls:
        calls.setdefault(call.layer, []).append(made)
        if call.inner is not None:
            inner.setdefault(call.layer, call.inner)
    for layer, name in graph.layers.items():
        times = f", {len(calls[layer])} calls" if len(calls[layer]) > 1 else ""
        shapes = ", ".join(str(s.shape) for s in calls[layer][0])
        total = layer.count_params()
        trained = "-" if not total else "Y" if layer.trainable else "N"
        rows.append((f"{indent}{name} ({type(layer).__name__}){times}", shapes, f"{total:,}", trained))
        if nested and layer in inner:
            rows += rows_of(inner[layer], nested, depth + 1)
    return rows


def rows_of_stack(model: Inspected) -> list[Row]:
    """The same of layers of a stack that is not built."""
    kinds = [(layer.name, type(layer).__name__) for layer in model.layers]  # names are given when it is built
    return [(f"{name or snake_case(kind)} ({kind})", UNKNOWN, UNKNOWN, UNKNOWN) for name, kind in kinds]


def summary(model: Structure, expand_nested: bool, show_trainable: bool) -> str:
    """Layers, output shapes and numbers of parameters as text, and what products multiply."""
    rows = [HEADER, *(rows_of(model.graph, expand_nested) if model.graph else rows_of_stack(model))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
    if show_trainable:
        lines = [f"{line}  {row[3]:{widths[3]}}" for line, row in zip(lines, rows, strict=True)]
    lines.insert(1, "─" * len(lines[0]))
    if model.graph is None:
        lines.append("Not built: build(input_shape), fit or predict settles shapes and parameters.")
        return "\n".join(lines)
    total = model.count_params()
    wanted = sum(p.size for p in model.trainable_weights)
    learned = sum(p.size for p in model.graph.trained) if model.compiled else wanted
    size = total * model.graph.state.dtype.itemsize
    pending = "" if learned == wanted else f" ({wanted:,} from the next compile on)"
    lines.append(f"Total: {total:,} parameters ({size:,} bytes), {learned:,} trainable{pending}")
    arithmetic = runtime.matmul_precisions(model.dtype)[model.matmul_precision]
    own = " where large enough" if "bfloat16" in arithmetic else ""
    lines.append(f'Products: {arithmetic}{own} (matmul_precision="{model.matmul_precision}")')
    return "\n".join(lines)
