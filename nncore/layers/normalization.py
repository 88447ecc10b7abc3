"""Layers that bring their inputs to mean 0 and variance 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore import constraints, initializers, regularizers
from nncore.arguments import check_flag, check_number, is_number, is_whole, the_only
from nncore.graph import Shape
from nncore.layers.arrays import label
from nncore.layers.base import LAYERS, Layer
from nncore.operations import reshape
from nncore.operations.arrangement import moved_last
from nncore.operations.masks import spread
from nncore.operations.normalization import batch_norm, layer_norm, standardize

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


def check_axes(axis: Any) -> Any:
    """`axis` as an int or a list of them, none of which is the batch."""
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if not axes or not all(is_whole(a) and a != 0 for a in axes):
        raise ValueError(f"axis: expected a whole number other than 0 (the batch), or a list of them, got {axis!r}")
    return [int(a) for a in axes] if isinstance(axis, (list, tuple)) else int(axis)


def one_axis(axis: Any) -> int:
    """An axis that `check_axes` let pass, alone or in a list."""
    if isinstance(axis, list) and len(axis) > 1:
        raise ValueError(f"axis: expected one whole number other than 0 (the batch), got {axis!r}")
    return int(the_only(axis))


def check_epsilon(epsilon: Any) -> float:
    """`epsilon` as a positive number."""
    if not is_number(epsilon) or not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon: expected a finite number > 0, got {epsilon!r}")
    return float(epsilon)


def sample_axes(layer: Any, shape: Shape) -> list[int]:
    """The layer's axes counted from 0 within a sample of this shape, the first one first."""
    given = layer.axis if isinstance(layer.axis, list) else [layer.axis]
    axes = sorted({a + len(shape) if a < 0 else a - 1 for a in given})
    if axes[0] < 0 or axes[-1] >= len(shape):
        raise ValueError(
            f"{type(layer).__name__}: expected axes of inputs of shape (batch, *{shape}), got axis={layer.axis}"
        )
    return axes


class Normalizing(Layer):
    """Base of the layers with a factor γ and an offset β that are learned.

    Parameters
    ----------
    axis : int or list of int, default -1
        Counted with the batch axis as 0, as in Keras.
    epsilon : float, default 0.001
        ε, > 0, added to the variance. PyTorch's default is 1e-5.
    center, scale : bool, default True
        Whether there is a β, whether there is a γ.
    beta_initializer, gamma_initializer : str or Initializer, default "zeros", "ones"
    beta_regularizer, gamma_regularizer : str, Regularizer or None, default None
        Penalties on β and γ that are added to the loss.
    beta_constraint, gamma_constraint : str, Constraint or None, default None
        What they are made to fit after each update.
    name : str, optional
    trainable : bool, default True
    """

    supports_masking = True

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        self.axis = check_axes(axis)
        self.epsilon = check_epsilon(epsilon)
        self.center = check_flag(center, "center")
        self.scale = check_flag(scale, "scale")
        self.beta_initializer = initializers.get(beta_initializer, "beta_initializer")
        self.gamma_initializer = initializers.get(gamma_initializer, "gamma_initializer")
        self.beta_regularizer = regularizers.get(beta_regularizer, "beta_regularizer")
        self.gamma_regularizer = regularizers.get(gamma_regularizer, "gamma_regularizer")
        self.beta_constraint = constraints.get(beta_constraint, "beta_constraint")
        self.gamma_constraint = constraints.get(gamma_constraint, "gamma_constraint")

    def normalized(self, shape: Shape) -> Shape:
        """The sizes of its axes, in a sample of this shape."""
        return tuple(shape[a] for a in sample_axes(self, shape))

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        self.normalized(shapes[0])
        return shapes[0]

    def declare(self, *shapes: Shape) -> None:
        """Declare γ and β, as far as they are wanted."""
        shape = self.normalized(shapes[0])
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_parameter("gamma", shape, self.gamma_initializer, self.gamma_regularizer)
        if self.center:
            self.beta = self.add_parameter("beta", shape, self.beta_initializer, self.beta_regularizer)


@LAYERS.register()
class LayerNormalization(Normalizing):
    """Y = γ ⊙ (X − μ) / √(σ² + ε) + β, with the mean μ and the variance σ² of each sample over some of its axes.

    Shapes: X and Y (B, …, n); γ and β have the shape of the axes that are normalized, (n,) by default.

    Parameters
    ----------
    axis : int or list of int, default -1
        The axes over which moments are taken; others than the last ones cost two copies of the data.
    epsilon, center, scale, name, trainable
        As for `BatchNormalization`.
    beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint
        As for `BatchNormalization`.

    Raises
    ------
    ValueError
        `epsilon` is not positive, or there is no such axis.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton: Layer normalization, arXiv:1607.06450, equations 3 and 4.
    """

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = γ ⊙ (X − μ) / √(σ² + ε) + β."""
        axes = sample_axes(self, inputs[0].shape)

        def normalize(x: Tensor) -> Tensor:
            return layer_norm(b, x, x.shape[-len(axes) :], self.epsilon, self.gamma, self.beta)

        return moved_last(b, inputs[0], axes, normalize)


@LAYERS.register()
class BatchNormalization(Normalizing):
    """Y = γ ⊙ (X − μ) / √(σ² + ε) + β, with the mean μ and the variance σ² of each feature over the batch.

    In training they are the batch's: features are the elements of `axis`, and all other axes are averaged over, in an
    order that the shape alone gives. The moving statistics follow them at the end of each step that is applied, m ←
    momentum m + (1 − momentum) μ, and likewise the variance (a mean over rows). What a mask says does not count has
    no part in the moments, and is normalized by them; where nothing counts, they are 0. Predictions and evaluations use
    the moving statistics; so do steps of training while the layer is not trainable. Right behind a dense layer or a
    convolution without an activation, channels last and not transposed, that costs nothing then: these normalize their
    sums themselves.

    Shapes: X and Y (B, …, n); γ, β and both statistics (n,).

    Parameters
    ----------
    axis : int, default -1
        Of the features, counted with the batch axis as 0; another than the last costs two copies of the data.
    momentum : float, default 0.99
        In [0, 1]. PyTorch's is 1 − this, by default 0.1, and its moving variance is divided by rows − 1.
    epsilon : float, default 0.001
        ε, > 0. PyTorch's default is 1e-5.
    center, scale : bool, default True
        Whether there is a β, whether there is a γ.
    beta_initializer, gamma_initializer : str or Initializer, default "zeros", "ones"
    moving_mean_initializer, moving_variance_initializer : str or Initializer, default "zeros", "ones"
    beta_regularizer, gamma_regularizer : str, Regularizer or None, default None
        Penalties on β and γ that are added to the loss.
    beta_constraint, gamma_constraint : str, Constraint or None, default None
        What they are made to fit after each update.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        `epsilon` is not positive, `momentum` is not in [0, 1], or there is no such axis.

    References
    ----------
    S. Ioffe, C. Szegedy: Batch normalization, ICML 2015, arXiv:1502.03167, algorithm 1.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, name, trainable,
        )  # fmt: skip
        self.axis = one_axis(self.axis)
        self.momentum = check_number(momentum, "momentum", "a number in [0, 1]", lambda m: 0 <= m <= 1)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer, "moving_mean_initializer")
        self.moving_variance_initializer = initializers.get(moving_variance_initializer, "moving_variance_initializer")

    def declare(self, *shapes: Shape) -> None:
        """Declare γ, β and the statistics."""
        super().declare(*shapes)
        shape = self.normalized(shapes[0])
        self.moving_mean = self.add_parameter("moving_mean", shape, self.moving_mean_initializer, role="statistic")
        self.moving_variance = self.add_parameter(
            "moving_variance", shape, self.moving_variance_initializer, role="statistic"
        )

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """By the batch's moments in training, by the moving statistics otherwise."""
        learned = self.gamma, self.beta
        statistics = self.moving_mean, self.moving_variance
        shape, mask = inputs[0].shape, inputs[0].mask
        [axis] = sample_axes(self, shape)
        learns = b.training and self.moving_mean.changes  # which is what was compiled
        if learns and mask is not None and len(mask.shape) > axis:
            raise ValueError(
                f"{label(self)}: expected a mask of axes before that of its features, axis={self.axis}, got one of "
                f"shape {mask.shape} a sample, for inputs of {shape}. Put the features last, and mask whole steps"
            )

        def normalize(x: Tensor) -> Tensor:
            if learns:
                those = None if mask is None else spread(b, mask, shape[:axis] + shape[axis + 1 :])
                return batch_norm(b, x, self.epsilon, self.momentum, *learned, *statistics, those)
            return standardize(b, x, self.epsilon, *statistics, *learned)

        return moved_last(b, inputs[0], [axis], normalize)

    def takes_mask(self, shape: Shape, mask: Shape) -> bool:
        """Masks of axes before its own: what counts is the same for all its elements."""
        return len(mask) <= sample_axes(self, shape)[0] and super().takes_mask(shape, mask)


@LAYERS.register()
class GroupNormalization(Normalizing):
    """Y = γ ⊙ (X − μ) / √(σ² + ε) + β, with the moments of each group of features of a sample.

    The n features are cut into groups of n / groups neighbours; a group's moments are taken over its features and all
    axes beside that of the features. Shapes: X and Y (B, …, n); γ and β (n,). Where there are axes between the batch
    and the features, it costs two copies of the data.

    Parameters
    ----------
    groups : int, default 32
        A divisor of n; −1: n, each feature by itself (instance normalization).
    axis : int, default -1
        Of the features, counted with the batch axis as 0.
    epsilon, center, scale, name, trainable
        As for `BatchNormalization`.
    beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint
        As for `BatchNormalization`.

    Raises
    ------
    ValueError
        `groups` does not divide n, `epsilon` is not positive, or there is no such axis.

    References
    ----------
    Y. Wu, K. He: Group normalization, ECCV 2018, arXiv:1803.08494.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, name, trainable,
        )  # fmt: skip
        if not is_whole(groups) or (groups < 1 and groups != -1):
            raise ValueError(
                f"groups: expected a whole number > 0, or -1 for a group of each feature, got {groups!r} "
                "(Invalid value received for argument `groups`.)"
            )
        self.axis = one_axis(self.axis)
        self.groups = int(groups)

    def count(self, n: int) -> int:
        """How many groups n features are cut into."""
        groups = n if self.groups == -1 else self.groups
        if n % groups:
            should = "cannot be more than" if groups > n else "must be a multiple of"
            phrase = f"Number of groups ({groups}) {should} the number of channels ({n})."
            raise ValueError(
                f"GroupNormalization: expected groups that divide the {n} features of axis {self.axis}, got {groups} "
                f"({phrase})"
            )
        return groups

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        self.count(*self.normalized(shapes[0]))
        return shapes[0]

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Each group as one row."""
        x = inputs[0]
        [axis] = sample_axes(self, x.shape)
        others = [a for a in range(len(x.shape)) if a != axis]
        n = x.shape[axis]

        def by_group(rows: Tensor) -> Tensor:
            groups = self.count(n)
            grouped = reshape(b, rows, (groups, rows.size // groups))
            return reshape(b, layer_norm(b, grouped, grouped.shape[1:], self.epsilon, None, None), rows.shape)

        def scaled(rows: Tensor) -> Tensor:
            if self.gamma is None and self.beta is None:
                return rows
            return standardize(b, rows, gamma=self.gamma, beta=self.beta)

        return moved_last(b, moved_last(b, x, others, by_group), [axis], scaled)
