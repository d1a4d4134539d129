"""Overnight runs coding agents on git repositories while nobody is watching."""
