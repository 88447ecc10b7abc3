"""Files under Keras's module path, and what files call classes and functions of a user's own."""

from typing import Any

from nncore.custom import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from nncore.custom import custom_object_scope as CustomObjectScope
from nncore.models import load_model, save_model
from nncore.registry import missing

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "register_keras_serializable",
    "save_model",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
