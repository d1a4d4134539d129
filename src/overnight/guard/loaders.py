"""Variables in a command's environment that make it run or load something."""

from __future__ import annotations

import re

from overnight.guard.effects import Exec, GitLocal, Guarding, Install, Net, Persist, Privilege
from overnight.guard.machine import Run
from overnight.guard.paths import under
from overnight.guard.text import DECODED, HOLE, Text

_PRELOAD = frozenset({"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "GCONV_PATH"})
#: Lists of folders that programs, modules or libraries are taken from.
_PLACES = frozenset(
    {
        "PATH",
        "PYTHONPATH",
        "PYTHONHOME",
        "NODE_PATH",
        "RUBYLIB",
        "PERL5LIB",
        "PERLLIB",
        "LUA_PATH",
        "CLASSPATH",
        "GEM_PATH",
        "DYLD_LIBRARY_PATH",
        "XDG_CONFIG_HOME",
        "GNUPGHOME",
    }
)
#: Where packages come from.
_INDEXES = frozenset({
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "NPM_CONFIG_REGISTRY",
    "npm_config_registry", "GOPROXY", "CARGO_REGISTRIES_CRATES_IO_INDEX",
})  # fmt: skip
#: Options of an interpreter, given through the environment -> those that load code.
_LOADING = {
    "NODE_OPTIONS": re.compile(r"--(?:require|import|loader|experimental-loader|eval)|(?:^|\s)-r\b"),
    **dict.fromkeys(("PERL5OPT", "RUBYOPT"), re.compile(r"-[Mmr]")),
    **dict.fromkeys(("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "MAVEN_OPTS", "GRADLE_OPTS"), re.compile("agent")),
    **dict.fromkeys(("PYTHONSTARTUP", "PYTHONBREAKPOINT", "PERL5DB"), re.compile(r"\A(?!(?:0|i?pdb\.set_trace)\Z)")),
}  # fmt: skip
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "env"})
_GIT_EDIT = frozenset({"GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER"})
_PAGERS = frozenset({"PAGER", "EDITOR", "VISUAL", "MANPAGER", "LESSOPEN", "LESSCLOSE"})
_REMOTE = frozenset({"push", "fetch", "pull", "clone", "ls-remote", "submodule", "remote"})
#: Variables that send what programs fetch through another host.
_PROXIES = frozenset(
    {"http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "npm_config_proxy", "npm_config_https_proxy"}
)
_PROXY = re.compile(r"(?:\w+://)?(?:[^@/]*@)?([\w.-]+)")
_HERE = ("localhost", "127.", "0.0.0.0")  # noqa: S104 - a name to compare with
#: Variables that switch off the check of who a server is -> the value that does.
_UNCHECKED = {
    "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    "PYTHONHTTPSVERIFY": "0",
    "GIT_SSL_NO_VERIFY": "1",
    "npm_config_strict_ssl": "false",
}
#: Where an agent's variables matter; `bash` stands for whatever comes after an export.
_STEERED = frozenset({"bash", "claude", "npx", "node"})
_FETCHERS = frozenset({"bash", "npm", "npx", "pnpm", "yarn", "pip", "pip3", "git", "uv", "poetry"})
_HARMLESS = re.compile(
    r"(?:/usr/bin/)?(?:true|:|cat|less|more|vi|vim|nano|emacs|code|ed|echo|head|tail|delta|bat|ssh)(?:\s+[-\w./=]+)*\Z"
)


def environment(run: Run) -> None:
    """Emit what the exported variables of this command make it do."""
    for name in sorted(run.state.exported):
        for value in run.state.vars.get(name, ()):
            _variable(run, name, value)


def exported(run: Run, name: str) -> None:
    """Emit what a variable that is exported by itself would make the programs do that come after."""
    later = Run(run.m, run.state, [Text("bash")], None)
    for value in run.state.vars.get(name, ()):
        _variable(later, name, value)


def _variable(run: Run, name: str, value: Text) -> None:
    words = (f"{name}={value}"[:120],)
    if not value:
        return
    if name in _PRELOAD or (name == "GIT_EXEC_PATH" and run.name == "git"):
        if HOLE in value and name == "LD_LIBRARY_PATH":
            return
        run.emit(Persist(kind="loader", path=name, words=words))
    elif name in _PLACES and run.name not in ("export", "echo") and _stray(run, name, value):
        run.emit(Persist(kind="loader", path=name, words=words))
    elif name == "BROWSER" and run.name in (
        "xdg-open",
        "open",
        "sensible-browser",
        "www-browser",
        "gh",
        "npm",
        "python",
        "python3",
    ):
        if not _HARMLESS.match(value):
            _code(run, value, name)
    elif name in ("BASH_ENV", "ENV") and run.name in _SHELLS and (name == "BASH_ENV" or "/" in value):
        text = run.read(value) if HOLE not in value else value
        _code(run, Text(text if text != HOLE else HOLE, text.taint | DECODED), name)
    elif name in ("PS0", "PS1", "PS2", "PS4") and run.name in _SHELLS and ("$(" in value or "`" in value):
        _code(run, Text(': "' + value.replace('"', '\\"') + '"', value.taint), name)
    elif name == "PROMPT_COMMAND" or name.startswith("BASH_FUNC_"):
        body = value[value.find("{") :] if name.startswith("BASH_FUNC_") and "{" in value else value
        _code(run, Text(body, value.taint), name)
    elif _loads(name, value):
        run.emit(Persist(kind="loader", path=name, words=words))
    elif name in _INDEXES and re.match(r"https?://(?!localhost|127\.)", value):
        run.emit(Install(manager=run.name, kind="name", registry=str(value)[:80], words=words))
    elif name.startswith(("CLAUDE_CODE_", "CLAUDE_CONFIG_DIR", "ANTHROPIC_BASE_URL")) and run.name in _STEERED:
        run.emit(Guarding(what=name, words=words))
    elif name.lower() in _PROXIES and (host := _PROXY.match(value)) and not host.group(1).startswith(_HERE):
        run.emit(Net(host=host.group(1), how="tunnel", words=words))
    elif _UNCHECKED.get(name) == value.lower() and run.name in _FETCHERS:
        run.emit(Install(manager=run.name, kind="lock", unsafe=True, words=words))
    elif name in ("DOCKER_HOST", "CONTAINER_HOST") and re.match(r"(?:tcp|ssh)://(?!localhost|127\.)", value):
        run.emit(Privilege(how="container", words=words))
    elif run.name == "git":
        _git(run, name, value)
    elif name in _PAGERS and not _HARMLESS.match(value):
        _code(run, value, name)


def _loads(name: str, value: Text) -> bool:
    """True for options of an interpreter that load code."""
    return name in _LOADING and bool(_LOADING[name].search(value))


def _stray(run: Run, name: str, value: Text) -> bool:
    """True when code would be taken from a temporary folder, or programs from wherever one stands, before others."""
    first = value.partition(":")[0]
    if name == "PATH" and first in ("", "."):
        return ":" in value
    return any(under(first, folder) for folder in run.m.bounds.tmp) and first not in run.m.bounds.tmp


def _git(run: Run, name: str, value: Text) -> None:
    sub = next((word for word in run.args if not word.startswith("-")), "")
    remote = sub in _REMOTE or any(word.startswith("--remote") for word in run.args)
    if name in ("GIT_SSH_COMMAND", "GIT_SSH", "GIT_PROXY_COMMAND", "GIT_SSH_VARIANT") and remote:
        run.emit(GitLocal(verb="config-exec", detail=name, words=run.words))
        _code(run, value, name)
    elif name == "GIT_EXTERNAL_DIFF" and sub in ("diff", "show", "log", "format-patch"):
        _code(run, value, name, sure=True)
    elif name in _GIT_EDIT | _PAGERS and not _HARMLESS.match(value):
        _code(run, value, name)
    elif name in ("GIT_ASKPASS", "SSH_ASKPASS") and sub in _REMOTE and not _HARMLESS.match(value):
        _code(run, value, name, sure=True)
    elif name == "GIT_TEMPLATE_DIR" and sub in ("init", "clone"):
        run.emit(GitLocal(verb="config-exec", detail=name, words=run.words))


def _code(run: Run, value: Text, name: str, *, sure: bool = False) -> None:
    if sure:
        run.emit(Exec(program=run.name, kind="opaque", words=(f"{name}={value}"[:120],)))
    state = run.state.copy()
    state.exported = set()
    run.m.code(value, state, name)
