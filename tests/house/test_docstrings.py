"""Examples in docstrings run, and print what stands below them."""

from __future__ import annotations

import doctest
import importlib
import os
from pathlib import Path

import pytest

import nncore

PACKAGE = Path(nncore.__file__).parent
MODULES = sorted(
    ".".join(("nncore", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


def test_there_are_examples() -> None:
    assert len(MODULES) > 5


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name.startswith("nncore.sklearn"):
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0 and found.failed == 0
    assert not os.listdir(tmp_path)
