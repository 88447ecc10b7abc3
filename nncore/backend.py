"""What of Keras's backend has a meaning here."""

from __future__ import annotations

from typing import Any

from nncore.dtypes import floatx, set_floatx
from nncore.registry import missing
from nncore.utils import clear_session

__all__ = ["clear_session", "epsilon", "floatx", "image_data_format", "set_floatx"]


def epsilon() -> float:
    """Return 1e-7, how near to 0 and 1 crossentropies take probabilities for what they are."""
    return 1e-7


def image_data_format() -> str:
    """Return "channels_last", the default order of the axes of images."""
    return "channels_last"


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
