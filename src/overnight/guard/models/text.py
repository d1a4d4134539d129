"""Readers and filters of text: cat, grep, sed, awk, sort, and what some of them can run or write."""

from __future__ import annotations

import re

from overnight.guard.effects import Net, Read
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.paths import BOTTOMLESS
from overnight.guard.text import ENDLESS, HOLE, INPUT, LOCAL, SECRET, SHOWN, Text
from overnight.guard.unwrap.scripts import unescaped

#: What somebody looks for who looks for secrets.
_SECRETIVE = re.compile(r"secret|token|passw|credential|api.?key|_key|private|aws|auth")
#: Scripts that a jq program puts into a package.json.
_SCRIPTS = re.compile(r"\.scripts(?:\.\w+|\[[^]]*\])+\s*=\s*\"([^\"]*)\"")
_VALUED: dict[str, tuple[str, ...]] = {
    "cat": (), "tac": (), "nl": (), "head": ("-n", "-c", "--lines", "--bytes"), "tail": ("-n", "-c", "--lines", "--bytes", "--pid", "-s"),
    "wc": ("--files0-from",), "less": ("-p", "-P", "-x", "-o", "-O", "-k", "-t"), "more": ("-n", "--lines"), "cut": ("-f", "-d", "-c", "-b"),
    "sort": ("-k", "-t", "-o", "--output", "-T", "-S", "--key", "--field-separator", "--parallel", "--compress-program"),
    "uniq": ("-f", "-s", "-w"), "diff": ("-U", "-C", "--label", "-x", "-I", "-F"), "column": ( "-s", "-o", "-c"),
    "strings": ("-n", "-t", "-e"), "od": ("-A", "-t", "-N", "-j", "-w"), "xxd": ("-l", "-s", "-c", "-g"), "hexdump": ("-n", "-s", "-e"),
    "fold": ("-w",), "fmt": ("-w",), "paste": ("-d",), "join": ("-t", "-1", "-2", "-o"), "tr": (), "rev": (), "comm": (), "cmp": (),
}  # fmt: skip


@model("cat", "tac", "nl", "head", "tail", "wc", "less", "more", "most", "bat", "batcat", "cut", "uniq", "diff", "colordiff", "cmp", "comm",
       "paste", "join", "fold", "fmt", "pr", "column", "expand", "unexpand", "strings", "od", "hexdump", "hd", "rev", "tr", "iconv", "md5sum",
       "sha1sum", "sha256sum", "sha512sum", "b2sum", "shasum", "md5", "cksum", "sum", "jq", "yq", "gojq", "xq", "xmllint", "csvlook", "csvcut",
       "mlr", "glow", "pygmentize", "highlight", "tokei", "cloc", "scc", "zcat", "bzcat", "xzcat", "zless", "zmore", "gzcat", "lzcat", "zstdcat",
       "look", "tsort", "dos2unix", "unix2dos", "icdiff", "delta", "type-file", "get-content", "plutil", "nm", "objdump", "readelf", "ldd",
       "size", "otool", "lipo", "exiftool", "identify", "ffprobe", "mediainfo", "pdftotext", "pandoc", "fzf", "sk", "csvsql", "tidy", "vd")  # fmt: skip
def reader(run: Run) -> Text | None:
    """Reads its operands, or standard input."""
    if run.name == "tr":
        return Text(HOLE, run.taint | 4 if run.stdin is not None else 0)
    found = options(run.args, valued=_VALUED.get(run.name, ()))
    if found.has("--help", "--version"):
        return Text(HOLE)
    names = found.operands
    if run.name in ("jq", "yq", "gojq", "xq", "mlr") and not found.has("-f", "--from-file"):
        for code in _SCRIPTS.findall(" ".join(names[:2])):
            run.shell(Text(code), "package.json scripts")
        names = names[2:] if names[:1] and names[0] in ("eval", "eval-all", "e", "ea") else names[1:]
    if run.name == "fzf":
        return _fzf(run)
    if run.name in ("yq", "dos2unix", "unix2dos") and found.has("-i", "--inplace", "--in-place"):
        for name in names:
            run.write(name)
    for word in run.args:
        if word.startswith("+!"):
            run.shell(Text(word[2:]), run.name)
    if run.name in ("bat", "less", "more", "batcat") and (pager := found.value("--pager")):
        run.shell(pager, run.name)
    texts = [run.read(name) for name in names if name != "-" and name != ""]
    for name in [*found.all("--files0-from", "--from-file")]:
        run.read(name)
    if not texts and run.stdin is not None:
        texts = [run.stdin]
    if run.name == "cat" and texts and not found.flags - {"-u"}:
        taint = ENDLESS if any(run.path(name) in BOTTOMLESS for name in names) else 0
        for text in texts:
            taint |= text.taint
        return Text("".join(texts), taint)
    if run.name in ("head", "tail", "nl", "tac", "uniq") and len(texts) == 1 and HOLE not in texts[0]:
        return Text(texts[0] if "\n" not in texts[0].strip("\n") else HOLE, texts[0].taint)
    taint = run.taint | (4 if run.name in ("rev", "iconv", "strings") else 0)
    for text in texts:
        taint |= text.taint
    return Text(HOLE, taint & ~ENDLESS)


def _fzf(run: Run) -> Text | None:
    found = options(run.args, valued=("--bind", "--preview", "--execute", "-q", "-f", "-d", "-n"))
    for text in found.all("--preview"):
        run.shell(Text(text.replace("{}", HOLE)), "fzf")
    for text in found.all("--bind"):
        for inner in re.findall(
            r"(?:execute(?:-silent)?|become|reload|transform[\w-]*|preview)(?:\(([^)]*)\)|:(.*))", text
        ):
            run.shell(Text((inner[0] or inner[1]).replace("{}", HOLE).replace("\\ ", " ")), "fzf")
    return Text(HOLE, run.taint | LOCAL)


@model("sort", "gsort")
def sort(run: Run) -> Text | None:
    """`-o FILE` writes, `--compress-program` runs."""
    longs = ("--numeric-sort", "--reverse", "--unique", "--stable", "--check", "--merge")
    found = options(run.args, valued=_VALUED["sort"], longs=longs)
    for name in found.all("-o", "--output"):
        run.write(name)
    for name in found.all("--compress-program"):
        run.exec([name])
    taint = run.taint
    for name in found.operands:
        taint |= run.read(name).taint
    return Text(HOLE, taint)


@model(
    "grep",
    "egrep",
    "fgrep",
    "rg",
    "ag",
    "ack",
    "ugrep",
    "zgrep",
    "pcregrep",
    "ripgrep",
    "ggrep",
    "git-grep",
    "findstr",
    "select-string",
)
def grep(run: Run) -> Text | None:
    """A pattern, then files or folders."""
    valued = ("-e", "--regexp", "-f", "--file", "-m", "--max-count", "-A", "-B", "-C", "--context", "--include", "--exclude", "--exclude-dir",
              "-g", "--glob", "-t", "--type", "-T", "--type-not", "-j", "--threads", "--replace", "--pre", "-d", "-D", "--color",
              "--max-depth", "--sort", "--iglob", "--ignore-file", "--colors", "--max-columns", "-M", "--after-context", "--before-context",
              "--label", "--max-filesize", "--engine", "--encoding", "-E-", "--hostname-bin")  # fmt: skip
    if run.name in ("rg", "ripgrep"):
        valued = (*valued, "-r", "-E")
    found = options(run.args, valued=valued)
    if found.has("--help", "--version", "-V"):
        return Text(HOLE)
    for name in [*found.all("--pre", "--hostname-bin")]:
        run.exec([name, Text(HOLE)])
    for name in found.all("-f", "--file"):
        run.read(name)
    names = (
        found.operands if found.has("-e", "--regexp", "-f", "--file", "--files", "--type-list") else found.operands[1:]
    )
    recursive = found.has("-r", "-R", "--recursive", "--dereference-recursive") or run.name in (
        "rg",
        "ripgrep",
        "ag",
        "ack",
    )
    taint = run.taint
    pattern = (found.value("-e", "--regexp") or (found.operands[0] if found.operands else Text(""))).lower()
    if (
        run.stdin is not None
        and run.stdin.taint & SECRET
        and not found.has("-v", "-c", "-q")
        and _SECRETIVE.search(pattern)
    ):
        taint |= SHOWN
    for name in names:
        taint |= run.read(name, recursive=recursive, listing=found.has("--files")).taint
    if not names and recursive:
        run.emit(Read(path=run.path("."), recursive=True, words=run.words))
        taint |= LOCAL
    return Text(HOLE, taint | (LOCAL if names else 0))


@model("sed", "gsed", "ssed")
def sed(run: Run) -> Text | None:
    """The script's `e`, `w` and `r` count; `-i` writes."""
    args = [Text("-i") if re.fullmatch(r"-i.*", word) else word for word in run.args]
    valued = ("-e", "--expression", "-f", "--file", "-l", "--line-length")
    longs = (
        "--in-place",
        "--quiet",
        "--silent",
        "--regexp-extended",
        "--debug",
        "--posix",
        "--separate",
        "--null-data",
        "--sandbox",
    )
    found = options(args, valued=valued, longs=longs)
    if found.has("--help", "--version"):
        return Text(HOLE)
    scripts = found.all("-e", "--expression")
    names = found.operands
    if not scripts and not found.has("-f", "--file") and names:
        scripts, names = names[:1], names[1:]
    for name in found.all("-f", "--file"):
        scripts.append(run.read(name))
    inplace = found.has("-i", "--in-place")
    taint = run.taint
    for name in names:
        if inplace:
            run.write(name)
        else:
            taint |= run.read(name).taint
    for script in scripts:
        _sed_script(run, script)
    return Text(HOLE, taint | (LOCAL if names else 0))


def _sed_script(run: Run, script: Text) -> None:
    body = re.sub(
        r"(?<![\\\w])s(\W)(?:\\.|(?!\1).)*\1((?:\\.|(?!\1).)*)\1([a-zA-Z0-9]*)",
        lambda m: _substitution(run, m),
        script,
        flags=re.DOTALL,
    )
    for line in re.split(r"[;\n{}]", body):
        match = re.match(
            r"\s*(?:\d+|\$|/(?:\\.|[^/])*/)?(?:,(?:\d+|\$|/(?:\\.|[^/])*/))?\s*!?\s*([a-zA-Z])\s*(.*)", line
        )
        if not match:
            continue
        letter, rest = match.groups()
        if letter == "e":
            if rest:
                run.shell(Text(rest), "sed e")
            else:
                run.opaque("stdin", INPUT)
        elif letter in "wW" and rest:
            run.write(rest)
        elif letter in "rR" and rest:
            run.read(rest)


def _substitution(run: Run, found: re.Match[str]) -> str:
    flags = found.group(3)
    if "e" in flags:
        run.shell(Text(found.group(2).replace("\\", "")), "sed s///e")
        run.opaque("stdin", INPUT)
    rest = found.string[found.end() :]
    if flags.endswith("w") and rest.strip():
        run.write(rest.strip().split("\n")[0])
    return ""


@model("awk", "gawk", "mawk", "nawk", "goawk")
def awk(run: Run) -> Text | None:
    """The program's system(), pipes and redirections count."""
    valued = (
        "-F",
        "-v",
        "-f",
        "--file",
        "--assign",
        "--field-separator",
        "-e",
        "--source",
        "-i",
        "--include",
        "-l",
        "--load",
        "-E",
        "--exec",
    )
    found = options(run.args, valued=valued, leading=True)
    if found.has("--version", "--help", "-V"):
        return Text(HOLE)
    programs = found.all("-e", "--source")
    names = found.operands
    files = found.all("-f", "--file", "-E", "--exec")
    for name in files:
        programs.append(run.read(name))
    if not programs and names:
        programs, names = names[:1], names[1:]
    taint = run.taint
    inplace = "inplace" in found.all("-i", "--include")
    for name in names:
        if re.match(r"[A-Za-z_]\w*=", name):
            continue
        if inplace:
            run.write(name)
        else:
            taint |= run.read(name).taint
    for program in programs:
        _awk_program(run, program, {v.partition("=")[0]: v.partition("=")[2] for v in found.all("-v", "--assign")})
    return Text(HOLE, taint)


def _awk_program(run: Run, program: Text, values: dict[str, str]) -> None:
    if program == HOLE:
        return
    if len(program) > 20_000 or any(len(part) > 2000 for part in re.split(r"[;\n{}]", program)):
        run.unverifiable("the awk program is longer than can be checked")
        return
    values |= {
        name: unescaped(text) for name, text in re.findall(r"\b([A-Za-z_]\w*)\s*=\s*\"((?:[^\"\\]|\\.)*)\"", program)
    }
    text = re.sub(r"/(?:\\.|[^/\n])+/(?=\s*(?:\{|\)|&&|\|\||,|;|$))", "//", program)

    def folded(expression: str) -> str:
        out = ""
        for quoted, name in re.findall(r"\"((?:[^\"\\]|\\.)*)\"|([A-Za-z_$]\w*)", expression):
            out += unescaped(quoted) if quoted else values.get(name, HOLE)
        return out

    for inner in re.findall(r"\bsystem\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text):
        code = folded(inner)
        if code.startswith(HOLE):
            run.opaque("tainted", INPUT)
        else:
            run.shell(Text(code), "awk system()")
    for inner in re.findall(
        r"((?:\"(?:[^\"\\]|\\.)*\"|[A-Za-z_]\w*)(?:\s+(?:\"(?:[^\"\\]|\\.)*\"|[A-Za-z_]\w*))*)\s*\|&?\s*getline", text
    ):
        run.shell(Text(folded(inner)), "awk getline")
    if "/inet/" in text:
        run.emit(Net(host="", how="raw", words=run.words))
        run.opaque("tainted", INPUT)
    for shown_text, inner in re.findall(
        r"\bprintf?\b([^;}\n|]*)\|&?\s*((?:\"(?:[^\"\\]|\\.)*\"|[A-Za-z_$]\w*)[^;}\n]*)", text
    ):
        code = folded(inner)
        if code.startswith(HOLE):
            run.opaque("tainted", INPUT)
        else:
            # A bare `print` prints the line that came in.
            given = Text(folded(shown_text)) if shown_text.strip() else run.stdin
            run.shell(Text(code), "awk |", stdin=given)
    for inner in re.findall(r"\bprintf?\b[^;}\n>]*>>?\s*(\"(?:[^\"\\]|\\.)*\"|\w+)", text):
        name = folded(inner)
        if HOLE not in name and not (inner.isdigit()):
            run.write(_home(run, name))
    for inner in re.findall(r"getline[^;}<\n]*<\s*\(?(\"(?:[^\"\\]|\\.)*\")", text):
        run.read(_home(run, folded(inner)))


def _home(run: Run, name: str) -> str:
    return run.m.bounds.home + name[1:] if name.startswith("~") else name
