"""What a box of root's is shown goes through copies of mounts, made by `idmapped`: this is the order for them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from overnight.boxes import idmapped
from overnight.boxes.engine import Engine
from overnight.boxes.handover import Handover

_PROGRAM = str(Path(idmapped.__file__))
#: Where the copies lie, in a mount namespace of their own. It is everywhere, and nothing of a box comes from it.
STAGE = "/sys"


class Staging:
    """Collects what has to be copied."""

    def __init__(self) -> None:
        self._shown: list[tuple[str, str, bool]] = []

    def copy(self, path: str, *, writable: bool) -> str:
        """Where the copy of a path will be. A writable one is the box's own or nothing starts."""
        staged = f"{STAGE}/{len(self._shown)}"
        self._shown.append((path, staged, writable))
        return staged

    def argv(
        self, engine: Engine, words: Sequence[str], handover: Handover, outputs: Sequence[int], limits: dict[int, int]
    ) -> tuple[str, ...]:
        """The command that makes the copies and then is `engine`. outputs: descriptors that a box may open anew."""
        path = engine.path
        if not path.startswith("/usr/"):  # the wheel's, which lies where only root may go, perhaps
            top = Path(path).parents[min(2, len(Path(path).parents) - 2)]
            path = f"{self.copy(str(top), writable=False)}/{Path(path).relative_to(top)}"
        order = {
            "shown": self._shown,
            "stage": STAGE,
            "outputs": outputs,
            "limits": sorted(limits.items()),
            "argv": (path, *words),
        }
        return (sys.executable, "-I", "-S", _PROGRAM, str(handover.data(json.dumps(order).encode())))
