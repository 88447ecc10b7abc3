"""scikit-learn's own tests of its MLP, and its checks of any estimator, of ours."""

from __future__ import annotations

import importlib.util
from typing import Any
from unittest import mock

import pytest

pytestmark = pytest.mark.sklearn
theirs = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not installed")

from sklearn.utils.estimator_checks import parametrize_with_checks

import nncore.sklearn as ours

#: What reaches into private attributes that ours have not.
EXCUSED = {"test_gradient"}  # _loss_grad_lbfgs; gradients are tested in tests/training


@parametrize_with_checks([ours.MLPClassifier(), ours.MLPRegressor()])
def test_checks_of_any_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture
def global_random_seed() -> int:
    """Of scikit-learn's own conftest."""
    return 42


def their_tests() -> dict[str, Any]:
    """The tests of their file, which is read with our classes in place of theirs."""
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.multiple(theirs, MLPClassifier=ours.MLPClassifier, MLPRegressor=ours.MLPRegressor):
        spec.loader.exec_module(module)
    assert module.MLPClassifier is ours.MLPClassifier
    return {name: test for name, test in vars(module).items() if name.startswith("test_") and name not in EXCUSED}


globals().update(their_tests())
