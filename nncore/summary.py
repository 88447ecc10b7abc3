"""The table that `Model.summary` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncore import runtime

if TYPE_CHECKING:
    from nncore.inspection import Inspected
    from nncore.structure import Structure


def rows_of(model: Inspected) -> list[tuple[str, str, str]]:
    """Label, output shape and number of parameters of each layer of a built model."""
    assert model.graph is not None
    rows = []
    for symbol in model.graph.symbols:
        shape = str((None, *symbol.shape))
        if symbol.layer is None:
            rows.append(("input", shape, "0"))
        else:
            label = f"{symbol.layer.name} ({type(symbol.layer).__name__})"
            rows.append((label, shape, f"{symbol.layer.count_params():,}"))
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
    learned, wanted = (
        sum(p.size for layer in model.layers if layer.trained(compiled) for p in layer.weights if p.role == "weight")
        for compiled in (model.compiled, False)
    )
    size = total * model.graph.state.dtype.itemsize
    pending = "" if learned == wanted else f" ({wanted:,} from the next compile on)"
    lines.append(f"Total: {total:,} parameters ({size:,} bytes), {learned:,} trainable{pending}")
    arithmetic = runtime.matmul_precisions(model.dtype)[model.matmul_precision]
    own = " where large enough" if "bfloat16" in arithmetic else ""
    lines.append(f'Products: {arithmetic}{own} (matmul_precision="{model.matmul_precision}")')
    return "\n".join(lines)
