"""Who attacks: root and an ordinary user. Each has the rounds played in a process of their own."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import overnight

PEOPLE = ("root", "user")
#: Backends that need a container engine; where one is up for tests, it is root's.
ENGINES = ("podman", "docker")
HERE = Path(__file__).parent
#: Who the ordinary user is, when root runs the tests. Needs no account.
_UID = 1500
_SITES = (str(HERE), sysconfig.get_path("purelib"), str(Path(overnight.__file__).parents[1]))
_PATIENCE = 300


class CanNotPlay(Exception):
    """Why this person or this machine can't."""


def outcomes(person: str, backend: str, shared: Path) -> dict[str, bool]:
    """Attack -> whether it succeeded. Played once per session: shared is a folder of all its processes.

    Raises CanNotPlay, and RuntimeError when a round broke.
    """
    note = shared / f"escape-{person}-{backend}.json"
    with (shared / f"{note.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_text(json.dumps(_played(person, backend)))  # also when it went wrong: once is enough
    done, error, why = json.loads(note.read_text())
    if why:
        raise CanNotPlay(why)
    if error:
        raise RuntimeError(error)
    return done


def _played(person: str, backend: str) -> tuple[dict[str, bool], str, str]:
    """Outcomes, what broke, why it can't be played."""
    if backend in ENGINES and f"OVERNIGHT_TEST_{backend.upper()}" not in os.environ:
        return {}, "", f"no {backend} is up for tests: see .ci/engines"
    place = Path(tempfile.mkdtemp(prefix="overnight-escape-"))
    place.chmod(0o755)
    try:
        if (uid := _uid(person)) != os.geteuid():
            os.chown(place, uid, uid)
        done = _run(person, [_interpreter(person, place), str(HERE / "escape_stage.py"), backend, str(place)], place)
    except CanNotPlay as why:
        return {}, "", str(why)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if done.returncode:
        return {}, done.stdout + done.stderr, ""
    return json.loads(done.stdout), "", ""


def _uid(person: str) -> int:
    """Raises CanNotPlay."""
    own = os.geteuid()
    if person == "root" and own:
        raise CanNotPlay("only root can be root")
    return 0 if person == "root" else own or _UID


def _run(person: str, argv: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    uid = _uid(person)
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(place),
        "PYTHONPATH": os.pathsep.join(_SITES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "error",
        **{name: value for name, value in os.environ.items() if name.startswith("OVERNIGHT_TEST_")},
        "OVERNIGHT_ESCAPE_SECRET": f"secret-{secrets.token_hex(8)}",
    }
    other = uid if uid != os.geteuid() else None
    return subprocess.run(
        argv, env=env, cwd=place, capture_output=True, text=True, timeout=_PATIENCE, check=False,
        user=other, group=other, extra_groups=None if other is None else (),
    )  # fmt: skip


def _interpreter(person: str, place: Path) -> str:
    """A Python that this person may run and that can load what is needed. Raises CanNotPlay."""
    for path in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        try:
            done = _run(person, [path, "-c", "import escape_stage"], place)
        except OSError:
            continue
        if done.returncode == 0:
            return path
    raise CanNotPlay("an ordinary user can't run this Python and this checkout")
