"""Collecting garbage in the process that serves."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import gc, weakref
from overnight.api.garbage import MANY, Heap

class Ring:
    def __init__(self): self.me = self

gc.collect()
heap = Heap()
assert heap.look() and gc.get_freeze_count() > MANY
assert len(gc.get_objects(generation=2)) < MANY
assert not heap.look()

ring = Ring()
gone = weakref.ref(ring)
more = [[] for _ in range(MANY + 1000)]
gc.collect()
assert heap.look() and gc.get_freeze_count() > 2 * MANY
del ring
gc.collect()
assert gone() is not None
others = [[] for _ in range(MANY + 1000)]
gc.collect()
assert heap.look() and gone() is None
gc.collect()
assert not heap.look()
print("done")
"""


def test_what_is_there_for_good_is_gone_through_once_and_nothing_stays_for_ever() -> None:
    """A full collection goes through few objects; what was set aside and is held by nobody goes with the next one."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("done\n", "")
