"""L-BFGS: steps by curvature, of the whole data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from nncore.arguments import check_count, check_nonnegative
from nncore.attributes import shown
from nncore.optimizers.base import OPTIMIZERS, Optimizer


@OPTIMIZERS.register("LBFGS", name="lbfgs")
class LBFGS(Optimizer):
    """Quasi-Newton steps from the last gradients and increments, with a line search, for smooth problems and few rows.

    An epoch of `fit` is one iteration: a direction from the last `history_size` pairs of increments and changes of the
    gradient, then a search along it for a step that meets the strong conditions of Wolfe, with loss and gradient of
    all rows at each trial. `batch_size` says only how many rows are computed at once: all where the loss is no mean
    over samples, as with masks, an ignored class or "mean_with_sample_weight". `shuffle` changes nothing. `fit` ends by
    itself when the tolerances are met; until then, `epochs` is the most iterations. Dropout and noise make another
    function of each trial: leave them out. There is no learning rate, clipping, weight decay or running mean.

    Parameters
    ----------
    history_size : int, default 10
        Pairs that are kept; each costs two copies of the weights.
    gtol : float, default 1e-5
        It ends where no element of the gradient is larger, as scipy's.
    ftol : float, default 2.2e-9
        It ends where an iteration lowers the loss by less than ftol max(|loss before|, |after|, 1), as scipy's.
    max_evaluations : int, default 20
        Of a line search.
    name : str, optional

    Raises
    ------
    TypeError, ValueError
        An argument is no such number.

    References
    ----------
    J. Nocedal, S. J. Wright: Numerical optimization, Springer 2006, algorithms 3.5, 3.6 and 7.5.
    W. Chen, Z. Wang, J. Zhou: Large-scale L-BFGS using MapReduce, NIPS 2014 (the direction from products of all pairs).
    """

    kernel: ClassVar[str] = "sgd"
    full_batch: ClassVar[bool] = True

    def __init__(
        self,
        history_size: int = 10,
        gtol: float = 1e-5,
        ftol: float = 2.2e-9,
        max_evaluations: int = 20,
        name: str | None = None,
    ) -> None:
        self.momentum, self.nesterov = 0.0, False
        self.history_size = check_count(history_size, "history_size")
        self.gtol = check_nonnegative(gtol, "gtol", "it is a size")
        self.ftol = check_nonnegative(ftol, "ftol", "it is a size")
        self.max_evaluations = check_count(max_evaluations, "max_evaluations", 2)
        super().__init__(1.0, name=name)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Increments s and changes y of the gradient, of iteration k at k mod history_size."""
        return tuple(f"{kind}{i}" for kind in "sy" for i in range(self.history_size))

    def apply(self, grads: Sequence[Any], trainable_variables: Iterable[Any] | None = None) -> None:
        """A ValueError: a line search needs the function."""
        raise ValueError(
            "apply: expected a rule that needs gradients alone, got LBFGS, which evaluates the loss; call fit"
        )

    def __repr__(self) -> str:
        return shown(self, self.get_config())
