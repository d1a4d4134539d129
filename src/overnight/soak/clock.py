"""A clock that can be set for daemon, wardens and watchdog alone: libfaketime, loaded before libc."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

#: Where distributions put the library, in the variant for programs with threads.
PLACES = tuple(
    place
    for root in (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"))
    for place in (root / "faketime", *sorted(root.glob("*/faketime")))
)
NAME = "libfaketimeMT.so.1"
#: What a step of the clock changes: who asks for the time of day gets another one.
_READS = frozenset(
    {"clock_gettime", "__clock_gettime", "gettimeofday", "__gettimeofday", "time", "__time", "timespec_get"}
)
_HIDDEN = 2  # STV_HIDDEN: the library's own calls find it, nobody else does
_DYNSYM = 11  # SHT_DYNSYM
_PROBE = """\
import sys, time
before, steady = time.time(), time.monotonic()
time.sleep(0.01)
open(sys.argv[1], "w").write("+3600s")
print(3590 < time.time() - before < 4200 and time.monotonic() - steady < 600)
"""


class SoakClock:
    """Its file holds the offset, which processes read each time they ask for the time."""

    def __init__(self, folder: Path, places: Iterable[Path] = PLACES) -> None:
        self._file, self._library = folder / "clock", folder / NAME
        #: Why it can't be set here; empty when it can.
        self.fixed = self._prepare(places)

    def environ(self) -> Mapping[str, str]:
        """What a process needs to follow it; nothing where it can't be set."""
        return {} if self.fixed else self._environ()

    def set(self, offset: int) -> None:
        """Step to so many seconds from the machine's clock, at once and for every process that follows."""
        fresh = self._file.with_name("clock.new")
        fresh.write_text(f"{offset:+d}s\n")
        fresh.replace(self._file)

    def _environ(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": str(self._library), "FAKETIME_TIMESTAMP_FILE": str(self._file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip

    def _prepare(self, places: Iterable[Path]) -> str:
        found = next((place / NAME for place in places if (place / NAME).is_file()), None)
        if found is None:
            return (
                f"{NAME} is not here, and setting the machine's own clock would move it for everybody: "
                "install libfaketime (`apt-get install libfaketime` on Debian)"
            )
        try:
            self._library.write_bytes(only_reads(found.read_bytes()))
        except (OSError, ValueError, struct.error) as error:
            return f"{found} can't be used: {error}"
        self.set(0)
        # Not every version leaves sleeping and the monotonic clock alone, so it is tried.
        done = subprocess.run(
            [sys.executable, "-I", "-c", _PROBE, str(self._file)], capture_output=True, text=True, check=False,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **self._environ()},
        )  # fmt: skip
        self.set(0)
        if done.stdout != "True\n" or done.stderr:
            return f"with {found} loaded, Python does not see a step of the clock as it is: {done.stderr.strip()}"
        return ""


def only_reads(library: bytes) -> bytes:
    """The library with everything hidden but reading the clock. As it is, it also stands before sleeping, waiting and
    times of files, which a step does not touch; version 0.9.10 makes `time.sleep` fail where the monotonic clock is left
    alone. Raises ValueError, struct.error."""
    if library[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no library for a 64-bit little-endian machine")
    changed = bytearray(library)
    at, size, count = struct.unpack_from("<Q", library, 0x28)[0], *struct.unpack_from("<HH", library, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", library, at + n * size) for n in range(count)]
    for _, kind, _, _, start, length, strings, _, _, each in sections:
        if kind != _DYNSYM:
            continue
        names = sections[strings][4]
        for symbol in range(start + each, start + length, each):
            name, _, _, section = struct.unpack_from("<IBBH", library, symbol)
            word = library[names + name : library.index(b"\0", names + name)].decode()
            if section and word not in _READS:
                changed[symbol + 5] = _HIDDEN
    return bytes(changed)
