"""Callbacks: what is to happen between the steps of a fit; Keras 3's names, arguments and meanings.

`base` holds the hooks, `together` the list that calls them; each other module one family. A callback's `get_state` and
`set_state` hold everything that an exact resume needs.
"""

from __future__ import annotations

from typing import Any

from nncore.callbacks.backup import BackupAndRestore
from nncore.callbacks.base import Callback, LambdaCallback
from nncore.callbacks.checkpoint import ModelCheckpoint
from nncore.callbacks.logs import CSVLogger, History, ProgressBar
from nncore.callbacks.logs import ProgressBar as ProgbarLogger
from nncore.callbacks.monitor import MonitorCallback
from nncore.callbacks.plotting import LivePlot
from nncore.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau, SwapEMAWeights
from nncore.callbacks.stopping import EarlyStopping, TerminateOnNaN
from nncore.callbacks.together import CallbackList
from nncore.callbacks.writing import JSONLogger, RemoteMonitor, TensorBoard
from nncore.registry import missing

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "LambdaCallback",
    "LearningRateScheduler",
    "LivePlot",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgbarLogger",
    "ProgressBar",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
