"""What every test relies on: the installed nncore, never the unbuilt source tree; and `import reference`."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parent
OPTIONAL = {
    "torch": ["torch"],
    "frames": ["pandas", "sklearn"],
    "sklearn": ["sklearn"],
    "tables": ["sklearn", "pandas", "pyarrow"],
}  # marks of tests, and what these import

# `python -m pytest` puts the current directory first on sys.path, where a checkout would shadow the installed package.
if sys.path[0] in ("", str(TESTS.parent)):
    del sys.path[0]
sys.path += [str(TESTS), *sorted({str(path.parent) for path in TESTS.glob("*/test_*.py")})]  # for `import reference`
os.environ["PYTHONSAFEPATH"] = "1"  # the same for the processes that tests start

if importlib.util.find_spec("nncore") is None:
    raise pytest.UsageError(f"nncore is not installed for {sys.executable}: run `pip install '.[test]'` first")

import nncore  # noqa: E402
from nncore.execution import team  # noqa: E402


def pytest_report_header() -> str:
    return f"nncore {nncore.__version__}: {nncore.isa()}, from {Path(nncore.__file__).parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs packages that are not installed."""
    for mark, packages in OPTIONAL.items():
        if all(map(importlib.util.find_spec, packages)):
            continue
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(packages)}"))


@pytest.fixture
def teams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use all threads that a model is given, however small its work."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)


@pytest.fixture(params=[(isa, p) for isa in nncore.available_isas() for p in ("high", "medium")], ids="-".join)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, teams: None) -> str:
    """Every precision with the kernels of every instruction set, and all threads that a model is given."""
    from networks import use_isa

    use_isa(request.param[0], monkeypatch)
    return str(request.param[1])


@pytest.fixture
def xy() -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels for the classifier of numpy_twins.py."""
    from numpy_twins import CLASSES, INPUTS, N

    rng = np.random.default_rng(2)
    return rng.standard_normal((N, INPUTS)), rng.integers(0, CLASSES, N)


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """PyTorch on one thread: the two cores of a test machine are soon oversubscribed."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
