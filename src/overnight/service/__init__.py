"""Overnight as a guest of this machine: its state is put aside whole, and brought back."""
