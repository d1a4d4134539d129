"""Attacks on other processes, and attempts to outlive the box."""

from __future__ import annotations

from escape_attack import attack
from escape_effects import alive, looted, signalled, victim, victim_file, victim_memory

_DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        hold()
    os._exit(0)
while not os.path.exists(f"{scene.loot}/{name}.held"):
    time.sleep(0.01)
"""

PROCESSES = (
    attack("stop-process", "processes", "os.kill(scene.victim, signal.SIGSTOP)",
           victim(lambda status: status.get("State", "").startswith("T")), standing=True),
    attack("kill-process", "kills", "os.kill(scene.victim, signal.SIGKILL)", victim(lambda status: not status.get("VmRSS"))),
    attack(
        "kill-process-by-handle", "kills-by-handle",
        "signal.pidfd_send_signal(os.pidfd_open(scene.victim), signal.SIGKILL)",
        victim(lambda status: not status.get("VmRSS")),
    ),
    attack("signal-starter", "processes", "os.kill(scene.supervisor, signal.SIGUSR2)", signalled),
    attack(
        "signal-ancestors", "ancestors",
        """
        pid = os.getpid()
        while pid > 1:
            pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
            if pid == scene.supervisor or pid <= 1:
                os.kill(max(pid, 1) if pid == scene.supervisor else scene.supervisor, signal.SIGUSR2)
                break
        """,
        signalled,
    ),
    attack("trace-process", "traces", "call('ptrace', 16, scene.victim, 0, 0); hold()",
           victim(lambda status: status.get("TracerPid", "0") != "0"), standing=True, needs="ptrace of one's own"),
    attack(
        "read-memory", "processes",
        """
        class Piece(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
        buffer = ctypes.create_string_buffer(64)
        ours, theirs = Piece(ctypes.addressof(buffer), 64), Piece(scene.address, 64)
        call("process_vm_readv", scene.victim, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
        loot(buffer.raw)
        """,
        looted("memory"), needs="ptrace of one's own",
    ),
    attack(
        "read-memory-file", "processes",
        "loot(os.pread(os.open(f'/proc/{scene.victim}/mem', os.O_RDONLY), 64, scene.address))",
        looted("memory"), needs="ptrace of one's own",
    ),
    attack(
        "write-memory", "memory-writes",
        """
        class Piece(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
        buffer = ctypes.create_string_buffer(token.encode())
        ours, theirs = Piece(ctypes.addressof(buffer), len(token)), Piece(scene.address, len(token))
        call("process_vm_writev", scene.victim, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
        """,
        victim_memory, standing=True, needs="ptrace of one's own",
    ),
    attack(
        "write-memory-file", "memory-file-writes",
        "os.pwrite(os.open(f'/proc/{scene.victim}/mem', os.O_RDWR), token.encode(), scene.address)",
        victim_memory, standing=True, needs="ptrace of one's own",
    ),
    attack(
        "steal-descriptor", "processes",
        "loot(os.pread(call('pidfd_getfd', os.pidfd_open(scene.victim), scene.fd, 0), 100, 0))",
        looted("file"), needs="ptrace of one's own",
    ),
    attack("read-descriptor", "processes", "loot(open(f'/proc/{scene.victim}/fd/{scene.fd}').read())", looted("file"),
           needs="ptrace of one's own"),
    attack("renice-process", "processes", "os.setpriority(os.PRIO_PROCESS, scene.victim, 15)",
           victim_file("stat", lambda text: text.rpartition(")")[2].split()[16] == "15"), standing=True),
    attack("limit-process", "processes", "resource.prlimit(scene.victim, resource.RLIMIT_CORE, (4096, 4096))",
           victim_file("limits", lambda text: "Max core file size        4096" in text), standing=True),
    attack("doom-process", "processes", "open(f'/proc/{scene.victim}/oom_score_adj', 'w').write('777')",
           victim_file("oom_score_adj", lambda text: text.strip() == "777"), standing=True),
    attack("pin-process", "processes", "os.sched_setaffinity(scene.victim, {0})",
           victim(lambda status: status.get("Cpus_allowed_list") == "0"), standing=True, needs="more than one processor"),
    attack("outlive-as-daemon", "daemons", _DAEMON, alive),
    attack("outlive-kill", "daemons-killed", _DAEMON, alive),
    attack("outlive-in-background", "daemons", "hold()", alive),
    attack(
        "outlive-by-forking", "forking",
        """
        if os.fork() == 0:
            for _ in range(200):
                if os.fork() != 0:
                    os._exit(0)
                os.setsid()
            hold()
        while not os.path.exists(f"{scene.loot}/{name}.held"):
            time.sleep(0.01)
        """,
        alive,
    ),
)  # fmt: skip
