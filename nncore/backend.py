"""What of Keras's backend has a meaning here."""

from nncore.utils import clear_session

__all__ = ["clear_session"]
