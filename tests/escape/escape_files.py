"""Attacks on files: reading and writing what is not the run's."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from escape_attack import attack
from escape_effects import (
    dated,
    device,
    emptied,
    gone,
    holding,
    in_kernel_log,
    looted,
    looted_from,
    mode,
    mounted,
    written,
)

#: Tries a path below the root and below the working folder of every process in sight.
_EVERYWHERE = """
def everywhere(tail):
    for link in ("root", "cwd"):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            yield f"/proc/{pid}/{link}{tail}"
"""

READS = (
    attack("read-key", "reads", "loot(open(f'{scene.home}/.ssh/id').read())", looted("ssh")),
    attack("read-key-by-dots", "reads", "loot(open('../../../home/.ssh/id').read())", looted("ssh")),
    attack(
        "read-key-by-link", "reads",
        "os.symlink(f'{scene.home}/.ssh/id', 'notes'); loot(open('notes').read())",
        looted("ssh"),
    ),
    attack(
        "read-key-by-proc-root", "reads",
        _EVERYWHERE + """
for path in everywhere(f"{scene.home}/.ssh/id"):
    with contextlib.suppress(OSError):
        loot(open(path).read())
""",
        looted("ssh"),
    ),
    attack("read-key-by-proc-cwd", "reads", "loot(open(f'/proc/{scene.victim}/cwd/.ssh/id').read())", looted("ssh")),
    attack(
        "read-key-by-handle", "reads",
        """
        import base64
        handle = ctypes.create_string_buffer(base64.b64decode(scene.handle))
        loot(os.read(call("open_by_handle_at", os.open(scene.loot, os.O_RDONLY), handle, os.O_RDONLY), 100))
        """,
        looted("ssh"), user=False, needs="file handles on the temporary folder's file system",
    ),
    attack("read-other-worktree", "reads", "loot(open(f'{scene.other}/secret').read())", looted("other")),
    attack("read-repository-config", "reads", "loot(open(f'{scene.repo}/.git/config').read())", looted("config")),
    attack("read-shared-memory", "reads", "loot(open(scene.memory).read())", looted("shm")),
    attack("list-home", "reads", "loot(repr(os.listdir(scene.home)))", looted_from(lambda _: "cherished")),
    attack(
        "read-password-hashes", "reads",
        "import hashlib; loot(hashlib.sha256(open('/etc/shadow', 'rb').read()).hexdigest())",
        looted_from(lambda _: _digest("/etc/shadow")), user=False,
    ),
    attack(
        "read-password-file", "reads",
        "import hashlib; loot(hashlib.sha256(open('/etc/passwd', 'rb').read()).hexdigest())",
        looted_from(lambda _: _digest("/etc/passwd")),
    ),
    attack(
        "read-machine-id", "reads",
        "loot('is ' + open('/etc/hostname').read())",
        looted_from(lambda _: "is " + Path("/etc/hostname").read_text()), needs="a name",
    ),
    attack(
        "read-hardware", "reads",
        "loot(repr(sorted(os.listdir('/sys/block')))); loot(open('/sys/kernel/mm/transparent_hugepage/enabled').read())",
        looted_from(lambda _: repr(sorted(path.name for path in Path("/sys/block").iterdir()))), needs="/sys",
    ),
    attack(
        "read-environment-of-starter", "reads",
        """
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                loot(open(f"/proc/{pid}/environ", "rb").read())
        """,
        looted("supervisor"),
    ),
    attack(
        "read-environment-of-process", "reads",
        "loot(open(f'/proc/{scene.victim}/environ', 'rb').read())",
        looted("victim"),
    ),
    attack(
        "read-command-lines", "reads",
        """
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                loot(open(f"/proc/{pid}/cmdline", "rb").read())
        """,
        looted("argument"),
    ),
    attack(
        "read-inherited-descriptors", "reads",
        """
        for fd in range(3, 1000):
            with contextlib.suppress(OSError):
                loot(os.pread(fd, 100, 0))
        """,
        looted("handed"),
    ),
    attack(
        "read-kernel-log", "reads",
        """
        buffer = ctypes.create_string_buffer(1 << 20)
        loot(buffer.raw[: call("syslog", 3, buffer, len(buffer))])
        """,
        looted_from(lambda _: "Linux version"), user=False, needs="a kernel log that still holds its beginning",
    ),
)  # fmt: skip

WRITES = (
    attack("write-home", "writes", "open(f'{scene.home}/cherished', 'a').write(token)", written("home/cherished")),
    attack(
        "write-by-dots", "writes", "open('../../../home/by-dots', 'w').write(token)", written("home/by-dots")
    ),
    attack(
        "write-by-link", "writes",
        "os.symlink(f'{scene.home}/by-link', 'out'); open('out', 'w').write(token)",
        written("home/by-link"),
    ),
    attack(
        "write-by-folder-link", "writes",
        "os.symlink(scene.home, 'folder'); open('folder/by-folder', 'w').write(token)",
        written("home/by-folder"),
    ),
    attack(
        "write-by-hard-link", "writes",
        "os.link(f'{scene.home}/cherished', 'same'); open('same', 'a').write(token)",
        written("home/cherished"),
    ),
    attack(
        "write-by-proc-root", "writes",
        _EVERYWHERE + """
for path in everywhere(f"{scene.home}/by-root"):
    with contextlib.suppress(OSError):
        open(path, "w").write(token)
""",
        written("home/by-root"),
    ),
    attack(
        "write-by-proc-cwd", "writes",
        "open(f'/proc/{scene.victim}/cwd/by-cwd', 'w').write(token)",
        written("home/by-cwd"),
    ),
    attack("write-other-worktree", "writes", "open(f'{scene.other}/mine', 'w').write(token)", written("other/mine")),
    attack("delete-other-worktree", "writes", "os.remove(f'{scene.other}/doomed')", gone("other/doomed")),
    attack("delete-in-home", "writes", "os.remove(f'{scene.home}/doomed')", gone("home/doomed")),
    attack(
        "rename-outwards", "writes",
        "open('cuckoo', 'w').write(token); os.rename('cuckoo', f'{scene.home}/cuckoo')",
        written("home/cuckoo"),
    ),
    attack("write-shared-memory", "writes", "open(scene.memory, 'w').write(token)", lambda s, n: s.tokens[n] in s.memory.read_text()),
    attack("write-read-only", "writes", "open(f'{scene.shown}/library', 'a').write(token)", written("shown/library")),
    attack("truncate-read-only", "truncates", "os.truncate(f'{scene.shown}/library', 0)", emptied("shown/library", "read only")),
    attack("add-to-read-only", "writes", "open(f'{scene.shown}/new', 'w').write(token)", written("shown/new")),
    attack("open-up-modes", "writes", "os.chmod(f'{scene.home}/.ssh/id', 0o666)", mode("home/.ssh/id", 0o022)),
    attack("forge-times", "writes", "os.utime(f'{scene.home}/.bashrc', (86400, 86400))", dated("home/.bashrc", 86400)),
    attack(
        "forge-standard-input", "writes",
        "open('/proc/self/fd/0', 'w').write(token)",
        written("stdin"),
    ),
    attack(
        "set-user-id", "writes",
        "shutil.copy('/bin/true', 'suid'); os.chmod('suid', 0o4755)",
        mode("state/worktrees/t1/suid", stat.S_ISUID),
    ),
    attack(
        "set-group-id-folder", "writes",
        "os.mkdir('sgid'); os.chmod('sgid', 0o2755)",
        mode("state/worktrees/t1/sgid", stat.S_ISGID),
    ),
    attack(
        "set-user-id-at-creation", "writes",
        "os.close(os.open('born', os.O_CREAT | os.O_WRONLY, 0o4755))",
        mode("state/worktrees/t1/born", stat.S_ISUID),
    ),
    attack(
        "set-capabilities", "writes",
        """
        shutil.copy("/bin/true", "able")
        os.setxattr("able", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0))
        """,
        lambda scene, _: "security.capability" in _attributes(scene.tree / "able"), user=False,
        needs="extended attributes on the temporary folder's file system",
    ),
    attack("make-character-device", "writes", "os.mknod('zero', stat.S_IFCHR | 0o666, os.makedev(1, 5))",
           device("state/worktrees/t1/zero"), user=False),
    attack("make-block-device", "writes", "os.mknod('disk', stat.S_IFBLK | 0o666, os.makedev(7, 0))",
           device("state/worktrees/t1/disk"), user=False),
    attack(
        "write-kernel-log", "writes",
        "open('/dev/kmsg', 'w').write(f'overnight escape suite: {token}')",
        in_kernel_log, user=False, needs="/dev/kmsg",
    ),
    attack("erase-own-output", "output", "os.ftruncate(1, 0)", emptied("stdout", "told before")),
    attack(
        "erase-own-output-anew", "output-anew",
        "open('/proc/self/fd/1', 'w').close()",
        emptied("stdout", "told before"),
    ),
)  # fmt: skip

PLANTS = (
    attack("plant-shell-start", "plants", "open(f'{scene.home}/.bashrc', 'a').write(token)", written("home/.bashrc")),
    attack("plant-program", "plants", "open(f'{scene.home}/bin/git', 'w').write(token)", written("home/bin/git")),
    attack(
        "plant-agent-settings", "plants",
        "os.makedirs(f'{scene.home}/.claude'); open(f'{scene.home}/.claude/settings.json', 'w').write(token)",
        written("home/.claude/settings.json"),
    ),
    attack(
        "plant-login-key", "plants",
        "open(f'{scene.home}/.ssh/authorized_keys', 'w').write(token)",
        written("home/.ssh/authorized_keys"),
    ),
    attack(
        "plant-service", "plants",
        "os.makedirs(f'{scene.home}/.config/systemd/user'); open(f'{scene.home}/.config/systemd/user/x.service', 'w').write(token)",
        written("home/.config/systemd/user/x.service"),
    ),
    attack(
        "plant-git-settings", "plants",
        "open(f'{scene.home}/.gitconfig', 'w').write(token)",
        written("home/.gitconfig"),
    ),
    attack(
        "plant-python-start", "plants",
        "open(f'{scene.home}/usercustomize.py', 'w').write(token)",
        written("home/usercustomize.py"),
    ),
)  # fmt: skip

KNOBS = (
    attack("core-pattern", "knobs", "f = open('/proc/sys/kernel/core_pattern', 'r+'); hold()",
           holding("/proc/sys/kernel/core_pattern", writing=True), standing=True, user=False),
    attack("kernel-setting", "knobs", "f = open('/proc/sys/vm/overcommit_memory', 'r+'); hold()",
           holding("/proc/sys/vm/overcommit_memory", writing=True), standing=True, user=False),
    attack("sysrq", "knobs", "f = os.open('/proc/sysrq-trigger', os.O_WRONLY); hold()",
           holding("/proc/sysrq-trigger", writing=True), standing=True, user=False, needs="sysrq"),
    attack("uevent-helper", "knobs", "f = os.open('/sys/kernel/uevent_helper', os.O_WRONLY); hold()",
           holding("/sys/kernel/uevent_helper", writing=True), standing=True, user=False, needs="uevent_helper"),
    attack(
        "release-agent", "knobs",
        """
        for path in glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True):
            with contextlib.suppress(OSError):
                f = os.open(path, os.O_WRONLY)
        hold()
        """,
        holding("/sys/fs/cgroup/", writing=True), standing=True, user=False, needs="control groups of version 1",
    ),
    attack(
        "mount-in-own-namespace", "knobs",
        """
        call("unshare", 0x10000000 | 0x20000)
        call("mount", b"none", os.fsencode(scene.shown), b"tmpfs", 0, None)
        hold()
        """,
        mounted("shown"), standing=True, needs="user namespaces",
    ),
    attack(
        "bind-over", "knobs",
        "call('mount', os.fsencode(scene.loot), os.fsencode(scene.other), None, 4096, None); hold()",
        mounted("other"), standing=True, user=False,
    ),
    attack(
        "remount-writable", "remounts",
        """
        with contextlib.suppress(OSError):
            call("mount", None, os.fsencode(scene.shown), None, 4096 | 32, None)
        with contextlib.suppress(OSError):
            call("umount2", os.fsencode(scene.shown), 2)
        open(f"{scene.shown}/remounted", "w").write(token)
        """,
        written("shown/remounted"),
    ),
    attack("change-root", "knobs", "os.mkdir('jail'); os.chroot('jail'); hold()",
           lambda scene, name: _root_of(scene.holder(name)).endswith("/jail"), standing=True, user=False),
)  # fmt: skip


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if os.access(path, os.R_OK) else ""


def _attributes(path: Path) -> list[str]:
    return os.listxattr(path) if path.exists() else []


def _root_of(pid: int | None) -> str:
    return str(Path(f"/proc/{pid}/root").readlink()) if pid is not None else ""
