"""Packages that some commands need, and nncore does without."""

from __future__ import annotations

import importlib.util


def need(what: str, *modules: str) -> None:
    """Raise an ImportError, with the remedy, unless these can be imported."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        names = " and ".join({"sklearn": "scikit-learn"}.get(name, name) for name in absent)
        are = "is" if len(absent) == 1 else "are"
        raise ImportError(f"{what}: needs {names}, which {are} not installed: pip install 'nncore-cpu[tables]'")
