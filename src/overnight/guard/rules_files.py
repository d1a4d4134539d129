"""The rules about files: what may be deleted, written, read."""

from __future__ import annotations

import re

from overnight.guard.content import hidden_danger
from overnight.guard.effects import Delete, Read, Write
from overnight.guard.judgement import Finding, by_policy, denied
from overnight.guard.paths import (
    HARMLESS,
    SYSTEM,
    glob,
    holds_stores,
    matches,
    personal_secret,
    resolved,
    under,
    writable,
)
from overnight.guard.policy import MACHINERY, NOT_SECRETS, PROTECTED, SECRETS, GuardPolicy
from overnight.guard.text import CLASS, HOLE, QUESTION, STAR, shown
from overnight.guard.world import Bounds, World

_WILD = (STAR, QUESTION, CLASS)
#: Files that are emptied every day: logs, what programs print, marks.
_EMPTIED = re.compile(r"\.(?:log|out|err|tmp|txt|lock|pid|touch|stamp)$|/\.gitkeep$|/__init__\.py$|/py\.typed$")
#: Files of the home folder that shells and desktops run.
_STARTUP = re.compile(
    r"/\.(?:bashrc|bash_profile|bash_login|bash_logout|bash_aliases|profile|zshrc|zshenv|zprofile|zlogin|zlogout|kshrc|cshrc|tcshrc|login|inputrc|vimrc|exrc|emacs|gitconfig|npmrc|pythonrc"
    r"|config/(?:fish|autostart|systemd|git|nvim|environment\.d)|ssh|local/bin|local/share/(?:applications|systemd)|pam_environment|xinitrc|xprofile|tmux\.conf|screenrc|curlrc|wgetrc|psqlrc|Xmodmap)"
)
#: What Python runs whenever it starts.
_LOADED = re.compile(r"/(?:[^/]*\.pth|(?:site|user)customize\.py)$")


class Files:
    """Judges paths against bounds and policy."""

    def __init__(self, policy: GuardPolicy, bounds: Bounds, world: World) -> None:
        self.policy = policy
        self.bounds = bounds
        self.world = world
        self.secrets = SECRETS + policy.secrets
        self.protected = PROTECTED + policy.protected

    def fits(self, path: str, pattern: str) -> bool:
        """True when a policy's glob matches the path, or its part below the work tree."""
        return matches(path, (pattern,), self.bounds.worktree)

    # -- delete

    def delete(self, effect: Delete) -> Finding | None:
        """Deleting is bound to what the run may write, and never takes a root of it."""
        path, words = effect.path, effect.words
        if HOLE in path:
            return denied("path.unresolved", f"{shown(path)} is not known far enough to delete it", words)
        real = resolved(path, self.world)
        for place in dict.fromkeys((path, real)):
            found = self._delete_at(place, effect)
            if found is not None:
                return found
        if (
            effect.how in ("truncate", "shred")
            and (effect.how == "shred" or not _EMPTIED.search(path))
            and under(path, self.bounds.worktree)
        ):
            return by_policy(self.policy, "git.discard", "delete.emptied", f"{shown(path)} would be emptied", words)
        return self._touch(real, words) or self._sensitive(real, words)

    def _delete_at(self, path: str, effect: Delete) -> Finding | None:
        words, bounds = effect.words, self.bounds
        if path in HARMLESS:
            return None
        folder, _, last = path.rpartition("/")
        everything = last != "" and last.strip("".join(_WILD) + ".{}*") == "" and any(char in last for char in _WILD)
        target = (folder or "/") if everything else path
        roots = (bounds.worktree, bounds.home, *bounds.tmp, *bounds.scratch)
        if target == "/" or any(under(root, target) for root in roots):
            if effect.how in ("truncate", "rmdir") and not everything:
                return denied("path.root", f"{shown(path)} is a root folder", words)
            if effect.how == "find" and target in bounds.tmp:
                return denied("delete.mass", f"everything under {shown(target)} would be deleted", words)
            return denied("path.root", f"{shown(path)} holds the run's own folders", words)
        if not writable(target, bounds):
            return denied("path.outside", f"{shown(path)} lies outside the work tree", words)
        if (
            under(target, bounds.worktree)
            and re.match(r"\.git(?:/|$)", target[len(bounds.worktree) + 1 :])
            and not target.endswith((".lock", "index.lock"))
        ):
            return denied("git.dir", f"{shown(path)} is the repository itself", words)
        return self._holds_special(target, words)

    def _holds_special(self, path: str, words: tuple[str, ...]) -> Finding | None:
        """A file that runs by itself, or a folder of settings that can't be changed, must not go either."""
        if not under(path, self.bounds.worktree):
            return None
        inside = (path, path + "/x", path + "/x/x", path + "/workflows/x")
        if any(matches(place, MACHINERY, self.bounds.worktree) for place in inside):
            inner = path.removeprefix(self.bounds.worktree + "/")
            reason = f"{inner} runs by itself: hooks, CI, editor tasks"
            return by_policy(self.policy, "machinery", "path.machinery", reason, words)
        if any(
            matches(path + name, self.protected, self.bounds.worktree) for name in ("/settings.json", "/hooks/x", "/x")
        ):
            return denied(
                "path.protected", f"{shown(path)} holds the settings of an agent, a guard or Overnight", words
            )
        return None

    # -- write

    def write(self, effect: Write) -> Finding | None:
        """Writing is bound to the work tree and the temporary folders; some files in it are special."""
        path, _words = effect.path, effect.words
        if path in HARMLESS or path.startswith(("/dev/fd/", "/dev/pts/")):
            return None
        if HOLE in path:
            return self._unresolved(effect)
        for place in dict.fromkeys((path, resolved(path, self.world))):
            found = self._write_at(place, effect)
            if found is not None:
                return found
        found = hidden_danger(effect, self.bounds, self.policy)
        return found or self._sensitive(resolved(path, self.world), effect.words)

    def _sensitive(self, path: str, words: tuple[str, ...]) -> Finding | None:
        """A change of what is to be treated with care is put on record also where it is allowed."""
        if not matches(path, self.policy.sensitive, self.bounds.worktree):
            return None
        inner = path.removeprefix(self.bounds.worktree + "/")
        return Finding(
            decision=self.policy.sensitive_writes, rule="path.sensitive", reason=f"{shown(inner)} is a sensitive path",
            words=words, knob="sensitive_writes", subject=inner,
        )  # fmt: skip

    def _unresolved(self, effect: Write) -> Finding | None:
        head, tail = effect.path.partition(HOLE)[0], effect.path.rpartition(HOLE)[2]
        if effect.certain and (_STARTUP.search(tail) or _LOADED.search(tail) or (tail and self._special("/x" + tail))):
            reason = f"{shown(effect.path)} may be a file that runs by itself, or holds secrets"
            return denied("path.unresolved", reason, effect.words)
        if head and writable(head.rstrip("/"), self.bounds) and head.rstrip("/") != "":
            if tail and self._special(head + "x" + tail):
                return denied("path.unresolved", f"{shown(effect.path)} may be a protected file", effect.words)
            return None
        if effect.how in ("mode-recursive", "mode", "extract", "link", "mount"):
            return denied("path.unresolved", f"{shown(effect.path)} is not known", effect.words)
        if not effect.certain or head in ("", "/") or not head.startswith(SYSTEM):
            return None
        return denied("path.outside", f"{shown(effect.path)} lies outside the work tree", effect.words)

    def _special(self, path: str) -> bool:
        return matches(path, self.protected, self.bounds.worktree) or matches(path, self.secrets)

    def _write_at(self, path: str, effect: Write) -> Finding | None:
        words, bounds = effect.words, self.bounds
        if path.startswith("/dev/") and not under(path, "/dev/shm"):  # noqa: S108 - the device folder
            return denied("device", f"{path} is a device", words)
        if effect.how in ("mode", "mode-recursive") and (
            path == "/" or any(under(root, path) for root in (bounds.home, *bounds.tmp))
        ):
            return denied("path.root", f"{shown(path)} holds the run's own folders", words)
        touched = self._touch(path, words, effect.how)
        if touched is not None:
            return touched
        if effect.how == "mount" and under(bounds.worktree, path) and path != "/":
            return (
                None
                if path == bounds.worktree
                else denied("path.outside", f"{shown(path)} lies outside the work tree", words)
            )
        if not writable(path, bounds):
            if not effect.certain and not _personal(path, bounds):
                return None
            rule = "persist.startup" if _STARTUP.search(path) else "path.outside"
            return denied(rule, f"{shown(path)} lies outside the work tree", words)
        inner = path[len(bounds.worktree) + 1 :] if under(path, bounds.worktree) else ""
        if inner and (
            matches(path, MACHINERY, bounds.worktree)
            or any(glob("**/" + m).match(path) for m in (".git/hooks/**", ".git/config"))
        ):
            return by_policy(
                self.policy, "machinery", "path.machinery", f"{inner} runs by itself: hooks, CI, editor tasks", words
            )
        if re.search(r"/(?:site|dist)-packages/(?:[^/]*\.pth|(?:site|user)customize\.py)$", path):
            return denied("persist.loader", f"{shown(path)} runs whenever Python starts", words)
        if re.match(r"\.git(?:/|$)", inner) and effect.how != "folder":
            return denied("git.dir", f"{inner} is the repository itself", words)
        return None

    def _touch(self, path: str, words: tuple[str, ...], how: str = "") -> Finding | None:
        if matches(path, self.protected, self.bounds.worktree):
            return denied(
                "path.protected", f"{shown(path)} holds the settings of an agent, a guard or Overnight", words
            )
        if self.secret(path) and how != "template":
            return by_policy(self.policy, "secret_reads", "path.secret", f"{shown(path)} holds secrets", words)
        return None

    # -- read

    def secret(self, path: str) -> bool:
        """True when a path, or a pattern that may match one, holds secrets."""
        if matches(path, self.secrets, self.bounds.worktree) or personal_secret(path, self.bounds):
            return not matches(path, NOT_SECRETS)
        if any(char in path for char in _WILD):
            folder, _, last = path.rpartition("/")
            pattern = re.escape(last).replace(STAR, "[^/]*").replace(QUESTION, ".").replace(CLASS, ".")
            names = (
                ".env",
                "id_rsa",
                "id_ed25519",
                "credentials",
                "shadow",
                ".netrc",
                ".git-credentials",
                ".npmrc",
                ".pypirc",
                ".pgpass",
            )
            for name in names:
                if (
                    last.strip(STAR)
                    and not last.startswith(STAR)
                    and re.fullmatch(pattern, name)
                    and matches(f"{folder}/{name}", self.secrets)
                ):
                    return True
            inner = "/".join(
                part if part.strip("".join(_WILD)) == "" else part.replace(STAR, ".ssh").replace(QUESTION, "s")
                for part in folder.split("/")
            )
            return folder.endswith(("/.ssh", "/.aws", "/.gnupg")) or (
                folder != inner and matches(f"{inner}/id_rsa", ("**/.ssh/**",))
            )
        return False

    def read(self, effect: Read) -> Finding | None:
        """Secrets stay closed; searching a folder of secrets counts as reading them."""
        for place in dict.fromkeys((effect.path, resolved(effect.path, self.world))):
            shut = self.secret(place) or (
                effect.recursive
                and (
                    self.secret(place + "/x")
                    or re.search(r"/\.(?:ssh|gnupg|aws)$", place)
                    or (not effect.listing and holds_stores(place, self.bounds))
                )
            )
            if (
                shut
                and effect.listing
                and not effect.recursive
                and not re.search(r"/\.(?:ssh|gnupg|aws|password-store)(?:/|$)", place)
            ):
                continue
            if shut:
                return by_policy(
                    self.policy, "secret_reads", "path.secret", f"{shown(place)} holds secrets", effect.words
                )
            if re.match(r"/dev/(?:sd|nvme|mem|kmem|vd|hd|mapper)", place) and not effect.certain:
                continue
            if not effect.certain and matches(place, self.protected, self.bounds.worktree):
                return denied(
                    "path.protected",
                    f"{shown(place)} holds the settings of an agent, a guard or Overnight",
                    effect.words,
                )
        return None


def _personal(path: str, bounds: Bounds) -> bool:
    """True for homes and the system's own settings, where even a maybe counts."""
    return under(path, bounds.home) or path.startswith(
        ("/home/", "/root/", "/Users/", "/etc/", "/boot/", "/usr/", "/sys/", "/proc/", "/var/run/")
    )
