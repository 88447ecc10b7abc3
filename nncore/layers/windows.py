"""Windows that slide over an image or a series: what convolutions and poolings have in common.

An axis of `length` places is seen through windows of `size` places, `dilation` apart from one another; the next window
begins `stride` places further on, the first `before` places ahead of the axis' first. What lies outside counts as 0, or
as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from nncore.arguments import is_whole
from nncore.operations import transpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor
    from nncore.graph import Shape

T = TypeVar("T")

AXES = ("steps",), ("height", "width")  # by rank


class Axis(NamedTuple):
    """How windows lie along one axis; size 0: window o goes from ⌊o length / out⌋ to before ⌈(o + 1) length / out⌉."""

    length: int
    size: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    out: int = 0  # how many windows there are

    @property
    def reach(self) -> int:
        """Places from the first of a window to its last, both included."""
        return (self.size - 1) * self.dilation + 1

    @property
    def shared(self) -> bool:
        """Whether two windows have a place in common."""
        if self.size == 0:
            return self.length % self.out > 0
        return self.out > 1 and self.reach > self.stride

    @property
    def covered(self) -> bool:
        """Whether every place is in a window; of windows of a dilation of 1."""
        if self.size == 0:
            return True
        end = (self.out - 1) * self.stride + self.reach - self.before
        return end >= self.length and (self.out == 1 or self.reach >= self.stride)


def axes_of(
    shape: Shape, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int], padding: str, label: str
) -> list[Axis]:
    """How windows lie in samples of this shape, which has the channels behind; ValueError where none fits in."""
    axes = [axis(*numbers, padding) for numbers in zip(shape, sizes, strides, dilations, strict=False)]
    if any(a.out < 1 for a in axes):
        names = ", ".join((*AXES[len(axes) - 1], "channels"))
        least = " × ".join(str(a.reach) for a in axes)
        raise ValueError(
            f"{label}: expected inputs of at least {least} places, got ({names}) {shape}. Give larger inputs, a "
            "smaller window or padding='same', and see that the channels stand last (Computed output size would be "
            "zero or negative.)"
        )
    return axes


def axis(length: int, size: int, stride: int, dilation: int, padding: str) -> Axis:
    """The windows of an axis, by Keras's rules; none where it is too short for one.

    "valid": those that lie inside; "same": ⌈length / stride⌉, with as many places before as after, or one more after;
    "causal": as many, each ending at a place of the axis.
    """
    bare = Axis(length, size, stride, dilation)
    if padding == "valid":
        return bare._replace(out=(length - bare.reach) // stride + 1)
    out = -(-length // stride)
    missing = max((out - 1) * stride + bare.reach - length, 0)
    return bare._replace(out=out, before=bare.reach - 1 if padding == "causal" else missing // 2)


def check_sizes(value: Any, argument: str, rank: int, least: int = 1) -> tuple[int, ...]:
    """`value`, a whole number or one for each of `rank` axes, as a tuple; a ValueError where it is neither."""
    sizes = (value,) * rank if is_whole(value) else tuple(value) if isinstance(value, np.ndarray) else value
    if isinstance(sizes, (tuple, list)) and len(sizes) == rank and all(is_whole(n) and n >= least for n in sizes):
        return tuple(int(n) for n in sizes)
    each = f", or a tuple of {rank} of them" if rank > 1 else ""
    phrase = f"The `{argument}` argument must be a tuple of {rank} integers. Received {argument}={value}"
    few = {n for n in sizes if is_whole(n) and n < least} if isinstance(sizes, (tuple, list)) else set()
    phrase += f", including values {few} that do not satisfy `value {'>= 0' if least == 0 else '> 0'}`" if few else ""
    raise ValueError(f"{argument}: expected a whole number of at least {least}{each}, got {value!r} ({phrase})")


def check_choice(value: Any, argument: str, choices: tuple[str, ...]) -> str:
    """`value` in lower case; a ValueError where it is none of `choices`."""
    if isinstance(value, str) and value.lower() in choices:
        return value.lower()
    expected = " or ".join(map(repr, choices))
    raise ValueError(f"{argument}: expected {expected}, got {value!r}")


def check_data_format(value: Any) -> str:
    """Where the channels are; None is "channels_last"."""
    return check_choice("channels_last" if value is None else value, "data_format", ("channels_last", "channels_first"))


def channels_last(shape: Shape, rank: int, data_format: str, label: str) -> Shape:
    """A sample's shape with the channels behind; ValueError where it has not `rank` axes and channels."""
    if len(shape) != rank + 1:
        axes = ", ".join(
            ("channels", *AXES[rank - 1]) if data_format == "channels_first" else (*AXES[rank - 1], "channels")
        )
        raise ValueError(
            f"{label}: expected inputs (batch, {axes}), got (batch, {', '.join(map(str, shape))}). "
            "Reshape brings others to this form"
        )
    return (*shape[1:], shape[0]) if data_format == "channels_first" else shape


def as_given(shape: tuple[T, ...], data_format: str) -> tuple[T, ...]:
    """A shape with the channels behind, or names of its axes, as `data_format` has it."""
    return (shape[-1], *shape[:-1]) if data_format == "channels_first" else shape


def to_channels_last(b: Builder, x: Tensor, data_format: str) -> Tensor:
    """X with the channels behind."""
    first = data_format == "channels_first" and len(x.shape) > 1
    return transpose(b, x, [*range(1, len(x.shape)), 0]) if first else x


def from_channels_last(b: Builder, y: Tensor, data_format: str) -> Tensor:
    """Y, whose channels are behind, as `data_format` has it."""
    return transpose(b, y, [len(y.shape) - 1, *range(len(y.shape) - 1)]) if data_format == "channels_first" else y


def transposed_axis(steps: int, size: int, stride: int, dilation: int, more: int | None, padding: str) -> Axis:
    """The axis of a transposed convolution's output, whose windows are the input's `steps`, by Keras's rules.

    `more`: places at its end, of which None are as many as make ``steps * stride`` of them, or all that windows reach.
    """
    reach = Axis(0, size, stride, dilation).reach
    whole = (steps - 1) * stride + reach  # which windows reach; of "same", the ends of that are cut off
    if more is None:
        length = steps * stride + (max(reach - stride, 0) if padding == "valid" else 0)
    else:
        length = whole + more - (reach // 2 * 2 if padding == "same" else 0)
    before = max(whole - length, 0) // 2 if padding == "same" else 0
    return Axis(length, size, stride, dilation, before, steps)
