"""Losses of the user's own, in Python: functions, and classes with a method `call`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nncore import custom
from nncore.losses import arrays
from nncore.losses.base import LOSSES, Loss, entry
from nncore.registry import LIBRARIES, class_behind
from nncore.state import Array

REMEDY = (
    "Return (losses, gradient): a loss for each sample, of shape (batch,), and the gradient of each by the "
    "predictions, of their shape"
)


def of_batch(given: Any, p: Array, name: str) -> tuple[Array, Array]:
    """What a loss returned for predictions `p`: the loss of each sample and its gradient; an error where it is not."""
    if not isinstance(given, tuple) or len(given) != 2:
        what = f"a tuple of {len(given)}" if isinstance(given, tuple) else type(given).__name__
        raise TypeError(f"loss {name}: expected (losses, gradient), got {what}. {REMEDY}")
    losses, gradient = (np.asarray(part) for part in given)
    for part, argument, shape in ((losses, "losses", (len(p),)), (gradient, "gradient", p.shape)):
        if part.dtype.kind not in "biuf":
            raise TypeError(f"loss {name}: expected {argument} of real numbers, got {part.dtype}. {REMEDY}")
        if part.shape != shape:
            raise ValueError(f"loss {name}: expected {argument} of shape {shape}, got {part.shape}. {REMEDY}")
    return losses, gradient


@entry()
class FunctionLoss(Loss):
    """A function ``(y_true, y_pred) → (losses, gradient)`` as a loss: what ``compile(loss=function)`` makes of it.

    In every step it is called with the batch's targets and predictions, read-only arrays in the model's dtype, and
    returns the loss of each sample, (B,), and its gradient by the predictions, of their shape: ∂ℓᵢ/∂pᵢ, which is then
    multiplied by the sample's weight and divided by B (or what `reduction` says). It may not keep the arrays: their
    memory is used again. `nncore.check_gradients` compares the gradient with differences.

    A file names the function; to be loaded it must be known before: ``@nncore.saving.register_keras_serializable()``,
    or ``custom_objects``.

    Parameters
    ----------
    function : callable
        Or the name of one that is known.

    Raises
    ------
    TypeError, ValueError
        It is no function, or not the name of one.

    Examples
    --------
    >>> def quartic(y_true, y_pred):
    ...     error = y_pred - y_true
    ...     return (error**4).sum(axis=1), 4 * error**3
    >>> model.compile("adam", loss=quartic)  # doctest: +SKIP
    """

    function: Any  # type: ignore[misc]  # it comes first: see Configurable.common

    def __post_init__(self) -> None:
        given = self.function
        if isinstance(given, str):
            given = custom.function(given, "function")
        if not callable(given):
            raise TypeError(f"function: expected a function (y_true, y_pred) → (losses, gradient), got {given!r}")
        object.__setattr__(self, "function", given)
        super().__post_init__()

    def default_name(self) -> str:
        """See `Loss.default_name`."""
        return str(getattr(self.function, "__name__", type(self.function).__name__)).strip("<>")

    def get_config(self) -> dict[str, Any]:
        """See `Loss.get_config`."""
        return {"function": self.argument("function")} | super().get_config()

    def argument(self, name: str) -> Any:
        """See `Configurable.argument`; a function by its name."""
        value = super().argument(name)
        return custom.get_registered_name(value) if name == "function" else value

    @property
    def python(self) -> Callable[[Array, Array], Any]:
        """See `Loss.python`."""
        return self.function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """See `Loss.call`."""
        return arrays.without_gradient(self.function(y_true, y_pred))


#: Keras's names for whichever crossentropy the first batch of targets looks like.
ANY_CROSSENTROPY = ("crossentropy", "ce")


def get(identifier: Any, argument: str = "loss") -> Loss | None:
    """Turn a name, configuration, class, function or object into a `Loss`; None (not trained) stays.

    See `Registry.get`; a function that is none of this module's is one of the user's, see `FunctionLoss`.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str) and identifier.lower() in ANY_CROSSENTROPY:
        raise ValueError(
            f"{argument}: expected one crossentropy, got {identifier!r}, which is that of no targets yet. Say which: "
            "'sparse_categorical_crossentropy' for numbers of classes, 'categorical_crossentropy' for one-hot rows, "
            "'binary_crossentropy' for zeros and ones"
        )
    known = isinstance(identifier, (type, Loss)) or class_behind(identifier) is not None
    library = str(getattr(identifier, "__module__", type(identifier).__module__)).partition(".")[0]
    if callable(identifier) and not known and library not in LIBRARIES:
        return FunctionLoss(identifier)  # type: ignore[call-arg]  # likewise
    return LOSSES.get(identifier, argument, Loss)
