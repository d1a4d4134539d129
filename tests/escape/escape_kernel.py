"""Attacks through the kernel's other doors, and on what the machine has only so much of."""

from __future__ import annotations

from escape_attack import attack
from escape_effects import (
    alive,
    both,
    crowded,
    filled,
    holding,
    key_on_the_machine,
    opened,
    other_namespace,
    process,
    resident,
    swarming,
    weighs,
)

_NEW_USER = 0x10000000

KERNEL = (
    attack("new-user-namespace", "kernel", f"call('unshare', {_NEW_USER}); hold()", other_namespace("user"),
           standing=True, needs="user namespaces"),
    attack("new-network-namespace", "kernel", f"call('unshare', {_NEW_USER} | 0x40000000); hold()",
           other_namespace("net"), standing=True, needs="user namespaces"),
    attack("new-namespace-by-clone", "kernel", """
           libc.syscall.restype = ctypes.c_long
           pid = libc.syscall({"x86_64": 56, "aarch64": 220}[os.uname().machine], ctypes.c_long(0x10000000 | 17), None, None, None, None)
           if pid == 0:
               hold()
           if pid > 0:
               signal.pause()
           """, other_namespace("user"), standing=True, needs="user namespaces"),
    attack("new-namespace-by-clone3", "kernel", """
           arguments = (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17, 0, 0, 0)
           if call("clone3", arguments, 64) == 0:
               hold()
           signal.pause()
           """, other_namespace("user"), standing=True, needs="user namespaces"),
    attack("keyring", "kernel", """
           call("add_key", b"user", token.encode(), b"x", 1, -4)
           hold()
           """, key_on_the_machine, standing=True, needs="keyrings"),
    attack("bpf-map", "kernel", """
           order = struct.pack("IIIIII", 2, 4, 4, 1, 0, 0).ljust(128, b"\\0")
           f = call("bpf", 0, order, len(order))
           hold()
           """, holding("anon_inode:bpf-map"), standing=True, user=False, needs="bpf"),
    attack("performance-counter", "kernel", """
           order = bytearray(128)
           struct.pack_into("IIQ", order, 0, 1, 128, 1)
           struct.pack_into("Q", order, 40, 0x60)
           f = call("perf_event_open", bytes(order), 0, -1, -1, 0)
           hold()
           """, holding("anon_inode:[perf_event]"), standing=True, needs="perf"),
    attack("page-faults", "kernel", "f = call('userfaultfd', 1); hold()", holding("anon_inode:[userfaultfd]"),
           standing=True, needs="userfaultfd"),
    attack("io-uring", "kernel", "f = call('io_uring_setup', 4, bytes(120)); hold()", holding("anon_inode:[io_uring]"),
           standing=True, needs="io_uring"),
    attack("watch-all-files", "kernel", "f = call('fanotify_init', 0, 0); hold()", holding("anon_inode:[fanotify]"),
           standing=True, user=False, needs="fanotify"),
    attack("watch-files", "kernel", "f = call('fanotify_init', 0x200, 0); hold()", holding("anon_inode:[fanotify]"),
           standing=True, needs="fanotify"),
    attack("new-file-system", "kernel", "f = call('fsopen', b'tmpfs', 0); hold()", holding("anon_inode:[fscontext]"),
           standing=True, user=False, needs="fsopen"),
    attack("no-address-randomisation", "kernel", "call('personality', 0x0040000); hold()",
           process("personality", lambda text: int(text, 16) & 0x40000 != 0), standing=True),
    attack("type-into-terminal", "terminal", """
           fcntl.ioctl(0, 0x540E, 0)  # TIOCSCTTY: the terminal becomes this session's
           for letter in token + "\\n":
               fcntl.ioctl(0, 0x5412, letter.encode())
           """, lambda scene, name: scene.tokens[name].encode() in scene.typed(), standing=True, needs="TIOCSTI"),
    attack("core-dumps", "kernel", """
           resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
           hold()
           """, process("limits", lambda text: "Max core file size        0  " not in text), standing=True,
           needs="core dumps"),
    attack("enter-namespace", "kernel", """
           call("setns", os.open(f"/proc/{scene.victim}/ns/mnt", os.O_RDONLY), 0x20000)
           hold()
           """, other_namespace("mnt"), standing=True, user=False),
)  # fmt: skip

#: Bounds of the boxes that these run in, and what is asked for in them: more than the bound, little for a machine.
FILES, PROCESSES, TEMPORARY, MEMORY, DISK, MANY = 256, 128, 8 << 20, 256 << 20, 16 << 20, 1000

RESOURCES = (
    attack("open-many-files", "files", """
           hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
           resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1024), hard))
           kept = []
           with contextlib.suppress(OSError):
               while len(kept) < 600:
                   kept.append(os.open("/dev/null", os.O_RDONLY))
           os.close(kept.pop())
           hold()
           """, opened(500), standing=True),
    attack("fork-bomb", "swarm", f"""
           for _ in range({PROCESSES * 2}):
               try:
                   if os.fork() == 0:
                       time.sleep(30)
                       os._exit(0)
               except OSError:
                   break
           hold()
           """, swarming(PROCESSES + 20), standing=True),
    attack("memory-bomb", "memory", f"""
           kept = bytearray({MEMORY * 3 // 2})
           kept[::4096] = b"x" * len(kept[::4096])
           hold()
           """, resident(MEMORY), standing=True),
    attack("fill-temporary-folder", "fill", f"""
           with contextlib.suppress(OSError), open(f"/tmp/{{token}}", "wb", 0) as file:
               for _ in range({TEMPORARY * 3 >> 20}):
                   file.write(bytes(1 << 20))
           hold()
           """, filled("/tmp", TEMPORARY * 2), standing=True),
    attack("fill-shared-memory", "fill", f"""
           with contextlib.suppress(OSError), open(f"/dev/shm/{{token}}", "wb", 0) as file:
               for _ in range({TEMPORARY * 3 >> 20}):
                   file.write(bytes(1 << 20))
           hold()
           """, filled("/dev/shm", TEMPORARY * 2), standing=True),
    attack("fill-worktree", "disk", f"""
           with open("large", "wb", 0) as file:
               for _ in range({DISK * 3 >> 20}):
                   file.write(os.urandom(1 << 20))
           hold()
           """, both(alive, weighs("state/worktrees/t1/large", DISK)), standing=True),
    attack("crowd-worktree", "crowd", f"""
           os.mkdir("many")
           for number in range({MANY * 3}):
               open(f"many/{{number}}", "w").close()
           hold()
           """, both(alive, crowded("state/worktrees/t1/many", MANY)), standing=True),
)  # fmt: skip
