"""Work that takes long: proving the audit, looking over the machine, replaying a run.

Each is a process of its own, so that no viewer waits for it. What came of it is kept, with its time.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from overnight.errors import BadInput, BadState, StateNotWritable
from overnight.missions.codec import encode

FOLDER = "web/jobs"
#: Jobs at the same time.
MOST = 3
#: Bytes of what one prints that are kept.
_MOST_OUTPUT = 8 << 20
_ENDS_WITHIN_S = 5.0
#: What can be asked for by name.
NAMES = {"audit": ("audit", "verify", "--json"), "doctor": ("doctor", "--json")}


class Job(Struct, frozen=True, kw_only=True):
    """One piece of long work, or what came of it."""

    #: audit, doctor, or `replay.RUN`.
    name: str
    #: lost: its server ended meanwhile.
    state: Literal["running", "done", "failed", "lost"]
    #: Epoch seconds.
    begun: float
    ended: float | None = None
    #: What came of it, as the command of that name prints it as JSON; null while there is nothing.
    answer: Any = None
    #: Why there is no answer, for a person.
    words: str = ""


class Jobs:
    """Of one state folder. Every method may be called from any thread."""

    def __init__(self, home: Path, redact: Callable[[str], str], hidden: Sequence[str], changed: Callable[[], None]):
        """hidden: variables of the environment that no child is given. changed: called when there is something new."""
        self._home, self._redact, self._changed = home, redact, changed
        self._environ = {
            **{name: value for name, value in os.environ.items() if name not in hidden}, "OVERNIGHT_HOME": str(home),
        }  # fmt: skip
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Job, subprocess.Popen[bytes]]] = {}
        self._threads: set[threading.Thread] = set()

    def begin(self, name: str) -> Job:
        """Raises BadInput for what is no job, BadState when it goes on or too many do, StateNotWritable."""
        if name not in NAMES:
            raise BadInput(problem=f"{name!r} is none of {', '.join(NAMES)}.")
        return self._begin(name, NAMES[name])

    def replay(self, run: str) -> Job:
        """Run a recorded run again. Raises as `begin`."""
        return self._begin(f"replay.{run}", ("replay", run, "--json"))

    def all(self) -> tuple[Job, ...]:
        """Every one that is known, the latest first."""
        with contextlib.suppress(OSError):
            names = [path.stem for path in (self._home / FOLDER).glob("*.json")]
            found = [job for name in names if (job := self.get(name)) is not None]
            return tuple(sorted(found, key=lambda job: -job.begun))
        return ()

    def get(self, name: str) -> Job | None:
        """One, as it is now."""
        with self._lock:
            if name in self._running:
                return self._running[name][0]
        try:
            kept = msgspec.json.decode(self._path(name).read_bytes(), type=Job)
        except (OSError, msgspec.MsgspecError):
            return None
        return replace(kept, state="lost") if kept.state == "running" else kept

    def stop(self) -> None:
        """End all that go on."""
        with self._lock:
            children, threads = [child for _, child in self._running.values()], tuple(self._threads)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        for thread in threads:
            thread.join(timeout=_ENDS_WITHIN_S)
        for child in children:
            if child.poll() is None:
                child.kill()

    # -- one ------------------------------------------------------------------------------------------------

    def _begin(self, name: str, words: tuple[str, ...]) -> Job:
        job = Job(name=name, state="running", begun=time.time())
        with self._lock:
            if name in self._running:
                raise BadState(task=name, state="running", verb="begin", next="Wait for its end.")
            if len(self._running) >= MOST:
                raise BadState(task=name, state="waiting", verb="begin", next=f"{MOST} others go on. Wait for one.")
            self._keep(job)
            child = subprocess.Popen(
                (sys.executable, "-P", "-m", "overnight", *words), env=self._environ, cwd=self._home, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            self._running[name] = job, child
            thread = threading.Thread(target=self._follow, args=(name, child), name=f"overnight-{name}", daemon=True)
            self._threads.add(thread)
        thread.start()
        self._changed()
        return job

    def _follow(self, name: str, child: subprocess.Popen[bytes]) -> None:
        complaint, said = bytearray(), bytearray()
        assert child.stdout is not None
        assert child.stderr is not None
        other = threading.Thread(target=_drain, args=(child.stderr, complaint), daemon=True)
        other.start()
        with child.stdout as lines:
            for line in lines:
                if len(said) < _MOST_OUTPUT:
                    said += line
        child.wait()
        other.join()
        child.stderr.close()
        with self._lock:
            job, _ = self._running.pop(name)
            self._threads.discard(threading.current_thread())
            with contextlib.suppress(StateNotWritable):  # it is shown as lost then
                self._keep(self._over(job, bytes(said), bytes(complaint)))
        self._changed()

    def _over(self, job: Job, said: bytes, complaint: bytes) -> Job:
        try:
            return replace(job, state="done", ended=time.time(), answer=json.loads(said))
        except ValueError:
            last = complaint.decode(errors="replace").strip().splitlines()
            words = self._redact(last[-1][-500:]).removeprefix("error: ") if last else "it ended without a word"
            return replace(job, state="failed", ended=time.time(), words=words)

    def _path(self, name: str) -> Path:
        return self._home / FOLDER / f"{name}.json"

    def _keep(self, job: Job) -> None:
        path = self._path(job.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = path.with_suffix(".part")
            part.write_bytes(encode(job))
            part.replace(path)
        except OSError as error:
            raise StateNotWritable(path=path.parent, reason=error.strerror or error) from error


def _drain(stream: Any, into: bytearray) -> None:
    for line in stream:
        into[:] = (into + line)[-4000:]
