"""Passes over data: fit and evaluation, and what a fit that goes on elsewhere must share."""
