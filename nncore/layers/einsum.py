"""A fully connected layer over any axes."""

from __future__ import annotations

import math
import string
from typing import TYPE_CHECKING, Any, NamedTuple

from nncore import activations, constraints, initializers, regularizers
from nncore.graph import Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import activate, dense, reshape
from nncore.operations.arrangement import moved_last, transpose
from nncore.operations.dense import dense_at_positions, transposed_dense
from nncore.operations.normalization import standardize

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Axes(NamedTuple):
    """What an equation says of inputs with a certain number of axes: labels, of each operand without the batch.

    The kernel's are those of positions (of input, kernel and output), then those that are summed over (of input and
    kernel), then free ones (of kernel and output); of those two the free ones may come first where there are no
    positions. Rows are those of input and output.
    """

    input: str
    kernel: str
    output: str
    positions: str
    summed: str
    free: str
    rows: str


def parsed(equation: str, axes: int) -> Axes:
    """The labels of an equation for inputs of so many axes, the batch among them."""
    operands, arrow, output = equation.replace(" ", "").partition("->")
    left, comma, kernel = operands.partition(",")
    fault = f"equation: expected one such as 'abc,cd->abd' for inputs of {axes} axes, got {equation!r}"
    if "..." in left + output:
        named = len(left.replace("...", ""))
        spare = [c for c in string.ascii_letters if c not in equation][: axes - named]
        left, output = (part.replace("...", "".join(spare)) for part in (left, output))
    if not arrow or not comma or "." in left + kernel + output or not (left + kernel + output).isalpha():
        raise ValueError(f"{fault}. Name the axes of input, kernel and output by letters")
    if len(left) != axes or any(len(set(part)) < len(part) for part in (left, kernel, output)):
        raise ValueError(f"{fault}. Name each axis of the input once, the batch first")
    if left[0] != output[:1] or left[0] in kernel:
        raise ValueError(f"{fault}. The first axis of input and output is the batch, which the kernel has not")
    left, output = left[1:], output[1:]
    positions = "".join(c for c in kernel if c in left and c in output)
    summed = "".join(c for c in kernel if c in left and c not in output)
    free = "".join(c for c in kernel if c not in left and c in output)
    rows = "".join(c for c in left if c not in kernel and c in output)
    if {*left} != {*positions, *summed, *rows} or {*output} != {*positions, *rows, *free}:
        raise ValueError(f"{fault}. Each axis is one of two operands at least, or of all three")
    if kernel != positions + summed + free and (positions or kernel != free + summed):
        raise ValueError(
            f"{fault}. The kernel's axes come in this order: those of all three, those that are summed over, those of "
            f"the output alone, here {positions + summed + free!r}; the last two in any order where there are no others"
        )
    return Axes(left, kernel, output, positions, summed, free, rows)


@LAYERS.register()
class EinsumDense(Layer):
    """Y = f(einsum(equation, X, W) + b): a fully connected layer over any axes.

    ``"abc,cd->abd"`` shares a Dense over an axis, ``"abc,bcd->abd"`` has a matrix for each position b,
    ``"abc,cde->abde"`` makes two axes, ``"abcd,cde->abe"`` takes two. It costs copies where axes must change places.

    Parameters
    ----------
    equation : str
        As of `numpy.einsum`, of input and kernel, the batch first; ``...`` may stand for further axes of input and
        output. The kernel's axes: those of input and output as well, those that are summed over, those of the output
        alone; the last two in any order where there are no others, ``"abc,dc->abd"``.
    output_shape : int or tuple of int or None
        Of a sample's output, but for axes that ``...`` stands for; None: as in the input.
    activation : str, Activation or None, default None
        f; None is the identity.
    bias_axes : str or None, default None
        Those axes of the output that b has, as letters: ``"d"``; None: no b.
    kernel_initializer : str or Initializer, default "glorot_uniform"
    bias_initializer : str or Initializer, default "zeros"
    kernel_regularizer, bias_regularizer : str, Regularizer or None, default None
    kernel_constraint, bias_constraint : str, Constraint or None, default None
    activity_regularizer : str, Regularizer or None, default None
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        The equation has no such form, or does not fit the input or `output_shape`.
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        activity_regularizer: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        if not isinstance(equation, str):
            raise TypeError(f"equation: expected a string such as 'abc,cd->abd', got {equation!r}")
        if bias_axes is not None and (not isinstance(bias_axes, str) or not set(bias_axes) <= set(equation)):
            raise ValueError(f"bias_axes: expected letters of the equation's output, or None, got {bias_axes!r}")
        self.equation, self.bias_axes = equation, bias_axes
        sizes = output_shape if isinstance(output_shape, (tuple, list)) else (output_shape,)
        self.sizes = tuple(None if n is None else int(n) for n in sizes)
        self.activation = activations.get(activation, "activation")
        self.kernel_initializer = initializers.get(kernel_initializer, "kernel_initializer")
        self.bias_initializer = initializers.get(bias_initializer, "bias_initializer")
        self.kernel_regularizer = regularizers.get(kernel_regularizer, "kernel_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "bias_regularizer")
        self.activity_regularizer = regularizers.of_activity(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint, "kernel_constraint")
        self.bias_constraint = constraints.get(bias_constraint, "bias_constraint")

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`: `output_shape` is a method of layers."""
        return self.sizes if name == "output_shape" else super().argument(name)

    def sizes_of(self, shape: Shape) -> tuple[Axes, dict[str, int]]:
        """The axes, and the size of each, for samples of this shape."""
        axes = parsed(self.equation, len(shape) + 1)
        sizes = dict(zip(axes.input, shape, strict=True))
        if len(self.sizes) != len(axes.output):
            missing = len(axes.output) - len(self.sizes)
            before = max(self.equation.replace(" ", "").partition("->")[2].find("...") - 1, 0)  # the batch is in front
            open_sizes = (*self.sizes[:before], *[None] * missing, *self.sizes[before:])
            wanted = open_sizes if "..." in self.equation and missing > 0 else ()
        else:
            wanted = self.sizes
        if len(wanted) != len(axes.output) or any(
            sizes.setdefault(label, n) != n for label, n in zip(axes.output, wanted, strict=True) if n is not None
        ):
            raise ValueError(
                f"output_shape: expected sizes of the axes {axes.output!r} that fit inputs (batch, *{shape}), got "
                f"{self.sizes}"
            )
        if unknown := [label for label in axes.output if label not in sizes]:
            raise ValueError(f"output_shape: expected a size for the axis {unknown[0]!r}, got None")
        return axes, sizes

    def output_shape(self, *shapes: Shape) -> Shape:
        """The sizes of the output's axes."""
        axes, sizes = self.sizes_of(shapes[0])
        return self.activation.output_shape(tuple(sizes[label] for label in axes.output))

    def declare(self, *shapes: Shape) -> None:
        """Declare W, its axes as the equation has them, and b, with 1 for axes behind its first that it has not."""
        axes, sizes = self.sizes_of(shapes[0])
        shape = tuple(sizes[label] for label in axes.kernel)
        self.kernel = self.add_parameter("kernel", shape, self.kernel_initializer, self.kernel_regularizer)
        self.bias = None
        if self.bias_axes:
            first = min(axes.output.index(label) for label in self.bias_axes)
            of_bias = tuple(sizes[c] if c in self.bias_axes else 1 for c in axes.output[first:])
            self.bias = self.add_parameter("bias", of_bias, self.bias_initializer, self.bias_regularizer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """A product of matrices, or one for each position, between changes of axes."""
        x = inputs[0]
        axes, sizes = self.sizes_of(x.shape)

        def size(labels: str) -> int:
            return math.prod(sizes[c] for c in labels)

        wanted = axes.rows + axes.positions + axes.summed
        x = transpose(b, x, [axes.input.index(c) for c in wanted])
        k, n, rows = size(axes.summed), size(axes.free), size(axes.rows)
        made = axes.rows + axes.positions + axes.free
        together = not axes.positions and made == axes.output and self.bias_axes == axes.free
        if axes.kernel != axes.positions + axes.summed + axes.free:
            y, together = transposed_dense(b, reshape(b, x, (rows, k)), self.kernel, (n, k)), False
        elif axes.positions:
            y = dense_at_positions(b, reshape(b, x, (rows, size(axes.positions), k)), self.kernel)
        else:
            y = dense(b, reshape(b, x, (rows, k)), self.kernel, self.bias if together else None, (k, n))
        y = reshape(b, y, tuple(sizes[c] for c in made))
        y = transpose(b, y, [made.index(c) for c in axes.output])
        if self.bias and not together:
            places = [i for i, c in enumerate(axes.output) if c in (self.bias_axes or "")]
            y = moved_last(b, y, places, lambda z: self.biased(b, z, len(places)))
        return activate(b, y, self.activation)

    def biased(self, b: Builder, z: Tensor, axes: int) -> Tensor:
        """Z + b, whose axes are so many last ones of Z."""
        assert self.bias is not None
        rows = reshape(b, z, (*z.shape[: len(z.shape) - axes], self.bias.size))
        return reshape(b, standardize(b, rows, beta=self.bias), z.shape)
