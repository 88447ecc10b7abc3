"""Writing to the user's stream, whatever it is: text degrades where it must, and a run does not end for it.

A stream may be missing (None, under pythonw), closed, a pipe whose reader went away, an object of the user's with
nothing but `write`, or of an encoding without the lines and blocks that are drawn here.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

#: ASCII for what this package draws; anything else that an encoding lacks becomes "?".
PLAIN = str.maketrans(dict.fromkeys("▏▎▍▌▋▊▉█", "#") | {"─": "-", "…": "...", "×": "x", "≥": ">=", "µ": "u"})


def say(text: str) -> None:
    """Print a line on what `sys.stdout` is at this moment."""
    write(sys.stdout, text + "\n")


def write(stream: Any, text: str) -> None:
    """Write `text` and flush, as far as the stream can; errors of the stream are its own affair.

    Parameters
    ----------
    stream : file-like or None
        All that is asked of it is `write`.
    text : str
    """
    with contextlib.suppress(OSError, ValueError):  # gone or full; closed, which is a ValueError
        if stream is not None:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                _write_plainly(stream, text)
            if flush := getattr(stream, "flush", None):
                flush()


def _write_plainly(stream: Any, text: str) -> None:
    """Write with the characters that the stream's encoding has; ASCII where it does not say, or says what is not so."""
    plain = text.translate(PLAIN)
    try:
        encoding = stream.encoding
        stream.write(plain.encode(encoding, "replace").decode(encoding))
    except (AttributeError, TypeError, LookupError, UnicodeError):
        stream.write(plain.encode("ascii", "replace").decode("ascii"))


def word(value: Any) -> str:
    """On one line what `value`, which may be anything, says of itself, or of what class it is."""
    try:
        return " ".join(str(value).split())
    except Exception:  # an int of more digits than Python prints, an object of the user's
        return f"<{type(value).__name__}>"


def is_terminal(stream: Any) -> bool:
    """Whether the stream is a terminal; False where it cannot say."""
    try:
        return bool(stream.isatty())
    except (AttributeError, TypeError, ValueError, OSError):
        return False
