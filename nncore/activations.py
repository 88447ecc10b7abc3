"""Activation functions: which kernel a layer ends with, and its parameters.

An activation computes nothing here. It names an entry of the ACTIVATION list of ``src_c/kernels.def`` (or
"softmax", which works on rows and is a kernel of its own), so that the compiler of programs can join it to
the product that feeds it. Z are the inputs and Y = f(Z) the outputs, of any shape and of the model's dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nncore._kernels.table import ACTIVATION_PARAMETERS
from nncore.arguments import check_flag, check_nonnegative
from nncore.registry import Configurable, Registry, immutable
from nncore.registry import serialize as serialize


class Activation(Configurable):
    """Base of the activation functions; objects are immutable and equal where class and arguments are.

    Attributes
    ----------
    kernel : str
        Name in the ACTIVATION list of ``kernels.def``, or "softmax". Unless a class says otherwise, the name
        under which it is registered.
    parameters : tuple of float
        The numbers that the kernel takes, dimensionless: the arguments that ``kernels.def`` names.
    """

    arrays = ("x",)

    @property
    def kernel(self) -> str:
        """Name of the kernel."""
        return self.registry.name_of(self)

    @property
    def parameters(self) -> tuple[float, ...]:
        """The numbers that the kernel takes."""
        return tuple(float(getattr(self, name)) for name in ACTIVATION_PARAMETERS.get(self.kernel, ()))


ACTIVATIONS: Registry[Activation] = Registry(
    "activation", "what it computes is native code; layers can join those there are (Add, Multiply, Concatenate)"
)


def get(identifier: Any, argument: str = "activation") -> Activation:
    """Turn a name, configuration, class or object into an `Activation`; None is `Linear`. See `Registry.get`."""
    return ACTIVATIONS.get("linear" if identifier is None else identifier, argument, Activation)


SLOPE_REMEDY = "the derivative is computed from the outputs, whose sign must be that of the inputs"


@ACTIVATIONS.register()
@immutable
class Linear(Activation):
    """f(z) = z."""


@ACTIVATIONS.register()
@immutable
class Relu(Activation):
    """f(z) = max(z, 0), with f′(0) = 0."""


@ACTIVATIONS.register()
@immutable
class LeakyRelu(Activation):
    """f(z) = z for z > 0, else negative_slope z.

    Parameters
    ----------
    negative_slope : float, default 0.2
        Slope below zero, ≥ 0. PyTorch's default is 0.01.

    Raises
    ------
    TypeError, ValueError
        `negative_slope` is no number, or not finite, or negative.

    References
    ----------
    A. L. Maas, A. Y. Hannun, A. Y. Ng: Rectifier nonlinearities improve neural network acoustic models, ICML 2013.
    """

    negative_slope: float = 0.2

    def __post_init__(self) -> None:
        check_nonnegative(self.negative_slope, "negative_slope", SLOPE_REMEDY)


@ACTIVATIONS.register()
@immutable
class Elu(Activation):
    """f(z) = z for z > 0, else alpha (eᶻ − 1).

    Parameters
    ----------
    alpha : float, default 1.0
        Minus the limit for z → −∞, ≥ 0.

    Raises
    ------
    TypeError, ValueError
        `alpha` is no number, or not finite, or negative.

    References
    ----------
    D.-A. Clevert, T. Unterthiner, S. Hochreiter: Fast and accurate deep network learning by exponential linear
    units, ICLR 2016, arXiv:1511.07289.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_nonnegative(self.alpha, "alpha", SLOPE_REMEDY)


@ACTIVATIONS.register()
@immutable
class Selu(Activation):
    """f(z) = λ z for z > 0, else λ α (eᶻ − 1), with λ ≈ 1.0507 and α ≈ 1.6733.

    Keeps mean 0 and variance 1 from layer to layer if the kernels are initialized by "lecun_normal".

    References
    ----------
    G. Klambauer et al.: Self-normalizing neural networks, NeurIPS 2017, arXiv:1706.02515.
    """


@ACTIVATIONS.register()
@immutable
class Sigmoid(Activation):
    """f(z) = 1 / (1 + e⁻ᶻ), in [0, 1]."""


@ACTIVATIONS.register()
@immutable
class Tanh(Activation):
    """f(z) = tanh z, in [−1, 1]."""


@ACTIVATIONS.register()
@immutable
class Softplus(Activation):
    """f(z) = log(1 + eᶻ), which never overflows: max(z, 0) + log1p(e^−|z|)."""


@ACTIVATIONS.register()
@immutable
class Gelu(Activation):
    """f(z) = z Φ(z), Φ being the distribution function of the standard normal distribution.

    Parameters
    ----------
    approximate : bool, default False
        True: f(z) = ½ z (1 + tanh(√(2/π) (z + 0.044715 z³))).

    Raises
    ------
    TypeError
        `approximate` is no bool (PyTorch's "tanh" is True here).

    References
    ----------
    D. Hendrycks, K. Gimpel: Gaussian error linear units, arXiv:1606.08415.
    """

    approximate: bool = False

    def __post_init__(self) -> None:
        check_flag(self.approximate, "approximate", "True is the approximation by tanh")

    @property
    def kernel(self) -> str:
        """Name of the exact kernel, or of the approximate one."""
        return "gelu_tanh" if self.approximate else "gelu"


@ACTIVATIONS.register("swish")
@immutable
class Silu(Activation):
    """f(z) = z / (1 + e⁻ᶻ), also called swish.

    References
    ----------
    P. Ramachandran, B. Zoph, Q. V. Le: Searching for activation functions, arXiv:1710.05941.
    """


@ACTIVATIONS.register()
@immutable
class Softmax(Activation):
    """f(z)ⱼ = e^(zⱼ − max z) / Σₖ e^(zₖ − max z) along the last axis: outputs ≥ 0 that sum to one in every row."""


deserialize = get


def __getattr__(name: str) -> Callable[..., Any]:
    # The functions of Keras, such as nncore.activations.relu
    return ACTIVATIONS.function(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *ACTIVATIONS.names(), *ACTIVATIONS.aliases})
