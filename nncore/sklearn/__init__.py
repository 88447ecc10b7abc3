"""scikit-learn's estimators over nncore's networks: `MLPClassifier` and `MLPRegressor`, in place of scikit-learn's.

Arguments, attributes and results are those of `sklearn.neural_network`; what is new comes after them. It needs
scikit-learn: ``pip install 'nncore-cpu[sklearn]'``.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("sklearn") is None:
    raise ImportError("nncore.sklearn: needs scikit-learn, which is not installed: pip install 'nncore-cpu[sklearn]'")

from nncore.sklearn.classifier import MLPClassifier
from nncore.sklearn.regressor import MLPRegressor
from nncore.sklearn.tabular import TabularClassifier, TabularRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "TabularClassifier", "TabularRegressor"]
