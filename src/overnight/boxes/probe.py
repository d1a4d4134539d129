"""Try a box: start one and let a program inside attempt what it must not be able to do.

Every attempt has a counterpart that must succeed, so that a box in which nothing works does not pass for a tight one.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from overnight.boxes import probe_inside
from overnight.boxes.seccomp import MACHINES, NUMBERS
from overnight.errors import BoxUnavailable
from overnight.ports import Box, BoxedProcess, BoxSpec

_INSIDE = str(Path(probe_inside.__file__))


class Seen(Struct, frozen=True, kw_only=True):
    """What the program inside could do."""

    wrote_inside: bool
    wrote_outside: bool
    read_outside: bool
    reached_own_listener: bool
    reached_host_listener: bool
    #: Process ids in /proc.
    pids: tuple[int, ...]
    #: errno of a keyctl call; 0 when it went through.
    keyctl: int


P = TypeVar("P", bound=BoxedProcess)


async def see(box: Box, kind: type[P], *, alone: bool = True) -> P:
    """The box that was tried, dead by now, as the kind of process that this box starts.

    alone: it is to see no processes but its own.

    Raises BoxUnavailable when the box does not hold, or can't be tried.
    """
    with tempfile.TemporaryDirectory(prefix="overnight-probe-") as root, socket.create_server(("127.0.0.1", 0)) as host:
        inner, outer = Path(root, "inside"), Path(root, "outside")
        inner.mkdir()
        outer.mkdir()
        (outer / "secret").write_text("a secret")
        process, seen = await _attempt(box, inner, outer, host.getsockname()[1])
        failures = _failures(seen, outer, alone)
    if failures:
        raise BoxUnavailable(
            reason=f"it was started, but {'; '.join(failures)}",
            install="Do not run agents on this machine until this is understood; please report it.",
        )
    assert isinstance(process, kind)
    return process


async def _attempt(box: Box, inner: Path, outer: Path, host_port: int) -> tuple[BoxedProcess, Seen]:
    report, errors, (port,) = inner / "report.json", inner / "stderr", box.ports(1)
    python, keyctl = os.path.realpath(sys.executable), NUMBERS["keyctl"][MACHINES[os.uname().machine][1]]
    spec = BoxSpec(
        argv=(python, "-I", "-S", _INSIDE, str(inner), str(outer), str(port), str(host_port), str(keyctl)),
        env={},
        cwd=str(inner),
        writable=(str(inner),),
        readable=tuple(path for path in (sys.base_prefix, python, _INSIDE) if not path.startswith("/usr")),
        ports=(port,),
        stderr=str(errors),
    )
    process = await box.start(spec)
    try:
        code = await process.wait()
    finally:
        await process.kill()
        for listener in process.listeners:
            listener.close()
    try:
        return process, msgspec.json.decode(report.read_bytes(), type=Seen)
    except (OSError, msgspec.DecodeError):
        said = errors.read_text(errors="replace").strip()
        raise BoxUnavailable(
            reason=f"the probe inside ended with exit code {code}: {said}",
            install="See whether Python can start from its folder read-only.",
        ) from None


def _failures(seen: Seen, outer: Path, alone: bool) -> list[str]:
    own = len(seen.pids) == 2 and seen.pids[0] == 1
    findings = {
        "it can't write its own folder": not seen.wrote_inside,
        "it wrote outside of its folders": seen.wrote_outside or any(path.name != "secret" for path in outer.iterdir()),
        "it read outside of its folders": seen.read_outside,
        "it can't reach its own port": not seen.reached_own_listener,
        "it reached a port of this machine": seen.reached_host_listener,
        "it saw processes of this machine": alone and not own,
        "a forbidden system call went through": seen.keyctl != 1,
    }
    return [words for words, found in findings.items() if found]
