"""Archives, encoders and compressors: tar, zip, base64, openssl, gpg."""

from __future__ import annotations

import base64 as b64
import binascii
import re

from overnight.guard.effects import Net, Read
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import DECODED, HOLE, LOCAL, SECRET, Text, known

_TAR = ("-f", "--file", "-C", "--directory", "-T", "--files-from", "-X", "--exclude-from", "--exclude", "-I", "--use-compress-program", "--checkpoint",
        "--checkpoint-action", "--to-command", "--info-script", "--new-volume-script", "-F", "--rmt-command", "--rsh-command", "--transform",
        "--xform", "-b", "--blocking-factor", "-g", "--listed-incremental", "--owner", "--group", "--mode", "--mtime", "-N", "--newer", "-H", "-V",
        "--strip-components", "-K", "--format", "--warning", "--suffix", "-L")  # fmt: skip
_TAR_CODE = (
    "-I",
    "--use-compress-program",
    "--to-command",
    "--info-script",
    "--new-volume-script",
    "-F",
    "--rmt-command",
    "--rsh-command",
)
_TAR_LONG = ("--create", "--extract", "--list", "--append", "--update", "--delete", "--get", "--gzip", "--bzip2", "--xz", "--verbose", "--to-stdout",
             "--remove-files", "--absolute-names", "--keep-old-files", "--overwrite", "--diff", "--concatenate", "--force-local", "--zstd")  # fmt: skip


@model("tar", "gtar", "bsdtar", "star")
def tar(run: Run) -> Text | None:
    """Programs that tar starts, archives it writes, members it reads."""
    args = run.args
    extra = run.state.vars.get("TAR_OPTIONS", ()) if "TAR_OPTIONS" in run.state.exported else ()
    for value in extra:
        if value:
            _tar(run, [Text(word) for word in value.split()] + args)
    if args and not args[0].startswith("-"):
        args = _old_style(args)
    if not any(value for value in extra) or "" in extra:
        return _tar(run, args)
    return Text(HOLE, LOCAL)


def _old_style(args: list[Text]) -> list[Text]:
    """`tar xzfC a.tgz dir`: letters first, then their values in order."""
    out: list[Text] = []
    rest = args[1:]
    for letter in args[0]:
        out.append(Text("-" + letter))
        if "-" + letter in _TAR and rest:
            out.append(rest.pop(0))
    return out + rest


def _tar(run: Run, args: list[Text]) -> Text:
    found = options(args, valued=_TAR, longs=_TAR_LONG)
    for code in found.all(*_TAR_CODE):
        if not re.fullmatch(
            r"(?:/usr/bin/)?(?:p?igz|gzip|bzip2|pbzip2|xz|pixz|zstd|zstdmt|lz4|lzip|lzop|brotli)(?:\s+-[-\w=]+)*", code
        ):
            run.shell(code, "tar")
    for action in found.all("--checkpoint-action"):
        kind, _, code = action.partition("=")
        if kind == "exec":
            run.shell(Text(code, action.taint), "tar --checkpoint-action")
    folder = found.value("-C", "--directory")
    archive = found.value("-f", "--file")
    if archive is None and "TAPE" in run.state.exported:
        archive = run.state.get("TAPE")[0]
    creates = found.has("-c", "--create", "-r", "--append", "-u", "--update")
    extracts = found.has("-x", "--extract", "--get")
    lists = found.has("-t", "--list", "-d", "--diff")
    if not (creates or extracts or lists) and "--create" in args:
        creates = True
    if creates:
        return _creates(
            run, found.operands + found.all("-T", "--files-from"), folder, archive, remove=found.has("--remove-files")
        )
    text = run.stdin if archive in (None, "-") else run.read(archive)
    if extracts:
        if found.has("-O", "--to-stdout"):
            return Text(HOLE, (text.taint if text is not None else 0) | DECODED)
        run.write(
            folder if folder is not None else Text("."),
            text if text is None or known(text) else Text(HOLE, text.taint),
            how="extract",
        )
        if found.has("-P", "--absolute-names"):
            run.unverifiable("an archive with absolute names")
    return Text(HOLE, LOCAL)


def _creates(run: Run, names: list[Text], folder: Text | None, archive: Text | None, *, remove: bool) -> Text:
    taint = LOCAL
    state = run.state.copy()
    if folder is not None:
        state.cwd = run.path(folder)
    inner = Run(run.m, state, run.argv, run.stdin)
    for name in names:
        taint |= inner.read(name, recursive=True).taint
        if run.m.secret(inner.path(name) + "/x") or re.search(
            r"(?:^|/)(?:\.ssh|\.aws|\.gnupg)(?:/|$)", inner.path(name)
        ):
            taint |= SECRET
        if remove:
            inner.delete(name, recursive=True, how="tar --remove-files")
    out = Text(HOLE, taint)
    if archive is None or archive in ("-", "/dev/stdout"):
        return out
    remote = re.match(r"(?:[\w.-]+@)?([\w.-]+):", archive)
    if remote and not archive.startswith(("/", ".")):
        run.emit(Net(host=remote.group(1), how="write", sends="secret" if taint & SECRET else "file", words=run.words))
    else:
        run.write(archive, out)
    return Text("")


def _goes(run: Run, args: list[Text]) -> Text:
    """The folder that `-oDIR`, `-D DIR`, `-C DIR`, `-d DIR` or `--directory=DIR` names; else the working folder."""
    for place, word in enumerate(args):
        if word in _INTO and place + 1 < len(args):
            return args[place + 1]
        found = re.match(r"(?:--(?:directory|dest|output-directory|dir)=|-o)(.+)", word)
        if found and (word.startswith("--") or run.name in ("7z", "7zz", "7za", "7zr", "unar")):
            return Text(found.group(1), word.taint)
    return Text(".")


_INTO = frozenset({"-D", "-C", "-d", "--directory", "--dest", "-dest", "--output-directory", "-output-directory"})


@model(
    "zip",
    "7z",
    "7zz",
    "7za",
    "7zr",
    "rar",
    "ar",
    "cpio",
    "pax",
    "zipnote",
    "genisoimage",
    "mksquashfs",
    "jar",
    "unsquashfs",
)
def archiver(run: Run) -> Text | None:
    """`zip ARCHIVE FILE...`, `7z a ARCHIVE FILE...`."""
    found = options(run.args, valued=("-x", "-i", "-b", "-O", "-TT", "--unzip-command", "-D", "-F"), single_dash=False)
    operands = found.operands
    if (
        run.name == "zip"
        and (code := found.value("-TT", "--unzip-command")) is None
        and found.has("-T")
        and "-TT" in run.args
    ):
        place = run.args.index(Text("-TT"))
        if place + 1 < len(run.args):
            run.shell(run.args[place + 1], "zip -TT")
        del code
    if run.name in ("7z", "7zz", "7za", "rar", "ar", "jar"):
        verb, operands = (operands[0] if operands else ""), operands[1:]
        if not verb.startswith(("a", "u", "c", "r", "q")):
            for name in operands[:1]:
                run.read(name)
            if verb.startswith(("x", "e")):
                run.write(_goes(run, run.args), how="extract")
            return Text(HOLE, LOCAL)
    if run.name in ("cpio", "unsquashfs"):
        if found.has("-i", "--extract") or run.name == "unsquashfs":
            run.write(_goes(run, run.args), how="extract")
        return Text(HOLE, LOCAL | run.taint)
    taint = LOCAL
    for name in operands[1:]:
        taint |= run.read(name, recursive=True).taint
    if operands and operands[0] != "-":
        run.write(operands[0], Text(HOLE, taint))
    if run.name == "zip" and found.has("-m", "--move"):
        for name in operands[1:]:
            run.delete(name, recursive=True, how="zip -m")
    return Text(HOLE, taint)


@model("unzip", "unrar", "unar", "gunzip-all", "funzip")
def unzip(run: Run) -> Text | None:
    """Files come out of an archive."""
    valued = ("-d", "-x", "-P") if run.name != "unar" else ("-d", "-o", "-p", "-e")
    found = options(run.args, valued=valued)
    text = run.read(found.operands[0]) if found.operands else run.stdin
    if not found.has("-l", "-t", "-v", "-z", "-Z", "-p", "-c") and found.operands:
        run.write(
            found.value("-d", "-o") or Text("."), Text(HOLE, text.taint if text is not None else 0), how="extract"
        )
    return Text(HOLE, LOCAL | DECODED | (text.taint if text is not None else 0))


@model(
    "gzip",
    "gunzip",
    "bzip2",
    "bunzip2",
    "xz",
    "unxz",
    "zstd",
    "unzstd",
    "lz4",
    "lzma",
    "unlzma",
    "lzip",
    "brotli",
    "compress",
    "uncompress",
    "pigz",
)
def compressor(run: Run) -> Text | None:
    """A file is replaced by its compressed form, or the other way round."""
    found = options(run.args, valued=("-S", "--suffix", "-o", "-T", "-D"))
    decodes = run.name.startswith("un") or run.name == "gunzip" or found.has("-d", "--decompress", "--uncompress")
    taint = (run.stdin.taint if run.stdin is not None else 0) | (DECODED if decodes else 0)
    for name in found.operands:
        text = run.read(name)
        taint |= text.taint
        if found.has("-c", "--stdout", "--to-stdout", "-l", "--list", "-t", "--test", "-V", "--help", "--version"):
            continue
        suffix = {"gzip": ".gz", "pigz": ".gz", "bzip2": ".bz2", "xz": ".xz", "zstd": ".zst"}.get(run.name, "")
        target = re.sub(r"\.\w+$", "", name) if decodes else name + suffix
        run.write(found.value("-o") or Text(target), Text(HOLE, taint))
    return Text(HOLE, taint)


@model("base64", "base32", "basenc", "gbase64", "xxd", "uuencode", "uudecode", "uuencode", "binhex", "applesingle")
def encoder(run: Run) -> Text | None:
    """Encoding keeps where the text came from; decoding makes it code that was hidden."""
    found = options(
        run.args,
        valued=("-w", "--wrap", "-i", "--input", "-o", "--output", "-l", "-s", "-c", "-g", "--break"),
        longs=("--decode",),
    )
    decodes = found.has("-d", "-D", "--decode", "-r") or run.name == "uudecode"
    names = [name for name in found.operands if name != "-"] + found.all("-i", "--input")
    text = run.read(names[0]) if names else run.stdin if run.stdin is not None else Text(HOLE)
    taint = text.taint | (DECODED if decodes else 0)
    out = Text(HOLE, taint)
    if decodes and known(text) and run.name in ("base64", "gbase64", "base32"):
        try:
            raw = (
                b64.b64decode(re.sub(r"\s", "", text))
                if run.name != "base32"
                else b64.b32decode(re.sub(r"\s", "", text))
            )
            out = Text(raw.decode("utf-8"), taint)
        except (binascii.Error, ValueError):
            out = Text(HOLE, taint)
    elif decodes and known(text) and run.name == "xxd" and found.has("-p"):
        try:
            out = Text(bytes.fromhex(re.sub(r"\s", "", text)).decode("utf-8", "replace"), taint)
        except ValueError:
            out = Text(HOLE, taint)
    for name in [*found.all("-o", "--output"), *(found.operands[1:2] if run.name == "xxd" else [])]:
        run.write(name, out)
    if out.taint and not known(out):
        return Text(HOLE, out.taint)
    return out


@model("openssl")
def openssl(run: Run) -> Text | None:
    """`openssl VERB -in FILE -out FILE`, single-dash options."""
    verb = run.args[0] if run.args else ""
    args = run.args[1:]
    taint = run.taint
    if verb in (
        "x509",
        "version",
        "list",
        "crl",
        "verify",
        "s_client",
        "req",
        "ciphers",
        "rand",
        "dgst",
        "speed",
        "help",
        "asn1parse",
        "crl2pkcs7",
    ):
        taint &= ~SECRET
    out: Text | None = None
    for place, word in enumerate(args[:-1]):
        value = args[place + 1]
        if word in ("-in", "-inkey", "-key", "-infile", "-CAkey", "-pass", "-kfile"):
            taint |= run.read(value.removeprefix("file:"), certain=word == "-in").taint
        elif word in ("-out", "-keyout", "-writerand"):
            out = value
        elif word in ("-connect", "-host"):
            run.emit(Net(host=value.partition(":")[0], words=run.words))
        elif word in ("-engine", "-provider-path"):
            run.opaque("opaque")
    if "-d" in args or "-D" in args or "-decrypt" in args:
        taint |= DECODED
    if out is not None:
        run.write(out, Text(HOLE, taint))
    return Text(HOLE, taint | LOCAL)


@model("gpg", "gpg2", "age", "sops", "ansible-vault", "pass", "gopass")
def crypto(run: Run) -> Text | None:
    """Keys leave with export; pass and vault show secrets."""
    if any(word.startswith(("--export-secret", "--delete-secret")) for word in run.args):
        run.emit(Read(path=run.m.bounds.home + "/.gnupg/private-keys-v1.d", words=run.words))
    if run.name in ("pass", "gopass") and run.args[:1] not in (["ls"], ["list"], ["find"], ["--help"], ["help"]):
        run.emit(Read(path=run.m.bounds.home + "/.password-store/x", words=run.words))
    found = options(run.args, valued=("-o", "--output", "-r", "--recipient", "-u", "-i"))
    for name in found.all("-o", "--output"):
        run.write(name)
    for name in found.operands:
        if "." in name or "/" in name:
            run.read(name, certain=False)
    return Text(HOLE, run.taint | LOCAL)
