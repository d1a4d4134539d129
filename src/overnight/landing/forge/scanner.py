"""A scan for secrets by betterleaks: texts in, what looks like a secret out. The scanner is offline, in a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from overnight.missions.hold import Held, Hold, HoldReason

#: Seconds that one scan may take: thousands of files take some.
_LIMIT = 600.0
#: Its exit code when it found something; 1 is what it fails with.
_FOUND = 42


class Found(Struct, frozen=True):
    """Something that looks like a secret, without the secret."""

    #: Which text, counted from 0.
    text: int
    line: int
    rule: str
    #: SHA-256 of the value, in hex.
    fingerprint: str


class _Match(Struct):
    fingerprint: str


class _Location(Struct):
    path: str
    start_line: int = 0


class _Finding(Struct):
    rule_id: str
    match: _Match
    location: _Location


class _Scan(Struct):
    state: str
    num_findings: int


class _Line(Struct):
    schema_version: str = ""
    finding: _Finding | None = None
    scan: _Scan | None = None


def program() -> Path | None:
    """The scanner: the wheel's, else one on the PATH; None when there is none."""
    spec = importlib.util.find_spec("betterleaks")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if os.access(found := Path(folder) / "bin" / "betterleaks", os.X_OK):
            return found
    elsewhere = shutil.which("betterleaks")
    return Path(elsewhere) if elsewhere else None


async def scan(texts: Sequence[bytes]) -> tuple[Found, ...]:
    """Everything in these texts that looks like a secret. Raises Held when they can't be scanned to the end."""
    scanner = program()
    if scanner is None:
        raise _can_t("the scanner for secrets, betterleaks, is not installed")
    with tempfile.TemporaryDirectory(prefix="overnight-scan-") as folder:
        texts_folder = Path(folder) / "texts"
        texts_folder.mkdir()
        for i, text in enumerate(texts):
            (texts_folder / f"{i:06}").write_bytes(text)
        code, out, err = await _run(scanner, folder)
    if code not in (0, _FOUND):
        raise _can_t(f"the scan for secrets ended with {code}: {err.decode(errors='replace').strip()[-300:]}")
    return _read(out)


async def _run(scanner: Path, folder: str) -> tuple[int | None, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        str(scanner), "filesystem", "texts", "--no-banner", "--no-color", "--log-level=error", "--redact=100",
        "--jsonl", "--output=-", "--no-allow-signatures", f"--exit-code={_FOUND}",
        env={"HOME": folder, "PATH": os.defpath}, cwd=folder,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    talk = asyncio.ensure_future(process.communicate())
    try:
        async with asyncio.timeout(_LIMIT):
            out, err = await asyncio.shield(talk)
    except TimeoutError:
        raise _can_t(f"the scan for secrets took over {_LIMIT:g} s") from None
    finally:
        if not talk.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait([talk])
    return process.returncode, out, err


def _read(out: bytes) -> tuple[Found, ...]:
    try:
        lines = [msgspec.json.decode(line, type=_Line) for line in out.splitlines() if line.strip()]
    except msgspec.DecodeError as error:
        raise _can_t(f"the scanner's report can't be read: {error}") from None
    ends = [line.scan for line in lines if line.scan]
    findings = [line.finding for line in lines if line.finding]
    if len(ends) != 1 or ends[0].state != "complete" or ends[0].num_findings != len(findings):
        raise _can_t("the scan for secrets did not end as it should")
    return tuple(
        Found(int(Path(each.location.path).name), each.location.start_line, each.rule_id, each.match.fingerprint)
        for each in findings
    )


def _can_t(why: str) -> Held:
    how = "`pip install 'overnight[github]'`, then `overnight resume TASK`"
    return Held(Hold(reason=HoldReason.FORGE_REFUSED, why=f"{why}; nothing is pushed without it", releases_on=how))
