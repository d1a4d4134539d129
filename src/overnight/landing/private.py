"""Private git dirs: what a box sees as `.git`. Made fresh each time; what was in a box is never written again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from overnight.landing.git import Git
from overnight.landing.repository import Repository, write_skeleton

#: Under this name and address stands what Overnight itself commits.
NAME, EMAIL = "Overnight", "overnight@localhost"


async def write_private(
    git_dir: Path,
    repository: Repository,
    *,
    start: str,
    branch: str,
    work_tree: Path,
    index: Path | None = None,
    branches: Sequence[tuple[str, str]] = (),
    author: str = NAME,
) -> Git:
    """A git dir of its own over the user's objects, HEAD on `branch` at `start`.

    index: an index of the same work tree, whose file times stay valid. branches: (name, commit) to have besides.

    Returns git on it, with the safe settings.
    """
    write_skeleton(git_dir, repository.object_format, _settings(author))
    (git_dir / "objects/info/alternates").write_bytes(b"".join(quoted_path(s) + b"\n" for s in repository.stores))
    (git_dir / "packed-refs").write_bytes(await _packed_refs(repository, [(branch, start), *branches]))
    (git_dir / "HEAD").write_text(f"ref: refs/heads/{branch}\n")
    (git_dir / "info/exclude").write_bytes(ignored_by_user(repository))
    shallow = repository.common / "shallow"
    if shallow.exists():
        shutil.copyfile(shallow, git_dir / "shallow")
    if index is not None and index.exists():
        shutil.copy2(index, git_dir / "index")  # its time too: git compares the files' times with it
    git = Git(git_dir, work_tree=work_tree, observer=repository.git.observer)
    await git.run("read-tree", *(("--reset",) if (git_dir / "index").exists() else ()), start)
    return git


def ignored_by_user(repository: Repository) -> bytes:
    """The ignore rules that are not in the tree: the person's own and the repository's."""
    home = Path(os.environ.get("HOME", "/nonexistent"))
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = (config / "git" / "ignore", repository.common / "info" / "exclude")
    return b"\n".join(file.read_bytes() for file in files if file.is_file())


def quoted_path(path: Path) -> bytes:
    """A path as a line of an alternates file."""
    name = os.fsencode(path)
    if not (set(name) & {0x22, 0x0A, 0x5C} or name.startswith(b"#")):
        return name
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def _settings(author: str) -> str:
    name = author.translate({ord(c): None for c in '"\\\n<>'}) or NAME
    return (
        f'[user]\n\tname = "{NAME}"\n\temail = "{EMAIL}"\n[author]\n\tname = "{name}"\n\temail = "{EMAIL}"\n'
        "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n"
    )


async def _packed_refs(repository: Repository, branches: Sequence[tuple[str, str]]) -> bytes:
    """Our branches, and the user's tags, which tools ask for a version. A branch that can't stand beside one before
    it (`a` and `a/b`) is left out."""
    refs: dict[bytes, tuple[bytes, bytes]] = {}
    for name, commit in branches:
        ref = os.fsencode(f"refs/heads/{name}")
        if not any(ref == other or ref.startswith(other + b"/") or other.startswith(ref + b"/") for other in refs):
            refs[ref] = (commit.encode(), b"")
    listed = await repository.git.run("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)", "refs/tags")
    for line in listed.splitlines():
        ref, found, peeled = line.split(b" ")
        refs[ref] = (found, peeled)
    lines = [b"# pack-refs with: peeled fully-peeled sorted "]
    for ref, (found, peeled) in sorted(refs.items()):
        lines += [found + b" " + ref, *([b"^" + peeled] if peeled else [])]
    return b"\n".join(lines) + b"\n"
