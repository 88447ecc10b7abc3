"""What must be the same where a fit goes on from a backup, and what to do where it is not."""

from __future__ import annotations

from typing import Any

from nncore._kernels import table

FREE = {"seed", "learning_rate"}  # of a model's description: they come with the backup
PRECISION = {"matmul_precision"}  # changes bits, and nothing else


def check_identity(mine: dict[str, Any], state: dict[str, Any]) -> None:
    """Raise a ValueError unless a fit with arguments and data of this identity can take the state of a backup."""
    saved = state["identity"]
    if set(saved) != set(mine) or "bits" not in state:
        raise ValueError(
            "expected a backup that says with which data and arithmetic it was made; this one was written by another "
            "version of nncore. Delete it to start anew"
        )
    for argument, value in mine.items():
        if (was := saved[argument]) != value:
            raise ValueError(
                f"{argument}: expected what the interrupted fit was given, to resume it, got something else "
                f"({value!r}, was {was!r}). Give the same, or delete the backup to start anew"
            )


def check_bits(mine: dict[str, Any], state: dict[str, Any]) -> None:
    """Raise a ValueError where results would have other bits than those of the interrupted fit."""
    saved = state["bits"]
    for name in sorted(mine.keys() | saved.keys()):
        value, was = mine.get(name), saved.get(name)
        if value != was:
            raise ValueError(
                f"{name}: expected {was!r}, with which the interrupted fit ran, got {value!r}: the results would have "
                f"other bits. {remedy(name, str(was))}Give BackupAndRestore allow_other_bits=True to go on with other "
                "bits, or delete the backup to start anew"
            )


def remedy(name: str, was: str) -> str:
    """How to get the same bits."""
    if name != "NNCORE_ISA":
        return ""
    if was in table.available():
        return f"Start Python with NNCORE_ISA={was} in its environment. "
    return f"Go on where NNCORE_ISA={was} can be had (nncore info lists what a machine has). "
