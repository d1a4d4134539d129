"""Short pauses for collecting garbage: Python stops every thread while it goes through all objects, and most of a server's
are there for good.

What is there is set aside (`gc.freeze`) and not gone through again. Once many more have come, all are gone through once and
set aside anew, so that nothing stays for ever that nobody holds.
"""

from __future__ import annotations

import asyncio
import gc

#: Objects that a collection may go through: 70,000 took 50 ms where it was measured, 10,000 took 5.
MANY = 10_000
#: Seconds between two looks.
EVERY_S = 1.0


class Heap:
    """This process's objects."""

    def __init__(self) -> None:
        self._collections = -1

    def look(self) -> bool:
        """Set aside what is there when there is much; whether it was. Cheap while nothing was collected meanwhile."""
        if self._collections == _whole():
            return False
        many = len(gc.get_objects(generation=2)) > MANY
        if many:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        self._collections = _whole()
        return many

    async def tend(self) -> None:
        """Look every now and then, until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(EVERY_S)


def _whole() -> int:
    """How often all objects were gone through."""
    return gc.get_stats()[2]["collections"]
