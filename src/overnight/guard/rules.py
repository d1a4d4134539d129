"""The rules: for each kind of effect, the floor that no one may lift, then the policy's knobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from overnight.guard.effects import (
    AnyEffect,
    Delete,
    Device,
    Exec,
    GitLocal,
    GitRemote,
    Guarding,
    Infra,
    Install,
    Kill,
    Net,
    Persist,
    Privilege,
    Read,
    Unverifiable,
    Write,
)
from overnight.guard.judgement import Finding, by_policy, denied
from overnight.guard.policy import GuardPolicy, Rule, strictest, strictness
from overnight.guard.rules_files import Files
from overnight.guard.text import DECODED, NETWORK
from overnight.guard.verdict import Decision

_PRIVATE = re.compile(
    r"(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|169\.254\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|metadata\.google|fd[0-9a-f]{2}:|fe80:|0x|\d{8,}$)"
)
_LOOPBACK = re.compile(r"(?:localhost|127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0|0|\S+\.localhost)\Z")

#: Branches that are protected whatever a policy says.
_ALWAYS = ("main", "master")

Judge = Callable[[Any], Finding | None]


class Rules:
    """The rules of one policy in one place."""

    def __init__(self, policy: GuardPolicy, files: Files) -> None:
        self.policy = policy
        self.files = files
        self._judges: dict[type, Judge] = {
            Delete: files.delete, Write: files.write, Read: files.read, Exec: self._exec, Net: self._net, GitRemote: self._git_remote,
            GitLocal: self._git_local, Persist: self._persist, Install: self._install, Kill: self._kill, Privilege: self._privilege,
            Device: self._device, Infra: self._infra, Guarding: self._guarding, Unverifiable: self._unverifiable,
        }  # fmt: skip

    def judge(self, effect: AnyEffect) -> Finding | None:
        """The strictest finding on an effect, or None when nothing is to be said of it."""
        found = self._judges[type(effect)](effect)
        if found is not None and found.floor:
            return found
        tag = str(effect.__struct_config__.tag)
        mine, theirs = (
            self._strictest(effect, tag, self.policy.rules),
            self._strictest(effect, tag, self.policy.repo.rules),
        )
        if mine is not None:
            found = None if mine.then is Decision.ALLOW else _by_rule(mine, tag, effect, "rules")
        if theirs is not None and theirs.then is not strictest(
            theirs.then, found.decision if found else Decision.ALLOW
        ):
            return found
        return found if theirs is None else _by_rule(theirs, tag, effect, "repo.rules")

    def _strictest(self, effect: AnyEffect, tag: str, rules: tuple[Rule, ...]) -> Rule | None:
        fitting = [rule for rule in rules if rule.effect == tag and self._fits(effect, rule)]
        return max(fitting, key=lambda rule: strictness(rule.then), default=None)

    def _fits(self, effect: AnyEffect, rule: Rule) -> bool:
        """Whether a rule is about this effect. One that allows must cover all that the effect touches."""
        each = (
            any(self.files.fits(name, rule.match) or fnmatchcase(name, rule.match) for name in names)
            for names in subjects(effect, self.files.bounds.worktree)
        )
        return all(each) if rule.then is Decision.ALLOW else any(each)

    def _exec(self, effect: Exec) -> Finding | None:
        kinds = {
            "tainted": "text from the network or from outside would run as code",
            "obfuscated": "text that was decoded on the way would run as code",
            "fork-bomb": "it starts processes without end",
            "endless": "it would write without end, until the disk is full",
            "miner": "it mines for someone",
            "stdin": "text that is not known would run as code",
            "traces": "traces of what happened would be hidden or removed",
        }
        if effect.kind in kinds:
            return denied(f"exec.{effect.kind}", kinds[effect.kind], effect.words)
        if effect.kind == "opaque":
            return denied("exec.opaque", "code would run that can't be seen", effect.words)
        if effect.kind == "computed":
            if effect.taint & (NETWORK | DECODED):
                return denied("exec.obfuscated", "a decoded text would run as code", effect.words)
            reason = "the command that it starts is computed"
            return by_policy(self.policy, "computed_code", "exec.computed", reason, effect.words)
        if effect.kind == "unknown-program":
            return by_policy(
                self.policy,
                "unknown_programs",
                "exec.unknown-program",
                f"{effect.program} is not a program that is known",
                effect.words,
            )
        return by_policy(
            self.policy, "opaque_code", "exec.script", "a script that was not looked at would run", effect.words
        )

    def _net(self, effect: Net) -> Finding | None:
        host, words = effect.host, effect.words
        if effect.how == "reverse-shell":
            return denied("net.reverse-shell", f"a shell would be handed to {host or 'the network'}", words)
        if effect.how == "tunnel":
            reason = "it would open a way in or out of this machine"
            return by_policy(self.policy, "uploads", "net.tunnel", reason, words)
        if effect.sends == "secret" and not _LOOPBACK.match(host):
            return denied("net.exfiltration", f"secrets would go to {host or 'the network'}", words)
        if _LOOPBACK.match(host) and effect.sends != "secret":
            return None
        if effect.url and not effect.url.isascii():
            return denied("net.disguised", "the address has characters that look like others", words)
        if _PRIVATE.match(host):
            return by_policy(self.policy, "private_hosts", "net.private-host", f"{host} is a private address", words)
        if effect.how == "raw" and effect.host:
            return by_policy(self.policy, "uploads", "net.raw", f"a bare connection to {host}", words)
        if effect.sends == "file":
            return by_policy(
                self.policy, "uploads", "net.upload", f"a file's content would go to {host or 'another host'}", words
            )
        if effect.how == "delete" and not host:
            return by_policy(
                self.policy, "infra.destroy", "net.delete", "something would be deleted on a server", words
            )
        if host and self.policy.egress != ("*",) and not any(fnmatchcase(host, glob) for glob in self.policy.egress):
            reason = f"{host} is not among the hosts that may be reached"
            return Finding(
                decision=Decision.DENY, rule="net.host", reason=reason, words=words, knob="egress", subject=host
            )
        return None

    def _git_remote(self, effect: GitRemote) -> Finding | None:
        git = self.policy.git
        target = ", ".join(effect.refs) or "the configured branch"
        if git.push is not Decision.ALLOW:
            return by_policy(
                self.policy, "git.push", "git.push", f"a push of {target}; Overnight lands work itself", effect.words
            )
        if effect.verb == "push":
            return None
        if effect.verb == "force" and effect.lease:
            return by_policy(
                self.policy, "git.force_push_feature", "git.force-push", f"a forced push of {target}", effect.words
            )
        protected = (
            not effect.refs
            or any("*" in ref for ref in effect.refs)
            or any(fnmatchcase(ref, glob) for ref in effect.refs for glob in (*git.protected, *_ALWAYS))
        )
        if effect.verb in ("mirror", "delete") or protected:
            return denied(
                f"git.{effect.verb}", f"a {effect.verb} push of {target} would lose others' work", effect.words
            )
        return by_policy(
            self.policy, "git.force_push_feature", "git.force-push", f"a forced push of {target}", effect.words
        )

    def _git_local(self, effect: GitLocal) -> Finding | None:
        knobs = {
            "discard": ("git.discard", "uncommitted work would be lost"),
            "worktree-force": ("git.discard", "a work tree with uncommitted work would be removed"),
            "branch-delete": ("git.delete_refs", "a branch that may hold unmerged work would be deleted"),
            "tag-delete": ("git.delete_refs", "a tag would be deleted or moved"),
            "history": ("git.history", "history would be rewritten or expired"),
            "stash-drop": ("git.stash_clear", "stashed work would be lost"),
            "hidden": ("machinery", "changes of a file would be hidden from git"),
            "hooks-skip": ("git.skip_hooks", "the repository's hooks would be left out"),
        }
        if effect.verb in knobs:
            knob, reason = knobs[effect.verb]
            return by_policy(
                self.policy,
                knob,
                f"git.{effect.verb}",
                f"{reason} ({effect.detail})" if effect.detail else reason,
                effect.words,
            )
        if effect.verb == "config-exec":
            return denied("git.config-exec", f"a setting of git would run code ({effect.detail})", effect.words)
        if effect.verb == "config-global" and re.match(
            r"(?:user\.|init\.defaultbranch|color\.|pull\.|push\.|core\.autocrlf|safe\.)", effect.detail.lower()
        ):
            return None
        if effect.verb == "config-global":
            return by_policy(
                self.policy,
                "machinery",
                "git.config",
                f"git's settings outside the repository would change ({effect.detail})",
                effect.words,
            )
        return None

    def _persist(self, effect: Persist) -> Finding | None:
        return denied(
            f"persist.{effect.kind}", f"something would stay behind and run later ({effect.path})", effect.words
        )

    def _install(self, effect: Install) -> Finding | None:
        install, words = self.policy.install, effect.words
        what = " ".join(effect.names) or "what the manifest names"
        if effect.unsafe:
            return denied("install.unsafe", "packages would come in with their signatures unchecked", words)
        if effect.kind == "publish":
            return by_policy(
                self.policy, "install.publish", "install.publish", f"{effect.manager} would publish", words
            )
        if effect.kind == "remove":
            guards = {
                "nah-cli",
                "nah",
                "overnight",
                "claude",
                "cc-safety-net",
                "@anthropic-ai/claude-code",
                "dippy",
                "tirith",
            }
            if guards & set(effect.names):
                return denied("self.uninstall", "a guard or an agent would be removed", words)
            return by_policy(
                self.policy, "install.remove", "install.remove", f"{effect.manager} would remove {what}", words
            )
        host = re.search(r"://(?:[^@/]*@)?([^/:]+)", effect.registry)
        if effect.registry and not (host and any(fnmatchcase(host.group(1), glob) for glob in install.registries)):
            return by_policy(self.policy, "install.url", "install.registry", f"packages from {effect.registry}", words)
        if effect.kind == "url":
            return by_policy(self.policy, "install.url", "install.url", f"{what} does not come from a registry", words)
        if (
            install.names
            and effect.kind == "name"
            and (others := [name for name in map(package_name, effect.names) if name not in install.names])
        ):
            reason = f"{' '.join(others)} is not among the packages that may come in"
            return Finding(
                decision=Decision.DENY, rule="install.name", reason=reason, words=words, knob="install.names",
                subject=" ".join(others),
            )  # fmt: skip
        if effect.manager in ("apt", "apt-get", "brew", "dnf", "yum", "pacman", "apk", "zypper", "snap"):
            return by_policy(
                self.policy, "install.system", "install.system", f"{effect.manager} would install {what}", words
            )
        return by_policy(
            self.policy,
            "install.locked" if effect.kind == "lock" else "install.named",
            f"install.{effect.kind}",
            f"{effect.manager} would install {what}",
            words,
        )

    def _kill(self, effect: Kill) -> Finding | None:
        if effect.target in ("all", "init", "supervisor"):
            return denied("kill.all", "it would end processes that are not the agent's own", effect.words)
        return by_policy(self.policy, "kill", "kill", f"it would end {effect.target}", effect.words)

    def _privilege(self, effect: Privilege) -> Finding | None:
        if effect.how == "sudo":
            return by_policy(self.policy, "privilege", "privilege.sudo", "it asks for other rights", effect.words)
        return denied(
            f"privilege.{effect.how}",
            "it would change the rights, the kernel, the accounts or the power of the machine",
            effect.words,
        )

    def _device(self, effect: Device) -> Finding | None:
        return denied("device", f"{effect.path} would be overwritten or formatted", effect.words)

    def _infra(self, effect: Infra) -> Finding | None:
        if effect.verb == "secret":
            return by_policy(
                self.policy,
                "secret_reads",
                "infra.secret",
                f"a secret would be read from {effect.service}",
                effect.words,
            )
        if effect.verb in ("destroy", "publish", "apply-unasked", "shell", "grant", "deploy", "message"):
            return by_policy(
                self.policy,
                "infra.destroy",
                f"infra.{effect.verb}",
                f"{effect.service} would {'destroy' if effect.verb == 'destroy' else 'change'} something outside ({effect.detail})",
                effect.words,
            )
        return by_policy(
            self.policy,
            "infra.read" if effect.verb == "read" else "infra.change",
            f"infra.{effect.verb}",
            f"{effect.service}: {effect.detail}",
            effect.words,
        )

    def _guarding(self, effect: Guarding) -> Finding | None:
        return denied("self.guard", f"it would bend or start an agent or a guard ({effect.what})", effect.words)

    def _unverifiable(self, effect: Unverifiable) -> Finding | None:
        return denied("unverifiable", f"it can't be known what this would do: {effect.why}", effect.words)


def _by_rule(rule: Rule, tag: str, effect: AnyEffect, knob: str) -> Finding:
    reason = rule.reason or f"a rule of the policy on {rule.match}"
    return Finding(
        decision=rule.then, rule=f"own.{tag}", reason=reason, words=effect.words, knob=knob, subject=rule.match
    )


def package_name(word: str) -> str:
    """`@scope/name@1.2`, `name[extra]>=1` without what follows the name."""
    return re.split(r"(?<=.)[=<>@~!;\[ ]", word, maxsplit=1)[0]


def subjects(effect: AnyEffect, worktree: str) -> list[tuple[str, ...]]:
    """What rules may name of an effect: each thing that it touches, by all its names."""
    match effect:
        case Delete() | Write() | Read() | Persist() | Device():
            return [(effect.path, effect.path.removeprefix(worktree + "/"))]
        case Net():
            return [(effect.host,)]
        case GitRemote():
            return [(ref, f"{effect.verb} {ref}") for ref in effect.refs] or [(effect.verb,)]
        case GitLocal():
            return [(effect.verb, effect.detail)]
        case Install():
            return [(package_name(name), name) for name in effect.names] or [(effect.manager,)]
        case Infra():
            return [(effect.service, f"{effect.service} {effect.verb}", effect.detail)]
        case Exec():
            return [(effect.program, effect.kind)]
        case Kill():
            return [(effect.target,)]
        case Privilege():
            return [(effect.how,)]
        case Guarding():
            return [(effect.what,)]
        case Unverifiable():
            return [(effect.why,)]
