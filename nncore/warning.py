"""Warnings, at the line of the user's that led to them."""

from __future__ import annotations

import sys
import warnings
from types import FrameType


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the last call from outside of this package."""
    level = 2
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "nncore":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
