"""Forges: where people look at changes before they land."""
