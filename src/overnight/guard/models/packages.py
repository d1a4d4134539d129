"""Package managers: what comes in, from where, and what leaves."""

from __future__ import annotations

import re

from overnight.guard.effects import Install, Net
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import HOLE, Text, shown

_INSTALL = frozenset({"install", "i", "add", "in", "ins", "inst", "isntall", "get", "require", "ci", "clean-install", "sync", "update", "upgrade", "up",
                      "-S", "-Sy", "-Syu", "-U", "localinstall", "groupinstall", "dlx", "download", "fetch", "restore", "ensure", "reinstall", "tap"})  # fmt: skip
_REMOVE = frozenset({"uninstall", "remove", "rm", "un", "unlink", "r", "purge", "autoremove", "erase", "-R", "-Rns", "-Rs", "-Rsc", "-Rdd", "prune-all",
                     "untap", "del", "full-remove"})  # fmt: skip
_PUBLISH = frozenset({"publish", "unpublish", "upload", "push", "deprecate", "owner-add", "yank", "release", "login-"})
_RUN = frozenset(
    {
        "run",
        "run-script",
        "rum",
        "urn",
        "test",
        "t",
        "tst",
        "start",
        "stop",
        "restart",
        "exec",
        "x",
        "create",
        "init",
        "dlx",
    }
)
_SYSTEM = frozenset({"apt", "apt-get", "aptitude", "yum", "dnf", "zypper", "pacman", "apk", "brew", "port", "snap", "flatpak", "emerge", "pkg", "dpkg", "rpm",
                     "nix-env", "microdnf", "yay", "paru", "opkg", "choco", "winget", "scoop", "installer", "softwareupdate", "mas", "eopkg", "xbps-install"})  # fmt: skip
_URL = re.compile(
    r"(?:git\+|hg\+|svn\+)?(?:https?|git|ssh|ftp|file)://|git@|github:|gitlab:|bitbucket:|.*@(?:git\+|https?://)|[\w.-]+/[\w.-]+(?:#.*)?\Z"
)
_VALUED = ("-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-t", "--target", "--prefix",
           "--root", "--registry", "-C", "--dir", "-w", "--workspace", "--filter", "-F", "--features", "--version", "--vers", "--git", "--branch", "--tag",
           "--rev", "--path", "--index", "-p", "--python", "--group", "-G", "--extra", "-e", "--editable", "--source", "--allow-build", "-o", "--config",
           "--package", "--with", "--from", "--project", "--directory", "--cwd", "--platform", "--trusted-host", "--manifest-path", "--bin", "--example",
           "--with-requirements", "--default-index", "--package-name", "--loglevel", "--target-dir", "-j", "--jobs", "--profile", "--test")  # fmt: skip


@model("npm", "pnpm", "yarn", "cnpm", "pip", "pip3", "pipx", "poetry-", "uv", "cargo", "gem", "composer", "go", "rustup", "bower", "nuget", "conan",
       "vcpkg", "luarocks", "cpan", "cpanm", "opam", "pub", "dart", "flutter", "pod", "carthage", "hex", "easy_install", "twine", "flit", "bundler",
       "nvm", "fnm", "corepack", "sdk", "gomod", "helm-", "ghcup", "elm", "spago", "raco", "nimble", "julia-pkg", "micromamba", *_SYSTEM)  # fmt: skip
def manager(run: Run) -> Text | None:
    """`MANAGER VERB NAME...`."""
    args = run.args
    if run.name == "cargo" and args[:1] and args[0].startswith("+"):
        args = args[1:]
    if run.name in ("npm", "pnpm", "yarn", "cargo", "uv", "go") and (inner := _runs(run, args)) is not None:
        return inner
    found = options(args, valued=_valued(run.name))
    words = found.operands
    if found.has("--help", "-h") or words[:1] == ["help"]:
        return Text(HOLE)
    verb = words[0] if words else (args[0] if args and args[0].startswith("-") else "")
    names = words[1:]
    if (
        run.name in ("uv", "poetry", "pdm", "conda", "mamba")
        and verb in ("pip", "tool", "self", "env")
        and len(words) > 1
    ):
        verb, names = words[1], words[2:]
    if run.name == "yarn" and verb == "global" and len(words) > 1:
        verb, names = words[1], words[2:]
    if run.name == "pacman" or run.name in ("dpkg", "rpm", "yay", "paru"):
        return _flagged(run, args, words)
    if (run.name in ("npm", "pnpm", "yarn") and verb in ("config", "set", "c") and names[:1] == ["set"]) or (
        run.name == "npm" and verb == "set"
    ):
        _config(run, names)
    if run.name in ("npm", "pnpm", "yarn", "bun") and verb == "pkg" and names[:1] == ["set"]:
        for word in names[1:]:
            name, _, code = word.partition("=")
            if re.match(r"scripts[.\[]", name) and code:
                run.shell(Text(code.strip("'\""), word.taint), "package.json scripts")
    for value in found.all("--config", "-c") if run.name == "npm" else []:
        _config(run, [value])
    _verb(run, verb, names, args)
    if run.name in ("npm", "pnpm", "yarn") and (
        verb in ("install", "i", "ci", "add", "rebuild", "pack", "publish", "prepare") or not verb
    ):
        from overnight.guard.unwrap.build import package_script

        package_script(run, "install", "install")
    return Text(HOLE)


def _valued(name: str) -> tuple[str, ...]:
    if name in ("apt", "apt-get", "aptitude", "dnf", "yum"):
        return ("-o", "-c", "-t", "--target-release", "--option", "--setopt", "--enablerepo", "--repo")
    if name in ("npm", "pnpm", "yarn"):
        return tuple(
            word
            for word in _VALUED
            if word not in ("-p", "-f", "-e", "-i", "-t", "-o", "-r", "-G", "--version", "--extra", "--with", "--root")
        )
    if name in ("go", "cargo"):
        return tuple(word for word in _VALUED if word not in ("-i", "-t", "-f", "-e", "-r"))
    return tuple(word for word in _VALUED if word not in ("--version",)) if name == "brew" else _VALUED


def _verb(run: Run, verb: str, names: list[Text], args: list[Text]) -> None:
    """Emit what a manager's verb means."""
    unsafe = any(word in ("--allow-unauthenticated", "--allow-insecure-repositories", "--force-yes", "--no-gpg-checks", "--nogpgcheck", "--trusted-host",
                          "--allow-untrusted", "--no-check-gpg", "--allow-downgrade-to-insecure-repositories", "--strict-ssl=false") for word in args)  # fmt: skip
    registry = ""
    for place, word in enumerate(args):
        name, equals, value = word.partition("=")
        if name in (
            "--index-url",
            "-i",
            "--extra-index-url",
            "--registry",
            "--index",
            "--default-index",
            "--source",
            "-f",
            "--find-links",
        ):
            given = value if equals else (args[place + 1] if place + 1 < len(args) else "")
            registry = shown(given) if "://" in given else registry
    words = run.words
    for place, word in enumerate(args):
        name, equals, value = word.partition("=")
        if (
            name in ("--root", "--prefix", "--target", "-t")
            and verb in _INSTALL
            and (equals or place + 1 < len(args))
            and run.name not in _SYSTEM
        ):
            run.write(Text(value) if equals else args[place + 1], how="folder")
    if verb in _REMOVE:
        run.emit(Install(manager=run.name, kind="remove", names=tuple(map(shown, names)), words=words))
    elif verb in _PUBLISH or (
        verb in ("owner", "dist-tag", "access") and names[:1] in (["add"], ["rm"], ["grant"], ["revoke"], ["set"])
    ):
        if "--dry-run" not in args:
            run.emit(Install(manager=run.name, kind="publish", names=tuple(map(shown, names)), words=words))
    elif verb in _INSTALL or (run.name in ("easy_install", "cpan", "cpanm") and names):
        given = [name for name in names if name not in (".", "./")]
        urls = [name for name in given if _is_url(run.name, name)]
        local = [name for name in given if name.startswith((".", "/")) and name not in urls]
        locked = not given or (
            any(word.startswith(("-r", "--requirement", "-e", "--editable")) for word in args) and not urls
        )
        listed = [word for word in args if word.startswith(("http://", "https://")) and word not in given]
        urls += [word for word in listed if args[args.index(word) - 1] in ("-r", "--requirement", "-c", "--constraint")]
        if "--git" in args:
            urls = urls or [Text("--git")]
        if any(HOLE in name for name in given) and not registry:
            locked = False
        kind = "url" if urls else "path" if local and len(local) == len(given) else "lock" if locked else "name"
        run.emit(
            Install(
                manager=run.name,
                kind=kind,
                names=tuple(map(shown, given)),
                registry=registry,
                unsafe=unsafe,
                words=words,
            )
        )
        for name in given:
            if (match := re.search(r"://(?:[^@/]*@)?([^/:]+)", name)) is not None:
                run.emit(Net(host=match.group(1), words=words))
    elif unsafe:
        run.emit(Install(manager=run.name, kind="lock", unsafe=True, words=words))


def _is_url(manager_name: str, name: str) -> bool:
    if re.search(r"\.(?:gem|deb|rpm|apk|vsix|snap|crate|nupkg|phar)\Z", name):
        return True
    if manager_name in (
        "apt",
        "apt-get",
        "brew",
        "go",
        "composer",
        "dnf",
        "yum",
        "pip",
        "pip3",
        "uv",
        "cargo",
        "snap",
        "dart",
        "gem",
        "pipx",
    ):
        return bool(re.match(r".*(?:https?|git|ftp|ssh)(?:\+\w+)?://", name))
    if name.startswith(("@", ".", "/")):
        return "://" in name
    return bool(_URL.match(name))


def _config(run: Run, names: list[Text]) -> None:
    for word in names:
        if re.match(
            r"(?:script-shell|shell|editor|viewer|git|node-options|init-module|globalconfig|userconfig)\b", word
        ):
            run.unverifiable(f"{run.name} would run {word}")
        elif re.match(r"(?:registry|strict-ssl)\b", word):
            run.emit(
                Install(manager=run.name, kind="name", registry="configured", unsafe="ssl" in word, words=run.words)
            )


def _flagged(run: Run, args: list[Text], words: list[Text]) -> Text | None:
    flags = "".join(word[1:] for word in args if word.startswith("-") and not word.startswith("--"))
    if run.name in ("dpkg", "rpm"):
        removes = {"-e", "--erase", "-r", "-P", "--remove", "--purge"} & set(args)
        kind = (
            "remove"
            if removes
            else "path"
            if {"-i", "--install", "-U", "-ivh", "-Uvh", "--force-all"} & set(args)
            else ""
        )
    else:
        kind = (
            "remove"
            if "R" in flags
            else "name"
            if ("S" in flags and not {"s", "i", "l", "g"} & set(flags)) or "U" in flags
            else ""
        )
    if kind == "remove" and any(HOLE in word for word in words):
        run.unverifiable("which packages go is not known")
    if kind:
        run.emit(Install(manager=run.name, kind=kind, names=tuple(map(shown, words)), words=run.words))
    return Text(HOLE)


def _runs(run: Run, args: list[Text]) -> Text | None:
    """Verbs that run a program or a script."""
    from overnight.guard.unwrap.build import package_script

    valued = (
        "-C",
        "--dir",
        "--prefix",
        "-w",
        "--workspace",
        "--filter",
        "-F",
        "--cwd",
        "--directory",
        "--project",
        "--color",
        "-c",
        "--call",
        "--loglevel",
    )
    found = options(args, valued=valued, leading=True)
    words = found.operands
    verb = words[0] if words else ""
    if run.name == "uv":
        return _uv(run, verb, words[1:])
    if run.name == "cargo":
        if verb == "run" or verb in ("test", "build", "check", "bench", "clippy", "doc", "fmt", "nextest"):
            for word in words:
                match = re.match(r"--config=?(.*)", word)
                if match and re.search(r"runner|rustc-wrapper|linker|rustc\b|alias", match.group(1) + " ".join(words)):
                    run.unverifiable("cargo --config")
            return Text(HOLE)
        return None
    if run.name == "go":
        if verb in (
            "generate",
            "run",
            "test",
            "build",
            "vet",
            "tool",
            "fmt",
            "env",
            "list",
            "version",
            "doc",
            "clean",
            "mod",
            "work",
            "fix",
        ):
            toolexec = options(words[1:], valued=("-exec", "-toolexec"), single_dash=True)
            for code in toolexec.all("-exec", "-toolexec"):
                run.shell(code, "go -exec")
            remote = [word for word in words[1:] if "@" in word and "/" in word] if verb == "run" else []
            if remote:
                run.emit(Install(manager="go", kind="name", names=tuple(map(shown, remote)), words=run.words))
            return Text(HOLE)
        return None
    if verb in ("exec", "x", "dlx"):
        return npx(Run(run.m, run.state, [Text("npx"), *args[: args.index(words[0])], *words[1:]], run.stdin))
    code = found.value("-c", "--call")
    if code is not None and verb in ("exec", ""):
        return run.shell(code, "npm exec -c")
    if verb in _RUN or (
        run.name in ("yarn", "pnpm")
        and verb
        and verb not in _INSTALL | _REMOVE | _PUBLISH | {"config", "global", "npm", "set"}
    ):
        name = words[1] if verb in ("run", "run-script", "rum", "urn") and len(words) > 1 else verb
        if verb in ("create", "init") and len(words) > 1:
            run.emit(Install(manager=run.name, kind="name", names=(shown(words[1]),), words=run.words))
        shell = next((word for word in args if word.startswith(("--script-shell", "--shell"))), None)
        if shell is not None:
            run.unverifiable("another shell for scripts")
        package_script(run, "run", str(name))
        return Text(HOLE)
    return None


def _uv(run: Run, verb: str, args: list[Text]) -> Text | None:
    if verb == "run" or (verb == "tool" and args[:1] == ["run"]):
        rest = args[1:] if verb == "tool" else args
        valued = ("--with", "--with-editable", "--with-requirements", "--group", "--extra", "-p", "--python", "--env-file", "--package", "--project", "-m",
                  "--module", "--only-group", "--no-group", "--directory", "--index", "--default-index", "--from", "--index-url")  # fmt: skip
        found = options(rest, valued=tuple(word for word in valued if word not in ("-m", "--module")), leading=True)
        for name in found.all("--with", "--from"):
            run.emit(
                Install(manager="uv", kind="url" if "://" in name else "name", names=(shown(name),), words=run.words)
            )
        if found.has("-m", "--module"):
            return run.exec([Text("python"), Text("-m"), *found.operands])
        if found.operands and found.operands[0].endswith(".py"):
            return run.exec([Text("python"), *found.operands])
        return run.exec(found.operands) if found.operands else Text(HOLE)
    return None


@model("npx", "pnpx", "bunx", "uvx", "yarnpkg")
def npx(run: Run) -> Text | None:
    """A program from a package, or `-c CODE`."""
    found = options(
        run.args, valued=("-p", "--package", "-c", "--call", "--from", "--with", "--registry", "--python"), leading=True
    )
    for code in found.all("-c", "--call"):
        run.shell(code, "npx -c")
    words = found.operands
    packages = found.all("-p", "--package", "--from", "--with")
    for name in [*packages, *words[:1]]:
        if re.match(r".*(?:https?|git|ssh)(?:\+\w+)?://|github:|[\w.-]+/[\w.-]+$", name) and not name.startswith("@"):
            run.emit(Install(manager=run.name, kind="url", names=(shown(name),), words=run.words))
    if words:
        name = re.sub(r"(?<=.)@.*", "", words[0])
        return run.exec([Text(name), *words[1:]])
    return Text(HOLE)
