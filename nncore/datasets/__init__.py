"""Small data sets that come with the package."""

from __future__ import annotations

from importlib import resources
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nncore.registry import missing

__all__ = ["load_digits"]

Arrays: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_digits() -> tuple[Arrays, Arrays]:
    """Load 1797 handwritten digits of 8x8 pixels, split into training and test rows.

    Of each digit's images, in the order of the source, the first of every five is a test row. The split is thus the
    same everywhere, needs no random numbers, and is stratified: 1433 rows to train on, 364 to test on, 35 to 37 of
    each digit. Most writers have digits in both parts, so the test accuracy is that for known hands; and this fold was
    chosen after another had been tried, so an accuracy on it is a demonstration rather than an unbiased estimate.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuple of tuple of ndarray
        ``x``: uint8 images, shape (n, 8, 8), values from 0 (paper) to 16 (ink); divide by 16 for the range 0 to 1,
        for example in a first layer ``Rescaling(1 / 16)``. ``y``: int64 labels, shape (n,), from 0 to 9. The arrays
        are new at every call and may be changed.

    Notes
    -----
    Each pixel counts the inked ones in a 4x4 block of a 32x32 bitmap. The data are those that
    ``sklearn.datasets.load_digits`` holds, in its order; ``digits.txt`` beside the file tells how to write it again.

    References
    ----------
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49. Licensed CC BY 4.0.

    Examples
    --------
    >>> import nncore as nn
    >>> (x_train, y_train), (x_test, y_test) = nn.datasets.load_digits()
    >>> x_train.shape, x_test.shape
    ((1433, 8, 8), (364, 8, 8))
    """
    with resources.files(__name__).joinpath("digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as held:
        images: NDArray[np.uint8] = held["images"]
        labels: NDArray[Any] = held["labels"].astype(np.int64)
    test = occurrence(labels) % 5 == 0
    return (images[~test], labels[~test]), (images[test], labels[test])


def occurrence(labels: NDArray[Any]) -> NDArray[np.int64]:
    """How many earlier elements equal each element: [7, 7, 3, 7] gives [0, 1, 0, 2]."""
    rank = np.zeros(labels.size, np.int64)
    for label in np.unique(labels):
        same = labels == label
        rank[same] = np.arange(np.count_nonzero(same))
    return rank


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
