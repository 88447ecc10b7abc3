"""Losses: which kernel measures the error of a batch, and whether it looks through the last activation.

A loss computes nothing here. For predictions p and targets t with n outputs each, a kernel computes the
loss ℓᵢ of every sample i, a mean over its n outputs (or a sum over classes, for the crossentropies), and the
batch's loss is Σᵢ wᵢ ℓᵢ / B, where B is the number of samples and wᵢ their weights (1 unless given). That is
Keras's convention: divided by B, not by Σ wᵢ as scikit-learn and PyTorch's class weights do. Gradients below
are ∂ℓᵢ/∂p; the kernel multiplies them by wᵢ / B.

A crossentropy after the softmax or sigmoid that it belongs to is *fused*: its kernel reads the logits z, the
inputs of that activation, and differentiates through it. Then nothing overflows, no logarithm meets a zero,
and the gradient is p − t, without the cancellation that a division by p would bring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

from nncore._kernels.table import LOSS_PARAMETERS
from nncore.arguments import check_flag, check_number
from nncore.registry import Configurable, Registry, immutable
from nncore.registry import serialize as serialize


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


class Loss(Configurable):
    """Base of the losses; objects are immutable and equal where class and arguments are.

    Attributes
    ----------
    target : {"values", "labels"}
        What it is compared with: (B, n) reals, or (B,) integers in [0, n).
    parameters : tuple of float
        The numbers that the kernel takes: the arguments that ``kernels.def`` names.
    from_logits : bool
        The predictions are logits, not probabilities.
    probable : bool
        Targets that are values must be probabilities, in [0, 1].
    accuracy : str or None
        The metric that the name "accuracy" stands for with this loss; None: decided by the number of outputs.
    """

    arrays = ("y_true", "y_pred")
    target: ClassVar[Literal["values", "labels"]] = "values"
    accuracy: ClassVar[str | None] = None
    probable: ClassVar[bool] = False

    @property
    def parameters(self) -> tuple[float, ...]:
        """The numbers that the kernel takes."""
        return tuple(float(getattr(self, name, 0.0)) for name in LOSS_PARAMETERS.get(self.registry.name_of(self), ()))

    @property
    def from_logits(self) -> bool:
        """Whether the predictions are logits."""
        return False

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
            The loss expects probabilities and gets none, or expects logits and gets probabilities; or it is always the
            same. (There Keras warns.)
        """
        name = self.registry.name_of(self)
        if activation == "softmax" and outputs == 1:
            raise ValueError(
                f"loss: {name} expects predictions that can differ, but the last layer's activation 'softmax' gives a "
                'single unit, which is always 1. Either give it activation="sigmoid" (two classes, with '
                "loss binary_crossentropy), or a unit for each class, or no activation (regression)"
            )
        return LossChoice(name, fused=False)


LOSSES: Registry[Loss] = Registry("loss", "what it computes is native code")


def get(identifier: Any, argument: str = "loss") -> Loss | None:
    """Turn a name, configuration, class or object into a `Loss`; None (not trained) stays. See `Registry.get`."""
    return None if identifier is None else LOSSES.get(identifier, argument, Loss)


@LOSSES.register("mse")
@immutable
class MeanSquaredError(Loss):
    """ℓ = 1/n Σⱼ (pⱼ − tⱼ)², gradient 2/n (pⱼ − tⱼ).

    scikit-learn's MLPRegressor minimizes half of it.
    """


@LOSSES.register("mae")
@immutable
class MeanAbsoluteError(Loss):
    """ℓ = 1/n Σⱼ |pⱼ − tⱼ|, gradient sign(pⱼ − tⱼ) / n, which is 0 where pⱼ = tⱼ."""


@LOSSES.register()
@immutable
class Huber(Loss):
    """ℓ = 1/n Σⱼ h(pⱼ − tⱼ), with h(e) = ½ e² for |e| ≤ delta, else delta (|e| − ½ delta).

    Squared near zero and linear beyond, so outliers pull with a bounded gradient: e / n clipped to ±delta / n.

    Parameters
    ----------
    delta : float, default 1.0
        Where the square becomes linear, in the units of the targets; > 0.

    Raises
    ------
    TypeError, ValueError
        `delta` is no number, or not finite, or not positive.

    References
    ----------
    P. J. Huber: Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964) 73–101.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        remedy = "for the limits 0 and infinity use mean_absolute_error and mean_squared_error"
        check_number(self.delta, "delta", "a finite number > 0", lambda delta: 0 < delta < math.inf, remedy)


@immutable
class Crossentropy(Loss):
    """Base of the crossentropies: −log of the probability that the model gives to what is true.

    Attributes
    ----------
    partner : str
        The activation that gives the probabilities it expects, and with which it is fused.
    accepted : tuple of str
        Other activations that give such probabilities; the loss is then computed on them, not fused.
    """

    from_logits: bool = False

    probable = True
    partner: ClassVar[str] = "softmax"
    accepted: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_flag(self.from_logits, "from_logits", "True if the last layer has no softmax or sigmoid")

    def choose(self, activation: str, outputs: int | None = None) -> LossChoice:
        """See `Loss.choose`."""
        name = super().choose(activation, outputs).kernel
        if self.from_logits:
            if activation in ("softmax", "sigmoid"):
                raise ValueError(
                    f"loss: {name} with from_logits=True expects logits, but the last layer's activation "
                    f"{activation!r} gives probabilities. Either give the last layer activation=None, "
                    f'or give it activation="{self.partner}" and the loss from_logits=False'
                )
            return LossChoice(f"{name}_logits", fused=False)
        if activation == self.partner:
            return LossChoice(f"{name}_logits", fused=True)
        if activation in self.accepted:
            return LossChoice(name, fused=False)
        fault = "gives units that do not sum to one" if activation == "sigmoid" else "gives none"
        raise ValueError(
            f"loss: {name} expects probabilities, but the last layer's activation {activation!r} {fault}. "
            f'Either give the last layer activation="{self.partner}", or give it no activation and the loss '
            f"from_logits=True"
        )


@LOSSES.register("bce")
@immutable
class BinaryCrossentropy(Crossentropy):
    """ℓ = −1/n Σⱼ (tⱼ log pⱼ + (1 − tⱼ) log(1 − pⱼ)) for targets in [0, 1]; each output is a question of its own.

    On logits, after a sigmoid or with `from_logits`, computed as 1/n Σⱼ (max(zⱼ, 0) − zⱼ tⱼ + log1p(e^−|zⱼ|)),
    which never overflows; the gradient is (σ(zⱼ) − tⱼ) / n. On probabilities (after a softmax) they are first
    clipped to [1e-7, 1 − 1e-7], as in Keras; the gradient is then (pⱼ − tⱼ) / (n pⱼ (1 − pⱼ)), or 0 where clipped.

    Parameters
    ----------
    from_logits : bool, default False
        True if the last layer has no activation that gives probabilities.

    Raises
    ------
    TypeError
        `from_logits` is no bool.
    """

    partner = "sigmoid"
    accepted = ("softmax",)
    accuracy = "binary_accuracy"


@LOSSES.register()
@immutable
class CategoricalCrossentropy(Crossentropy):
    """ℓ = −Σⱼ tⱼ log pⱼ for one-hot targets, or any that are ≥ 0 and sum to one.

    Computed on logits as Σⱼ tⱼ (log Σₖ e^(zₖ − m) + m − zⱼ) with m = max z, which never overflows; the gradient
    is softmax(z)ⱼ Σₖ tₖ − tⱼ, hence p − t for targets that sum to one.

    Parameters
    ----------
    from_logits : bool, default False
        True if the last layer has no softmax. Equal in value to a softmax followed by False.

    Raises
    ------
    TypeError
        `from_logits` is no bool.
    """

    accuracy = "categorical_accuracy"


@LOSSES.register()
@immutable
class SparseCategoricalCrossentropy(Crossentropy):
    """ℓ = −log p_c for the integer label c in [0, n): `CategoricalCrossentropy` without the one-hot targets.

    Computed on logits as log Σₖ e^(zₖ − m) + m − z_c with m = max z, which never overflows; the gradient is
    softmax(z)ⱼ − [j = c]. PyTorch's CrossEntropyLoss is this with from_logits=True.

    Parameters
    ----------
    from_logits : bool, default False
        True if the last layer has no softmax.

    Raises
    ------
    TypeError
        `from_logits` is no bool.
    """

    target = "labels"
    accuracy = "sparse_categorical_accuracy"


deserialize = get


def __getattr__(name: str) -> Callable[..., Any]:
    # The functions of Keras, such as nncore.losses.mse
    return LOSSES.function(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LOSSES.names(), *LOSSES.aliases})
