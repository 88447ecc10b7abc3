"""Pictures of histories and models, by matplotlib, which is asked for only when one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.arguments import is_number

if TYPE_CHECKING:
    from nncore.inspection import Inspected

PANEL = 4.2, 3.0  # inches of one
ACROSS = 3  # panels
BOX = 2.5, 0.62  # inches of a layer's
GAP = 0.45, 0.5  # between boxes side by side, and below one another
FACE, EDGE, ENDS = "#eaf1f8", "#44617e", "#f3efe4"


def pyplot() -> Any:
    """`matplotlib.pyplot`, or an ImportError that says what to do."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError("plot: expected matplotlib to be installed: pip install matplotlib") from None
    return pyplot


def panels(history: dict[str, list[Any]], names: Sequence[str] | None) -> dict[str, list[str]]:
    """What is drawn together: a name and its ``val_…``, as far as their values are numbers."""
    numbers = {name: values for name, values in history.items() if all(map(is_number, values))}
    if names is not None:
        if strange := [name for name in names if name not in numbers]:
            raise ValueError(f"names: expected some of {list(numbers)}, got {strange}")
        numbers = {name: values for name, values in numbers.items() if name in names}
    found: dict[str, list[str]] = {}
    for name in numbers:
        found.setdefault(name.removeprefix("val_"), []).append(name)
    return found


def drawn(history: dict[str, list[Any]], epoch: Sequence[int], names: Sequence[str] | None, figure: Any = None) -> Any:
    """A figure of values by epoch, in panels."""
    if figure is not None and not hasattr(figure, "subplots"):
        raise TypeError(f"figure: expected a figure of matplotlib or None, got {figure!r}")
    if isinstance(names, str):
        raise TypeError(f"names: expected a list of names, got {names!r}. For a file call history.plot().savefig(file)")
    found = panels(history, names)
    if not found:
        raise ValueError("plot: expected a history of some epochs, got an empty one")
    across = min(ACROSS, len(found))
    down = -(-len(found) // across)
    if figure is None:
        figure = pyplot().figure(figsize=(PANEL[0] * across, PANEL[1] * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).reshape(-1)
    epochs = np.array(epoch) + 1
    for ax, (title, series) in zip(axes, found.items(), strict=False):
        for name in series:
            values = history[name]
            x = epochs if len(values) == len(epochs) else epochs[every(len(epochs), len(values))]
            validation = name.startswith("val_")
            marker = "o" if len(values) < 16 else None
            ax.plot(x, values, "--" if validation else "-", marker=marker, markersize=3, label=name)
        ax.set(title=title, xlabel="epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        if len(series) > 1:
            ax.legend()
    for ax in axes[len(found) :]:
        ax.set_axis_off()
    return figure


def every(epochs: int, values: int) -> Any:
    """Which epochs so few values are taken to be of: of `validation_freq`, every k-th one."""
    step = max(1, epochs // max(1, values))
    return np.arange(epochs)[step - 1 :: step][:values]


def of_model(model: Inspected, ax: Any = None) -> Any:
    """See `Model.plot`."""
    if ax is not None and not hasattr(ax, "add_patch"):
        raise TypeError(
            f"ax: expected matplotlib axes or None, got {ax!r}. For a file call model.plot().figure.savefig(file)"
        )
    graph = model._ends()
    nodes: list[tuple[str, str, bool]] = []  # words of a box, and whether it is an input
    node_of: dict[int, int] = {}  # of the symbol that it makes
    reads: list[list[int]] = []
    for s, name in zip(graph.inputs, graph.input_names, strict=True):
        node_of[id(s)] = len(nodes)
        nodes.append((name, str(s.shape), True))
        reads.append([])
    for call, symbols in graph.calls:
        for s in symbols:
            node_of[id(s)] = len(nodes)
        shapes = ", ".join(str(s.shape) for s in symbols)
        nodes.append((f"{graph.layers[call.layer]} · {type(call.layer).__name__}", shapes, False))
        reads.append([node_of[id(s)] for s in call.inputs])
    places = arranged(reads)
    width = 1 + max(x for x, _ in places)
    height = 1 + max(y for _, y in places)
    step = BOX[0] + GAP[0], BOX[1] + GAP[1]
    margin = 0.1 * any(places[to][1] - places[s][1] > 1 for to, sources in enumerate(reads) for s in sources)
    if ax is None:
        size = (width + 2 * margin) * step[0] + GAP[0], height * step[1] + GAP[1]
        ax = pyplot().figure(figsize=size, layout="constrained").subplots()
    ax.set(xlim=(-0.5 - margin, width - 0.5 + margin), ylim=(height - 0.5, -0.5))
    ax.set_axis_off()
    half, side = BOX[1] / step[1] / 2, BOX[0] / step[0] / 2
    for to, sources in enumerate(reads):
        for source in sources:
            (x0, y0), (x1, y1) = places[source], places[to]
            arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": EDGE, "shrinkA": 0, "shrinkB": 0}
            start, end = (x0, y0 + half), (x1, y1 - half)
            if y1 - y0 > 1:  # around what lies between, on the nearer side
                way = 1 if x0 + x1 >= width - 1 else -1
                start, end = (x0 + way * side, y0), (x1 + way * side, y1)
                arrow["connectionstyle"] = f"arc3,rad={-way * 0.7 / ((y1 - y0) * step[1]):.3f}"
            ax.annotate("", end, start, arrowprops=arrow, zorder=1)
    for (words, shape, first), (x, y) in zip(nodes, places, strict=True):
        ax.add_patch(rectangle((x - side, y - half), 2 * side, 2 * half, ENDS if first else FACE))
        ax.text(x, y - half / 3, cut(words, 34), ha="center", va="center", fontsize=8, zorder=3)
        ax.text(x, y + half / 2.2, cut(shape, 38), ha="center", va="center", fontsize=7, color=EDGE, zorder=3)
    return ax


def rectangle(corner: tuple[float, float], width: float, height: float, face: str) -> Any:
    """A box."""
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, facecolor=face, edgecolor=EDGE, linewidth=0.8, zorder=2)


def cut(text: str, length: int) -> str:
    """So much of a text."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def arranged(reads: list[list[int]]) -> list[tuple[float, float]]:
    """(column, row) of each node: below all that it reads, beside others of its row, near the mean of what it reads."""
    rows: list[int] = []
    for sources in reads:
        rows.append(1 + max((rows[s] for s in sources), default=-1))
    widest = max(rows.count(row) for row in set(rows))
    columns = [0.0] * len(reads)
    for row in range(max(rows) + 1):
        members = [i for i, r in enumerate(rows) if r == row]
        wished = {i: float(np.mean([columns[s] for s in reads[i]])) if reads[i] else float(i) for i in members}
        members.sort(key=lambda i: (wished[i], i))
        middle = float(np.mean([wished[i] for i in members])) if row else (widest - 1) / 2
        low = min(max(middle - (len(members) - 1) / 2, 0.0), widest - len(members))
        for place, i in enumerate(members):
            columns[i] = low + place
    return list(zip(columns, map(float, rows), strict=True))
