"""python, node, ruby, perl, awk and the rest: one-liners, programs on standard input, scripts."""

from __future__ import annotations

import re
from collections.abc import Callable

from overnight.guard.machine import MODELS, Run, model
from overnight.guard.models.machine import served
from overnight.guard.options import options
from overnight.guard.text import DECODED, HOLE, INPUT, LOCAL, NETWORK, Text, known
from overnight.guard.unwrap.python import python_effects
from overnight.guard.unwrap.scripts import source_effects

Analyse = Callable[[Run, Text, str], None]

#: Language -> (options with code, options with a value, options that name a module to run).
_WAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "python": (("-c",), ("-W", "-X", "--check-hash-based-pycs"), ("-m",)),
    "node": (("-e", "--eval", "-p", "--print"), ("-r", "--require", "--import", "--loader", "-C", "--env-file"), ()),
    "ruby": (("-e",), ("-r", "-I", "-C", "-E", "-F", "-x"), ()),
    "perl": (("-e", "-E"), ("-I", "-M", "-m", "-x"), ()),
    "php": (("-r", "-B", "-R", "-E"), ("-d", "-c", "-S", "-t", "-z", "-F"), ()),
    "lua": (("-e",), ("-l",), ()),
    "r": (("-e",), ("-f", "--file"), ()),
}


def _language(name: str) -> str:
    for language, names in {
        "python": ("python", "pypy", "ipython"), "node": ("node", "nodejs", "deno", "bun", "tsx", "ts-node"), "ruby": ("ruby",),
        "perl": ("perl",), "php": ("php",), "lua": ("lua", "luajit", "texlua"), "r": ("rscript", "r"),
    }.items():  # fmt: skip
        if any(name.lower().startswith(start) for start in names):
            return language
    return "node"


@model(
    "python",
    "pypy",
    "ipython",
    "ruby",
    "perl",
    "php",
    "lua",
    "luajit",
    "node",
    "nodejs",
    "tsx",
    "ts-node",
    "rscript",
    "r",
    "py",
)
def interpreter(run: Run) -> Text | None:
    """Find the program: inline, standard input, or a file."""
    language = _language(run.name)
    analyse: Analyse = python_effects if language == "python" else source_effects
    codes, valued, modules = _WAYS[language]
    args = [word for word in run.args if run.name != "py" or not re.fullmatch(r"-[23](?:\.\d+)?", word)]
    args = _separated(args, codes, language)
    found = options(args, valued=(*codes, *valued, *modules), leading=True)
    _preloads(run, found.all("-r", "--require", "--import", "-l") if language == "node" else [])
    if found.has("--version", "--help", "-V", "-v") and not found.has(*codes) and not found.operands:
        return Text("")
    if language == "php" and found.has("-S"):
        served(run, found.value("-t") or Text("."))
    inline = found.all(*codes)
    if language == "ruby" and inline == ["httpd"]:
        for folder in found.operands[:1]:
            served(run, folder)
    if inline:
        text = Text("\n".join(inline), run.taint if run.taint & (NETWORK | INPUT) and _tainted_code(inline) else 0)
        _analysed(run, text, language, analyse)
        rest = [*found.all(*modules), *found.operands]
        _in_place(run, found.flags, rest, language)
        return Text(HOLE, run.taint)
    module = found.value(*modules) if modules else None
    if module is not None:
        return python_module(run, module, found.operands)
    if found.operands and found.operands[0] not in ("-", "/dev/stdin"):
        return _file(run, found.operands[0], language, analyse)
    if run.stdin is not None:
        if run.stdin.taint & (NETWORK | INPUT):
            run.opaque("tainted", run.stdin.taint)
        elif run.stdin.strip() == HOLE:
            run.opaque("obfuscated" if run.stdin.taint & DECODED else "stdin", run.stdin.taint)
        else:
            _analysed(run, run.stdin, language, analyse)
    return Text(HOLE, run.taint)


def _tainted_code(inline: list[Text]) -> bool:
    return any(code.taint & (NETWORK | INPUT) for code in inline)


def _separated(args: list[Text], codes: tuple[str, ...], language: str) -> list[Text]:
    """Perl's and Ruby's `-pi.bak -e`: a suffix is no cluster."""
    out: list[Text] = []
    for word in args:
        match = re.fullmatch(r"-([pnlawF0s]*)i([.~]\S*)?([pnlaweE0s]*)", word) if language in ("perl", "ruby") else None
        if match and not word.startswith("-I"):
            out += [Text("-" + letter) for letter in match.group(1) + "i" + match.group(3)]
        elif language == "node" and re.fullmatch(r"-pe", word):
            out.append(Text("-e"))
        else:
            out.append(word)
    del codes
    return out


def _in_place(run: Run, flags: set[str], rest: list[Text], language: str) -> None:
    for name in rest:
        if "-i" in flags:
            run.write(name)
        elif language in ("perl", "ruby") and flags & {"-n", "-p"}:
            run.read(name)


def _preloads(run: Run, names: list[Text]) -> None:
    for name in names:
        if name.startswith((".", "/")):
            run.read(name, certain=False)


def _analysed(run: Run, text: Text, language: str, analyse: Analyse) -> None:
    if text.taint & (NETWORK | INPUT):
        run.opaque("tainted", text.taint)
    analyse(run, text, language)


def _file(run: Run, name: Text, language: str, analyse: Analyse) -> Text:
    path = run.path(name)
    tool = path.rpartition("/")[2]
    if tool in ("manage.py", "artisan") and tool in MODELS:
        run.exec([Text(tool), *run.args[run.args.index(name) + 1 :]])
    match = re.fullmatch(r"/dev/fd/(\d+)", path)
    if match and match.group(1) in run.state.fds:
        path = run.state.fds[match.group(1)]
    text = run.state.files[path] if path in run.state.files else run.read(name)
    if text.taint & (NETWORK | INPUT):
        run.opaque("tainted", text.taint)
    elif not known(text):
        run.opaque("script" if not path.startswith("/dev/") else "stdin", text.taint)
    elif path in run.m.ledger.files or path in run.state.files:
        analyse(run, text, language)
    else:
        run.opaque("script", LOCAL)
    return Text(HOLE, run.taint)


def python_module(run: Run, module: Text, args: list[Text]) -> Text | None:
    """`python -m MODULE`: the module's own program."""
    from overnight.guard.models.unknown import touched

    name = {"http.server": "", "venv": "", "json.tool": "", "build": "", "timeit": ""}.get(module, module)
    if module == "timeit":
        for code in args:
            if not code.startswith("-"):
                python_effects(run, code, "python")
    if module == "http.server":
        found = options(args, valued=("-b", "--bind", "-d", "--directory", "-p", "--protocol"))
        served(run, found.value("-d", "--directory") or Text("."))
    if name in MODELS and name not in ("test",):
        return run.exec([Text(name), *args])
    touched(run, args)
    return Text(HOLE, run.taint)


@model(
    "julia",
    "groovy",
    "elixir",
    "tclsh",
    "wish",
    "scala",
    "swipl",
    "runghc",
    "racket",
    "guile",
    "sbcl",
    "clojure",
    "bb",
    "crystal",
    "kotlin",
    "nim",
    "ocaml",
    "jshell",
    "erl",
    "ghc",
    "ghci",
    "m4",
    "gnuplot",
    "octave",
    "maxima",
    "gp",
    "sage",
    "scilab",
    "janet",
    "fennel",
    "hy",
    "csi",
    "gsi",
    "chibi-scheme",
    "mit-scheme",
    "clisp",
    "ecl",
    "ammonite",
    "amm",
    "groovysh",
    "kotlinc",
    "scala-cli",
    "jython",
    "irb",
    "pry",
    "psysh",
    "iex",
    "polyglot",
    "picolisp",
    "pure",
    "dash-lang",
    "xonsh",
    "dc",
    "gawk-shell",
)
def other_language(run: Run) -> Text | None:
    """Languages that are read by their literals alone."""
    if run.args[:1] == ["eval"] and len(run.args) > 1:
        source_effects(run, run.args[1], "other")
        for inner in re.findall(r"`([^`]*)`", run.args[1]):
            run.shell(Text(inner), run.name)
    codes = ("-e", "-E", "--eval", "-eval", "-c", "--command", "-g", "--execute", "--expr", "-x")
    found = options(run.args, valued=codes, leading=True, single_dash=run.name in ("erl", "sbcl"))
    for code in found.all(*codes):
        source_effects(run, code, "other")
        _bare_code(run, code)
    found.operands = [word for word in found.operands if word != "-"]
    if not found.operands and run.stdin is not None:
        _bare_code(run, run.stdin)
        for path in (
            re.findall(r"file\s+delete\s+(?:-force\s+)?([^\s;\]]+)", run.stdin) if run.name in ("tclsh", "wish") else ()
        ):
            run.delete(path, recursive=True, how=run.name)
        _analysed(
            run, Text(re.sub(r"(?m)\bexec\s+(.*)$", r"'\1'", run.stdin), run.stdin.taint), "other", source_effects
        )
    if found.operands:
        run.read(found.operands[0])
    return Text(HOLE, run.taint)


def _bare_code(run: Run, code: Text) -> None:
    """Shell code in a language that is half a shell: `!rm x` in dc, `rm x` in xonsh, m4's `syscmd(...)`."""
    for line in code.split("\n"):
        found = re.search(r"^\s*!\s*(.+)|\be?syscmd\(`?([^')]+)", line)
        if found:
            run.shell(Text(found.group(1) or found.group(2), code.taint), run.name)
        elif run.name == "xonsh":
            run.shell(Text(line, code.taint), run.name)


@model("deno", "bun")
def javascript_runtime(run: Run) -> Text | None:
    """`deno eval CODE`, `bun -e CODE`; the rest is a runner or a package manager."""
    from overnight.guard.models.packages import manager
    from overnight.guard.models.unknown import touched

    args = run.args
    if run.name == "deno" and args[:1] == ["eval"]:
        source_effects(run, Text(" ".join(word for word in args[1:] if not word.startswith("-"))), "node")
        return Text(HOLE)
    found = options(args, valued=("-e", "--eval", "-p", "--print"), leading=True)
    for code in found.all("-e", "--eval", "-p", "--print"):
        source_effects(run, code, "node")
    if "-" in found.operands and run.stdin is not None:
        _analysed(run, run.stdin, "node", source_effects)
    verb = found.operands[0] if found.operands else ""
    if run.name == "bun" and verb == "x":
        return run.exec([Text("npx"), *found.operands[1:]])
    if run.name == "bun" and verb == "exec":
        return run.shell(Text(" ".join(found.operands[1:])), "bun exec")
    if any("://" in word for word in found.operands[:2]):
        run.opaque("tainted", NETWORK)
    if run.name == "bun" and verb in (
        "add",
        "install",
        "i",
        "remove",
        "x",
        "publish",
        "update",
        "create",
        "run",
        "pm",
        "link",
    ):
        touched(run, run.args)
        return manager(run)
    touched(run, [word for word in args if not word.startswith("-")])
    return Text(HOLE, run.taint)
