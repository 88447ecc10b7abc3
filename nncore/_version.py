"""The versions, in their one place; the build reads the first from here without importing the package."""

__version__ = "0.1.0"

#: Of the arithmetic: raised whenever a change gives results other bits, so that an exact resume knows.
ARITHMETIC = 14
