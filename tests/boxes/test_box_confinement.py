"""What a bubblewrap box keeps in. Each attempt is real, and succeeds without the box."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest
from boxing import PATH, PYTHON, Held, named, ran, run, spec, within
from boxing import python as run_python

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.none import Unconfined
from overnight.boxes.settings import BoxSettings, inside_path
from overnight.errors import BoxUnavailable
from overnight.missions.units import Size
from overnight.ports import Box

GIT = {**PATH, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent"}
#: Tries each shell line; says which ones went through.
TRIES = 'for try in "$@"; do if sh -c "$try" 2>/dev/null; then echo "THROUGH: $try"; fi; done'


def tried(box: Box, folder: Path, logs: Path, *tries: str, **fields: object) -> str:
    """Which of the shell lines succeed inside."""
    done = run(box, spec(folder, "/bin/sh", "-c", TRIES, "sh", *tries, **fields), logs)
    assert done.code == 0, done.err
    return done.out


def test_writes_outside_fail(tight: Box, folder: Path, logs: Path, tmp_path: Path) -> None:
    """Nothing outside of the writable folders can be written, removed or renamed."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("kept")
    lines = (
        f"echo x > {other}/file",
        f"echo x > {other}/new",
        f"rm {other}/file",
        f"mv {other}/file {folder}/file",
        "echo x > /usr/bin/overnight-test",
        "echo x > /etc/passwd",
        "rm /etc/hosts",
        "mkdir /overnight-test",
        "echo x > /dev/overnight-test",
        f"ln {other}/file {folder}/file",
    )
    assert tried(tight, folder, logs, *lines) == ""
    assert (other / "file").read_text() == "kept"
    assert [path.name for path in other.iterdir()] == ["file"]


def test_home_is_not_readable(tight: Box, folder: Path, logs: Path, tmp_path: Path) -> None:
    """Files of the person, and the machine's secrets, are not there; without a box they are."""
    secret = tmp_path / "home" / ".ssh" / "id"
    secret.parent.mkdir(parents=True)
    secret.write_text("secret")
    lines = (f"cat {secret}", f"ls {secret.parents[1]}", "cat /etc/shadow", "ls /etc/ssl/private", "ls /sys")
    assert tried(Unconfined(), folder, logs, lines[0]) == f"secretTHROUGH: {lines[0]}\n"
    (logs / "out").unlink()
    assert tried(tight, folder, logs, *lines) == ""


def test_nested_readable_stays_read_only(walled: Box, folder: Path, logs: Path) -> None:
    """A readable path below a writable one can't be written, whichever is deeper rules, order does not matter."""
    frozen, thawed = folder / "frozen", folder / "frozen" / "deep" / "thawed"
    thawed.mkdir(parents=True)
    (frozen / "file").write_text("kept")
    done = run(
        walled,
        spec(
            folder,
            "/bin/sh",
            "-c",
            TRIES,
            *(
                "sh",
                f"echo x > {frozen}/file",
                f"rm -r {frozen}",
                f"mv {frozen} {folder}/moved",
                f"echo x > {thawed}/ok",
            ),
            writable=(str(thawed), str(folder)),
            readable=(str(frozen),),
        ),
        logs,
    )
    assert done.out == f"THROUGH: echo x > {thawed}/ok\n"
    assert (frozen / "file").read_text() == "kept"


def test_both_ways_is_read_only(walled: Box, folder: Path, logs: Path) -> None:
    """A path asked for as writable and as readable is read-only."""
    assert tried(walled, folder, logs, "touch new", readable=(str(folder),)) == ""


def test_detours_are_refused(walled: Box, folder: Path, tmp_path: Path) -> None:
    """A read-only path that a symbolic link would lay elsewhere is an error."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sub").mkdir(parents=True)
    (folder / "link").symlink_to(elsewhere)
    with pytest.raises(BoxUnavailable, match="symbolic link"):
        within(walled.start(spec(folder, "/bin/true", readable=(str(folder / "link" / "sub"),))))


def test_host_loopback_is_not_reachable(walled: Box, folder: Path, logs: Path) -> None:
    """A service on the machine's loopback is reached without a box, and not from one; nor is there a route out."""
    code = """
import socket, sys
try: socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20); print("reached")
except OSError as error: print(type(error).__name__)
"""
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = str(service.getsockname()[1])
        assert run_python(Unconfined(), folder, code, logs, port).out == "reached\n"
        (logs / "out").unlink()
        assert run_python(walled, folder, code, logs, port).out == "ConnectionRefusedError\n"
    (logs / "out").unlink()
    listed = run(walled, spec(folder, "/bin/cat", "/proc/net/dev", "/proc/net/route"), logs).out
    assert [line.split(":")[0].strip() for line in listed.splitlines() if ":" in line] == ["lo"]


def test_starters_environment_does_not_leak(
    tight: Box, folder: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of the starter can't be found anywhere in /proc inside."""
    monkeypatch.setenv("OVERNIGHT_TEST_SECRET", "t3rc3s of the starter")
    code = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        print(pid, name, b"s3cr3t"[::-1] in open(f"/proc/{pid}/{name}", "rb").read())
"""
    done = run_python(tight, folder, code, logs)
    assert done.out.split("\n")[:2] == ["1 environ False", "1 cmdline False"]
    assert "True" not in done.out


def test_environment_is_in_no_command_line(tight: Box, folder: Path, held: Held) -> None:
    """While a box runs, no process's command line on the machine holds a value of its environment."""
    value = f"value-{os.urandom(8).hex()}"

    async def story() -> None:
        env = {**PATH, "TOKEN": value}
        order = spec(folder, "/bin/sh", "-c", "echo up $TOKEN; sleep 1000", env=env, stdout=held.path)
        process = await tight.start(order)
        assert await held.line() == f"up {value}\n"
        lines = _command_lines()
        await process.kill()
        assert any(b"--args" in line for line in lines)
        assert not [line for line in lines if value.encode() in line]

    within(story())


def _command_lines() -> list[bytes]:
    found: list[bytes] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
    return found


def test_processes_of_the_machine_are_unseen(tight: Box, folder: Path, logs: Path) -> None:
    """Inside there are bwrap's first process and argv."""
    code = "import os; print(sorted(int(n) for n in os.listdir('/proc') if n.isdigit()), os.getpid())"
    assert run_python(tight, folder, code, logs).out == "[1, 2] 2\n"


def test_set_id_bits_are_refused(walled: Box, folder: Path, logs: Path) -> None:
    """A file can't get a setuid or setgid bit, which would be live outside; without a box it can."""
    (folder / "program").write_text("#!/bin/sh\n")
    lines = ("chmod u+s program", "chmod g+s program", "install -m 4755 /bin/true made", "chmod 2755 .")
    assert tried(Unconfined(), folder, logs, lines[0]) == f"THROUGH: {lines[0]}\n"
    (folder / "program").chmod(0o755)
    (logs / "out").unlink()
    assert tried(walled, folder, logs, *lines, "chmod 755 program") == "THROUGH: chmod 755 program\n"
    assert not [path for path in (folder, *folder.iterdir()) if path.stat().st_mode & 0o6000]


def test_stdin_can_not_be_written(walled: Box, folder: Path, logs: Path) -> None:
    """The file that standard input comes from stays as it is; without a box it can be opened anew for writing."""
    given = logs / "in"
    given.write_text("asked")
    order = spec(folder, "/bin/sh", "-c", "printf forged > /proc/self/fd/0", stdin=str(given))
    run(walled, order, logs)
    assert given.read_text() == "asked"
    run(Unconfined(), order, logs)
    assert given.read_text() == "forged"


def test_kernel_settings_are_read_only(tight: Box, folder: Path, logs: Path) -> None:
    """Outside of the box's own processes nothing in /proc can be opened for writing, whoever started the box."""
    code = """
import os
seen = 0
for root, folders, files in os.walk("/proc"):
    if root == "/proc": folders[:] = [f for f in folders if not f.isdigit() and f not in ("self", "thread-self")]
    for name in files:
        path = os.path.join(root, name)
        seen += 1
        if not os.path.islink(path) and os.access(path, os.W_OK): print(path)
print(seen > 100)
"""
    assert run_python(tight, folder, code, logs).out == "True\n"


def test_capabilities_are_gone(tight: Box, folder: Path, logs: Path) -> None:
    """No capability, no way to gain one, a filter in place, no core dumps, bounded files."""
    done = run(tight, spec(folder, "/bin/sh", "-c", "cat /proc/self/status; ulimit -c; ulimit -n; id -u"), logs)
    fields = dict(line.split(":\t", 1) for line in done.out.splitlines() if ":\t" in line)
    assert {fields[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    core, files, uid = done.out.splitlines()[-3:]
    assert core == "0"
    assert int(files) <= 8192
    assert int(uid) == (os.geteuid() or 1000)


def test_temporary_folders_are_private_and_bounded(folder: Path, logs: Path) -> None:
    """What is written to /tmp and its like is not on the machine, and ends at the set size."""
    assert named("system") or named("wheel")
    name = f"overnight-{os.urandom(8).hex()}"
    small = Bubblewrap(BoxSettings(tmp=Size(1 << 20)))
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        done = run(small, spec(folder, "/bin/sh", "-c", f"head -c 3000000 /dev/zero > {place}/{name}"), logs)
        assert "No space left" in done.err
        assert not Path(place, name).exists()
        (logs / "err").unlink()


def test_tools_are_shown_read_only(folder: Path, logs: Path, tmp_path: Path) -> None:
    """A tool folder of the machine's owner is on the PATH inside, and can't be written."""
    tools = tmp_path / "tools"
    (tools / "bin").mkdir(parents=True)
    tool = tools / "bin" / "my-tool"
    tool.write_text("#!/bin/sh\necho of the tools\n")
    tool.chmod(0o755)
    settings = BoxSettings(tools=(str(tools),))
    order = spec(folder, "/bin/sh", "-c", f"my-tool; echo x > {tool}", env={"PATH": inside_path(settings)})
    done = run(Bubblewrap(settings), order, logs)
    assert done.out == "of the tools\n"
    assert "Read-only file system" in done.err


def _git(*words: str, cwd: Path) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *identity, *words], cwd=cwd, env=GIT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The person's repository with one commit and a work tree beside it."""
    path = tmp_path / "repo"
    path.mkdir()
    _git("init", "-q", "-b", "main", cwd=path)
    (path / "a.txt").write_text("a\n")
    _git("add", ".", cwd=path)
    _git("commit", "-q", "-m", "first", cwd=path)
    _git("worktree", "add", "-q", "--detach", str(tmp_path / "tree"), cwd=path)
    return path


@pytest.fixture
def private(repo: Path, tmp_path: Path) -> Path:
    """A private git dir that borrows the repository's objects."""
    path = tmp_path / "private"
    _git("init", "-q", "--bare", str(path), cwd=tmp_path)
    _git("config", "core.bare", "false", cwd=path)
    (path / "objects" / "info" / "alternates").write_text(f"{repo}/.git/objects\n")
    (path / "HEAD").write_text(_git("rev-parse", "HEAD", cwd=repo) + "\n")
    return path


def test_git_works_on_the_private_git_dir(box: Box, repo: Path, private: Path, tmp_path: Path, logs: Path) -> None:
    """Real git inside commits to the private git dir; the person's repository and work tree learn nothing of it."""
    tree, before = tmp_path / "tree", (tmp_path / "tree" / ".git").read_text()
    script = "git reset -q && echo b > b.txt && git add -A && git -c user.name=x -c user.email=x@y commit -qm second"
    order = spec(
        tree,
        *("/bin/sh", "-c", f"{script} && git log --format=%s && git rev-parse HEAD && git status --short"),
        env=GIT,
        writable=(str(tree), str(private)),
        readable=(str(repo / ".git" / "objects"),),
        git=(str(tree), str(private)),
    )
    done = run(box, order, logs)
    assert done.code == 0, done.err
    made = done.out.splitlines()[2]
    assert done.out.splitlines() == ["second", "first", made]
    assert (private / "HEAD").read_text().strip() == made
    assert (tree / ".git").read_text() == before
    assert _git("rev-parse", "HEAD", cwd=tree) == _git("rev-parse", "main", cwd=repo) != made
    with pytest.raises(subprocess.CalledProcessError):
        _git("cat-file", "-e", made, cwd=repo)


def test_git_cover_can_not_be_moved(walled: Box, repo: Path, private: Path, tmp_path: Path, logs: Path) -> None:
    """Inside, `.git` is one read-only line; it can't be written, removed, renamed or covered."""
    tree = tmp_path / "tree"
    lines = ("echo x > .git", "rm -f .git", "mv .git git", "ln -sf /tmp .git", "chmod 777 .git", "ls " + str(repo))
    fields = {"writable": (str(tree), str(private)), "git": (str(tree), str(private))}
    read = f"test \"$(cat .git)\" = 'gitdir: {private}'"
    before = (tree / ".git").read_text()
    assert tried(walled, tree, logs, *lines, read, **fields) == f"THROUGH: {read}\n"
    assert (tree / ".git").read_text() == before


def test_git_cover_needs_a_real_file(walled: Box, repo: Path, private: Path, tmp_path: Path) -> None:
    """A `.git` that became a symbolic link is refused: the cover would lie elsewhere."""
    tree = tmp_path / "tree"
    (tree / ".git").rename(tree / "was")
    (tree / ".git").symlink_to("was")
    fields = {"writable": (str(tree), str(private)), "git": (str(tree), str(private))}
    with pytest.raises(BoxUnavailable, match="is not a file"):
        within(walled.start(spec(tree, "/bin/true", **fields)))


def test_unix_sockets_need_a_setting(folder: Path, logs: Path) -> None:
    """Programs make unix sockets only where the machine's owner lets them; pairs always work."""
    code = """
import socket
socket.socketpair()
try: socket.socket(socket.AF_UNIX).bind("s"); print("bound")
except OSError as error: print(error.errno)
"""
    assert run_python(Bubblewrap(), folder, code, logs).out == f"{errno.EAFNOSUPPORT}\n"
    (logs / "out").unlink()
    assert run_python(Bubblewrap(BoxSettings(unix_sockets=True)), folder, code, logs).out == "bound\n"


def test_boxes_do_not_see_each_other(walled: Box, folder: Path, logs: Path, held: Held) -> None:
    """Two boxes at once may ask for the same port, and neither reaches the other's."""
    (port,) = walled.ports(1)

    async def story() -> str:
        first = await walled.start(
            spec(folder, "/bin/sh", "-c", "echo up; sleep 1000", ports=(port,), stdout=held.path)
        )
        assert await held.line() == "up\n"
        code = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})))"
        second = await ran(walled, spec(folder, PYTHON, "-I", "-S", "-c", code), logs)
        await first.kill()
        first.listeners[0].close()
        return second.out

    assert within(story()) == f"{errno.ECONNREFUSED}\n"
