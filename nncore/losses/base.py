"""What all losses have: how they are found by name, told from one another, and computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, dataclass_transform

from nncore._kernels.table import LOSS_PARAMETERS, LOSS_TARGETS
from nncore.arguments import check_flag, check_number, is_whole, unboxed
from nncore.attributes import shown
from nncore.losses import arrays
from nncore.losses.arithmetic import Addend
from nncore.registry import Configurable, Registry, immutable

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class LossChoice(NamedTuple):
    """What the compiler of programs emits for a loss.

    Attributes
    ----------
    kernel : str
        Name in the LOSS list of ``kernels.def``.
    fused : bool
        The kernel reads the inputs of the model's last activation and differentiates through it.
    """

    kernel: str
    fused: bool


@immutable
class Loss(Addend, Configurable):
    """Base of the losses; objects are immutable and equal where class and arguments are.

    A class of a user's own has ``call(y_true, y_pred)``, which returns (losses, gradient) as the function of a
    `FunctionLoss` does. Where its targets have another shape than the outputs, as those that hold actions beside their
    advantages, ``target_shape(shape)`` returns it, for outputs of `shape` per sample.

    Parameters
    ----------
    reduction : str or None, default "sum_over_batch_size"
        What is made of the losses ℓᵢ of samples, or of samples and positions, and their weights wᵢ:

        - "sum_over_batch_size" or "mean": Σ wᵢ ℓᵢ / n, where n is their number;
        - "sum": Σ wᵢ ℓᵢ;
        - "mean_with_sample_weight": Σ wᵢ ℓᵢ / Σ wᵢ, or 0 where Σ wᵢ is;
        - "none" or None: wᵢ ℓᵢ as they are, which cannot be trained by.
    name : str, optional
        Default: the class's name in snake case.
    dtype : str or dtype, optional
        Of the result when it is called on arrays, which are converted to it first; default float32, as in Keras. (The
        function of the same name keeps float64.) A model computes in its own dtype.

    Attributes
    ----------
    target : {"values", "labels"}
        What it is compared with: reals, or integers.
    from_logits : bool
        The predictions are logits, not probabilities.
    probable : bool
        Targets that are values must be probabilities, in [0, 1].
    partner : str or None
        The last activation that it is fused with.
    accuracy : str or None
        The metric that the name "accuracy" stands for with this loss; None: decided by the number of outputs.

    Raises
    ------
    ValueError, TypeError
        `reduction` is none of these, `name` is no string with characters, or `dtype` none of floating-point numbers.
    """

    reduction: Any = "sum_over_batch_size"
    name: Any = None
    dtype: Any = None

    common = ("reduction", "name", "dtype")
    arrays = ("y_true", "y_pred")
    target: ClassVar[Literal["values", "labels"]] = "values"
    accuracy: ClassVar[str | None] = None
    probable: ClassVar[bool] = False
    partner: ClassVar[str | None] = None
    from_logits = False  # where it is no argument; so are these
    axis = -1
    label_smoothing = 0.0

    def __post_init__(self) -> None:
        if self.reduction not in REDUCTIONS:
            raise ValueError(
                f"Invalid value for argument reduction: expected one of {', '.join(map(repr, REDUCTIONS))}, got "
                f"{self.reduction!r}"
            )
        if self.name is None:
            object.__setattr__(self, "name", self.default_name())
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name: expected a string with characters, or None for the default, got {self.name!r}")
        object.__setattr__(self, "dtype", arrays.dtype_name(self.dtype))
        for name in ("from_logits", "apply_class_balancing", "remove_diagonal"):
            if hasattr(self, name):
                check_flag(getattr(self, name), name, REMEDIES.get(name, ""))
        if isinstance(self.axis, bool) or not (is_whole(self.axis) or self.axes_allowed()):
            raise ValueError(f"axis: expected a whole number, got {self.axis!r}")
        check_number(self.label_smoothing, "label_smoothing", "a number in [0, 1]", lambda s: 0 <= s <= 1)

    def default_name(self) -> str:
        """What it is called where nothing else is given."""
        return self.registry.name_of(self)

    def axes_allowed(self) -> bool:
        """Whether `axis` may be None or several, and is."""
        return False

    # -- as an object of the registry ----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the name and the reduction, and the constructor's other arguments that are not the default ones."""
        config = super().get_config()
        given = {**inspect.signature(Loss).parameters, **inspect.signature(type(self)).parameters}  # or in **kwargs
        return {key: value for key, value in config.items() if key in self.common[:2] or value != given[key].default}

    def __repr__(self) -> str:
        told = self.get_config().keys() - {"reduction"} - ({"name"} if self.name == self.default_name() else set())
        if self.reduction != REDUCTIONS[0]:
            told.add("reduction")
        return shown(self, {k: getattr(self, k) for k in self.config_names() if k in told})

    # -- how it is computed ----------------------------------------------------------------------------------------

    def kernel(self) -> str:
        """Name of what computes it on predictions that are no logits."""
        return self.registry.name_of(self)

    def choose(self, activation: str, outputs: int | None = None) -> LossChoice:
        """Say how the loss is computed after a last activation.

        Parameters
        ----------
        activation : str
            Kernel of the model's last activation: "linear", "softmax", "sigmoid" and so on.
        outputs : int, optional
            Units of the last layer, where they are known yet.

        Raises
        ------
        ValueError
            It is always the same. (There Keras warns, of some losses.)
        """
        name = self.kernel()
        if activation == "softmax" and outputs == 1:
            raise ValueError(
                f"loss: {self.registry.name_of(self)} expects predictions that can differ, but the last layer's "
                "activation 'softmax' gives a single unit, which is always 1. Either give it activation=\"sigmoid\" "
                "(two classes, with loss binary_crossentropy), or a unit for each class, or no activation (regression)"
            )
        if self.partner and (self.from_logits or (activation == self.partner and self.of_last_axis)):
            return LossChoice(f"{name}_logits", fused=not self.from_logits)
        return LossChoice(name, fused=False)

    def doubt(self, activation: str) -> str | None:
        """Words for a warning where the loss does not suit a last activation; None where it does."""
        return None

    @property
    def of_last_axis(self) -> bool:
        """Whether it goes over the last axis."""
        return bool(self.axis == -1)

    def numbers(self, kernel: str) -> tuple[float, ...]:
        """The numbers that a kernel takes, as ``kernels.def`` names them."""
        return tuple(float(getattr(self, name)) for name in LOSS_PARAMETERS[kernel])

    @property
    def columns(self) -> tuple[float, ...]:
        """Numbers of the columns of a row, where the kernel takes such."""
        return ()

    def row(self, shape: tuple[int, ...]) -> int:
        """How many predictions are a row, of outputs of this shape per sample."""
        return shape[-1]

    @property
    def python(self) -> Callable[[Any, Any], Any] | None:
        """What Python computes it by, of the user's own: (losses, gradient) of (y_true, y_pred)."""
        return None if type(self).call is Loss.call else self.call

    @property
    def by_elements(self) -> bool:
        """Whether it is a mean or a sum over its targets, each of which may have a weight."""
        return arrays.of_elements(self) or LOSS_TARGETS.get(self.kernel(), "") == "ONE"

    @property
    def joined(self) -> bool:
        """Whether the whole batch is one row."""
        return False

    def target_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a sample's targets, for outputs of this shape; a ValueError where these do not fit."""
        if self.target == "labels":
            return shape[:-1]
        kind = LOSS_TARGETS.get(self.kernel(), "VALUES")
        width = {"VALUES": shape[-1], "ONE": shape[-1] // self.row(shape), "HALF": shape[-1] // 2}[kind]
        return (*shape[:-1], width)

    def check(self, shape: tuple[int, ...]) -> None:
        """A ValueError where it cannot be trained on outputs of this shape per sample."""
        self.row(shape)
        if isinstance(self.axis, int) and self.axis not in (-1, len(shape)):
            raise ValueError(
                f"loss: {self.name} of a model goes along the last axis, got axis={self.axis}. Let "
                "nncore.layers.Permute come last"
            )

    def labels(self, outputs: int) -> tuple[int, int, int | None]:
        """Where labels lie, [low, high), and one outside that counts nothing."""
        return 0, outputs, None

    def counts(self, losses: Any, y_true: Any) -> Any:
        """Which of its values on arrays make a mean; None: all."""
        return None

    def terms(self) -> list[tuple[float, Any]]:
        """See `Addend`."""
        return [(1.0, self)]

    # -- on arrays -------------------------------------------------------------------------------------------------

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss of predictions, reduced.

        Parameters
        ----------
        y_true, y_pred : array_like
            Of one shape, or one with a last axis of 1 that the other lacks; labels have no last axis.
        sample_weight : array_like, optional
            Of the samples, or of whatever a loss is of (all axes but the last); of a loss that is a mean or sum over
            elements also of these.

        Returns
        -------
        scalar, or ndarray without reduction
        """
        return arrays.reduced(self, y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each sample, and position; of a class of your own also (losses, gradient by `y_pred`)."""
        return arrays.values(self, y_true, y_pred)

    def compute(self, *given: Any) -> Any:
        """See `call`."""
        return self.call(*given)


#: What to do about a flag that is none.
REMEDIES = {"from_logits": "True if the last layer has no softmax or sigmoid"}

LOSSES: Registry[Loss] = Registry(
    "loss",
    own="A loss of your own is a function (y_true, y_pred) → (losses, gradient); files need it to be known before: "
    "@nncore.saving.register_keras_serializable(), or custom_objects",
)

Loss.registry = LOSSES

L = TypeVar("L", bound=Loss)


@dataclass_transform(frozen_default=True)
def entry(*aliases: str, name: str | None = None) -> Callable[[type[L]], type[L]]:
    """Class decorator: a loss of the registry, immutable."""

    def made(cls: type[L]) -> type[L]:
        LOSSES.register(*aliases, name=name)(immutable(cls))
        return cls

    return made


def check_positive(value: Any, name: str, remedy: str = "") -> None:
    """An error unless `value` is a finite number > 0."""
    check_number(value, name, "a finite number > 0", lambda v: 0 < v < float("inf"), remedy)


def number_list(given: Any) -> tuple[float, ...] | None:
    """Numbers in a list, tuple or array as a tuple; None where it is none of these."""
    if isinstance(given, (list, tuple)) or getattr(given, "ndim", 0) == 1:
        return tuple(float(unboxed(v)) for v in given)
    return None
