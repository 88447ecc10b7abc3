"""Files under Keras's module path."""

from nncore.models import load_model, save_model

__all__ = ["load_model", "save_model"]
