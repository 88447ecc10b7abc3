"""How models and histories are shown: a line of ASCII for `repr`, a table for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nncore.output import word
from nncore.registry import snake_case
from nncore.summary import HEADER, rows_of

if TYPE_CHECKING:
    from nncore.inspection import Inspected

EPOCHS = 20  # of a long history in a table: so many of the last, and the first


def model_text(model: Inspected) -> str:
    """Class, name, shapes, parameters, and what it is compiled with."""
    n, layers = len(model.layers), "layer" if len(model.layers) == 1 else "layers"
    parts = [f"name={model.name!r}", f"{n} {layers}"]
    if model.graph is None:
        parts.append("not built")
    else:
        ends = (model.graph.inputs, model.graph.outputs)
        parts.append(" -> ".join(", ".join(str(s.shape) for s in symbols) for symbols in ends))
        parts.append(f"{sum(p.size for p in model.weights):,} parameters")
    if (configuration := model.configuration) is None:
        parts.append("not compiled")
    else:
        used = [snake_case(type(head.loss).__name__) for head in configuration.heads if head.loss]
        parts.append(" and ".join([f"compiled with {type(configuration.optimizer).__name__}", *dict.fromkeys(used)]))
    return f"<{type(model).__name__} {', '.join(parts)}>"


def model_table(model: Inspected) -> str:
    """The layers as an HTML table below `model_text`."""
    rows = rows_of(model.graph) if model.graph is not None else [(repr(layer),) for layer in model.layers]
    names = HEADER if model.graph is not None else HEADER[:1]
    return table(model_text(model), names, rows)


def history_text(history: Any) -> str:
    """Number of epochs and the last values."""
    last = ", ".join(f"{name}={short(values[-1])}" for name, values in history.history.items() if values)
    n = len(history.epoch)
    return f"<{type(history).__name__} of {n} {'epoch' if n == 1 else 'epochs'}{': ' if last else ''}{last}>"


def history_table(history: Any) -> str:
    """A row per epoch; of a long history the first and the last ones.

    Lists that are shorter than the history (a validation every second epoch) lack the earlier epochs' values, for
    nothing says which epochs have them: only full ones are columns.
    """
    n = len(history.epoch)
    columns = {name: values for name, values in history.history.items() if len(values) == n}
    shown = range(n) if n <= EPOCHS + 1 else [0, None, *range(n - EPOCHS, n)]
    rows = [
        ["..."] * (1 + len(columns))
        if i is None
        else [history.epoch[i], *(short(values[i]) for values in columns.values())]
        for i in shown
    ]
    return table(history_text(history), ("epoch", *columns), rows)


def short(value: Any) -> str:
    """A number to four digits, anything else on one line."""
    return f"{value:.4g}" if isinstance(value, float) else word(value)


def table(title: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """An HTML table."""

    def row(tag: str, cells: Sequence[Any]) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    head = f"<caption>{html.escape(title)}</caption><thead>{row('th', names)}</thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>"
