"""What layers are made of: each function emits an operation forward, and says beside it what its backward pass emits.

They take the `Builder` of the program first, then tensors; families are files, as in ``src_c/operations``.
"""

from nncore.operations.arrangement import broadcast, repeat, reshape, take, transpose
from nncore.operations.dense import dense
from nncore.operations.elementwise import activate, add, concatenate, multiply, rescale
from nncore.operations.parameters import moving_average
from nncore.operations.random import dropout

__all__ = [
    "activate",
    "add",
    "broadcast",
    "concatenate",
    "dense",
    "dropout",
    "moving_average",
    "multiply",
    "repeat",
    "rescale",
    "reshape",
    "take",
    "transpose",
]
