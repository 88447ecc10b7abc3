"""Layers that learn from data before training: numbers of texts and categories, intervals, mean 0 and variance 1."""
