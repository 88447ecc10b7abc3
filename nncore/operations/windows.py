"""How windows lie over images and series, as the attributes of operations say it: WINDOWS in src_c/operations.def."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncore.layers.windows import Axis

#: The only row of a series, which is an image of height 1.
ROW = {"height": 1, "out_h": 1, "size_h": 1, "stride_h": 1, "dilation_h": 1, "top": 0}


def windows_over(axes: Sequence[Axis]) -> dict[str, int]:
    """The attributes of windows along `axes`, one of a series or two of an image."""
    fields = dict(ROW)
    for (length, before, way), a in zip((("width", "left", "w"), ("height", "top", "h")), reversed(axes), strict=False):
        fields |= {length: a.length, before: a.before, f"out_{way}": a.out, f"size_{way}": a.size}
        fields |= {f"stride_{way}": a.stride, f"dilation_{way}": a.dilation}
    return fields
