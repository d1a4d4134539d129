"""Where the programs of a repository's checks live, as far as a box does not show it anyway."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

#: Every box shows these, read-only.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_BUILTIN = frozenset({"cd", "true", "false", "test", "[", "export", "set", "exec", "echo", ":", "!"})
#: Folders of a home that hold nothing but tools.
_PURE = frozenset({".pyenv", ".nvm", ".volta", ".asdf", ".rbenv", ".nodenv", ".sdkman", "miniconda3", "miniforge3"})


class ToolFolder(Struct, frozen=True, kw_only=True):
    """A folder that must be shown in the box for a program to work there."""

    #: Absolute, or from `~/`.
    folder: str
    #: The programs that need it.
    programs: tuple[str, ...]


def tool_folders(
    root: Path, commands: Iterable[str], env: Mapping[str, str]
) -> tuple[tuple[ToolFolder, ...], tuple[str, ...]]:
    """The folders that these commands' programs need, and notes on programs that a box can't have."""
    finder = _Finder(root, env)
    needed: dict[Path, list[str]] = {}
    first: set[Path] = set()
    notes: list[str] = []
    for program in dict.fromkeys(p for command in commands for p in programs_of(command)):
        found = finder.find(program)
        if isinstance(found, str):
            notes.append(found)
            continue
        first.update(found[:1])
        for folder in found:
            needed.setdefault(folder, []).append(program)
    # A folder inside another is shown with it, but only a named one's programs are on the PATH.
    folders = {f: p for f, p in needed.items() if f in first or not any(f.is_relative_to(o) for o in needed if o != f)}
    return tuple(ToolFolder(folder=finder.short(f), programs=tuple(p)) for f, p in folders.items()), tuple(notes)


def programs_of(command: str) -> Iterator[str]:
    """The first word of each part of a shell command, assignments and builtins left out."""
    for part in re.split(r"&&|\|\|?|;", command):
        try:
            words = shlex.split(part)
        except ValueError:
            return
        name = next((w for w in words if not re.match(r"[A-Za-z_]\w*=", w)), "")
        if name and "/" not in name and name not in _BUILTIN:
            yield name


class _Finder:
    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self.root = root.resolve()
        self.home = Path(env.get("HOME") or "/nonexistent")
        entries = [Path(p) for p in env.get("PATH", "").split(":") if p.startswith("/")]
        #: What lies in the repository is not there in a fresh checkout.
        self.own = [p for p in entries if self._in_root(p)]
        self.path = ":".join(str(p) for p in entries if not self._in_root(p))

    def _in_root(self, path: Path) -> bool:
        return path.is_relative_to(self.root) or path.resolve().is_relative_to(self.root)

    def short(self, path: Path) -> str:
        return f"~/{path.relative_to(self.home)}" if path.is_relative_to(self.home) else str(path)

    def find(self, program: str) -> list[Path] | str:
        """The folders that it needs, none for a system program, or a note for a person."""
        found = shutil.which(program, path=self.path)
        if found is None:
            own = shutil.which(program, path=":".join(map(str, self.own)))
            where = f"only in {Path(own).parent}, which a fresh checkout does not have" if own else "not on your PATH"
            return f"`{program}` is {where}. Install it outside the repository, or its checks will fail."
        real = self._behind_shim(program, Path(found))
        if real is None:
            return (
                f"`{program}` is a shim in {self.short(Path(found).parent)} that needs its manager's own environment. "
                f"Name the folder of the real program under `[box] tools`."
            )
        chain = [p for p in self._chain(real) if not _system(p)]
        if inside := next((p for p in chain if self._in_root(p)), None):
            return (
                f"`{program}` needs {inside}, which a fresh checkout does not have. Install it outside the repository."
            )
        return list(dict.fromkeys(self._folder(p, first=p == real) for p in chain))

    def _chain(self, program: Path, depth: int = 4) -> Iterator[Path]:
        """The program, what it links to, and the interpreter that its first line names."""
        yield program
        real = program.resolve()
        if real != program:
            yield real
        interpreter = _interpreter(real)
        if interpreter is not None and depth:
            yield from self._chain(interpreter, depth - 1)

    def _folder(self, program: Path, *, first: bool) -> Path:
        """The folder to show: the installation that the program belongs to, or just the folder it lies in."""
        parent = program.parent
        if parent.name not in ("bin", "sbin", "shims"):
            return parent
        prefix = parent.parent
        if (prefix / "pyvenv.cfg").is_file() and not first:
            # Shown, but not put on the PATH: its python would stand before the system's.
            return prefix.parent
        top = prefix.parent == self.home and prefix.name not in _PURE
        if top or self.home.is_relative_to(prefix) or prefix == self.home / ".local" or prefix == Path("/"):
            return parent
        return prefix

    def _behind_shim(self, program: str, found: Path) -> Path | None:
        """A version manager's shim needs variables that a box has not; the real program does not."""
        if not found.is_relative_to(self.home):
            return found
        where = found.relative_to(self.home).parts
        match where[:2]:
            case (".pyenv", "shims"):
                return self._pyenv(program)
            case (".volta", "bin"):
                return self._volta(program)
            case (".cargo", "bin") if found.resolve().name in ("rustup", "rustup-init"):
                return self._rustup(program)
            case (".asdf" | ".rbenv" | ".nodenv", "shims"):
                return None
            case (".local", "share") if where[2:4] == ("mise", "shims"):
                return None
            case _:
                return found

    def _pyenv(self, program: str) -> Path | None:
        for file in (self.root / ".python-version", self.home / ".pyenv" / "version"):
            for version in _read(file).split():
                if (real := _program(self.home / ".pyenv" / "versions" / version / "bin" / program)) is not None:
                    return real
        return None

    def _volta(self, program: str) -> Path | None:
        try:
            loaded = json.loads(_read(self.home / ".volta/tools/user/platform.json") or "{}")
            node = cast("dict[str, Any]", loaded)["node"]
            image = self.home / ".volta/tools/image"
            tool = "node" if program in ("node", "npm", "npx") else program
            version = node["runtime"] if tool == "node" else loaded[tool]
            return _program(image / tool / str(version) / "bin" / program)
        except (ValueError, KeyError, TypeError):
            return None

    def _rustup(self, program: str) -> Path | None:
        match = re.search(r'(?m)^default_toolchain\s*=\s*"([^"/]+)"', _read(self.home / ".rustup/settings.toml"))
        return _program(self.home / ".rustup/toolchains" / match[1] / "bin" / program) if match else None


def _system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _SYSTEM)


def _program(path: Path) -> Path | None:
    return path if path.is_file() else None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _interpreter(path: Path) -> Path | None:
    try:
        with path.open("rb") as file:
            line = file.readline(512)
    except OSError:
        return None
    match = re.match(rb"#!\s*(/\S+)", line)
    return None if match is None else Path(match[1].decode("utf-8", "surrogateescape"))
