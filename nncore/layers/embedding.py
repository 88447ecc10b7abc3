"""Vectors that are learned for numbers: words, categories, places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import constraints, initializers, regularizers
from nncore.arguments import check_count, check_flag, the_only
from nncore.conversion import as_array
from nncore.graph import Shape
from nncore.initializers.constants import Given
from nncore.layers.base import LAYERS, Layer
from nncore.operations.embedding import lookup
from nncore.operations.masks import differs

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


@LAYERS.register()
class Embedding(Layer):
    """Y = rows of E, by number: of each whole number of X its vector.

    Shapes: X (B, …) of an `Input`, of any real dtype, each element a whole number in [0, input_dim); E (input_dim,
    output_dim); Y (B, …, output_dim).

    A step of SGD without momentum and weight decay, of LazySGD and of LazyAdam costs in proportion to the numbers of a
    batch, whatever `input_dim` is: only the rows that it reads have a gradient, and are changed. Not so where norms of
    gradients are clipped, or the layer is called twice in a model.

    Parameters
    ----------
    input_dim : int
        How many numbers there are.
    output_dim : int
        Elements of a vector.
    embeddings_initializer : str or Initializer, default "uniform"
        Uniform on ±0.05. PyTorch begins with normal ones of variance 1.
    embeddings_regularizer : str, Regularizer or None, default None
        A penalty on E that is added to the loss; every row has a gradient then.
    embeddings_constraint : str, Constraint or None, default None
        What E is made to fit after each update; every row is updated then.
    mask_zero : bool, default False
        Whether the number 0 stands for what does not count, such as the end of a text that is shorter than others: see
        `Layer.supports_masking`.
    weights : array_like, optional
        What E is at first, (input_dim, output_dim), or a list of that: vectors learned elsewhere. It is not part of the
        configuration, and not kept beside E.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        A size is no whole number ≥ 1; `weights` have another shape, or are not finite; the layer reads what another
        layer computes; in a step or prediction: X holds other numbers.

    References
    ----------
    Y. Bengio et al.: A neural probabilistic language model, JMLR 3 (2003), section 2.
    """

    supports_masking = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        self.input_dim = check_count(input_dim, "input_dim", phrase="`input_dim` must be a positive integer")
        self.output_dim = check_count(output_dim, "output_dim", phrase="`output_dim` must be a positive integer")
        self.embeddings_initializer = initializers.get(embeddings_initializer, "embeddings_initializer")
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer, "embeddings_regularizer")
        self.embeddings_constraint = constraints.get(embeddings_constraint, "embeddings_constraint")
        self.mask_zero = check_flag(mask_zero, "mask_zero")
        self._learned = None if weights is None else self.table_of(weights)

    @classmethod
    def config_names(cls) -> list[str]:
        """The constructor's arguments that describe it, and not its values."""
        return [name for name in super().config_names() if name != "weights"]

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`: `weights` are those of layers."""
        return None if name == "weights" else super().argument(name)

    def table_of(self, weights: Any) -> Given:
        """The vectors that are given, checked."""
        shape = self.input_dim, self.output_dim
        table = as_array(the_only(weights), "weights")
        if table.shape != shape:
            raise ValueError(
                f"weights: expected an array of shape {shape}, a vector for each number, got {table.shape}"
            )
        if not np.isfinite(table).all():
            row = np.flatnonzero(~np.isfinite(table).all(axis=1))[0]
            raise ValueError(f"weights: expected finite numbers, got {table[row]} for {row}. Replace what is missing")
        return Given(table)

    def draw(self, input_shape: Any) -> None:
        """See `Layer`; the weights do not depend on the inputs."""
        super().draw(1 if input_shape is None else input_shape)

    @property
    def integers(self) -> tuple[int, int]:
        """The numbers that have a vector."""
        return 0, self.input_dim

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs, and behind it that of a vector."""
        return (*shapes[0], self.output_dim)

    def declare(self, *shapes: Shape) -> None:
        """Declare E."""
        shape, regularizer = (self.input_dim, self.output_dim), self.embeddings_regularizer
        drawn = self._learned if self._learned and self._learned.waits else self.embeddings_initializer
        self.embeddings = self.add_parameter("embeddings", shape, drawn, regularizer, gradient="rows")

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = rows of E."""
        y = lookup(b, inputs[0], self.embeddings)
        y.mask = differs(b, inputs[0], 0) if self.mask_zero else None
        return y

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Which numbers of an array count; None: all."""
        return as_array(inputs, "inputs") != 0 if self.mask_zero else None
