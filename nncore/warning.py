"""Warnings, at the line of the user's that led to them."""

from __future__ import annotations

import sys
import warnings
from types import FrameType


def warn(message: str) -> None:
    """A UserWarning at the last call from outside of this package, which may be the standard library's."""
    level = 2
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "nncore":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
