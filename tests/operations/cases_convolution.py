"""Cases of `test_operations`: convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import reference as ref
import reference_convolution as convolution
import reference_winograd as winograd
from cases import SAMPLES, Case
from kernels import Array, eps

from nncore._kernels.table import ACTIVATIONS, SUM_ROWS

PART = 4  # samples of a part of dW


def sizes(c: Case, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of a convolution with windows beyond each edge; what its formula is told."""
    given = {"height": 5, "width": 7, "channels": 6, "size_h": 3, "size_w": 2, "stride_h": 1, "stride_w": 2}
    given |= {"dilation_h": 1, "dilation_w": 1, "top": 1, "left": 1, "groups": 1, "n": 10} | changes
    reach = [(given[f"size_{a}"] - 1) * given[f"dilation_{a}"] + 1 for a in "hw"]
    ends = [given["height"] + given["top"], given["width"] + given["left"]]
    given |= {
        "out_h": (ends[0] + 1 - reach[0]) // given["stride_h"] + 1,
        "out_w": (ends[1] - reach[1]) // given["stride_w"] + 1,
    }
    given = {"line": given["out_w"]} | given
    pads = [(given["top"], 1), (given["left"], 0)]
    strides, dilation = ((given[f"{what}_h"], given[f"{what}_w"]) for what in ("stride", "dilation"))
    return given, {"strides": strides, "dilation": dilation, "pads": pads, "groups": given["groups"]}


def arrays(c: Case, given: dict[str, Any]) -> tuple[Array, Array, Array, Array]:
    """X, W, b, dY."""
    x = c.reals(SAMPLES, given["height"], given["width"], given["channels"])
    w = c.reals(given["size_h"], given["size_w"], given["channels"] // given["groups"], given["n"])
    return x, w, c.reals(given["n"]), c.reals(SAMPLES, given["out_h"], given["out_w"], given["n"])


def convolve(c: Case, lines: int = 1, **changes: Any) -> dict[str, Array]:
    """`lines`: how many make a row of windows."""
    given, told = sizes(c, **changes)
    x, w, b, y = arrays(c, given)
    z = convolution.convolve(x, w, b, **told)
    c.fields = given | {"X": x, "W": w, "b": b, "Y": c.poisoned(*y.shape), "Z": c.poisoned(*y.shape), "block": 3}
    c.fields |= {"per_sample": given["out_h"] * lines, "function": ACTIVATIONS["gelu"]}
    return {"Z": z, "Y": ref.activate("gelu", z, 0.0)}


def convolve__short_lines(c: Case) -> dict[str, Array]:
    return convolve(c, 2, line=3)


def convolve__groups_and_holes(c: Case) -> dict[str, Array]:
    return convolve(c, groups=2, dilation_h=2, dilation_w=3, stride_w=1)


def at_points(**changes: Any) -> dict[str, Any]:
    """Sizes that winograd.h takes: windows across are one place apart, the last tile is not whole."""
    return {"size_w": 3, "stride_w": 1, "width": 12} | changes


def convolve__at_points(c: Case, lines: int = 1, **changes: Any) -> dict[str, Array]:
    made = convolve(c, lines, **at_points(**changes))
    c.fields["U"] = winograd.filters_at_points(c.fields["W"]).astype(c.table.dtype)
    c.fields["W"] = np.full_like(c.fields["W"], np.nan)  # nobody reads it
    return made


def convolve__at_points_of_whole_samples(c: Case) -> dict[str, Array]:
    """Several of them at a time."""
    made = convolve__at_points(c, n=9, dilation_h=2)
    c.fields["block"] = 4 * c.fields["out_h"]
    return made


def convolve__at_points_strides_down(c: Case) -> dict[str, Array]:
    return convolve__at_points(c, stride_h=2, dilation_h=2, height=9, size_w=5, left=2)


def convolve__at_points_short_lines(c: Case) -> dict[str, Array]:
    return convolve__at_points(c, 2, line=8, width=13)


def convolve__at_points_affine(c: Case) -> dict[str, Array]:
    sums, numbers = convolve__at_points(c)["Z"], c.reals(3, 10)
    c.fields["affine"] = numbers
    z = (sums - numbers[0]) * ref.float64(numbers[1]) + numbers[2]
    return {"Z": z, "Y": ref.activate("gelu", z, 0.0)}


def convolve__affine(c: Case) -> dict[str, Array]:
    sums, numbers = convolve(c, groups=2)["Z"], c.reals(3, 10)
    c.fields["affine"] = numbers
    z = (sums - numbers[0]) * ref.float64(numbers[1]) + numbers[2]
    return {"Z": z, "Y": ref.activate("gelu", z, 0.0)}


def convolve_weights(c: Case, **changes: Any) -> dict[str, Array]:
    given, told = sizes(c, **changes)
    x, w, b, dy = arrays(c, given)
    parts = [
        convolution.convolve_backward(x[i : i + PART], w, dy[i : i + PART], **told)[1:] for i in range(0, SAMPLES, PART)
    ]
    c.fields = given | {"X": x, "dY": dy, "dW": c.poisoned(len(parts), *w.shape), "db": c.poisoned(len(parts), b.size)}
    c.fields |= {"part": PART, "block": PART}
    return {"dW": np.stack([dw for dw, _ in parts]), "db": np.stack([db for _, db in parts])}


def convolve_weights__at_points(c: Case, **changes: Any) -> dict[str, Array]:
    made = convolve_weights(c, **at_points(**changes))
    x, dy, f = c.fields["X"], c.fields["dY"], c.fields
    shape = f["size_h"], f["size_w"], f["channels"], f["n"]
    pads = [(f["top"], f["top"] + f["height"]), (f["left"], 0)]
    parts = [
        winograd.weights_at_points(x[i : i + PART], dy[i : i + PART], shape, f["stride_h"], f["dilation_h"], pads)
        for i in range(0, SAMPLES, PART)
    ]
    del c.fields["dW"]
    c.fields["dU"] = c.poisoned(len(parts), *parts[0].shape)
    return {"dU": np.stack(parts), "db": made["db"]}


def convolve_weights__at_points_strides_down(c: Case) -> dict[str, Array]:
    return convolve_weights__at_points(c, stride_h=2, dilation_h=2, height=9, size_w=5, left=2)


def convolve_weights__at_points_short_lines(c: Case) -> dict[str, Array]:
    return convolve_weights__at_points(c, line=8, width=13)


def filters_at_points(c: Case) -> dict[str, Array]:
    w = c.reals(2, 5, 7, 9)
    sizes = {"rows": 14, "size_w": 5, "channels": 7, "n": 9, "fixed": 14, "block": 3}
    c.fields = {"W": w, "U": c.poisoned(winograd.POINTS, 2, 7, 9)} | sizes
    return {"U": winograd.filters_at_points(w)}


def filters_from_points(c: Case) -> dict[str, Array]:
    du = c.reals(winograd.POINTS, 2, 7, 9)
    sizes = {"rows": 14, "size_w": 3, "channels": 7, "n": 9, "fixed": 14, "block": 3}
    c.fields = {"dU": du, "dW": c.poisoned(2, 3, 7, 9)} | sizes
    return {"dW": winograd.filters_from_points(du, 3)}


def convolve_weights__short_lines(c: Case) -> dict[str, Array]:
    return convolve_weights(c, line=3)


def convolve_weights__groups_and_holes(c: Case) -> dict[str, Array]:
    return convolve_weights(c, groups=2, dilation_h=2, dilation_w=3, stride_w=1)


def convolve_transposed(c: Case, **changes: Any) -> dict[str, Array]:
    given, told = sizes(c, **changes)
    x, w, _, dy = arrays(c, given)
    b, saved = c.reals(given["channels"]), c.reals(*x.shape)
    of_groups = w.reshape(-1, given["groups"], given["n"] // given["groups"])
    transposed = np.ascontiguousarray(of_groups.transpose(1, 2, 0))
    c.fields = given | {"dY": dy, "W": transposed, "b": b, "saved": saved, "dX": c.poisoned(*x.shape), "block": 2}
    c.fields["function"] = ACTIVATIONS["relu"]
    return {"dX": (convolution.convolve_backward(x, w, dy, **told)[0] + b) * (saved > 0)}


def convolve_transposed__groups_and_holes(c: Case) -> dict[str, Array]:
    return convolve_transposed(c, groups=2, dilation_h=2, dilation_w=3, stride_w=2, width=9)


def convolve_flipped(c: Case, **changes: Any) -> dict[str, Array]:
    """The gradient of images of 12 channels by what 10 filters made of them, which lies as other cases' images do."""
    given, told = sizes(c, **{"stride_w": 1, "channels": 10, "n": 12, "left": 0} | changes)
    dy, w, b, dx = arrays(c, given)
    groups, depth, n = given["groups"], given["channels"] // given["groups"], given["n"] // given["groups"]
    by_groups = w.reshape(-1, depth, groups, n)[::-1].transpose(0, 3, 2, 1)  # (places, channels, groups, filters)
    turned = np.ascontiguousarray(by_groups.reshape(*w.shape[:2], n, -1))
    reach = [(w.shape[i] - 1) * given[f"dilation_{a}"] for i, a in enumerate("hw")]  # beyond a window's first place
    more = [dy.shape[1 + i] + r - dx.shape[1 + i] for i, r in enumerate(reach)]
    before = [r - given[at] for r, at in zip(reach, ("top", "left"), strict=True)]
    pads = [(first, both - first) for first, both in zip(before, more, strict=True)]
    formula = convolution.convolve_backward(dx, turned, dy, **told | {"pads": pads})[0]
    saved = c.reals(*dx.shape)
    c.fields = given | {"dY": dy, "W": w, "b": b, "saved": saved, "dX": c.poisoned(*dx.shape), "block": 2}
    c.fields |= {"function": ACTIVATIONS["relu"], "per_sample": given["out_h"]}
    return {"dX": (formula + b) * (saved > 0)}


def convolve_flipped__at_points(c: Case) -> dict[str, Array]:
    made = convolve_flipped(c, **at_points())
    c.fields["U"] = winograd.filters_at_points(c.fields["W"]).astype(c.table.dtype)
    c.fields["W"] = np.full_like(c.fields["W"], np.nan)
    return made


def convolve_flipped__groups_and_holes(c: Case) -> dict[str, Array]:
    return convolve_flipped(c, groups=2, dilation_h=2, dilation_w=3, left=2)


def few_filters(of: Callable[..., dict[str, Array]], n: int) -> Callable[[Case], dict[str, Array]]:
    """Of one channel, with neighbouring windows side by side in vectors."""

    def case(c: Case) -> dict[str, Array]:
        c.tolerance = 500 * eps(c.table)  # sums of a thousand products
        return of(c, channels=1, n=n, size_w=2 * n - 1, stride_w=1, width=41 + n % 3, dilation_h=1 + n % 2)

    case.__name__ = f"{of.__name__}__{n}_filters"
    return case


def convolve__few_filters_of_wide_windows(c: Case) -> dict[str, Array]:
    """Several rows of a window to a block of K, and several blocks."""
    c.tolerance = 500 * eps(c.table)
    return convolve(c, channels=1, n=3, size_h=8, size_w=121, stride_w=1, height=9, width=161)


CONVOLUTION = [
    convolve, convolve__short_lines, convolve__groups_and_holes, convolve__affine, convolve_weights,
    convolve_weights__short_lines, convolve_weights__groups_and_holes, convolve_transposed,
    convolve_transposed__groups_and_holes, convolve_flipped, convolve_flipped__groups_and_holes,
    convolve__few_filters_of_wide_windows, convolve__at_points, convolve__at_points_of_whole_samples,
    convolve__at_points_strides_down, convolve__at_points_short_lines, convolve__at_points_affine,
    convolve_weights__at_points, convolve_weights__at_points_strides_down, convolve_weights__at_points_short_lines,
    convolve_flipped__at_points, filters_at_points, filters_from_points,
    *(few_filters(of, n) for of in (convolve, convolve_weights) for n in (1, 2, 3, 4, 6, 8, 11)),
]  # fmt: skip
assert SUM_ROWS % PART == 0
