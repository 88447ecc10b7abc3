"""What `bench/tabular.py` says of the estimators of tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench"))


def test_readme_and_the_report_show_what_tables_came_to() -> None:
    import readme
    import tabular

    fits = json.loads(tabular.RESULTS.read_text())
    assert tabular.REPORT.read_text() == tabular.report(fits)
    assert "\n".join(tabular.summary(fits)) in readme.README.read_text(encoding="utf-8")


def test_means_of_tables_by_hand() -> None:
    import tabular

    fits = [
        {"tool": "nncore", "table": "concrete", "split": 0, "seconds": 0.99, "error": 0.03},
        {"tool": "nncore", "table": "chile", "split": 0, "seconds": 3.99, "error": 0.15, "log_loss": 0.5},
    ]
    assert tabular.summary(fits)[2:] == [
        "| Error (regression: in standard deviations of the target) | 0.080 |",  # √(0.04 · 0.16)
        "| Log loss | 0.510 |",
        "| CPU seconds of a fit | 2.0 |",
    ]
    assert "| chile | 0.1500 |" in tabular.report(fits) and "titanic" not in tabular.report(fits)
