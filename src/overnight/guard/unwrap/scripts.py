"""Source text of scripting languages: the calls in it that start programs or touch files, found by their names.

This is a reading of literals, not an interpreter: what a call is given must be a literal, a few folded forms of one, or it
counts as computed.
"""

from __future__ import annotations

import base64
import binascii
import re

from overnight.guard.effects import Infra, Install, Kill, Net
from overnight.guard.machine import Run
from overnight.guard.parser import parse
from overnight.guard.scanner import SyntaxProblem, ansi_c
from overnight.guard.text import DECODED, HOLE, LOCAL, NETWORK, STAR, Text, shown

_STRING = r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'"
_PLAIN = r"\"[^\"]*\"|'[^']*'"
_LITERAL = re.compile(_STRING, re.DOTALL)
_RUN = re.compile(
    r"\b(?:system|exec|execSync|execFile|execFileSync|spawn|spawnSync|popen|popen[234]|shell_exec|passthru|proc_open|pcntl_exec"
    r"|os\.execute|io\.popen|capture[23e]*|sh|Deno\.Command|Bun\.spawn|ShellExecute|start-process|pty\.spawn"
    r"|os:cmd|execShellCmd|\$\.system|Sys\.command|callCommand|runCommand|readProcess|fork_exec|posix_spawn|system2|%x|qx|Kernel\.system|Kernel\.exec)\b[\s!]*(?:\(\s*)?(.*)",
    re.DOTALL,
)
_DELETE = re.compile(
    r"\b(?:unlink|unlinkSync|rmSync|rmdirSync|rmdir|rm_rf|rm_r|rm_f|remove_tree|rmtree|remove_entry_secure|remove_dir"
    r"|File\.delete|Dir\.rmdir|os\.remove|Deno\.remove|Deno\.removeSync|fs\.rm|deleteDir|deleteRecursively|deleteIfExists|deltree|delete-directory|delete-file|file\s+delete|remove-item|ri|rimraf|del|rm|truncate)\b",
    re.IGNORECASE,
)
_TREE = re.compile(
    r"rm_rf|rm_r\b|remove_tree|rmtree|recursive|remove_entry|rimraf|deleteDir|deleteRecursively|delete-directory|file\s+delete|-r\b|-recurse",
    re.IGNORECASE,
)
_WRITE = re.compile(
    r"\b(?:writeFile|writeFileSync|appendFile|appendFileSync|createWriteStream|file_put_contents|File\.write|IO\.write|fwrite"
    r"|chmod|chmodSync|openSync|chown|chownSync|rename|renameSync|copyFile|copyFileSync|cp|cpSync|symlink|symlinkSync|link|linkSync"
    r"|sysopen|mkdir|mkdirSync|touch|move_uploaded_file|set-content|add-content|out-file|move|copy|writeTextFile"
    r"|writeLines|file\.remove|file\.rename|spew|Bun\.write)\b",
    re.IGNORECASE,
)
_WRITE_MODE = re.compile(r",\s*['\"](?:[wa+][bt+]*|>>?|\+<|r\+)['\"]|['\"]\s*>>?\s*[\"'$]|['\"]>>?[^\"']")
_NETWORK = re.compile(r"\b(?:https?|wss?|ftp)://([^/\s'\"\\:?#]+)")
_SENDS = re.compile(
    r"\b(?:post|put|request|sendBeacon|Net::HTTP|socket|connect|fsockopen|TCPSocket|IO::Socket|urlopen|curl_\w+)\b",
    re.IGNORECASE,
)
_SOCKET = re.compile(
    r"require[\s(]*['\"]socket['\"]|fsockopen|TCPSocket|IO::Socket|net\.(?:connect|Socket|createConnection)|socket\.tcp|Socket\.new|use Socket"
)
#: Ruby's and Perl's other backquotes.
_COMMANDS = re.compile(r"(?:%x|qx)(?:\(([^)]*)\)|\{([^}]*)\}|\[([^\]]*)\]|\|([^|]*)\||/([^/]*)/|!([^!]*)!)")
_EVAL = re.compile(
    r"\b(?:eval|Function|assert|load|loadstring|instance_eval|class_eval|vm\.run\w+|create_function)\s*[( ]\s*"
)
_DECODERS = re.compile(
    r"atob|base64|fromCharCode|from_?hex|unpack|pack\b|decode|unhexlify|rot13|inflate|gunzip|decompress|reverse|chr\("
)
#: A program taken from an address: `source("http://...")`, `include(download("http://..."))`.
_FETCHED = re.compile(
    r"\b(?:source|include|dofile|loadfile|evalFile|sys\.source|devtools::source_url|source_url|import_url|run)\b[\s(]*(?:\w+\s*\(\s*)?['\"]https?://"
)
#: Packages of R from a mirror that is none of CRAN's.
_MIRROR = re.compile(
    r"\brepos\s*=\s*(?:c\()?\s*['\"](https?://(?!cran\.|cloud\.r-project|[\w.-]*rstudio\.com|[\w.-]*r-universe)[^'\"]+)"
)
_ENV_HOME = re.compile(
    r"\$ENV\{['\"]?HOME['\"]?\}|process\.env\.HOME|#\{ENV\[['\"]HOME['\"]\]\}|#\{Dir\.home\}|\$HOME\b|\$\{HOME\}"
)
_SECRET_ENV = re.compile(r"(?:environ|process\.env|ENV)\b(?!\.HOME|\.PATH|\.NODE_ENV|\.CI|\[['\"](?:HOME|PATH|CI)|\{)")
_PATHLIKE = re.compile(r"(?:~|\.{1,2})?/[^\s'\"]+|\.[\w.-]+|[\w.-]+\.(?:key|pem|p12|env)|id_\w+")


def unescaped(text: str) -> str:
    """A string literal's text."""
    if "\\" not in text:
        return text
    try:
        return ansi_c(re.sub(r"\\x\{([0-9a-fA-F]+)\}", lambda m: chr(int(m.group(1), 16) % 0xD800), text))
    except SyntaxProblem:
        return HOLE


def folded(source: str, home: str) -> str:
    """The source with joins of literals and simple decoders worked out."""
    source = re.sub(
        r"\bprocess\.env\.HOME\b|\bos\.homedir\(\)|\bENV\[['\"]HOME['\"]\](?!\})|\bDir\.home\b(?!\})|\bos\.getenv\(['\"]HOME['\"]\)|\bgetenv\(['\"]HOME['\"]\)",
        f'"{home}"',
        source,
    )
    source = _ENV_HOME.sub(home, source)
    source = re.sub(
        r"(?:path\.join|File\.join|file\.path|catfile)\(((?:\s*(?:\"[^\"]*\"|'[^']*')\s*,?)+)\)", _joined_path, source
    )

    def decoded(found: re.Match[str]) -> str:
        try:
            text = base64.b64decode(found.group(1)).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return found.group()
        return repr(text)

    source = re.sub(r"\batob\(\s*['\"]([\w+/=]+)['\"]\s*\)", decoded, source)
    source = re.sub(
        r"Buffer\.from\(\s*['\"]([\w+/=]+)['\"]\s*,\s*['\"]base64['\"]\s*\)(?:\.toString\([^)]*\))?", decoded, source
    )
    source = re.sub(r"(?:decode_base64|base64_decode|Base64\.decode64)\(\s*['\"]([\w+/=]+)['\"]\s*\)", decoded, source)
    source = re.sub(r"\bqw\s*(?:\(([^()]*)\)|\[([^\]]*)\]|\{([^}]*)\}|/([^/]*)/)", _listed, source)
    source = re.sub(rf"\bjoin\s*\(\s*(['\"])([^'\"]*)\1\s*,((?:\s*(?:{_PLAIN})\s*,?)+)\)", _joined_text, source)
    for _ in range(8):
        joined = re.sub(r"(['\"])\s*(?:\.{1,2}|\+)\s*['\"]", "", source)
        if joined == source:
            break
        source = joined
    return source


def _listed(found: re.Match[str]) -> str:
    words = next(group for group in found.groups() if group is not None).split()
    return "(" + ", ".join(f'"{word}"' for word in words) + ")"


def _joined_text(found: re.Match[str]) -> str:
    return '"' + found.group(2).join(a or b for a, b in _LITERAL.findall(found.group(3))) + '"'


def _named(source: str) -> str:
    """Lua's names of literals, put in where they are used."""
    for name, quoted in re.findall(r"(?:\blocal\s+)?\b(\w+)\s*=\s*(\"[^\"]*\"|'[^']*')\s*(?:;|\n|\blocal\b|$)", source)[
        :8
    ]:
        source = re.sub(rf"\b{name}\b(?=\s*(?:\.\.|\)|,))|(?<=\.\.)\s*\b{name}\b", lambda _, text=quoted: text, source)
    return source


def _joined_path(found: re.Match[str]) -> str:
    return '"' + "/".join(a or b for a, b in _LITERAL.findall(found.group(1))).replace("//", "/") + '"'


def _statements(source: str) -> list[str]:
    """The source cut at `;` and newlines that stand outside of string literals."""
    masked = _LITERAL.sub(lambda found: found.group().replace(";", "\0").replace("\n", "\1"), source)
    return [piece.replace("\0", ";").replace("\1", "\n") for piece in re.split(r"[;\n]", masked)]


def literals(source: str) -> list[str]:
    """Texts of all string literals."""
    return [unescaped(a or b) for a, b in _LITERAL.findall(source)]


def source_effects(run: Run, source: Text, language: str) -> None:
    """Emit what the source would do as far as its literals say."""
    if source.strip() == HOLE:
        run.unverifiable(f"the {language} code is not known")
        return
    if len(source) > 60_000:
        run.unverifiable(f"the {language} code is longer than can be checked")
        return
    run.m.parsing(source)
    if language in ("node", "ruby", "php"):
        from overnight.guard.unwrap.trees import tree_effects

        typed = language == "node" and run.name in ("tsx", "ts-node", "deno", "bun")
        tree_effects(run, source, "typescript" if typed else language)
    text = folded(_named(source) if language == "lua" else source, run.m.bounds.home)
    texts = literals(text)
    for quoted in re.findall(r"`([^`]*)`", text) + [part for pair in _COMMANDS.findall(text) for part in pair if part]:
        if language in ("ruby", "perl", "php"):
            run.shell(Text(re.sub(r"[#$]\{[^}]*\}", HOLE, quoted)), language)
    for statement in _statements(text) if language != "powershell" else [text]:
        _statement(run, statement, language)
    if language == "perl":
        for mode, name in re.findall(r"[\"']\s*(\+?[<>]{1,2})\s*([^\"'|&<>]+)[\"']", text):
            (run.read if mode == "<" else run.write)(_home(run, name.strip()))
        if re.search(r"\bkill\b\s*\(?\s*['\"\w-]+\s*(?:,|=>)\s*(?:-1|1)\b", text):
            run.emit(Kill(target="all", words=run.words))
        for name in texts:
            if name.startswith("|") or name.rstrip().endswith("|"):
                run.shell(Text(name.strip("| ")), language, stdin=Text(HOLE))
    if (
        language == "other"
        and len(texts) > 1
        and texts[0] in ("rm", "git", "sh", "bash", "dd", "curl", "wget", "chmod", "chown", "kill")
    ):
        run.exec([Text(_home(run, word)) for word in texts])
    if ("child_process" in text and not _RUN.search(text.replace("child_process", ""))) or language == "other":
        _maybe_code(run, [*texts, *re.findall(r"`([^`]+)`", text)], language)
    if _EVAL.search(text) and (
        _NETWORK.search(text) or re.search(r"LWP|open-uri|Net::HTTP", text + " ".join(run.argv))
    ):
        run.opaque("tainted", NETWORK)
    if _FETCHED.search(text):
        run.opaque("tainted", NETWORK)
    if language == "r" and (mirror := _MIRROR.search(text)):
        run.emit(Install(manager="R", kind="url", names=(mirror.group(1)[:80],), words=run.words))
    if _EVAL.search(text):
        _evals(run, text, language)
    _reaches(run, text, texts, language)
    for name in texts:
        if _PATHLIKE.fullmatch(name) and len(name) < 300:
            _touched(run, name, text)


def _reaches(run: Run, text: str, texts: list[str], language: str) -> None:
    """Hosts that the source talks to, and what it hands out: files, secrets, the environment, a shell."""
    hosts = [host.rpartition("@")[2] for host in _NETWORK.findall(text)]
    reads_secret = any(run.m.secret(run.path(_home(run, name))) for name in texts if _PATHLIKE.fullmatch(name))
    sends = (
        "secret"
        if reads_secret
        else "file"
        if re.search(r"readFile|file_get_contents|File\.read|open\(", text)
        else "none"
    )
    if _SECRET_ENV.search(text) and re.search(r"stringify|inspect|to_json|dumps|Dumper|body", text):
        sends = "secret"
    if (
        language == "node"
        and {"-p", "--print", "-pe"} & set(run.args)
        and re.search(r"\bprocess\.env\s*(?:[)\]},;]|$)", text)
    ):
        run.emit(Infra(service="the environment", verb="secret", words=run.words))
    if re.search(
        r"(?:console\.\w+|print|puts|echo|var_dump|print_r|p)\s*\(?\s*(?:process\.env|ENV|\$_ENV|%ENV)\s*[,);]?\s*$",
        text,
        re.MULTILINE,
    ):
        run.emit(Infra(service="the environment", verb="secret", words=run.words))
    for host in hosts:
        run.emit(Net(host=shown(host), how="write" if _SENDS.search(text) else "read", sends=sends, words=run.words))
    if _SOCKET.search(text):
        shells = re.search(r"/bin/(?:ba|z|da)?sh|\bsh -i|cmd\.exe|exec\b", text)
        run.emit(Net(host=hosts[0] if hosts else "", how="reverse-shell" if shells else "raw", words=run.words))


def _maybe_code(run: Run, texts: list[str], language: str) -> None:
    """Literals that would pass for commands, where the call that may run them is hidden."""
    for name in texts:
        if " " not in name:
            continue
        try:
            parse(name)
        except SyntaxProblem:
            continue
        run.shell(Text(name), language)


def _home(run: Run, name: str) -> str:
    return run.m.bounds.home + name[1:] if name.startswith("~") else name


def _touched(run: Run, name: str, text: str) -> None:
    path = _home(run, name)
    if _DELETE.search(text):
        return
    writes = _WRITE.search(text) or _WRITE_MODE.search(text)
    if writes:
        run.write(path, certain=False)
    else:
        run.read(path, certain=False)


def _statement(run: Run, statement: str, language: str) -> None:
    found = _RUN.search(statement)
    if found and not re.search(r"\bRegExp|\.exec\s*\(\s*\w+\s*\)\s*$|\.test\(", statement):
        _runs(run, found.group(1), language)
    deletes = _DELETE.search(re.sub(_LITERAL, '""', statement))
    if deletes:
        names = [unescaped(a or b) for a, b in _LITERAL.findall(statement)]
        for name in names:
            if (
                not name
                or " " in name
                or name in ("fs", "node:fs", "fs/promises", "path", "os", "fileutils", "File::Path", "shutil")
            ):
                continue
            name = name.replace("*", STAR) if "glob" in statement else name
            run.delete(_home(run, name), recursive=bool(_TREE.search(statement)), how=language)


def _runs(run: Run, arguments: str, language: str) -> None:
    given = arguments.lstrip(" (")
    if given[:1] in ("[", "'", '"') or given.startswith(("q{", "q(", "<<")):
        close = given.find("]") if given.startswith("[") else len(given)
        texts = literals(given[:close] if close > 0 else given)
        if given.startswith("[") or re.match(rf"(?:{_STRING})\s*,", given, re.DOTALL):
            words = [text for text in texts if text not in ("utf8", "utf-8", "inherit", "ignore", "pipe")]
            if words and " " in words[0]:
                run.shell(Text(words[0]), language)
            elif words:
                run.exec([Text(_home(run, word)) for word in words])
        elif texts:
            run.shell(Text(re.sub(r"[#$]\{[^}]*\}", HOLE, texts[0])), language)
        return
    if re.match(r"[$@\w]", given) and not re.match(r"(?:function|def|require|import|from)\b", given):
        run.opaque("computed", DECODED if _DECODERS.search(given) else LOCAL)


def _evals(run: Run, text: str, language: str) -> None:
    for found in _EVAL.finditer(text):
        rest = text[found.end() :]
        literal = _LITERAL.match(rest)
        if _DECODERS.search(run.argv[-1]) and len(rest) < len(text) and literal and literal.group() not in run.argv[-1]:
            run.opaque("obfuscated", DECODED)
        if literal:
            inner = unescaped(literal.group(1) or literal.group(2) or "")
            if len(inner) < len(text):
                source_effects(run, Text(inner), language)
        elif _DECODERS.search(rest):
            run.opaque("obfuscated", DECODED)
