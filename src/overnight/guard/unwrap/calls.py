"""What a call in a scripting language does, by its name: starts programs, touches files, signals, evaluates, connects."""

from __future__ import annotations

import re

from msgspec import Struct

from overnight.guard.effects import Kill, Net
from overnight.guard.machine import Run
from overnight.guard.text import DECODED, HOLE, LOCAL, NETWORK, STAR, Text, shown

Value = str | list["Value"] | None


class Call(Struct, frozen=True):
    """A call with its arguments worked out as far as they are constant."""

    #: Dotted: `fs.rmSync`, `File.delete`, `unlink`. Starts with a dot when what it is called on is not known.
    name: str
    args: list[Value]
    receiver: Value
    language: str
    #: True when the name was put together from pieces.
    computed: bool = False


_SHELL = re.compile(
    r"(?:child_process|node:child_process|\$|execa|shelljs|zx|cross-spawn)\.(?:exec|execSync)$|^(?:exec|system|spawn|popen|shell_exec|passthru|proc_open|pcntl_exec|IO\.popen|Open3\.\w+|Process\.spawn|PTY\.spawn|pty\.spawn)$"
    r"|^(?:execSync|execaCommand|execaCommandSync|shelljs\.exec|Bun\.\$)$"
)
_ARGV = re.compile(
    r"(?:^|\.)(?:spawn|spawnSync|execFile|execFileSync|execa|execaSync|fork)$|^Deno\.(?:Command|run)$|^Bun\.(?:spawn|spawnSync)$|^(?:cross-spawn|execa)$"
)
_DELETE = re.compile(
    r"(?:^|\.)(?:rm|rmSync|rmdir|rmdirSync|unlink|unlinkSync|removeSync|emptyDirSync|rimraf|rimrafSync|rm_rf|rm_r|rm_f|remove_dir|remove_entry|remove_entry_secure|rmtree|remove_file|del|deleteSync)$"
    r"|^(?:File|Dir|Pathname|Deno|fs|fs-extra|FileUtils|IO)\.(?:delete|unlink|rmdir|remove|removeSync|rm|safe_unlink|emptyDir)$"
)
_TREE = re.compile(r"rm_rf|rm_r\b|remove_dir|remove_entry|rmtree|rimraf|emptyDir|removeSync$|recursive=true")
_WRITE = re.compile(
    r"(?:^|\.)(?:writeFile|writeFileSync|appendFile|appendFileSync|createWriteStream|outputFile|outputFileSync|file_put_contents|writeTextFile|writeTextFileSync|binwrite|touch|chmod|chmodSync|chmod_R|chown|chownSync|chown_R|truncate|truncateSync|mkdir|mkdirSync)$"
    r"|^(?:File|IO)\.(?:write|truncate|chmod|chown)$|^Bun\.write$"
)
_BOTH = re.compile(
    r"(?:^|\.)(?:rename|renameSync|copyFile|copyFileSync|cp|cpSync|copy|copySync|move|moveSync|mv|symlink|symlinkSync|link|linkSync|ln_s|ln_sf|ln|cp_r|install|ftruncate)$"
)
_READ = re.compile(
    r"(?:^|\.)(?:readFile|readFileSync|createReadStream|file_get_contents|readTextFile|readTextFileSync|readfile|file|readlines|binread|foreach|parse_ini_file|highlight_file|show_source)$|^(?:File|IO)\.(?:read|open|new)$|^Bun\.file$"
)
_OPEN = re.compile(r"(?:^|\.)(?:open|openSync|fopen|File\.new)$")
_EVAL = re.compile(
    r"^(?:eval|Function|assert|create_function|instance_eval|class_eval|module_eval|vm\.run\w+|vm\.Script|setTimeout|setInterval|binding\.eval)$|\.(?:instance_eval|class_eval|runInThisContext|runInNewContext)$"
)
_NATIVE = re.compile(
    r"^process\.(?:binding|_linkedBinding|dlopen)$|^(?:Deno|bun:ffi)\.(?:dlopen|linkSymbols)$|^Fiddle\.|^FFI\.|^ffi-napi|^(?:dl|ffi)\."
)
_HIDDEN = re.compile(
    r"(?:^|\.)(?:require|eval|exec\w*|spawn\w*|process|child_process|Function|system|mainModule|constructor)$"
)
_REACH = re.compile(r"\b(?:process|require|child_process|globalThis|global)\b")


def flat(value: Value) -> str:
    """A value as one text."""
    if value is None:
        return HOLE
    return " ".join(flat(item) for item in value) if isinstance(value, list) else value


def act(run: Run, call: Call) -> None:
    """Emit what the call does."""
    name, given = call.name, call.args
    first = given[0] if given else None
    if call.computed and _HIDDEN.search(name):
        run.opaque("obfuscated", DECODED)
    if _EVAL.search(name) and (
        call.language != "node" or name not in ("setTimeout", "setInterval") or isinstance(first, str)
    ):
        _evaluated(run, call, first if name != "create_function" or len(given) < 2 else given[1])
    elif _NATIVE.search(name):
        run.opaque("opaque")
    elif name == "include":
        _included(run, first)
    elif _SHELL.search(name):
        _shell(run, given)
    elif _ARGV.search(name):
        _started(run, given)
    elif _DELETE.search(name):
        _files(run, call, "delete")
    elif _WRITE.search(name):
        _files(run, call, "write")
    elif _BOTH.search(name):
        _files(run, call, "both")
    elif _OPEN.search(name) and len(given) > 1:
        writes = isinstance(given[1], str) and bool(set(given[1]) & set("wax+c"))
        _files(run, call, "write" if writes else "read")
    elif _READ.search(name):
        _files(run, call, "read")
    elif name in ("process.kill", "Process.kill", "posix_kill"):
        _signalled(run, call)
    elif name in (
        "Deno.connect",
        "Bun.connect",
        "net.connect",
        "net.createConnection",
        "tls.connect",
        "net.Socket.connect",
    ):
        host = re.search(r"hostname=([^,}]+)", flat(first))
        run.emit(Net(host=shown(host.group(1)) if host else shown(flat(first))[:60], how="raw", words=run.words))


def _evaluated(run: Run, call: Call, code: Value) -> None:
    from overnight.guard.unwrap.scripts import source_effects

    if not isinstance(code, str) or code.strip(HOLE) == "":
        if call.name not in ("setTimeout", "setInterval", "assert"):
            run.opaque("computed", LOCAL)
        return
    if call.name == "Function" and _REACH.search(code):
        run.opaque("obfuscated", DECODED)
    run.m.depth += 1
    try:
        source_effects(run, Text(code), call.language)
    finally:
        run.m.depth -= 1


def _included(run: Run, name: Value) -> None:
    if isinstance(name, str) and re.match(r"(?:https?|ftp|data|php)://|data:", name):
        run.opaque("tainted", NETWORK)


def _shell(run: Run, given: list[Value]) -> None:
    """A text for a shell, or a program with its words."""
    words = [part for part in given if not (isinstance(part, str) and part.startswith("{"))]
    if not words:
        return
    first = words[0]
    if first is None or flat(first).strip(HOLE) == "":
        run.opaque("computed", LOCAL)
    elif isinstance(first, list):
        run.exec([Text(flat(word)) for word in first])
    elif len(words) > 1 and " " not in first and all(isinstance(word, str) for word in words):
        run.exec([Text(flat(word)) for word in words])
    elif len(words) > 1 and isinstance(words[1], list):
        _started(run, words)
    else:
        run.shell(Text(first), run.name)


def _started(run: Run, given: list[Value]) -> None:
    """A program and a list of its words."""
    if not given or given[0] is None:
        if given:
            run.opaque("computed", LOCAL)
        return
    words: list[str] = [flat(item) for item in given[0]] if isinstance(given[0], list) else [given[0]]
    if len(given) > 1 and isinstance(given[1], list):
        words += [flat(item) for item in given[1]]
    elif any(isinstance(part, str) and "shell=true" in part for part in given[1:]):
        run.shell(Text(" ".join(words)), run.name)
        return
    run.exec([Text(word) for word in words])


def _place(run: Run, value: Value) -> str:
    """A path: what is not known after a known folder is anything in it."""
    text = flat(value).replace("file://", "")
    if text.startswith("~/"):
        text = run.m.bounds.home + text[1:]
    head, slash, tail = text.rpartition("/")
    return f"{head}/{STAR}" if slash and head and HOLE not in head and tail == HOLE else text


def _files(run: Run, call: Call, what: str) -> None:
    given = call.args
    names = [item for part in given[:1] for item in (part if isinstance(part, list) else [part])]
    if not names and call.receiver is not None and call.name.startswith("."):
        names = [call.receiver]
    recursive = bool(_TREE.search(call.name)) or any(
        isinstance(p, str) and "recursive=true" in p.replace(" ", "") for p in given
    )
    for value in names:
        if value is None:
            if what == "delete" and run.argv[1:2] and run.argv[1].startswith(("-e", "-r", "-p", "--eval", "eval")):
                run.delete(HOLE, recursive=recursive, how=call.language)
            continue
        name = _place(run, value)
        if not name or "\n" in name or name.startswith("{"):
            continue
        if what == "delete":
            run.delete(name, recursive=recursive, how=call.language)
        elif what == "read":
            run.read(name)
        else:
            text = given[1] if len(given) > 1 and what == "write" and isinstance(given[1], str) else None
            run.write(name, Text(text) if text is not None and not text.startswith("{") else None)
    if what == "both" and len(given) > 1 and isinstance(given[1], str):
        run.write(_place(run, given[1]))


def _signalled(run: Run, call: Call) -> None:
    ruby = call.language == "ruby"
    for value in call.args[1:] if ruby else call.args[:1]:
        text = flat(value)
        parent = run.state.get("PPID")[0]
        target = "all" if text == "-1" else "init" if text == "1" else "supervisor" if text == parent else shown(text)
        run.emit(Kill(target=target, words=run.words))
