"""rm, mv, cp, ln, chmod, dd, truncate and their like."""

from __future__ import annotations

import re

from overnight.guard.effects import Delete, Device, Exec, Privilege, Write
from overnight.guard.machine import Run, base, model
from overnight.guard.options import options
from overnight.guard.paths import BOTTOMLESS, HARMLESS
from overnight.guard.text import HOLE, Text

_HELP = ("--help", "--version")
_RM = (
    "--recursive",
    "--force",
    "--interactive",
    "--no-preserve-root",
    "--preserve-root",
    "--one-file-system",
    "--verbose",
    "--dir",
)
_CP = ("-t", "--target-directory", "-S", "--suffix", "--backup", "--sparse", "--no-preserve", "--context")
_DISK = re.compile(r"/dev/(?!null|zero|u?random|std|fd/|pts|tty|full|shm|tcp|udp|console)\w")


_TEMPLATE = re.compile(r"\.(?:example|sample|template|dist|schema)$")


def is_device(path: str) -> bool:
    """True for a block device or the like."""
    return bool(_DISK.match(path)) and path not in HARMLESS


@model(
    "rm",
    "rmdir",
    "unlink",
    "trash",
    "trash-put",
    "srm",
    "rimraf",
    "del",
    "gio-trash",
    "grm",
    "safe-rm",
    "remove-item",
    "rip",
    "rm-improved",
    "del-cli",
    "trash-cli",
    "deltree",
    "erase",
)
def rm(run: Run) -> Text | None:
    """Files and folders go."""
    found = options(run.args, longs=_RM)
    if found.has(*_HELP):
        return Text(HOLE)
    recursive = found.has("-r", "-R", "--recursive") or run.name in ("rimraf",)
    for name in found.operands:
        run.delete(name, recursive=recursive, how=run.name if run.name in ("rmdir",) else "rm")
    return Text("")


@model("shred", "wipe", "scrub", "blkdiscard")
def shred(run: Run) -> Text | None:
    """Content is overwritten for good."""
    found = options(run.args, valued=("-n", "--iterations", "-s", "--size", "--random-source", "-o", "-l"))
    for name in found.operands:
        if is_device(run.path(name)):
            run.emit(Device(path=run.path(name), how=run.name, words=run.words))
        else:
            run.delete(name, how="shred")
    return Text("")


@model("set-content", "add-content", "out-file", "clear-content", "tee-object")
def set_content(run: Run) -> Text | None:
    """PowerShell's redirections."""
    found = options(run.args, valued=("-Path", "-FilePath", "-LiteralPath", "-Value"), single_dash=True)
    for name in [*found.all("-Path", "-FilePath", "-LiteralPath"), *found.operands[:1]]:
        run.write(run.m.bounds.home + name[1:] if name.startswith("~/") else name)
    return Text("")


@model("mv", "gmv", "rename-item", "move", "move-item")
def mv(run: Run) -> Text | None:
    """Sources vanish from where they were, the target is written."""
    found = options(run.args, valued=_CP)
    if found.has(*_HELP):
        return Text(HOLE)
    target, sources = _target(found.value("-t", "--target-directory"), found.operands)
    if target and run.path(target) in HARMLESS:
        run.emit(Device(path=run.path(target), how="mv", words=run.words))
    for name in sources:
        text = _moved(run, name, target, "mv")
        run.delete(name, recursive=True, how="mv")
        run.state.files.pop(run.path(name), None)
        del text
    return Text("")


def _target(named: Text | None, operands: list[Text]) -> tuple[Text, list[Text]]:
    if named is not None:
        return named, operands
    if len(operands) < 2:
        return Text(""), operands
    return operands[-1], operands[:-1]


def _moved(run: Run, source: Text, target: Text, how: str) -> Text:
    """Content goes from source to target, which may be a folder."""
    text = run.m.content(run.path(source), run.state) if how == "mv" else run.read(source, certain=how != "cp -r")
    if not target:
        return text
    template = _TEMPLATE.search(source) and re.search(r"(?:^|/)\.env[\w.-]*$", target)
    run.write(target, text, how="template" if template else "write")
    inside = run.path(target) + "/" + base(source)
    if HOLE not in source:
        run.state.files.setdefault(inside, text)
        if run.m.secret(inside) != run.m.secret(run.path(target)) or inside.rpartition("/")[2].startswith("."):
            run.emit(Write(path=inside, certain=False, words=run.words))
    return text


@model("cp", "gcp", "install", "ditto", "copy-item", "copy", "pax")
def cp(run: Run) -> Text | None:
    """Sources are read, the target is written."""
    valued = (*_CP, "-m", "--mode", "-o", "--owner", "-g", "--group") if run.name == "install" else _CP
    found = options(run.args, valued=valued)
    if run.name == "install" and re.fullmatch(r"0?[2467]\d{3}|.*\+.*s.*", found.value("-m", "--mode") or ""):
        run.emit(Privilege(how="setuid", words=run.words))
    if found.has(*_HELP):
        return Text(HOLE)
    if run.name == "install" and found.has("-d", "--directory"):
        for name in found.operands:
            run.write(name, how="folder")
        return Text("")
    target, sources = _target(found.value("-t", "--target-directory"), found.operands)
    for name in sources:
        if run.path(name) == "/dev/null" and target and run.path(target) not in HARMLESS:
            run.delete(target, how="truncate")
        if target:
            run.m.programs[run.path(target)] = run.path(name)
            _moved(run, name, target, "cp -r" if found.has("-r", "-R", "-a", "--recursive", "--archive") else "cp")
    return Text("")


@model("ln", "link", "gln", "symlink")
def ln(run: Run) -> Text | None:
    """A second name for a file: what is under it counts as the file itself."""
    found = options(run.args, valued=_CP)
    if found.has(*_HELP):
        return Text(HOLE)
    target, sources = _target(found.value("-t", "--target-directory"), found.operands)
    for name in sources:
        if target:
            text = run.m.content(run.path(name), run.state)
            if run.m.secret(run.path(name)) or not found.has("-s", "--symbolic"):
                run.read(name, certain=False)
            if found.has("-s", "--symbolic") or run.name == "symlink":
                run.m.links[run.path(target)] = run.path(name)
            elif HOLE not in name:
                run.write(name, text, how="link", certain=False)
            run.m.programs[run.path(target)] = run.path(name)
            run.emit(Write(path=run.path(target), how="link", words=run.words))
            run.state.files[run.path(target)] = text
    return Text("")


@model("gio")
def gio(run: Run) -> Text | None:
    """GNOME's files: `gio trash FILE`, `gio remove FILE`, `gio copy A B`."""
    same = {"trash": "rm", "remove": "rm", "copy": "cp", "move": "mv", "cat": "cat", "save": "tee"}
    if run.args and run.args[0] in same:
        return run.exec([Text(same[run.args[0]]), *run.args[1:]])
    return Text(HOLE)


@model("touch", "mkdir", "mkfifo", "mknod", "mkdirs", "gtouch", "md", "new-item", "fallocate")
def touch(run: Run) -> Text | None:
    """Files and folders come to be."""
    found = options(
        run.args, valued=("-m", "--mode", "-d", "--date", "-r", "--reference", "-t", "-l", "-o", "--length", "--offset")
    )
    if found.has(*_HELP):
        return Text(HOLE)
    for name in found.operands:
        run.write(name, how="folder" if run.name in ("mkdir", "md") else "touch")
    return Text("")


@model("truncate")
def truncate(run: Run) -> Text | None:
    """A file is cut or emptied."""
    found = options(
        run.args,
        valued=("-s", "--size", "-r", "--reference"),
        longs=("--no-create", "--io-blocks", "--help", "--version"),
    )
    if found.has(*_HELP):
        return Text(HOLE)
    for name in found.operands:
        run.delete(name, how="truncate")
    return Text("")


@model("tee", "sponge", "gtee")
def tee(run: Run) -> Text | None:
    """Standard input goes to files and on."""
    found = options(run.args, longs=("--append", "--ignore-interrupts", "--output-error", "--help", "--version"))
    for name in found.operands:
        run.write(name, run.stdin if run.stdin is not None else Text(HOLE))
    return run.stdin if run.stdin is not None else Text(HOLE)


@model("chmod", "chown", "chgrp", "chattr", "setfacl", "xattr", "chflags", "icacls", "chcon", "restorecon", "attrib")
def chmod(run: Run) -> Text | None:
    """Rights and owners change."""
    valued = ("--reference", "-m", "--modify", "-x", "--remove", "-M", "-X", "-d")
    found = options(
        run.args,
        valued=valued if run.name == "setfacl" else ("--reference",),
        longs=("--recursive", "--help", "--version"),
    )
    names = found.operands
    if run.name in ("chmod", "chown", "chgrp", "chattr", "chflags", "chcon") and not found.has("--reference"):
        if run.name == "chmod" and any(re.fullmatch(r"-[rwxXst]+", word) for word in run.args):
            pass
        else:
            names = names[1:]
    if run.name == "xattr" and not found.has("-w", "-d", "-c"):
        return Text(HOLE)
    mode = found.operands[0] if found.operands else ""
    recursive = found.has("-R", "--recursive")
    how = "mode-recursive" if recursive else "mode"
    if run.name == "chmod" and re.fullmatch(r"0?[2467]\d{3}|[ugoa]*\+[rwxt]*s[rwxt]*", mode):
        run.emit(Privilege(how="setuid", words=run.words))
    for name in names:
        run.emit(Write(path=run.path(name), how=how, words=run.words))
    return Text("")


@model("dd")
def dd(run: Run) -> Text | None:
    """`if=`, `of=`."""
    text = run.stdin if run.stdin is not None else Text(HOLE)
    given = {name: value for name, _, value in (word.partition("=") for word in run.args)}
    bottomless = run.path(given.get("if", "")) in BOTTOMLESS and "count" not in given
    for word in run.args:
        name, _, value = word.partition("=")
        if name == "if":
            text = run.read(value, certain=not is_device(run.path(value)))
    for word in run.args:
        name, _, value = word.partition("=")
        if name == "of":
            if bottomless and run.path(value) not in HARMLESS:
                run.emit(Exec(program="dd", kind="endless", words=run.words))
            if is_device(run.path(value)):
                run.emit(Device(path=run.path(value), how="dd", words=run.words))
            else:
                run.write(Text(value), text)
    return text


@model("split", "csplit")
def split(run: Run) -> Text | None:
    """A file becomes many. Another program of this name drives a service."""
    from overnight.guard.models.services import service, verdict_of

    if verdict_of([str(word) for word in run.args if not word.startswith("-")][:3]) == "destroy":
        return service(run)
    found = options(run.args, valued=("-b", "-l", "-n", "-a", "-C", "-d", "--filter", "-f", "-t"))
    for code in found.all("--filter"):
        run.shell(code, "split --filter")
    for name in found.operands[:1]:
        run.read(name)
    run.write(found.operands[1] if len(found.operands) > 1 else Text("x"))
    return Text("")


@model(
    "objcopy", "strip", "upx", "patchelf", "install_name_tool", "chrpath", "elfedit", "prelink", "jarsigner", "gpgsplit"
)
def binaries(run: Run) -> Text | None:
    """A binary is changed in place, or written elsewhere with `-o`."""
    found = options(
        run.args, valued=("-o", "--output", "--set-rpath", "--set-interpreter", "-O", "-I", "-j", "-R", "--add-section")
    )
    for name in found.all("-o", "--output") or found.operands[-1:]:
        run.write(name)
    for name in found.operands[:1]:
        run.read(name)
    return Text("")


@model("lvm", "git-shell")
def multicall(run: Run) -> Text | None:
    """A program of many names."""
    return run.exec(run.args) if run.args and not run.args[0].startswith("-") else Text(HOLE)


@model("rename", "prename", "mmv", "detox")
def rename(run: Run) -> Text | None:
    """Many files get other names by a perl expression."""
    words = [word for word in run.args if not word.startswith("-")]
    # Perl's takes an expression, util-linux's two strings.
    for word in words[1 if re.match(r"(?:s|y|tr)[^\w\s].*", words[0] if words else "") else 2 :]:
        run.write(word)
    return Text("")


@model("patch")
def patch(run: Run) -> Text | None:
    """A patch changes files that it names itself."""
    found = options(
        run.args,
        valued=("-p", "-i", "--input", "-d", "--directory", "-o", "--output", "-r", "-D", "-F", "-B", "-z", "-Y"),
    )
    for name in found.operands[:1]:
        run.write(name)
    for name in found.all("-d", "--directory"):
        run.write(name, how="folder")
    for name in [*found.operands[1:], *found.all("-i", "--input")]:
        run.read(name)
    for line in (run.stdin or "").split("\n"):
        match = re.match(r"\+\+\+ (?:[ab]/)?([^\t\n]+)", line)
        if match and match.group(1) != "/dev/null":
            run.write(match.group(1))
    return Text("")


@model("mkfs", "mke2fs", "mkswap", "fdisk", "sfdisk", "cfdisk", "gdisk", "sgdisk", "parted", "wipefs", "lvremove", "vgremove", "pvremove",
       "lvreduce", "mdadm", "cryptsetup", "zpool", "zfs", "btrfs", "hdparm", "nvme", "badblocks", "swapoff", "e2fsck", "fsck", "tune2fs",
       "resize2fs", "diskutil", "hdiutil", "losetup", "dmsetup", "format", "newfs", "lvconvert", "pvcreate", "vgcreate", "lvcreate",
       "vgreduce", "partprobe", "xfs_repair", "debugfs", "kpartx", "multipath", "bcache", "dmraid", "asr", "growpart")  # fmt: skip
def disks(run: Run) -> Text | None:
    """Disks, partitions, volumes."""
    looks = {"-l", "--list", "list", "info", "status", "print", "show", "--help", "--version", "-h", "--detail", "--examine", "--scan",
             "luksDump", "iostat", "get", "history", "-n", "-I", "listFilesystems", "isencrypted", "help", "-V", "id-ctrl", "imageinfo",
             "verify", "attach", "detach", "mount", "unmount", "activity", "-D", "--query", "subvolume-list"}  # fmt: skip
    if not run.args or looks & set(run.args[:2]) or (run.name == "format" and not run.args[0].startswith("/")):
        return Text(HOLE)
    named = next((word for word in reversed(run.args) if not word.startswith("-")), Text(""))
    run.emit(Device(path=run.path(named), how=run.name, words=run.words))
    return Text("")


def deleted(run: Run, path: str, how: str) -> None:
    """A deletion of an absolute path."""
    run.emit(Delete(path=path, recursive=True, how=how, words=run.words))
