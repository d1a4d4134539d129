"""The machine itself: processes, services, power, kernel, firewalls, schedules."""

from __future__ import annotations

import re

from overnight.guard.effects import Delete, Infra, Kill, Net, Persist, Privilege
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.paths import writable
from overnight.guard.text import HOLE, Text, known, shown

#: Processes that are not the agent's to end.
SUPERVISORS = re.compile(r"overnight|claude|warden|sshd|systemd|dockerd|Xorg|gnome-shell|init\b")


@model("kill", "pkill", "killall", "killall5", "skill", "xkill", "taskkill", "stop-process")
def kill(run: Run) -> Text | None:
    """Signals to processes."""
    found = options(run.args, valued=("-s", "--signal", "-n", "-u", "--user", "-g", "-t", "-P"))
    if {"-l", "-L", "--list", "--table", "--help", "--version", "-0"} & set(run.args):
        return Text("")
    if run.name == "kill":
        args = run.args
        if args and args[0] in ("-s", "-n", "--signal"):
            args = args[2:]
        elif args and re.fullmatch(r"-(?:\d+|[A-Za-z]+\d*)", args[0]) and len(args) > 1:
            args = args[1:]
        for target in args:
            if target in ("--",):
                continue
            run.emit(Kill(target=_target(run, target), words=run.words))
        return Text("")
    targets = found.operands
    if run.name in ("xkill", "killall5") or (run.name == "skill" and any(not target.isdigit() for target in targets)):
        # They end whatever a user, a terminal or a click of the mouse names.
        run.emit(Kill(target="all", words=run.words))
    if found.has("-u", "--user") and not targets:
        run.emit(Kill(target="all", words=run.words))
    for target in targets:
        everything = target in (".", ".*", "", "*") or HOLE in target
        supervisor = SUPERVISORS.search(target)
        run.emit(Kill(target="all" if everything else "supervisor" if supervisor else shown(target), words=run.words))
    return Text("")


def _target(run: Run, target: Text) -> str:
    """Whom a signal would reach: an id, or one of the names that no call may end."""
    if target == "-1":
        return "all"
    if target == "1":
        return "init"
    parent = run.state.get("PPID")[0]
    if target.lstrip("-") == parent or (run.m.hunts and not known(target)):
        return "supervisor"
    return shown(target)


@model(
    "systemctl",
    "service",
    "rc-service",
    "initctl",
    "sv",
    "supervisorctl",
    "pm2",
    "update-rc.d",
    "chkconfig",
    "rc-update",
    "brew-services",
)
def services(run: Run) -> Text | None:
    """Services of the machine or the user."""
    found = options(run.args, valued=("-H", "--host", "-M", "-p", "--property", "-t", "--type", "-n", "--lines", "-o"))
    words = found.operands
    if found.has("--help", "--version") or not words:
        return Text(HOLE)
    verb = words[0] if run.name not in ("service", "rc-service") else (words[1] if len(words) > 1 else "status")
    if verb in (
        "poweroff",
        "reboot",
        "halt",
        "kexec",
        "suspend",
        "hibernate",
        "rescue",
        "emergency",
        "isolate",
        "default",
    ):
        run.emit(Privilege(how="power", words=run.words))
    elif verb in ("enable", "link", "edit", "set-default", "add", "preset", "defaults"):
        run.emit(Persist(kind="service", path=" ".join(words[1:2]), words=run.words))
    elif verb in (
        "stop",
        "disable",
        "mask",
        "kill",
        "restart",
        "try-restart",
        "delete",
        "remove",
        "shutdown",
        "revert",
        "daemon-reexec",
    ):
        run.emit(
            Infra(
                service=run.name,
                verb="destroy" if verb != "restart" else "change",
                detail=" ".join(words[:2]),
                words=run.words,
            )
        )
    elif verb in ("start", "reload", "daemon-reload", "set-property", "set-environment", "import-environment"):
        run.emit(Infra(service=run.name, verb="change", detail=" ".join(words[:2]), words=run.words))
    return Text(HOLE)


@model("serve", "http-server", "live-server", "darkhttpd", "miniserve", "webfsd", "thttpd", "mini_httpd", "sirv", "dufs", "twistd", "simple-http-server",
       "gohttpserver", "updog", "webhook-server")  # fmt: skip
def file_servers(run: Run) -> Text | None:
    """A folder is handed to whoever asks."""
    options_ = ("-p", "--port", "-l", "--listen", "-b", "--bind", "-a", "--addr", "--cors", "-t", "-c", "-u", "-g")
    folders = options(run.args, valued=(*options_, *_SERVED))
    for folder in [*folders.all(*_SERVED), *(word for word in folders.operands if word not in ("web", "http"))]:
        served(run, folder)
    return Text(HOLE)


#: Options that name the folder to serve.
_SERVED = ("--root", "-root", "--path", "--directory", "--dir", "-d", "-r", "-h", "-H")


def served(run: Run, folder: Text) -> None:
    """Files below a folder can be fetched by others: nothing but the run's own may be."""
    place = run.path(run.m.bounds.home + folder[1:] if folder.startswith("~") else folder)
    if not writable(place, run.m.bounds):
        run.emit(Net(host="", how="write", sends="file", words=run.words))


@model("nginx", "apachectl", "caddy", "httpd", "apache2ctl", "varnishadm", "unitd", "envoy", "lighttpd")
def web_servers(run: Run) -> Text | None:
    """Stopping or reloading a server that others use."""
    if {"stop", "quit", "graceful-stop", "-k", "ban", "vcl.discard"} & set(run.args) and "graceful" not in run.args:
        run.emit(Infra(service=run.name, verb="destroy", detail=" ".join(run.args[:3]), words=run.words))
    if run.name in ("httpd", "caddy"):
        found = options(run.args, valued=("-p", "-c", "--listen", "--domain", "--config", "-f", *_SERVED))
        for folder in found.all("-h", "--root", "-r") if run.name == "caddy" or found.has("-h") else []:
            served(run, folder)
    return Text(HOLE)


@model(
    "shutdown",
    "reboot",
    "halt",
    "poweroff",
    "init",
    "telinit",
    "pm-suspend",
    "pm-hibernate",
    "stop-computer",
    "restart-computer",
)
def power(run: Run) -> Text | None:
    """The machine goes down."""
    if run.args[:1] not in (["-c"], ["--help"], ["--version"], ["--show"]):
        run.emit(Privilege(how="power", words=run.words))
    return Text("")


_KERNEL_LOOKS = frozenset(
    {
        "--help",
        "--version",
        "-h",
        "-V",
        "--list",
        "-l",
        "status",
        "--display",
        "--query",
        "list",
        "read",
        "read-type",
        "find",
        "domains",
        "help",
        "get",
        "-g",
        "-p",
        "-n",
        "-a",
        "-d",
    }
)


@model("insmod", "modprobe", "rmmod", "depmod", "kexec", "sysctl", "update-grub", "grub-install", "efibootmgr", "bootctl", "dracut", "mkinitcpio", "update-initramfs", "nvram",
       "csrutil", "bless", "ldconfig", "update-alternatives", "alternatives", "timedatectl-set", "hwclock", "swapon", "mount", "umount", "mokutil", "bcdedit", "setenforce",
       "aa-teardown", "apparmor_parser", "semanage", "setsebool", "auditctl", "sbctl", "tuned-adm", "cpupower", "kmutil", "nvme-format", "systemsetup", "pmset", "defaults", "sips",
       "profiles", "pkgutil", "mdimport", "mdutil", "sample", "textutil", "lsregister", "osascript", "open", "xdg-open", "hidutil", "dtrace", "dtruss", "gsettings", "dconf")  # fmt: skip
def kernel(run: Run) -> Text | None:
    """Kernel, boot, mounts, system settings. What only _KERNEL_LOOKS is left alone."""
    words = run.args
    if run.name in (
        "defaults",
        "gsettings",
        "dconf",
        "pmset",
        "profiles",
        "csrutil",
        "nvram",
        "systemsetup",
        "pkgutil",
    ):
        if words[:1] and words[0] in (
            "write",
            "delete",
            "set",
            "reset",
            "import",
            "rename",
            "remove",
            "install",
            "disable",
            "enable",
            "sleepnow",
            "clear",
            "--forget",
            "-c",
            "-d",
            "-setremotelogin",
        ):
            run.emit(Privilege(how="kernel", words=run.words))
        return Text(HOLE)
    if run.name == "osascript":
        for code in options(words, valued=("-e", "-l")).all("-e"):
            if "JavaScript" in words:
                from overnight.guard.unwrap.scripts import source_effects

                source_effects(run, code, "other")
            if re.search(r"login item|keystroke|key code|keychain", code):
                run.emit(Persist(kind="autostart", path="osascript", words=run.words))
            for inner in re.findall(r"do shell script \"((?:[^\"\\]|\\.)*)\"", code):
                run.shell(Text(inner.replace('\\"', '"')), "osascript")
        return Text(HOLE)
    if run.name in ("sips", "sample", "textutil", "mdimport", "lsregister", "open", "xdg-open"):
        from overnight.guard.models.unknown import touched

        touched(run, words)
        return Text(HOLE)
    if run.name == "sysctl":
        if (
            any("=" in word for word in words)
            or {"-w", "--write", "--system", "--load"} & set(words)
            or (words[:1] == ["-p"])
        ):
            run.emit(Privilege(how="kernel", words=run.words))
        return Text(HOLE)
    if run.name == "mount" and not [word for word in words if not word.startswith("-")]:
        return Text(HOLE)
    if not _KERNEL_LOOKS & set(words) or run.name in ("mount", "umount", "insmod", "rmmod", "kexec"):
        run.emit(Privilege(how="kernel", words=run.words))
    return Text(HOLE)


@model("iptables", "ip6tables", "nft", "ufw", "firewall-cmd", "pfctl", "ebtables", "ipset", "tc", "fail2ban-client")
def firewall(run: Run) -> Text | None:
    """Packet filters."""
    looks = {"-L", "-S", "--list", "list", "status", "--list-all", "-s", "show", "--state", "--help", "-V", "--version"}
    if not looks & set(run.args) or {"-F", "--flush", "flush"} & set(run.args):
        run.emit(Privilege(how="firewall", words=run.words))
    return Text(HOLE)


@model("crontab", "anacron", "fcrontab")
def crontab(run: Run) -> Text | None:
    """Schedules: listing is fine, the rest stays behind."""
    found = options(run.args, valued=("-u",))
    if found.has("-l") and not found.has("-r"):
        return Text(HOLE)
    if found.has("-r"):
        run.emit(Delete(path=run.m.bounds.home + "/.crontab", how="crontab -r", words=run.words))
    text = run.read(found.operands[0]) if found.operands and found.operands[0] != "-" else run.stdin
    for line in (text or "").split("\n"):
        match = re.match(r"\s*(?:@\w+|(?:\S+\s+){5})(.+)", line)
        if match and not line.lstrip().startswith("#"):
            run.shell(Text(match.group(1)), "crontab", stdin=Text(""))
    run.emit(Persist(kind="cron", path="crontab", words=run.words))
    return Text("")


@model(
    "vssadmin",
    "wevtutil",
    "auditd",
    "logrotate",
    "wbadmin",
    "diskpart",
    "cipher",
    "reg",
    "schtasks",
    "bcdboot",
)
def traces(run: Run) -> Text | None:
    """Traces and Windows' own machinery."""
    if {"delete", "-c", "cl", "-w", "/delete", "add", "/create", "-f"} & {word.lower() for word in run.args}:
        run.emit(Privilege(how="kernel", words=run.words))
    return Text("")


@model("gdb", "lldb", "strings-core", "gcore", "ptrace", "reptyr", "bpftrace", "bpftool")
def debugger(run: Run) -> Text | None:
    """A debugger reads and bends other processes, and runs code."""
    found = options(run.args, valued=("-p", "-x", "-ex", "--eval-command", "-c", "-iex", "-o", "-e"), single_dash=True)
    for code in found.all("-ex", "--eval-command", "-iex", "-o", "-e"):
        match = re.match(r"\s*(?:shell|!|make|platform shell|python)\s*(.*)", code)
        if match:
            run.shell(Text(re.sub(r"^import os;?\s*os\.system\(['\"](.*)['\"]\)", r"\1", match.group(1))), run.name)
    if found.has("-p", "--pid", "-pid"):
        run.emit(Privilege(how="kernel", words=run.words))
    if run.name == "bpftrace":
        for code in found.all("-e"):
            for inner in re.findall(r"system\(\"([^\"]*)\"", code):
                run.shell(Text(inner), "bpftrace")
    return Text(HOLE)


@model(
    "claude",
    "claude-code",
    "codex",
    "gemini",
    "gemini-cli",
    "opencode",
    "aider",
    "cursor-agent",
    "amp",
    "goose-ai",
    "nah",
    "cc-safety-net",
    "dippy",
    "seatbelt",
    "tirith",
)
def agents(run: Run) -> Text | None:
    """Agents and guards: starting one unguarded, or bending one, is no task's work."""
    from overnight.guard.effects import Guarding

    words = [word for word in run.args if not word.startswith("-")]
    looks = {
        "--version",
        "-v",
        "--help",
        "-h",
        "explain",
        "status",
        "list",
        "doctor",
        "help",
        "version",
        "check",
        "test",
        "show",
        "log",
        "report",
        "types",
    }
    if not run.args or looks & {*words[:1], *[word for word in run.args if word.startswith("-")]}:
        return Text(HOLE)
    run.emit(Guarding(what=f"{run.name} {words[0] if words else run.args[0]}"[:80], words=run.words))
    return Text(HOLE)
