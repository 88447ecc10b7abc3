"""Names of layers within a model, where users have given none, or some twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nncore.registry import snake_case


def numbered(names: Sequence[str]) -> list[str]:
    """These names, a number behind those that were there before."""
    found: list[str] = []
    for base in names:
        name, number = base, 0
        while name in found:
            number += 1
            name = f"{base}_{number}"
        found.append(name)
    return found


def names_of(called: Sequence[Any]) -> dict[Any, str]:
    """The layers among these, each once, with names of their own: where two have one, the one that was given stays.

    Raises
    ------
    ValueError
        A user gave one name twice.
    """
    layers = list(dict.fromkeys(called))
    name_layers(layers)
    names = {layer: layer.name for layer in layers}
    used = {layer.name for layer in layers if not layer._named}
    for layer in layers:
        if layer._named:
            number, base = 0, layer.name
            while names[layer] in used:
                number += 1
                names[layer] = f"{base}_{number}"
            used.add(names[layer])
    return names


def name_layers(layers: Sequence[Any]) -> None:
    """Name the nameless after their class, numbered from the second on; ValueError where a name was given twice."""
    given = Counter(layer.name for layer in layers if layer.name is not None and not layer._named)
    if twice := sorted(name for name, count in given.items() if count > 1):
        raise ValueError(
            f"name: expected a name of its own for each layer, got {twice} more than once. Set layer.name of some"
        )
    taken = {layer.name for layer in layers}
    counts: dict[str, int] = {}
    for layer in layers:
        while layer.name is None:
            base = snake_case(type(layer).__name__)
            number = counts.get(base, 0)
            counts[base] = number + 1
            name = f"{base}_{number}" if number else base
            if name not in taken:
                vars(layer).update(name=name, _named=True)
