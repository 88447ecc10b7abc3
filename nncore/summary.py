"""The table that `Model.summary` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore import runtime

if TYPE_CHECKING:
    from nncore.graph import Symbol
    from nncore.inspection import Inspected
    from nncore.structure import Structure


def rows_of(model: Inspected) -> list[tuple[str, str, str]]:
    """Label, output shapes and number of parameters of each input and layer of a built model."""
    graph = model.graph
    assert graph is not None
    single = len(graph.inputs) == 1
    rows = []
    for s, name in zip(graph.inputs, graph.input_names, strict=True):
        rows.append(("input" if single else f"{name} (Input)", str(s.shape), "0"))
    calls: dict[Any, list[list[Symbol]]] = {}
    for call, made in graph.calls:
        calls.setdefault(call.layer, []).append(made)
    for layer, name in graph.layers.items():
        times = f", {len(calls[layer])} calls" if len(calls[layer]) > 1 else ""
        shapes = ", ".join(str(s.shape) for s in calls[layer][0])
        rows.append((f"{name} ({type(layer).__name__}){times}", shapes, f"{layer.count_params():,}"))
    return rows


def summary(model: Structure) -> str:
    """Layers, output shapes and numbers of parameters as text, and what products multiply."""
    if model.graph is None:
        raise ValueError("summary: the model has no shapes yet: call build(input_shape), fit or predict first")
    rows = [("Layer", "Output shape", "Parameters"), *rows_of(model)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
    lines.insert(1, "─" * len(lines[0]))
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
