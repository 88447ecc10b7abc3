"""What an optimizer does to some weights and not to others, by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from nncore.optimizers.numbers import number_in
from nncore.parameter import Parameter


class Choices:
    """The part of `Optimizer` that knows weights by name.

    Attributes
    ----------
    excluded_from_weight_decay : tuple of str
        What `exclude_from_weight_decay` was given.
    learning_rate_factors : dict of str to float
        What `scale_learning_rate` was given.
    """

    remedies: ClassVar[dict[str, str]]
    excluded_from_weight_decay: tuple[str, ...]
    learning_rate_factors: dict[str, float]
    _excluded: list[Any]

    def decays(self, path: str, variable: Any = None) -> bool:
        """Whether a parameter of this path takes weight decay; `variable`: what a user has of it."""
        original = getattr(variable, "stands_for", variable)
        return not any(name in path for name in self.excluded_from_weight_decay) and not any(
            original is excluded for excluded in self._excluded
        )

    def rate(self, path: str) -> float:
        """The factor of the learning rate of a parameter: that of the longest name that its path contains."""
        names = [name for name in self.learning_rate_factors if name in path]
        return self.learning_rate_factors[max(names, key=len)] if names else 1.0

    def exclude_from_weight_decay(self, var_list: Iterable[Any] | None = None, var_names: Any = None) -> None:
        """Spare some weights from decay; replaces an earlier choice.

        It takes effect at the next `fit`; during one it is a RuntimeError.

        Parameters
        ----------
        var_list : iterable, optional
            Weights: those of layers, or arrays and variables that `apply` is given.
        var_names : iterable of str, optional
            Parts of names, such as ``["bias"]``, of weights to spare; unlike Keras's, they are plain strings, not
            regular expressions. Alone, it may come first.

        Raises
        ------
        TypeError
            `var_names` is a bare string, or holds something else than strings.
        ValueError
            One is empty, and so part of every name.
        """
        excluded = [] if var_list is None or isinstance(var_list, str) else list(var_list)
        if var_names is None and (isinstance(var_list, str) or not all(hasattr(v, "shape") for v in excluded)):
            excluded, var_names = [], var_list
        names = self._names(() if var_names is None else var_names, "var_names")
        self._change("exclude_from_weight_decay")
        paths = [item.path for item in excluded if isinstance(item, Parameter)]
        vars(self)["excluded_from_weight_decay"] = (*names, *paths)
        self._excluded = [item for item in excluded if not isinstance(item, Parameter)]

    def scale_learning_rate(self, factors: Mapping[str, float]) -> None:
        """Give some weights learning rates of their own, as multiples of `learning_rate`; replaces an earlier choice.

        It takes effect at the next `fit`; during one it is a RuntimeError.

        Parameters
        ----------
        factors : dict of str to float
            Factors ≥ 0 by parts of names, such as ``{"dense_1": 0.1, "bias": 2.0}``. Where a weight's name contains
            several, the longest counts. Decoupled weight decay is scaled, too.

        Raises
        ------
        TypeError, ValueError
            A name is no string or empty, or a factor no number ≥ 0.
        """
        if not isinstance(factors, Mapping):
            raise TypeError(f'factors: expected a dict such as {{"dense_1": 0.1}}, got {factors!r}')
        self._names(factors, "factors")
        checked = {name: number_in(f"factors[{name!r}]", factor) for name, factor in factors.items()}
        self._change("scale_learning_rate")
        vars(self)["learning_rate_factors"] = checked

    def _names(self, given: Any, argument: str) -> tuple[str, ...]:
        """Parts of names, checked."""
        names = () if isinstance(given, str) else tuple(given)
        if isinstance(given, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f'{argument}: expected a list of strings, got {given!r}; for one name write ["bias"]')
        if "" in names:
            raise ValueError(f"{argument}: expected parts of names, got {list(names)}; '' is part of every name")
        return names

    def _change(self, action: str) -> None:
        """Have what is about to change be so from the next fit on."""
        this: Any = self
        if (model := this.owner()) is not None:
            model.forget_programs(action)
        this._applied = None if this._applied is None else this._applied.anew()
