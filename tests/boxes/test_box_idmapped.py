"""Boxes that root starts: whoever is inside is nobody outside, and the files are root's all the same."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from boxing import Held, run, spec, within
from msgspec.structs import replace

from overnight.boxes.bubblewrap import Bubblewrap, BubblewrapProcess
from overnight.boxes.idmapped import FIRST_UID
from overnight.boxes.settings import BoxSettings
from overnight.boxes.staging import STAGE
from overnight.errors import BoxUnavailable
from overnight.ports import Box, Mechanism

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root's boxes need another user")


def uids(box: Box, folder: Path, held: Held) -> set[str]:
    """Whose the processes of a box are, outside."""

    async def story() -> set[str]:
        order = replace(spec(folder, "/bin/sh", "-c", "echo up; exec sleep 1000"), stdout=held.path)
        process = await box.start(order)
        assert await held.line() == "up\n"
        assert isinstance(process, BubblewrapProcess)
        lines = (Path("/proc") / str(process.pid) / "status").read_text().splitlines()
        found = {str(process.uid), *next(line for line in lines if line.startswith("Uid:")).split()[1:]}
        await process.kill()
        return found

    return within(story())


def test_the_box_is_nobodys_outside(tight: Box, folder: Path, held: Held) -> None:
    """No process of the box has root's id, or any that this machine gives to somebody."""
    (uid,) = uids(tight, folder, held)
    assert int(uid) > FIRST_UID


def test_root_inside_must_be_said(folder: Path, held: Held) -> None:
    """Only the owner's word gives a box root's own id, and then the probe says so."""
    settings = BoxSettings(root_inside=True)
    assert uids(Bubblewrap(settings), folder, held) == {"0"}
    plain, nobody = within(Bubblewrap(settings).probe()), within(Bubblewrap().probe())
    assert (plain.unprivileged, nobody.unprivileged) == (False, True)
    assert plain.pids in (Mechanism.CGROUP1, Mechanism.CGROUP2, Mechanism.WATCHED)


def test_roots_private_files_are_the_boxs_own(tight: Box, folder: Path, logs: Path, tmp_path: Path) -> None:
    """Files that only root may read can be read and written inside where they are shown, and new ones are root's."""
    (folder / "private").write_text("a")
    (folder / "private").chmod(0o600)
    given = tmp_path / "given"
    given.mkdir(mode=0o700)
    (given / "file").write_text("b")
    (given / "file").chmod(0o400)
    script = f"cat private {given}/file && echo c >> private && echo d > new && mkdir sub && stat -c %u private new ."
    done = run(tight, spec(folder, "/bin/sh", "-c", script, readable=(str(given),)), logs)
    assert done.out == "ab1000\n1000\n1000\n", done.err
    assert (folder / "private").read_text() == "ac\n"
    assert {path.stat().st_uid for path in folder.iterdir()} == {0}


def test_other_peoples_files_stay_theirs(tight: Box, folder: Path, logs: Path) -> None:
    """A file of another user in a shown folder is open to the box as far as it is open to everybody."""
    for name, mode in (("open", 0o644), ("shut", 0o600)):
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
        os.chown(folder / name, 1500, 1500)
    done = run(tight, spec(folder, "/bin/sh", "-c", "cat open; cat shut; echo x >> open; stat -c %u open"), logs)
    assert done.out == "open65534\n"
    assert (folder / "open").read_text() == "open"


def test_single_files_are_shown(tight: Box, folder: Path, logs: Path, tmp_path: Path) -> None:
    """A readable path may be a file, also one that only root may read."""
    file = tmp_path / "one"
    file.write_text("one")
    file.chmod(0o600)
    done = run(tight, spec(folder, "/bin/sh", "-c", f"cat {file}; echo x > {file}", readable=(str(file),)), logs)
    assert done.out == "one"
    assert file.read_text() == "one"


def test_output_can_be_opened_anew(tight: Box, folder: Path, logs: Path) -> None:
    """`/dev/stderr` and `/dev/stdout` can be written by name inside, as scripts do."""
    done = run(tight, spec(folder, "/bin/sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr"), logs)
    assert (done.code, done.out, done.err) == (0, "out\n", "err\n")
    assert stat.S_IMODE((logs / "out").stat().st_mode) == 0o600


def test_the_machine_keeps_no_mount(tight: Box, folder: Path, logs: Path) -> None:
    """What was mounted for a box is gone with it, and was never seen outside of it."""
    assert run(tight, spec(folder, "/bin/true"), logs).code == 0
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    assert not [point for point in points if point.startswith((f"{STAGE}/0", str(folder)))]


def test_a_folder_that_can_not_be_idmapped_is_refused(tmp_path: Path, logs: Path) -> None:
    """Where the file system takes no part, no box starts, and the way out is named."""
    folder = tmp_path / "proc"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "ramfs", "none", str(folder)], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(BoxUnavailable, match=r"can't be idmapped.*root_inside"):
            run(Bubblewrap(), spec(folder, "/bin/true"), logs)
        assert run(Bubblewrap(BoxSettings(root_inside=True)), spec(folder, "/bin/touch", "a"), logs).code == 0
    finally:
        subprocess.run(["umount", str(folder)], check=True)
