"""Figures as medians with their spread."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence


def row(name: str, values: Sequence[float], unit: str, aim: str = "") -> None:
    """One line: median, least and most."""
    if not values:
        sys.stdout.write(f"{name:<58} not measured\n")
        return
    spread = f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else "once"
    sys.stdout.write(f"{name:<58} {statistics.median(values):>9.1f} {unit:<4} ({spread}, n={len(values)}) {aim}\n")
    sys.stdout.flush()


def head(title: str) -> None:
    """A heading."""
    sys.stdout.write(f"\n{title}\n{'-' * len(title)}\n")
