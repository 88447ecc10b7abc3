"""The compiled modules: `table` links the C library, the others share its kernels out to threads."""

from importlib.util import find_spec

# Without this, importing a checkout's source by accident (Python run in its top directory) fails obscurely.
if find_spec(f"{__name__}.table") is None:
    raise ImportError(
        f"nncore was imported from {__path__[0]}, where its kernels have not been compiled: the source tree, most "
        "likely because Python was started in a checkout. Either use the installed package (`pip install .`, then "
        "its command `nncore`, or `pytest`, or `python -P`, or another directory), or compile the source tree in "
        "place (`pip install -e .`)."
    )
