"""Values of options, parsed and checked before any work begins."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from nncore.files.atomic import target_mode


def positive(text: str) -> int:
    """Parse an integer above 0."""
    return at_least(1, text)


def natural(text: str) -> int:
    """Parse an integer from 0 up."""
    return at_least(0, text)


def at_least(least: int, text: str) -> int:
    """Parse an integer, at least `least`."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, got {text!r}")
    return number


def share(text: str) -> float:
    """Parse a number in [0, 1)."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"expected a number in [0, 1), got {text!r}")
    return number


def writable(text: str) -> Path:
    """Parse the path of a file to write, before an hour of training finds that it cannot be."""
    path = Path(text)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"expected a file in a directory that can be written to, got {text!r}")
    try:
        target_mode(text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return path
