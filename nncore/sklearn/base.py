"""What `MLPClassifier` and `MLPRegressor` have in common: fits, and the way from arrays to the network and back."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

import nncore as nn
from nncore.sklearn import networks, parameters
from nncore.sklearn.training import Rows, Training
from nncore.state import Array

FLOATS = ("float64", "float32")
Given = tuple[Any, Any, Any] | None  # rows for validation: X, y, sample_weight


class BaseMLP(Training, BaseEstimator):
    """A network that is trained by scikit-learn's rules; the weights are drawn as scikit-learn's are."""

    arguments: ClassVar[dict[str, parameters.Argument]]
    _kinds: ClassVar[dict[str, Any]] = {}  # what `validate_data` is told of the targets

    # -- what the two define ------------------------------------------------------------------------------------------

    def _encode(self, y: Any, fresh: bool) -> Array:
        """The network's targets; `fresh`: of a fit that begins anew."""
        raise NotImplementedError

    def _outputs(self, targets: Array) -> tuple[int, str]:
        """How many the network has for these targets, and what their activation is called."""
        raise NotImplementedError

    def _strata(self, targets: Array) -> Array | None:
        """Labels that both parts of a split have in equal shares."""
        return None

    # -- fits ---------------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Train on rows and their targets.

        Parameters
        ----------
        X : array_like or sparse, shape (n, features)
        y : array_like, shape (n,) or (n, outputs)
        sample_weight : array_like, shape (n,), optional
        X_val, y_val, sample_weight_val : array_like, optional
            Rows for validation in place of a part of X; they ask for `early_stopping`.

        Returns
        -------
        self
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val, y_val: expected both or none; give the targets of the rows for validation, too")
        given = None if X_val is None else (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, incremental=False, given=given)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool, given: Given = None) -> Any:
        parameters.check(self)
        if self.solver == "lbfgs" and self.dropout:
            raise ValueError(
                "dropout: expected 0 with solver='lbfgs', whose trials must be of one function; use 'adam'"
            )
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        fresh = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        rows = self._checked(X, y, sample_weight, fresh, incremental)
        rng = check_random_state(self.random_state)
        self.n_outputs_, out_activation = self._outputs(rows.targets)
        if fresh:
            self._signs = networks.monotonic(self)
            self.n_layers_, self.out_activation_ = len(self._units(0)), out_activation
            if self.ensemble == 1:
                self._begin(rows.X, rng)
        rows, validation = self._split(rows, rng, given)
        if self.ensemble == 1:
            self._train(rows, validation, rng, incremental)
        else:
            self._train_members(rows, validation, rng, incremental, fresh)
        self._calibrate(validation)
        return self

    def _checked(self, X: Any, y: Any, sample_weight: Any, fresh: bool, incremental: bool) -> Rows:
        """Rows, the network's targets and weights, as scikit-learn checks them."""
        kinds: dict[str, Any] = {"accept_sparse": ["csr", "csc"], "multi_output": True, "dtype": self._dtypes()}
        X, y = validate_data(self, X, y, reset=fresh, **kinds, **self._kinds)
        targets = self._encode(y, fresh and not incremental)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        return Rows(as_rows(X), targets, self._weighted(targets, sample_weight))

    def _calibrate(self, validation: Rows | None) -> None:
        """Keep what intervals need of the rows for validation."""

    def _dtypes(self) -> Any:
        return FLOATS if self.dtype is None else self.dtype

    def _weighted(self, targets: Array, sample_weight: Array | None) -> Array | None:
        """The weights of the rows."""
        return sample_weight

    def _split(self, rows: Rows, rng: np.random.RandomState, given: Given) -> tuple[Rows, Rows | None]:
        """The part to train on, and that for validation, if the solver stops by one."""
        if given is not None:
            if not self.early_stopping:
                raise ValueError("X_val: expected early_stopping=True where rows for validation are given, got False")
            return rows, self._checked(*given, fresh=False, incremental=False)
        if not self.early_stopping or self.solver == "lbfgs":
            return rows, None
        arrays = [array for array in rows if array is not None]
        settings: dict[str, Any] = {"random_state": rng, "stratify": self._strata(rows.targets)}
        parts = train_test_split(*arrays, test_size=self.validation_fraction, **settings)
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        used, held = parts[::2], parts[1::2]
        return Rows(*used, *[None] * (3 - len(used))), Rows(*held, *[None] * (3 - len(held)))

    # -- predictions --------------------------------------------------------------------------------------------------

    def _forward_given(self, X: Any) -> Array:
        """The network's outputs of what a user gave; arrays that need nothing done are told by their attributes."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        plain = (
            type(X) is np.ndarray
            and X.ndim == 2
            and len(X) > 0
            and X.dtype == self.coefs_[0].dtype
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in vars(self)
            and math.isfinite(X.sum())
        )
        if not plain:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False, dtype=self._dtypes())
        return self._forward(as_rows(X))

    def to_model(self) -> nn.Model:
        """Copy the network as a model of nncore, compiled as it was trained; of an ensemble, ask its `estimators_`."""
        check_is_fitted(self)
        if self.ensemble > 1:
            raise ValueError("to_model: expected one network, got an ensemble; take those of its estimators_")
        return copy.deepcopy(self._synchronized())

    @classmethod
    def from_model(cls, model: nn.Model, **settings: Any) -> Any:
        """Make a fitted estimator of a model of nncore, whose weights are copied.

        Parameters
        ----------
        model : Model
            A stack of `Dense`, the hidden ones of one activation.
        **settings
            Arguments of the constructor; and for a classifier `classes`, the labels of the outputs, in their order.

        Raises
        ------
        ValueError
            The model is no such stack.
        """
        hidden, last = networks.read(model)
        classes = settings.pop("classes", None)
        made = cls(**{"hidden_layer_sizes": tuple(d.units for d in hidden)} | networks.of_hidden(hidden) | settings)
        made.n_features_in_, made.n_outputs_ = model.input_shape[-1], last.units
        made.n_layers_, made.out_activation_ = len(hidden) + 2, networks.told(last)
        made._name(classes)
        pairs = [layer.get_weights() for layer in (*hidden, last)]
        made.coefs_, made.intercepts_ = ([pair[k] for pair in pairs] for k in range(2))
        made._forget()
        return made

    def _name(self, classes: Any) -> None:
        """Know the labels of a model's outputs."""
        if classes is not None:
            raise TypeError(f"classes: expected none for {type(self).__name__}, got {classes!r}. Leave it out")

    def __getstate__(self) -> Any:
        if hasattr(self, "coefs_") and self.ensemble == 1:
            self._synchronized()
        state = dict(super().__getstate__())
        for name in ("coefs_", "intercepts_", "_live"):  # which the network holds
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self._network is not None:
            self._take(self._network)
        elif hasattr(self, "estimators_"):
            self._show_first()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def as_rows(X: Any) -> Any:
    """Rows that can be taken by number: sparse ones as CSR."""
    return X.tocsr() if hasattr(X, "tocsr") else X
