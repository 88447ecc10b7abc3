"""Layers that hold another layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nncore import initializers
from nncore.arguments import check_count
from nncore.constraints import Spectral
from nncore.graph import Callable, Shape
from nncore.layers.base import LAYERS, Layer
from nncore.operations import concatenate, reshape
from nncore.operations.arrangement import take
from nncore.operations.masks import differs

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Wrapper(Layer):
    """Base of the layers that hold another one, whose parameters are theirs.

    Parameters
    ----------
    layer : Layer
        Of this wrapper alone.
    name : str, optional
    trainable : bool, default True
        What is set later is set on the other layer, too; fit changes the parameters where both are trainable.
    """

    layer: Layer

    def __init__(self, layer: Any, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name, trainable)
        whole = layer if isinstance(layer, Callable) else LAYERS.get(layer, "layer", Layer)
        if whole._parts() is not None:
            what = f"{layer!r}, which joins others by call" if isinstance(whole, Layer) else f"the model {layer!r}"
            raise TypeError(
                f"layer: expected a layer of operations, got {what}. It cannot be inside of {type(self).__name__}: "
                "wrap its layers, one by one"
            )
        self.layer = LAYERS.get(whole, "layer", Layer)
        if self.layer.takes_many:
            raise ValueError(f"layer: expected one that reads one input, got {self.layer!r}")
        if self.layer.input_shapes is not None:
            raise ValueError(f"layer: expected one that was not called yet, got {self.layer!r}. Make another")

    @property
    def held(self) -> tuple[Layer, ...]:
        """The layer."""
        return (self.layer,) if "layer" in vars(self) else ()

    @property
    def integers(self) -> tuple[int, int] | None:
        """What the layer reads."""
        return self.layer.integers

    def inner_shapes(self, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """What the layer reads, where the wrapper reads inputs of these shapes."""
        return shapes

    def _declared(self, shapes: tuple[Shape, ...]) -> list[Any]:
        return self.layer._declared(self.inner_shapes(shapes))

    def declare(self, *shapes: Shape) -> None:
        """Declare what the layer learns, under the wrapper's name."""
        layer = self.layer
        layer.parameters, named = [], layer.name
        vars(layer)["name"] = self.name
        try:
            layer.declare(*self.inner_shapes(shapes))
        finally:
            vars(layer)["name"] = named
        self.parameters = list(layer.parameters)


@LAYERS.register()
class TimeDistributed(Wrapper):
    """A layer on each step of a sequence by itself, with the same weights: Y[:, t] = layer(X[:, t]).

    Shapes: X (B, steps, …), Y (B, steps, …). A Dense acts on the last axis of any input, and needs none of this. It, an
    activation, and a layer that reads whole numbers are computed at once for all steps; any other is computed step by
    step, in a program as long as the sequence.

    Parameters
    ----------
    layer : Layer
        Any that reads one input and joins none; what it draws differs from step to step, and a BatchNormalization takes
        the moments of each step by itself.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        X has no axis of steps, or the layer was called elsewhere, or reads several inputs.
    """

    supports_masking = True

    def inner_shapes(self, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Without the axis of steps."""
        if len(shapes[0]) < 2:
            raise ValueError(f"TimeDistributed: expected inputs (batch, steps, …), got (batch, *{shapes[0]})")
        return (shapes[0][1:],)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Steps of what the layer makes."""
        return (shapes[0][0], *self.layer.output_shape(*self.inner_shapes(shapes)))

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """All steps at once where rows of the last axis are made by themselves, else step by step."""
        x = inputs[0]
        if self.layer.keeps_rows_apart or self.integers is not None:  # numbers of rows of a table may have any shape
            return self.made(b, x)
        heeds = x.mask is not None and self.layer.supports_masking
        parts = []
        for t in range(x.shape[0]):
            step = step_of(b, x, t)
            step.mask = step_of(b, x.mask, t) if heeds and x.mask else None
            parts.append(self.made(b, step))
        y, masks = joined(b, parts), [part.mask for part in parts if part.mask is not None]
        y.mask = joined(b, masks) if len(masks) == len(parts) else None
        return y

    def made(self, b: Builder, x: Tensor) -> Tensor:
        """What the layer makes of X, with its mask."""
        y = self.layer.emit(b, x)
        if y.mask is None:
            y.mask = self.layer.emit_mask(b, x)
        return y

    def emit_mask(self, b: Builder, *inputs: Tensor) -> Tensor | None:
        """Which steps count: where something of one does, if the layer does not tell more."""
        mask = inputs[0].mask
        if mask is None or len(mask.shape) == 1:
            return mask
        steps, *shape = mask.shape
        return differs(b, reshape(b, mask, (steps, math.prod(shape))), 0.0, rows=True)


def step_of(b: Builder, x: Tensor, t: int) -> Tensor:
    """X[:, t]."""
    step = take(b, x, [slice(t, t + 1), *[slice(None)] * (len(x.shape) - 1)])
    return reshape(b, step, x.shape[1:])


def joined(b: Builder, parts: list[Tensor]) -> Tensor:
    """Tensors of one shape as steps."""
    steps = [reshape(b, y, (1, *y.shape)) for y in parts]
    return concatenate(b, steps, 0, (len(steps), *parts[0].shape)) if len(steps) > 1 else steps[0]


@LAYERS.register()
class SpectralNormalization(Wrapper):
    """A layer whose kernel is divided by its largest singular value after each update: W ← W / σ.

    σ is estimated by power iteration, which goes on from step to step: v ← W u / ‖W u‖, u ← Wᵀ v / ‖Wᵀ v‖, σ = vᵀ W u,
    where W (…, n) counts as a matrix of n columns. So the layer stretches no input much beyond its length, as critics
    of generative networks need. Keras and the paper divide in the forward pass of training instead: there the weights
    of a prediction are those of the last update as it left them, and the first step has σ = 1, too. Here a kernel
    is what its initializer drew until the first update.

    Parameters
    ----------
    layer : Layer
        With a `kernel` or `embeddings` that has no constraint of its own.
    power_iterations : int, default 1
        At each update, at least 1.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    vector_u : Parameter
        u (1, n), a statistic: in `get_weights` it comes last, as all statistics do. Keras has it behind the kernel.

    Raises
    ------
    ValueError
        The layer has no such weight, it has a constraint, or was called elsewhere.

    References
    ----------
    T. Miyato et al.: Spectral normalization for generative adversarial networks, ICLR 2018, arXiv:1802.05957.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(layer, name, trainable)
        self.power_iterations = check_count(
            power_iterations, "power_iterations", phrase="`power_iterations` should be greater than zero."
        )

    @property
    def activity_regularizer(self) -> Any:
        """The layer's penalty on its outputs; a TimeDistributed has none, as in Keras."""
        return getattr(self.layer, "activity_regularizer", None)

    def output_shape(self, *shapes: Shape) -> Shape:
        """That of the layer."""
        return self.layer.output_shape(*shapes)

    def declare(self, *shapes: Shape) -> None:
        """Declare what the layer learns, and u."""
        super().declare(*shapes)
        kernel = getattr(self.layer, "kernel", getattr(self.layer, "embeddings", None))
        if kernel is None:
            phrase = f"{type(self.layer).__name__} object has no attribute 'kernel' nor 'embeddings'"
            raise ValueError(f"layer: expected one with a kernel or embeddings, got {self.layer!r} ({phrase})")
        if kernel.constraint is not None:
            raise ValueError(f"layer: expected one without a constraint of its own, got {kernel.constraint!r}")
        drawn = initializers.TruncatedNormal(stddev=0.02)
        self.vector_u = self.add_parameter("vector_u", (1, kernel.shape[-1]), drawn, role="statistic")
        vars(kernel)["constraint"] = Spectral(self.vector_u, self.power_iterations)  # which users cannot set

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """What the layer computes."""
        return self.layer.emit(b, *inputs)
