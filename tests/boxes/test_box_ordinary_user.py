"""The same claims for a person who is not root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import overnight

UID = 1500
HERE = Path(__file__).parent
SITES = (sysconfig.get_path("purelib"), str(Path(overnight.__file__).parents[1]))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of that user, away from root's own."""
    path = Path(tempfile.mkdtemp(prefix="overnight-user-"))
    os.chown(path, UID, UID)
    yield path
    shutil.rmtree(path)


def _run(*argv: str, place: Path) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(place),
        "PYTHONPATH": os.pathsep.join(SITES),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        argv, env=env, cwd=place, user=UID, group=UID, extra_groups=(), capture_output=True, text=True, check=False
    )


def _interpreter(place: Path) -> str | None:
    """A Python that this user may run and that can load what these tests need."""
    for path in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        try:
            done = _run(path, "-c", "import pytest, msgspec, overnight.ports", place=place)
        except OSError:
            continue
        if done.returncode == 0:
            return path
    return None


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="whoever runs this is no root already")
@pytest.mark.parametrize("name", ["port", "confinement", "landlock", "limits", "starter", "seccomp"])
def test_as_an_ordinary_user(name: str, place: Path) -> None:
    """Every claim about boxes holds when an ordinary user starts them."""
    python = _interpreter(place)
    if python is None:
        pytest.skip("an ordinary user can't run this Python and this checkout")
    options = ("-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", f"{place}/tests", "--rootdir", str(place))
    config = ("-c", str(HERE.parents[1] / "pyproject.toml"))
    done = _run(python, "-m", "pytest", *config, *options, str(HERE / f"test_box_{name}.py"), place=place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
