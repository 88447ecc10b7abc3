"""What every test relies on: the installed nncore, never the unbuilt source tree; and `import reference`."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# `python -m pytest` puts the current directory first on sys.path, where a checkout would shadow the installed package.
if sys.path[0] in ("", str(TESTS.parent)):
    del sys.path[0]
sys.path.append(str(TESTS))  # for `import reference`
os.environ["PYTHONSAFEPATH"] = "1"  # the same for the processes that tests start

if importlib.util.find_spec("nncore") is None:
    raise pytest.UsageError(f"nncore is not installed for {sys.executable}: run `pip install '.[test]'` first")

import nncore  # noqa: E402
from nncore import running  # noqa: E402


def pytest_report_header() -> str:
    return f"nncore {nncore.__version__}: {nncore.isa()}, from {Path(nncore.__file__).parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs PyTorch where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("torch"):
                item.add_marker(pytest.mark.skip(reason="PyTorch is not installed"))


@pytest.fixture(params=[(isa, p) for isa in nncore.available_isas() for p in ("high", "medium")], ids="-".join)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every precision with the kernels of every instruction set, and all threads that a model is given."""
    from networks import use_isa

    use_isa(request.param[0], monkeypatch)
    monkeypatch.setattr(running, "PARALLEL_FLOPS", 0)
    return str(request.param[1])
