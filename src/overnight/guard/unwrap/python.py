"""Python source: read as a tree, with constants worked out through names, joins and decoders."""

from __future__ import annotations

import ast

from overnight.guard.effects import Kill, Net
from overnight.guard.machine import Run
from overnight.guard.text import DECODED, HOLE, LOCAL, SECRET, STAR, Text
from overnight.guard.unwrap.python_values import Value, Values, text_of
from overnight.guard.unwrap.scripts import source_effects

_READS = frozenset({"read_text", "read_bytes", "load", "loads"})
_DELETES = frozenset({"remove", "unlink", "rmdir", "rmtree", "removedirs", "truncate"})
_WRITES = frozenset({"write_text", "write_bytes", "chmod", "chown", "rename", "replace", "link", "symlink", "copy", "copy2", "copyfile",
                     "copytree", "move", "touch", "mkdir", "makedirs", "symlink_to", "hardlink_to", "link_to", "lchmod", "mkfifo"})  # fmt: skip
_SHELLS = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput", "pty.spawn",
                     "asyncio.create_subprocess_shell", "popen2.popen2"})  # fmt: skip
_PROCESSES = frozenset({"run", "call", "check_call", "check_output", "Popen"})
_NET = frozenset(
    {
        "urlopen",
        "urlretrieve",
        "get",
        "post",
        "put",
        "patch",
        "delete",
        "request",
        "Request",
        "create_connection",
        "connect",
    }
)


def python_effects(run: Run, source: Text, language: str = "python") -> None:
    """Emit what Python code would do. Code that is not Python is read by its literals instead."""
    if source.strip() == HOLE:
        run.unverifiable("the python code is not known")
        return
    run.m.parsing(source)
    try:
        tree = ast.parse(source.replace(HOLE, "_unknown_"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        source_effects(run, source, language)
        return
    try:
        _Reader(run, source).visit(tree)
    except RecursionError:
        run.unverifiable("the python code nests too deep")


class _Reader(Values, ast.NodeVisitor):
    """Follows assignments of constants in order; branches are all taken."""

    # -- statements

    def visit_Import(self, node: ast.Import) -> None:
        """Names that stand for modules."""
        for alias in node.names:
            self.modules[alias.asname or alias.name] = alias.name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Names that stand for functions of modules."""
        for alias in node.names:
            self.modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Assign(self, node: ast.Assign) -> None:
        """A constant gets a name."""
        self.generic_visit(node)
        value = self.value(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.handles[target.id] = self._opened(node.value)
                self.names[target.id] = value
                dotted = self.name(node.value)
                if value is None and dotted:
                    self.modules[target.id] = dotted

    def visit_Call(self, node: ast.Call) -> None:
        """The calls that do something."""
        self.generic_visit(node)
        name = self.name(node.func)
        tail = name.rpartition(".")[2]
        args = [self.value(arg) for arg in node.args]
        first = args[0] if args else None
        receiver = self._receiver(node)
        if name in ("exec", "eval", "builtins.exec", "builtins.eval", "compile"):
            self._code(node, first)
        elif (
            name in _SHELLS
            or (tail in _PROCESSES and name.startswith("subprocess."))
            or name.startswith(("os.exec", "os.spawn", "os.posix_spawn"))
            or tail == "create_subprocess_exec"
        ):
            self._process(name, args, node)
        elif name in ("open", "io.open", "builtins.open", "os.open") or (tail == "open" and receiver is not None):
            self._open(node, receiver if tail == "open" and receiver is not None else first)
        elif tail in _DELETES and (
            name.startswith(("os.", "shutil.", "pathlib.")) or receiver is not None or name == tail
        ):
            self._delete(receiver if receiver is not None else first, tail)
        elif tail in _WRITES and (
            name.startswith(("os.", "shutil.", "pathlib."))
            or (receiver is not None and tail not in ("replace", "copy"))
        ):
            self._write(receiver, args, tail)
        elif (
            tail == "write"
            and isinstance(node.func, ast.Attribute)
            and (path := self._opened(node.func.value)) is not None
        ):
            self.run.write(path, Text(text_of(first)) if first is not None else None)
        elif tail in _READS and receiver is not None:
            self._read(receiver)
        elif tail in _NET or name.startswith(("socket.", "http.client.", "ftplib.", "smtplib.")):
            self._net(name, first, node)
        elif name.startswith(("ctypes.CDLL", "ctypes.PyDLL", "ctypes.cdll", "cffi.")) or (
            tail == "system" and not name.startswith(("platform", "os."))
        ):
            self._native(first)
        elif name in ("os.kill", "os.killpg", "signal.pidfd_send_signal"):
            pid = ast.unparse(node.args[0]) if node.args else ""
            target = "all" if pid == "-1" else "init" if pid == "1" else "supervisor" if "getppid" in pid else pid[:40]
            self.run.emit(Kill(target=target, words=self.run.words))
        elif name == "pty.spawn":
            self._process(name, args, node)

    def _native(self, first: Value) -> None:
        """Calls into shared objects; `system` in one is a shell."""
        if first is not None and " " in text_of(first):
            self.run.shell(Text(text_of(first)), "python")
        elif first is not None:
            self.run.opaque("opaque")

    def visit_For(self, node: ast.For) -> None:
        """The loop's name is each of the constants in turn; all of a folder when it goes through one."""
        over = self.value(node.iter)
        if isinstance(node.target, ast.Name) and isinstance(over, list) and len(over) <= 16:
            self.visit(node.iter)
            for item in over:
                self.names[node.target.id] = item
                for statement in node.body:
                    self.visit(statement)
            return
        if isinstance(node.target, ast.Name) and isinstance(over, str):
            self.names[node.target.id] = over
        self.generic_visit(node)

    def _comprehended(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        """`[f(p) for p in things]`: like a loop over the things."""
        for part in node.generators:
            over = self.value(part.iter)
            if isinstance(part.target, ast.Name) and over is not None:
                self.names[part.target.id] = over[0] if isinstance(over, list) and over else over
            for test in part.ifs:
                self._filtered(test)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        """A test of how a name ends says more of what it is."""
        before = dict(self.names)
        self._filtered(node.test)
        narrowed = {name: value for name, value in self.names.items() if before[name] != value}
        self.visit(node.test)
        for statement in node.body:
            self.visit(statement)
        for name, value in narrowed.items():
            if self.names.get(name) == value:
                self.names[name] = before[name]
        for statement in node.orelse:
            self.visit(statement)

    def _filtered(self, test: ast.expr) -> None:
        """`if f.endswith(".pyc")`, where f is any name of a folder."""
        if not (isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute) and test.func.attr == "endswith"):
            return
        name, ending = test.func.value, self.value(test.args[0]) if test.args else None
        if isinstance(name, ast.Name) and isinstance(ending, str):
            value = self.names.get(name.id)
            if isinstance(value, str) and value.endswith(STAR):
                self.names[name.id] = value + ending

    visit_ListComp = _comprehended  # noqa: N815 - the names that ast calls
    visit_SetComp = _comprehended  # noqa: N815
    visit_GeneratorExp = _comprehended  # noqa: N815
    visit_DictComp = _comprehended  # noqa: N815

    def visit_With(self, node: ast.With) -> None:
        """`with open(path, "w") as handle`: the name stands for the file."""
        for item in node.items:
            if isinstance(item.optional_vars, ast.Name):
                self.handles[item.optional_vars.id] = self._opened(item.context_expr)
        self.generic_visit(node)

    def _opened(self, node: ast.AST) -> str | None:
        """The path of what `open(...)` gives, or of the name that holds it."""
        if isinstance(node, ast.Name):
            return self.handles.get(node.id)
        if isinstance(node, ast.Call) and self.name(node.func) in ("open", "io.open") and node.args:
            path = self.value(node.args[0])
            return None if path is None else self._at_home(path)
        return None

    def _code(self, node: ast.Call, first: Value) -> None:
        source = ast.unparse(node.args[0]) if node.args else ""
        if any(word in source for word in ("decode", "fromhex", "unhexlify", "[::-1]", "decompress", "rot13")):
            self.run.opaque("obfuscated", DECODED)
        if first is not None and HOLE not in text_of(first):
            python_effects(self.run, Text(text_of(first)))
        elif node.args and any(isinstance(inner, ast.Call) for inner in ast.walk(node.args[0])):
            text = ast.unparse(node.args[0])
            remote = any(word in text for word in ("urlopen", "requests", "http"))
            self.run.opaque("tainted" if remote else "obfuscated", DECODED)

    def _process(self, name: str, args: list[Value], node: ast.Call) -> None:
        first = args[0] if args else None
        if name.startswith(("os.exec", "os.spawn", "os.posix_spawn")) or name.endswith("create_subprocess_exec"):
            flat = [item for arg in args for item in (arg if isinstance(arg, list) else [arg])]
            words = [text_of(item) for item in flat]
            if name.startswith(("os.execl", "os.execv", "os.posix_spawn")):
                words = words[1:]
            elif name.startswith("os.spawn"):
                words = words[2:]
            first = list(words)
        if isinstance(first, list) and first:
            self.run.exec([Text(text_of(word)) for word in first])
        elif isinstance(first, str):
            if HOLE in first and first.strip(HOLE) == "":
                self.run.opaque("computed", LOCAL)
            else:
                self.run.shell(Text(first), "python")
        elif first is None and node.args:
            source = ast.unparse(node.args[0])
            decoded = any(word in source for word in ("decode", "chr(", "fromhex", "[::-1]"))
            self.run.opaque("obfuscated" if decoded else "computed", DECODED if decoded else LOCAL)

    def _open(self, node: ast.Call, path: Value) -> None:
        if path is None:
            self.read_file = True
            return
        mode = ""
        for value in [
            *[self.value(arg) for arg in node.args],
            *[self.value(word.value) for word in node.keywords if word.arg == "mode"],
        ]:
            if isinstance(value, str) and value and len(value) <= 3 and set(value) <= set("rwaxbtU+"):
                mode = value
        if set(mode) & set("wax+"):
            self.run.write(self._at_home(path))
        else:
            self._read(path)

    def _at_home(self, path: Value) -> str:
        return text_of(path)

    def _read(self, path: Value) -> None:
        self.read_file = True
        name = self._at_home(path)
        if self.run.read(name).taint & SECRET:
            self.secret = True

    def _delete(self, path: Value, how: str) -> None:
        if path is None:
            if "-c" in self.run.argv:
                self.run.delete(HOLE, recursive=how == "rmtree", how=f"python {how}")
            return
        self.run.delete(self._at_home(path), recursive=how == "rmtree", how=f"python {how}")

    def _write(self, receiver: Value, args: list[Value], how: str) -> None:
        names = [receiver] if receiver is not None else []
        if how in (
            "rename",
            "replace",
            "link",
            "symlink",
            "copy",
            "copy2",
            "copyfile",
            "copytree",
            "move",
            "symlink_to",
            "hardlink_to",
            "link_to",
        ):
            names += args[:2]
        elif not names:
            names = args[:1]
        for place, name in enumerate(name for name in names if name is not None):
            if place == 0 and how in ("copy", "copy2", "copyfile", "copytree", "symlink"):
                self._read(name)
            else:
                self.run.write(self._at_home(name), how="mode" if how in ("chmod", "chown") else "write")

    def _net(self, name: str, first: Value, node: ast.Call) -> None:
        text = text_of(first)
        if (
            not name.startswith(
                ("requests.", "urllib.", "httpx.", "http.", "socket.", "ftplib.", "smtplib.", "urlopen", "aiohttp.")
            )
            and "://" not in text
        ):
            return
        host = text.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0] if "://" in text else ""
        sends = "secret" if self.secret or "os.environ" in self.source else "none"
        if sends == "none" and self.read_file and any(word.arg in ("data", "files", "json") for word in node.keywords):
            sends = "file"
        shells = name.startswith("socket.") and any(
            word in self.source for word in ("/bin/sh", "/bin/bash", "pty.spawn", "dup2")
        )
        how = "reverse-shell" if shells else "write" if sends != "none" or name.endswith((".post", ".put")) else "read"
        if host or shells:
            self.run.emit(Net(host=host, how=how, sends=sends, words=self.run.words))
