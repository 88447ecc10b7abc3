"""Layers for images: sizes, and what is random in training alone: places, colours, parts."""
