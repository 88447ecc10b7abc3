"""Cases of `test_operations`: images at other places, in other colours, erased, mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference as ref
import reference_images as images
from cases import SAMPLES, Case
from cases_random import KEY, STEPS, normal
from kernels import Array

from nncore.operations.images import FILL_MODES

SEED = 2**62 + 5
OWN = SEED, KEY[1]  # of a layer with a seed of its own
NOISE = KEY[0], 3 << 48 ^ 5  # of the next stream
HEIGHT, WIDTH = OLD = 5, 6
NEW = 4, 7
SIZES = {"height": HEIGHT, "width": WIDTH, "to_height": NEW[0], "to_width": NEW[1]}


def drawing(c: Case, **fields: Any) -> None:
    """Let the case draw as layer 2 of seed 11, unless it has its own, at step 5."""
    c.fields = {"layer": 2, "seed": -1} | fields
    c.bind = lambda run: run.bind_random(11, STEPS)


def moved(c: Case, mode: str, linear: bool, channels: int, **fields: Any) -> tuple[Array, list[Any]]:
    """X, and of each sample (matrix, offset) of all that can be drawn together; its fields are those of this."""
    x = c.reals(SAMPLES, *OLD, channels)
    drawing(
        c, X=x, Y=c.poisoned(SAMPLES, *NEW, channels), channels=channels, flip=(0.5, 0.5), turn=(-0.5, 0.9),
        zoom=(0.5, 1.5, 0.75, 2.0), shift=(-2.0, 3.0, 0.0, 1.0), over=(2.0, 1.5), bilinear=int(linear),
        fill_mode=FILL_MODES.index(mode), fill_value=0.75, center=(2.0, 2.5, 1.5, 3.0), **SIZES | fields,
    )  # fmt: skip
    key = OWN if "seed" in fields else KEY
    places = []
    for s in range(SAMPLES):
        u = [images.word(s, i, key) for i in range(7)]
        zoom = images.between(u[3], 0.5, 1.5), images.between(u[3 if "linked" in fields else 4], 0.75, 2.0)
        signs = [-1 if u[axis] < 0.5 else 1 for axis in (0, 1)]
        turned = images.rotation(images.between(u[2], -0.5, 0.9) / 2)
        matrix = np.diag([1 / 2.0, 1 / 1.5]) @ turned @ np.diag(zoom) @ np.diag(signs)
        shift = [images.between(u[5], -2, 3), images.between(u[6], 0, 1)]
        places.append((matrix, images.about(matrix, OLD, NEW) - shift))
    return x, places


def sample(c: Case, mode: str, linear: bool = True, channels: int = 3, **fields: Any) -> dict[str, Array]:
    x, places = moved(c, mode, linear, channels, **fields)
    how: dict[str, Any] = {"linear": linear, "mode": mode, "fill": 0.75}
    return {"Y": np.stack([images.seen(a, *p, NEW, **how) for a, p in zip(x, places, strict=True)])}


def sample_images__constant(c: Case) -> dict[str, Array]:
    return sample(c, "constant")


def sample_images__nearest(c: Case) -> dict[str, Array]:
    return sample(c, "nearest", channels=1)


def sample_images__wrap(c: Case) -> dict[str, Array]:
    return sample(c, "wrap", channels=2, seed=SEED)


def sample_images__reflect(c: Case) -> dict[str, Array]:
    return sample(c, "reflect", linked=1)


def sample_images__nearest_pixel(c: Case) -> dict[str, Array]:
    return sample(c, "constant", linear=False)


def sample_images__backward(c: Case) -> dict[str, Array]:
    """The transposed of what takes an image of which each pixel is a channel of its own."""
    _, places = moved(c, "reflect", True, 3, backward=1)
    dy = c.reals(SAMPLES, *NEW, 3)
    c.fields |= {"X": dy, "Y": c.poisoned(SAMPLES, *OLD, 3)}
    pixels = np.eye(HEIGHT * WIDTH).reshape(*OLD, -1)
    weights = [images.seen(pixels, *p, NEW, linear=True, mode="reflect", fill=0) for p in places]
    return {"Y": np.einsum("shwp,shwc->spc", np.stack(weights), ref.float64(dy))}


def sample_images__backward_of_inside(c: Case) -> dict[str, Array]:
    """What stands for all outside has no gradient."""
    _, places = moved(c, "constant", False, 1, backward=1)
    dy = c.reals(SAMPLES, *NEW, 1)
    c.fields |= {"X": dy, "Y": c.poisoned(SAMPLES, *OLD, 1)}
    pixels = np.eye(HEIGHT * WIDTH).reshape(*OLD, -1)
    weights = [images.seen(pixels, *p, NEW, linear=False, mode="constant", fill=0) for p in places]
    return {"Y": np.einsum("shwp,shwc->spc", np.stack(weights), ref.float64(dy))}


def sample_images__of_rows_of_several_pieces(c: Case) -> dict[str, Array]:
    """Nothing is drawn; columns 0 … 299 are read at 1.5 times their number."""
    x = c.reals(SAMPLES, 2, 450, 1)
    c.fields = {"X": x, "Y": c.poisoned(SAMPLES, 2, 300, 1), "height": 2, "width": 450, "to_height": 2, "to_width": 300}
    c.fields |= {"channels": 1, "zoom": (1.0, 1.0, 3.0, 3.0), "over": (1.0, 2.0), "bilinear": 1, "layer": -1}
    wide = ref.float64(x)[:, :, :, 0]
    odd = (wide[:, :, 1::3] + wide[:, :, 2::3]) / 2
    return {"Y": np.stack([wide[:, :, ::3], odd], 3)}


def sample_images__joined(c: Case) -> dict[str, Array]:
    """All samples are cut out at the same place, which is whole."""
    x = c.reals(SAMPLES, 9, 8, 2)
    drawing(
        c, X=x, Y=c.poisoned(SAMPLES, 4, 3, 2), height=9, width=8, channels=2, to_height=4, to_width=3, joined=1,
        zoom=(1.0,) * 4, over=(1.0, 1.0), shift=(0.0, -6.0, 0.0, -6.0),
    )  # fmt: skip
    row, column = (int(6 * images.word(0, i, KEY)) for i in (5, 6))
    return {"Y": x[:, row : row + 4, column : column + 3]}


RANGE = -0.5, 1.0
FACTORS = 0.5, 1.75, -0.25, 0.5


def adjusting(c: Case, **fields: Any) -> tuple[Array, list[tuple[float, float]]]:
    x = c.reals(SAMPLES, 3, 5, 3)
    drawing(c, X=x, pixels=15, channels=3, factors=FACTORS, range=RANGE, **fields)
    words = [(images.word(s, 0, KEY), images.word(s, 1, KEY)) for s in range(SAMPLES)]
    return x, [(images.between(u, *FACTORS[:2]), images.between(v, *FACTORS[2:])) for u, v in words]


def adjust_images(c: Case) -> dict[str, Array]:
    x, drawn = adjusting(c, Y=c.poisoned(SAMPLES, 3, 5, 3))
    return {"Y": np.stack([images.adjusted(a, *d, *RANGE) for a, d in zip(x, drawn, strict=True)])}


def adjust_images_backward(c: Case) -> dict[str, Array]:
    """∂Y/∂X of a channel is f I + (1 − f) / pixels, in rows of pixels that are not cut off."""
    dy = c.reals(SAMPLES, 3, 5, 3)
    x, drawn = adjusting(c, dY=dy, dX=c.poisoned(SAMPLES, 3, 5, 3))
    dx = np.empty(x.shape)
    for s, (contrast, brightness) in enumerate(drawn):
        free = images.adjusted(x[s], contrast, brightness, -np.inf, np.inf)
        inner = ((free >= RANGE[0]) & (free <= RANGE[1])).reshape(15, 3)
        jacobian = contrast * np.eye(15) + (1 - contrast) / 15
        dx[s] = np.einsum("pk,pq,pk->qk", inner, jacobian, ref.float64(dy[s]).reshape(15, 3)).reshape(3, 5, 3)
    return {"dX": dx}


AREA = 0.1, 0.7, 0.2, 0.9


def erasing(c: Case, **fields: Any) -> tuple[Array, Array]:
    """X, and where it is erased."""
    x = c.reals(SAMPLES, *OLD, 3)
    drawing(c, X=x, Y=c.poisoned(*x.shape), height=HEIGHT, width=WIDTH, channels=3, factors=AREA, range=RANGE, **fields)
    where = [images.erased(s, OLD, AREA[:2], AREA[2:], KEY) for s in range(SAMPLES)]
    return x, np.stack(where)[..., None]


def erase_images(c: Case) -> dict[str, Array]:
    values = c.reals(3)
    x, where = erasing(c, values=values)
    return {"Y": np.where(where, values, x)}


def erase_images__noise(c: Case) -> dict[str, Array]:
    x, where = erasing(c)
    c.tolerance = 3e-6
    noise = normal([ref.uniform(i, NOISE) + 2.0**-25 for i in range(x.size)]).reshape(x.shape)
    return {"Y": np.where(where, np.clip(noise * RANGE[1], *RANGE), x)}


def erase_images__backward(c: Case) -> dict[str, Array]:
    x, where = erasing(c, values=c.reals(3), backward=1)
    return {"Y": np.where(where, 0, x)}


def mixing(
    c: Case, alphas: tuple[float, float] = (0.25, 0.75), **fields: Any
) -> tuple[Array, int, list[tuple[float, Array]]]:
    """X, how far away the other sample is, and what stays of each."""
    x = c.reals(SAMPLES, *OLD, 2)
    drawing(c, X=x, Y=c.poisoned(*x.shape), n=x[0].size, alphas=alphas, **fields)
    ahead = 1 + int(images.word(0, 0, NOISE) * (SAMPLES - 1))
    alpha = images.between(images.word(0, 1, NOISE), *alphas)
    return x, ahead, [images.mixed_by(s, OLD, alpha, KEY) for s in range(SAMPLES)]


def mix_samples(c: Case, **settings: Any) -> dict[str, Array]:
    x, ahead, mixes = mixing(c, **settings)
    stays = np.array([stays for stays, _ in mixes])[:, None, None, None]
    return {"Y": stays * x + (1 - stays) * np.roll(x, -ahead, 0)}


def mix_samples__near_the_half(c: Case) -> dict[str, Array]:
    return mix_samples(c, alphas=(1.5, 4.0))


def mix_samples__rectangles(c: Case) -> dict[str, Array]:
    x, ahead, mixes = mixing(c, height=HEIGHT, width=WIDTH, channels=2)
    return {"Y": np.where(np.stack([where for _, where in mixes])[..., None], np.roll(x, -ahead, 0), x)}


def mix_samples__by_rectangles(c: Case) -> dict[str, Array]:
    """As much of another sample as a rectangle of an image of that size has: what targets are."""
    x, ahead, _ = mixing(c, height=HEIGHT, width=WIDTH)
    alpha = images.between(images.word(0, 1, NOISE), 0.25, 0.75)
    stays = np.array([images.cut_by(s, OLD, alpha, KEY)[0] for s in range(SAMPLES)])[:, None, None, None]
    return {"Y": stays * x + (1 - stays) * np.roll(x, -ahead, 0)}


def mix_samples__backward(c: Case) -> dict[str, Array]:
    dy, ahead, mixes = mixing(c, backward=1)
    stays = np.array([stays for stays, _ in mixes])[:, None, None, None]
    return {"Y": stays * dy + np.roll((1 - stays) * dy, ahead, 0)}


def mix_samples__backward_of_rectangles(c: Case) -> dict[str, Array]:
    dy, ahead, mixes = mixing(c, backward=1, height=HEIGHT, width=WIDTH, channels=2)
    where = np.stack([where for _, where in mixes])[..., None]
    return {"Y": np.where(where, 0, dy) + np.roll(np.where(where, dy, 0), ahead, 0)}


IMAGES = [
    sample_images__constant, sample_images__nearest, sample_images__wrap, sample_images__reflect,
    sample_images__nearest_pixel, sample_images__backward, sample_images__backward_of_inside,
    sample_images__of_rows_of_several_pieces, sample_images__joined,
    adjust_images, adjust_images_backward, erase_images, erase_images__noise, erase_images__backward,
    mix_samples, mix_samples__near_the_half, mix_samples__by_rectangles,
    mix_samples__rectangles, mix_samples__backward,
    mix_samples__backward_of_rectangles,
]  # fmt: skip
