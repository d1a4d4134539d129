"""What a box may use. Every bomb is real; each is stopped for its own reason, and nothing of it stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from boxing import PATIENCE, PYTHON, Held, spec, within
from msgspec.structs import replace

from overnight.boxes.bubblewrap import Bubblewrap, BubblewrapProcess
from overnight.boxes.cgroup import Mount, Wanted, confine, delegated, hierarchies, scope_call
from overnight.boxes.settings import BoxSettings
from overnight.boxes.watch import DiskWatch
from overnight.errors import BoxUnavailable
from overnight.missions.units import Size
from overnight.ports import Exceeded, Mechanism

MIB = 1 << 20
SMALL = BoxSettings(memory=Size(128 * MIB), processes=64, disk=Size(16 * MIB), files=2000, tmp=Size(512 * MIB))

MEMORY = """
held = []
while True: held.append(b"x" * (8 << 20))
"""
TMPFS = """
with open("/tmp/big", "wb") as file:
    while True: file.write(b"x" * (1 << 20))
"""
#: Ends of itself where nobody stops it, so that a broken test does not hurt the machine.
FORKS = """
import os, time
end = time.monotonic() + 30
while time.monotonic() < end:
    try: os.fork()
    except OSError: pass
"""
BIG = """
with open("big", "wb") as file:
    while True: file.write(os.urandom(1 << 20))
"""
MANY = """
for n in range(100_000):
    os.makedirs(f"{n % 100}", exist_ok=True)
    open(f"{n % 100}/{n}", "w").close()
import signal; signal.pause()
"""
NAMELESS = """
file = open("gone", "wb")
os.unlink("gone")
while True: file.write(os.urandom(1 << 20)); file.flush()
"""
DEEP = """
for n in range(60):
    os.mkdir("x" * 200); os.chdir("x" * 200)
import signal; signal.pause()
"""


def bombed(code: str, folder: Path, settings: BoxSettings = SMALL, held: Held | None = None) -> Exceeded | None:
    """Run it in a box until that is ended; why it was."""

    async def story() -> Exceeded | None:
        order = spec(folder, PYTHON, "-I", "-S", "-c", f"import os\n{code}")
        order = order if held is None else replace(order, stdout=held.path)
        process = await Bubblewrap(settings).start(order)
        try:
            code_ = await asyncio.wait_for(process.wait(), PATIENCE)
        finally:
            await process.kill()
        assert code_ != 0
        return process.exceeded()

    return within(story())


@pytest.mark.parametrize(
    ("code", "bound", "why"),
    [
        (MEMORY, "memory", "it used more than 128 MiB of memory"),
        (TMPFS, "memory", "it used more than 128 MiB of memory"),
        (FORKS, "processes", "it started more than 64 processes at once"),
        (BIG, "disk", "it wrote more than 16 MiB to the disk"),
        (MANY, "files", "it made more than 2000 files"),
        (NAMELESS, "disk", "it wrote more than 16 MiB to the disk"),
    ],
)
def test_bombs_are_ended_for_their_reason(code: str, bound: str, why: str, folder: Path, held: Held) -> None:
    """Memory, temporary files, forks, one big file, many small ones, a file without a name."""
    assert bombed(code, folder, held=held) == Exceeded(bound=bound, why=why)
    assert held.released()


def test_folders_too_deep_to_count_end_it(folder: Path) -> None:
    """What can't be counted is not taken for nothing."""
    found = bombed(DEEP, folder)
    assert found is not None
    assert found.bound == "files"


def test_a_box_within_its_bounds_is_not_blamed(folder: Path) -> None:
    """A program that fails by itself went over nothing."""
    assert bombed("raise SystemExit(3)", folder) is None


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a disk that hardly anybody else writes to."""
    path = Path(tempfile.mkdtemp(prefix="overnight-disk-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


def test_the_last_room_of_a_disk_is_not_a_boxs(small_disk: Path) -> None:
    """What fills a disk up to its reserve is over its bound, though its own is far; what was so full before is not."""
    left = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize

    async def looked(reserve: int) -> Exceeded | None:
        watch = DiskWatch((str(small_disk),), BoxSettings(reserve=Size(reserve)))
        assert await watch.look(os.getpid()) is None
        (small_disk / f"file-{reserve}").write_bytes(bytes(16 * MIB))
        return await watch.look(os.getpid())

    full = within(looked(left - 8 * MIB))
    assert full is not None
    assert full.bound == "room"
    assert within(looked(left)) is None


def test_no_group_stays(folder: Path) -> None:
    """The control groups of a box are gone with it."""

    async def story() -> list[str]:
        process = await Bubblewrap(SMALL).start(spec(folder, "/bin/sleep", "1000"))
        assert isinstance(process, BubblewrapProcess)
        made = _groups()
        await process.kill()
        assert bool(made) is (process.group.holds("memory") is Mechanism.CGROUP1)
        return made

    assert not set(within(story())) & set(_groups())


def _groups() -> list[str]:
    """Ours."""
    return [p.name for mount in hierarchies() for p in mount.own.glob(f"overnight-box-{os.getpid()}-*")]


def test_groups_of_the_dead_are_swept(folder: Path) -> None:
    """What a killed Overnight left behind is gone with the next start of a box; a living one's stays."""
    own = [mount.own for mount in hierarchies() if "pids" in mount.controllers and os.access(mount.own, os.W_OK)]
    if os.geteuid() or not own:
        pytest.skip("no groups can be made here by hand")
    with subprocess.Popen(["/bin/true"]) as dead:
        pass
    left, alive = (own[0] / f"overnight-box-{pid}-999999" for pid in (dead.pid, os.getpid()))
    left.mkdir()
    alive.mkdir()
    try:
        assert bombed("raise SystemExit(3)", folder) is None
        assert (left.exists(), alive.exists()) == (False, True)
    finally:
        alive.rmdir()


def test_processor_time_is_bounded_or_refused(folder: Path) -> None:
    """Where the kernel can't hold the bound, no box starts; where it can, it has taken it."""

    async def held() -> Mechanism:
        process = await Bubblewrap(BoxSettings(cpu=0.5)).start(spec(folder, "/bin/sleep", "1000"))
        assert isinstance(process, BubblewrapProcess)
        await process.kill()
        return process.group.holds("cpu")

    claimed = within(Bubblewrap().probe()).cpu
    if os.geteuid() == 0 and any("cpu" in mount.controllers for mount in hierarchies()):
        assert within(held()) is claimed is Mechanism.CGROUP1
    else:
        assert claimed is Mechanism.NONE
        with pytest.raises(BoxUnavailable, match="processor time"):
            within(held())


def test_without_groups_of_ours_nothing_is_claimed(tmp_path: Path) -> None:
    """A process stays where it is, and nothing is said to hold, where no group can be made."""
    (tmp_path / "cgroup").write_text("5:memory:/elsewhere\n0::/\n")
    (tmp_path / "mountinfo").write_text(
        "32 31 0:29 / /nonexistent/memory rw - cgroup cgroup rw,memory\n33 31 0:30 / /nonexistent/two rw - cgroup2 c rw\n"
    )
    assert [mount.version for mount in hierarchies(tmp_path)] == [1, 2]
    group = within(confine(os.getpid(), Wanted(memory=1 << 30, pids=100, cpu=1.0), tmp_path))
    assert {group.holds(what) for what in ("memory", "pids", "cpu")} == {Mechanism.NONE}


@pytest.mark.parametrize(
    ("own", "root", "expected"),
    [
        ("/a/b", "/", "/mnt/a/b"),
        ("/a/b", "/a", "/mnt/b"),
        ("/a", "/a", "/mnt"),
        ("/ab", "/a", None),
        ("/../x", "/", None),
    ],
)
def test_own_group_is_found_through_its_mount(own: str, root: str, expected: str | None, tmp_path: Path) -> None:
    """A mount may show a part of the hierarchy only, with blanks in its name."""
    (tmp_path / "cgroup").write_text(f"4:memory:{own}\n")
    (tmp_path / "mountinfo").write_text(f"32 31 0:29 {root} /mnt rw - cgroup cgroup rw,memory\n")
    assert [str(mount.own) for mount in hierarchies(tmp_path)] == ([expected] if expected else [])


def test_a_delegated_group_is_the_nearest_that_gives_what_is_needed(tmp_path: Path) -> None:
    """Of version 2: writable, with memory and pids for the groups in it; above the mount nobody looks."""
    own = tmp_path / "mnt" / "user" / "app" / "unit"
    own.mkdir(parents=True)
    for folder, enabled in ((own, ""), (own.parent, "cpu memory pids\n"), (own.parents[1], "memory pids\n")):
        (folder / "cgroup.subtree_control").write_text(enabled)
        (folder / "cgroup.procs").touch()
    mount = Mount(2, (), tmp_path / "mnt", own)
    assert delegated(mount, ("memory", "pids")) == own.parent
    (own.parent / "cgroup.subtree_control").write_text("pids\n")
    assert delegated(mount, ("memory", "pids")) == own.parents[1]
    (own.parents[1] / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.subtree_control").write_text("memory pids\n")
    (tmp_path / "cgroup.procs").touch()
    assert delegated(mount, ("memory", "pids")) is None


def test_systemd_is_asked_for_a_scope_with_every_bound() -> None:
    """The words are those of busctl: signature, name, mode, properties by count, no further units."""
    words = scope_call(7, "a.scope", Wanted(memory=1 << 30, pids=100, cpu=1.5))
    at = words.index("ssa(sv)a(sa(sv))")
    assert words[at + 1 : at + 4] == ["a.scope", "fail", "5"]
    assert words[at + 4 :] == [
        *("PIDs", "au", "1", "7", "MemoryMax", "t", str(1 << 30), "MemorySwapMax", "t", "0", "TasksMax", "t", "100"),
        *("CPUQuotaPerSecUSec", "t", "1500000", "0"),
    ]
