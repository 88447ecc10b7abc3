"""An activation of a user's own: a pair of Python functions, f and f′."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore import custom
from nncore.activations.base import Activation
from nncore.conversion import Array
from nncore.registry import Registry, immutable

OWN: Registry[Activation] = Registry("activation of your own", own="Give activation=(f, derivative)")


@OWN.register()
@immutable
class PythonActivation(Activation):
    """f(z) by a function of Python, with its derivative; ``activation=(f, derivative)`` makes one.

    Both are called on the batch's arrays within the step, which costs their own time and about 20 µs. They may read
    the array that they are given, not write it. Files name the two functions; to be loaded they must be known before:
    ``@nncore.saving.register_keras_serializable()``, or ``custom_objects``.

    Parameters
    ----------
    function : callable or str
        f, elementwise: an array of z's shape for an array z of any shape.
    derivative : callable or str
        f′ at z, likewise.

    Raises
    ------
    TypeError, ValueError
        One of them is no function, or not the name of one that is known.
    """

    function: Any
    derivative: Any

    def __post_init__(self) -> None:
        for argument in ("function", "derivative"):
            given = getattr(self, argument)
            if isinstance(given, str):
                object.__setattr__(self, argument, custom.function(given, argument))
            elif not callable(given) or isinstance(given, (type, Activation)):
                raise TypeError(f"{argument}: expected a function of an array, got {given!r}")

    @property
    def kernel(self) -> str:
        """None of the native ones."""
        return "python"

    @property
    def parameters(self) -> tuple[float, ...]:
        """None."""
        return ()

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`; functions by their names."""
        return custom.get_registered_name(super().argument(name))

    def computed(self, x: Array) -> Array:
        """Y = f(X)."""
        return np.broadcast_to(self.shaped(self.function, x, "function"), x.shape)

    def forward(self, z: Array, y: Array) -> None:
        """Fill Y."""
        y[...] = self.shaped(self.function, z, "function")

    def backward(self, z: Array, y: Array, dy: Array, dz: Array) -> None:
        """Fill dZ = dY ⊙ f′(Z)."""
        np.multiply(dy, self.shaped(self.derivative, z, "derivative"), out=dz, casting="same_kind")

    def shaped(self, function: Any, z: Array, argument: str) -> Array:
        """What a function returns, checked: of z's shape, or one number."""
        made = np.asarray(function(z))
        if made.shape not in (z.shape, ()):
            raise ValueError(f"{argument}: expected to return an array of shape {z.shape}, got {made.shape}")
        return made
