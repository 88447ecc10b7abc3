"""What adapt learns from batches that come by number, and that what was learned goes with configurations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nncore as nn

RNG = np.random.default_rng(17)
L = nn.layers


@pytest.mark.parametrize("endless", [False, True])
def test_layers_learn_from_batches_by_number(endless: bool) -> None:
    """As many as there are, though there would be others by higher numbers; with targets behind, or without."""

    class Batches(nn.utils.PyDataset):
        @property
        def num_batches(self) -> int | None:
            return None if endless else 3

        def __getitem__(self, index: int) -> Any:
            x = np.full((2, 1), float(index))
            return (x, np.zeros(2)) if index % 2 else x

    layer = nn.Normalization()
    layer.adapt(Batches(), steps=4 if endless else None)
    seen = np.arange(4 if endless else 3)
    np.testing.assert_allclose([layer.mean[0], layer.variance[0]], [seen.mean(), seen.var()], rtol=1e-12)


def test_adapted_layers_travel() -> None:
    """Configurations and copies have what was learned."""
    normal, lookup = L.Normalization(), L.StringLookup()
    normal.adapt(RNG.standard_normal((50, 3)))
    lookup.adapt(list("abca"))
    x = RNG.standard_normal((4, 3)).astype(np.float32)
    expected = normal(x)
    for again in (L.Normalization.from_config(normal.get_config()),):
        np.testing.assert_allclose(again(x), expected, 1e-6)
    assert L.StringLookup.from_config(lookup.get_config()).get_vocabulary() == ["[UNK]", "a", "c", "b"]
