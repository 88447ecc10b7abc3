"""A stack of layers that can grow and shrink."""

from __future__ import annotations

from typing import Any

from nncore import architecture
from nncore.layers.base import Layer
from nncore.model import Model


class Sequential(Model):
    """A stack of layers; `Model([...])` under Keras's other name, with `add` and `pop`.

    Both may be used on a built model: its other layers keep their weights, and it must be compiled again.
    """

    def __init__(self, layers: Any = None, **settings: Any) -> None:
        super().__init__(layers, **settings)
        if not self.is_stack:
            raise TypeError("Sequential: expected a list of layers; for inputs and outputs use Model")

    def add(self, layer: Any) -> None:
        """Put a layer on top."""
        before = list(self._stack)
        self._append(layer, {id(other) for other in before})
        stack, self._stack = self._stack, before
        self._change(stack)

    def pop(self) -> Layer:
        """Take the topmost layer off, without its weights, and return it."""
        if not self._stack:
            raise ValueError("pop: expected a model with layers, got an empty one")
        last = self._stack[-1]
        self._change(self._stack[:-1])
        return last

    def _change(self, stack: list[Layer]) -> None:
        with self.turn.taken("add, pop"):
            self.turn.require("add, pop", within_fit=False)
            if self.built:
                self.configuration = None
            self._restack(stack)


architecture.CLASSES["sequential"] = Sequential
