"""Sums of losses, made by arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from nncore.arguments import check_number
from nncore.losses import arrays
from nncore.losses.arithmetic import Addend
from nncore.losses.base import REDUCTIONS, Loss, entry
from nncore.losses.own import get
from nncore.registry import to_json


@entry()
class WeightedSum(Loss):
    """ℓ = Σₖ factorₖ ℓₖ: what ``0.7 * nn.losses.mse + 0.3 * nn.losses.Huber(0.5)`` makes.

    Each loss is computed natively, with its own `reduction`, and fused with the last activation where it is by itself.
    All are given the same targets.

    Parameters
    ----------
    losses : sequence of losses
        Names, functions or objects.
    factors : sequence of float
        As many.

    Raises
    ------
    ValueError, TypeError
        There are none, or not as many factors, or some losses take labels and some values; a factor is no finite
        number; `reduction` or `dtype` are given, which are the terms' own.
    """

    losses: Any = ("mean_squared_error",)
    factors: Any = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, default in (("reduction", REDUCTIONS[0]), ("dtype", None)):
            if (value := getattr(self, name)) != default:
                raise ValueError(
                    f"{name}: expected {default!r} of a sum of losses, got {value!r}; give it to the terms"
                )
        for name, what in (("losses", "losses"), ("factors", "numbers")):
            if isinstance(value := getattr(self, name), (str, Mapping)) or not isinstance(value, Iterable):
                raise TypeError(f"{name}: expected a list of {what}, got {value!r}")
        found = tuple(loss for given in self.losses if (loss := get(given, "losses")))
        factors = tuple(check_number(f, "factors", "finite numbers", math.isfinite) for f in self.factors)
        if not found or len(found) != len(factors):
            raise ValueError(f"factors: expected one for each of {len(found)} losses, at least 1, got {self.factors!r}")
        if len({loss.target for loss in found}) > 1:
            names = {loss.target: loss.name for loss in found}
            raise ValueError(
                f"losses: expected losses of one kind of targets, got {names['labels']} of labels and "
                f"{names['values']} of values"
            )
        object.__setattr__(self, "losses", found)
        object.__setattr__(self, "factors", factors)

    @property
    def target(self) -> str:  # type: ignore[override]
        """Of all of them."""
        return str(self.losses[0].target)

    @property
    def probable(self) -> bool:  # type: ignore[override]
        """Whether one of them takes probabilities."""
        return any(loss.probable for loss in self.losses)

    @property
    def accuracy(self) -> str | None:  # type: ignore[override]
        """Of the first that says what it is."""
        return next((loss.accuracy for loss in self.losses if loss.accuracy), None)

    def get_config(self) -> dict[str, Any]:
        """See `Loss.get_config`."""
        return super().get_config() | {"losses": to_json(self.losses), "factors": list(self.factors)}

    def terms(self) -> list[tuple[float, Any]]:
        """See `Addend`."""
        return list(zip(self.factors, self.losses, strict=True))

    def target_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of all of them."""
        shapes = {loss.target_shape(shape): loss.name for loss in self.losses}
        if len(shapes) > 1:
            raise ValueError(f"loss: expected terms with targets of one shape, got {shapes}")
        return next(iter(shapes))

    def labels(self, outputs: int) -> tuple[int, int, int | None]:
        """Of the first."""
        labels: tuple[int, int, int | None] = self.losses[0].labels(outputs)
        return labels

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """See `Loss.__call__`."""
        return sum(factor * loss(y_true, y_pred, sample_weight) for factor, loss in self.terms())

    @property
    def python(self) -> None:
        """See `Loss.python`."""
        return None

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """See `Loss.call`."""
        return sum(factor * arrays.without_gradient(loss.call(y_true, y_pred)) for factor, loss in self.terms())


Addend.total = WeightedSum
