"""Run as a program: all rounds of attacks against one kind of box, by whoever runs it.

    python escape_stage.py BACKEND FOLDER [ROUND...]

Prints a JSON object: attack -> whether it succeeded. `nothing` is the backend without a box: the control. Whoever
starts this puts a secret into its environment and makes FOLDER.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import psutil
from escape_attack import Attack
from escape_catalogue import ATTACKS, ROUNDS
from escape_kernel import DISK, FILES, MANY, MEMORY, PROCESSES, TEMPORARY
from escape_scene import NEAR, PYTHON, Scene
from msgspec.structs import replace

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.child import readable
from overnight.boxes.container import Container
from overnight.boxes.landlock import Landlock
from overnight.boxes.none import Unconfined
from overnight.boxes.piped import Piped
from overnight.boxes.settings import BoxSettings
from overnight.missions.units import Size
from overnight.ports import Box, BoxedProcess, BoxSpec
from overnight.warden.egress import Bounds, Egress, is_public
from overnight.warden.http import serve

_INSIDE = str(Path(__file__).with_name("escape_inside.py"))
_PATIENCE = 120.0
_SETTINGS = BoxSettings(
    open_files=FILES, processes=PROCESSES, tmp=Size(TEMPORARY), memory=Size(MEMORY), disk=Size(DISK), files=MANY
)
_PR_SET_CHILD_SUBREAPER = 36
_KILLED = ("daemons-killed",)  #: Rounds that end with a kill.
#: Rounds that go over a bound. A box may need this many seconds to notice.
_GREEDY, _NOTICED = ("swarm", "memory", "disk", "crowd"), 30.0
#: Rounds after which the work is taken out.
_COLLECTED = ("git-trap", "git-submodule", "git-own", "git-filter", "git-link")


class Nothing:
    """No box: argv runs with all rights of whoever starts it. As root in a mount namespace, to spare the machine."""

    def __init__(self) -> None:
        self.pid = 0
        self.listeners: Sequence[socket.socket] = ()

    def start(self, spec: BoxSpec) -> BoxedProcess:
        """As a box does, as far as it is needed here."""
        apart = ("unshare", "--mount", "--propagation", "private", "--") if os.geteuid() == 0 else ()
        with Path(spec.stdin or os.devnull).open("rb") as stdin, Path(spec.stdout or os.devnull).open("ab") as out:
            self._popen = subprocess.Popen(
                (*apart, *spec.argv), cwd=spec.cwd, env=dict(spec.env), stdin=stdin, stdout=out, stderr=out,
                close_fds=False, start_new_session=True,
            )  # fmt: skip
        self.pid = self._popen.pid
        return self

    async def wait(self) -> int:
        """Only argv's end."""
        return await asyncio.to_thread(self._popen.wait)

    async def kill(self) -> None:
        """What a person would do."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.wait()

    async def signal(self, number: int) -> None:
        """To argv."""
        self._popen.send_signal(number)

    def exceeded(self) -> None:
        """Nothing is bounded."""


def box_called(name: str) -> Box | None:
    """The box of a backend, as runs have it; None is the control."""
    if name == "nothing":
        return None
    if name == "bubblewrap":
        return Piped(Bubblewrap(_SETTINGS))
    if name == "landlock":
        return Piped(Landlock(_SETTINGS))
    engine = msgspec.convert(name, Literal["podman", "docker"])
    engine_options = tuple(os.environ[f"OVERNIGHT_TEST_{name.upper()}"].split())
    return Piped(Container(replace(_SETTINGS, engine=engine, engine_options=engine_options, root_inside=True)))


async def play(box: Box | None, round_: str, folder: Path) -> dict[str, bool]:
    """One round."""
    attacks = [attack for attack in ATTACKS if attack.round == round_]
    folder.mkdir()
    scene = Scene(folder, tuple(attack.name for attack in attacks))
    done: dict[str, bool] = {}
    try:
        await scene.make_repository(box or Unconfined())
        await scene.serve()
        async with _started(box, scene, attacks, round_) as process:
            await _standing(scene, process, greedy=round_ in _GREEDY and box is not None)
            done |= {attack.name: attack.effect(scene, attack.name) for attack in attacks if attack.standing}
            if round_ not in _KILLED and scene.holder("driver") is not None:
                (scene.loot / "go").write_bytes(b"g")
                await process.wait()
        if round_ in _COLLECTED:
            await scene.collect(boxed=box is not None)
        await asyncio.sleep(0)  # what services were sent is taken
        done |= {attack.name: attack.effect(scene, attack.name) for attack in attacks if not attack.standing}
        if not (scene.tree / "worked").exists():
            raise RuntimeError(f"nothing works in this box:\n{(folder / 'stdout').read_text()}")
        if os.environ.get("ESCAPE_SHOW"):
            print(f"{round_}: {(folder / 'stdout').read_text()}", file=sys.stderr)
    finally:
        _end_descendants(scene.victim)
        await scene.close()
    return done


async def _standing(scene: Scene, process: BoxedProcess, *, greedy: bool) -> None:
    """Until all attacks have been tried. greedy: or until the box is ended for it, which is what should happen."""
    fifo = os.open(scene.loot / "standing", os.O_RDWR | os.O_NONBLOCK)
    try:
        ready = asyncio.ensure_future(readable(fifo))
        over = asyncio.ensure_future(process.wait())
        await asyncio.wait((ready, over), timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if greedy:
            await asyncio.wait((over,), timeout=_NOTICED)
        came = ready.done() or (greedy and process.exceeded() is not None)
        for task in (ready, over):
            task.cancel()
        await asyncio.gather(ready, over, return_exceptions=True)
    finally:
        os.close(fifo)
    if not came:
        raise RuntimeError(f"the round did not get to its end:\n{(scene.root / 'stdout').read_text()}")


@contextlib.asynccontextmanager
async def _started(
    box: Box | None, scene: Scene, attacks: Sequence[Attack], round_: str
) -> AsyncGenerator[BoxedProcess]:
    """A box with the round's attacks in it, and what a warden serves there."""
    ports = () if box is None else box.ports(1)
    order = scene.root / "order.json"
    scripts = [(attack.name, attack.script) for attack in attacks]
    given = scene.given(ports[0] if ports else 0)
    order.write_text(json.dumps({"scene": given, "tokens": scene.tokens, "attacks": scripts}))
    shown = (sys.base_prefix, PYTHON, _INSIDE)
    spec = BoxSpec(
        argv=(PYTHON, "-I", "-S", _INSIDE, str(order)),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(scene.loot / "home"), "LC_ALL": "C.UTF-8"},
        cwd=str(scene.tree),
        writable=(str(scene.tree), scene.git_dir, str(scene.loot)),
        readable=(
            *(path for path in shown if not path.startswith("/usr")),
            str(order), str(scene.shown), scene.ground.objects,
        ),
        git=(str(scene.tree), scene.git_dir),
        ports=ports,
        stdin=scene.terminal if round_ == "terminal" else str(scene.root / "stdin"),
        stdout=str(scene.root / "stdout"),
        stderr=str(scene.root / "stdout"),
    )  # fmt: skip
    with _handed(scene.secrets["handed"]):
        process = Nothing().start(spec) if box is None else await box.start(spec)
    servers = [await serve(listener, _proxy(scene).handle) for listener in process.listeners]
    try:
        yield process
    finally:
        await process.kill()
        for server in servers:
            await server.close()


@contextlib.contextmanager
def _handed(secret: str) -> Generator[None]:
    """An open file with a secret that a careless starter hands on."""
    fd = os.memfd_create("handed", 0)
    os.write(fd, secret.encode())
    os.set_inheritable(fd, True)
    try:
        yield
    finally:
        os.close(fd)


def _proxy(scene: Scene) -> Egress:
    """The warden's way out. One host of the list is near, another points to this machine."""
    addresses = {"near.example.org": NEAR, "rebound.example.org": "127.0.0.1"}

    async def resolver(host: str, _port: int) -> Sequence[str]:
        return [addresses[host]]

    def address_ok(address: str) -> bool:
        return address == NEAR or is_public(address)

    bounds = Bounds(ports=frozenset({scene.port}))
    return Egress(tuple(addresses), lambda _: None, bounds=bounds, resolver=resolver, address_ok=address_ok)


def _end_descendants(victim: int) -> None:
    """Whatever the round left running, which without a box is a lot."""
    while left := [child for child in psutil.Process().children(recursive=True) if child.pid != victim]:
        for child in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(left, timeout=1)
    with contextlib.suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break


async def _main(backend: str, folder: Path, rounds: Sequence[str]) -> dict[str, bool]:
    box, done = box_called(backend), dict[str, bool]()
    for round_ in rounds:
        done |= await play(box, round_, folder / round_)
    return done


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        outcomes = asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or ROUNDS))
    except Exception:
        traceback.print_exc()
        sys.exit(3)
    print(json.dumps(outcomes))
