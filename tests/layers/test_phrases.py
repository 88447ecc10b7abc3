"""Errors of layers have Keras's phrase in brackets, behind the house's own words."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import nncore as nn

IMAGES, STEPS = np.ones((1, 8, 9, 5)), np.ones((1, 5, 7))

CASES: list[tuple[Any, str, str]] = [
    (lambda: nn.Dense(0), "units: expected", "`units` must be a positive integer"),
    (lambda: nn.Embedding(3.7, 8), "input_dim: expected", "`input_dim` must be a positive integer"),
    (lambda: nn.Embedding(3, "8"), "output_dim: expected", "`output_dim` must be a positive integer"),
    (
        lambda: nn.Conv2D(0, 3),
        "filters: expected a whole number of at least 1, got 0",
        "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=0.",
    ),
    (
        lambda: nn.Conv2D(2, (1, 0)),
        "kernel_size: expected a whole number of at least 1, or a tuple of 2 of them, got (1, 0)",
        "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=(1, 0), including values {0} "
        "that do not satisfy `value > 0`",
    ),
    (
        lambda: nn.Conv1DTranspose(2, 3, output_padding=-1),
        "output_padding: expected a whole number of at least 0, got -1",
        "including values {-1} that do not satisfy `value >= 0`",
    ),
    (
        lambda: nn.MaxPooling2D("2"),
        "pool_size: expected a whole number of at least 1",
        "The `pool_size` argument must be a tuple of 2 integers. Received pool_size=2",
    ),
    (
        lambda: [layer(nn.Input(n)) for layer in [nn.Dense(2)] for n in (2, 3)],
        "Dense: expected inputs that its weights fit, as those of its first call, (None, 2), got (None, 3)",
        "Input is incompatible with the layer.",
    ),
    (
        lambda: nn.SeparableConv1D(2, 3, depth_multiplier=0),
        "depth_multiplier: expected",
        "Invalid value for argument `depth_multiplier`. Expected a strictly positive value. "
        "Received depth_multiplier=0.",
    ),
    (
        lambda: nn.DepthwiseConv1D(6)(STEPS),
        "DepthwiseConv1D: expected inputs of at least 6 places",
        "Computed output size would be zero or negative.",
    ),
    (
        lambda: nn.Dropout(-0.5),
        "rate: expected a number in [0, 1), the fraction to drop",
        "Invalid value received for argument `rate`. Expected a float value between 0 and 1.",
    ),
    (lambda: nn.Dropout(0.5, "(2, 1)"), "noise_shape: expected a tuple", "Expected a tuple or list of integers."),
    (
        lambda: nn.Dropout(0.5, (2, 1.5)),
        "noise_shape: expected a tuple",
        "Expected all elements to be integers or None.",
    ),
    (
        lambda: nn.Dropout(0.5, (2, 0)),
        "noise_shape: expected a tuple",
        "Expected all dimensions to be positive integers or None.",
    ),
    (lambda: nn.RepeatVector(0), "n: expected a whole number of at least 1, got 0", "`n` should be a positive integer"),
    (lambda: nn.Permute((0, 2)), "dims: expected a permutation", "Invalid permutation argument `dims`"),
    (lambda: nn.Reshape((-2, 5)), "target_shape: expected positive sizes", "Received: target_shape=(-2, 5)"),
    (lambda: nn.Reshape((-1, -1)), "target_shape: expected at most one -1", "at most one unknown dimension."),
    (
        lambda: nn.Cropping1D((3, 2))(STEPS),
        "Cropping1D: expected a cropping that leaves a place",
        "`cropping` parameter of `Cropping1D` layer must be smaller than",
    ),
    (
        lambda: nn.Cropping2D(4)(IMAGES),
        "Cropping2D: expected a cropping that leaves a place",
        "Values in `cropping` argument should be smaller than the corresponding spatial dimension of the input.",
    ),
    (lambda: nn.GroupNormalization(0), "groups: expected", "Invalid value received for argument `groups`."),
    (
        lambda: nn.GroupNormalization(6)(IMAGES),
        "GroupNormalization: expected groups that divide the 5 features of axis -1, got 6",
        "Number of groups (6) cannot be more than the number of channels (5).",
    ),
    (
        lambda: nn.GroupNormalization(3)(IMAGES),
        "GroupNormalization: expected groups that divide the 5 features of axis -1, got 3",
        "Number of groups (3) must be a multiple of the number of channels (5).",
    ),
    (
        lambda: nn.SpectralNormalization(nn.Dense(2), 0),
        "power_iterations: expected",
        "`power_iterations` should be greater than zero.",
    ),
    (
        lambda: nn.SpectralNormalization(nn.ReLU())(STEPS),
        "layer: expected one with a kernel or embeddings",
        "ReLU object has no attribute 'kernel' nor 'embeddings'",
    ),
    (
        lambda: nn.Concatenate()([STEPS, STEPS[:, 1:]]),
        "Concatenate: expected inputs that agree except along axis -1",
        "layer requires inputs with matching shapes except for the concatenation axis",
    ),
    (
        lambda: nn.Subtract()([STEPS] * 3),
        "Subtract: expected 2 inputs, got 3",
        "Subtract layer should be called on exactly 2 inputs",
    ),
    (lambda: nn.ReLU(-10), "max_value: expected a finite", "max_value of a ReLU layer cannot be a negative value"),
    (
        lambda: nn.ReLU(threshold=-1),
        "threshold: expected a finite number ≥ 0, got -1; subtract a shift from the inputs",
        "threshold of a ReLU layer cannot be None or a negative value",
    ),
    (
        lambda: nn.ReLU(negative_slope=-10),
        "negative_slope: expected a finite number ≥ 0, got -10",
        "negative_slope of a ReLU layer cannot be None or a negative value",
    ),
    (lambda: nn.CategoryEncoding(0), "num_tokens: expected", "`num_tokens` must be >= 1."),
    (
        lambda: nn.CategoryEncoding(2)([[1]], count_weights=[[1]]),
        "count_weights: expected None where output_mode is 'multi_hot'",
        "`count_weights` is not used when `output_mode`",
    ),
    (lambda: nn.CategoryEncoding(2, "bad"), "output_mode: expected one of", "Unknown arg for output_mode: bad."),
    (
        lambda: nn.Hashing(2, output_mode="bad"),
        "output_mode: expected one of",
        "Invalid value for argument `output_mode`",
    ),
    (lambda: nn.Hashing(0), "num_bins: expected", "The `num_bins` for `Hashing` cannot be `None` or non-positive"),
    (
        lambda: nn.HashedCrossing(3)(np.array([1])),
        "HashedCrossing: expected a list of arrays",
        "HashedCrossing should be called on a list or tuple of inputs.",
    ),
    (
        lambda: nn.RandomBrightness(1.1),
        "factor: expected a number in [-1, 1] or two of them, got 1.1",
        "The `factor` argument should be a number (or a list of two numbers) in the range [-1, 1].",
    ),
    (
        lambda: nn.RandomContrast(0.1, [10]),
        "value_range: expected two numbers",
        "The `value_range` argument should be a list of two numbers.",
    ),
    (
        lambda: nn.Normalization().adapt([]),
        "data: expected an array, or an iterable of arrays, got an empty iterable",
        "",
    ),
    (lambda: nn.Input(), "shape: expected the sizes of a sample", "pass a `shape` argument."),
    (
        lambda: nn.Input(3, batch_shape=(None, 3)),
        "batch_shape: expected the batch axis",
        "You cannot pass both `shape` and `batch_shape` at the same time.",
    ),
]


@pytest.mark.parametrize(("make", "own", "phrase"), CASES)
def test_the_phrase_stands_behind_the_sentence(make: Any, own: str, phrase: str) -> None:
    behind = rf".* \((.* )?{re.escape(phrase)}.*\)$" if phrase else "$"
    with pytest.raises(ValueError, match=f"(?s)^{re.escape(own)}{behind}") as caught:
        make()
    assert type(caught.value) is ValueError
