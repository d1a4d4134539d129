"""Overnight runs coding agents on git repositories while nobody is watching."""

__version__ = "0.1.0"
