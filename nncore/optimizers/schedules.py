"""Keras's path of `nncore.schedules`."""

from nncore.schedules import *  # noqa: F403
