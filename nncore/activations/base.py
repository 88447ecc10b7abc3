"""What every activation is: a kernel with its numbers, which layers end with and arrays are given to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncore._kernels import elementwise
from nncore._kernels.table import ACTIVATION_PARAMETERS
from nncore.conversion import Array, as_reals
from nncore.graph import Shape, Symbol
from nncore.registry import Configurable, Registry
from nncore.runtime import kernels


class Activation(Configurable):
    """Base of the activation functions; objects are immutable and equal where class and arguments are.

    Called on an array of any shape, it returns f of it, by the native kernel: in float64 where the array is of that,
    else in float32. Called on a symbol, it is the layer ``Activation(f)``.

    Attributes
    ----------
    kernel : str
        Name in the ACTIVATION or ROWWISE list of ``kernels.def``. Unless a class says otherwise, the name under which
        it is registered.
    parameters : tuple of float
        The numbers that the kernel takes, dimensionless: the arguments that ``kernels.def`` names; None is nan there.
    """

    arrays = ("x",)

    @property
    def kernel(self) -> str:
        """Name of the kernel."""
        return self.registry.name_of(self)

    @property
    def parameters(self) -> tuple[float, ...]:
        """The numbers that the kernel takes."""
        given = (getattr(self, name) for name in ACTIVATION_PARAMETERS.get(self.kernel, ()))
        return tuple(math.nan if value is None else float(value) for value in given)

    @property
    def keeps_rows_apart(self) -> bool:
        """Whether a row of the last axis of Y is made of that row of Z alone."""
        return getattr(self, "axis", -1) == -1

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of Y for samples Z of this shape; a ValueError where f cannot be taken of them."""
        return shape

    def __call__(self, x: Any) -> Any:
        """Y = f(X)."""
        return self.compute(x)

    def compute(self, *arrays: Any) -> Any:
        """Y = f(X), of an array; or the symbol of a layer that computes it."""
        [x] = arrays
        if isinstance(x, Symbol):
            return x.activated(self)
        y = self.computed(np.asarray(as_reals(x, "x"), order="C"))
        return y if y.ndim else y[()]

    def computed(self, z: Array) -> Array:
        """Y of an array of float32 or float64 that is contiguous."""
        y = np.empty_like(z)
        elementwise.apply_activation(kernels(z.dtype.name), self.kernel, z, y, self.parameters)
        return y


ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    "what it computes is native code; give a pair (f, derivative) of functions of arrays, or join those there are "
    "(Add, Multiply, Concatenate)",
)
