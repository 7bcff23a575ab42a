"""Executes and controls processes for remote controllers, truthfully and quietly."""

__version__ = "0.1.0"
