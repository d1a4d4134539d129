"""What a call would do, as typed values. Everything before this module finds effects; everything after judges them."""

from __future__ import annotations

from typing import get_args

from msgspec import Struct


class Effect(Struct, frozen=True, kw_only=True):
    """Something that a call would do. `words` are the words of the call that say so."""

    words: tuple[str, ...] = ()


class Delete(Effect, frozen=True, tag="delete"):
    """A file or folder is removed or emptied."""

    path: str
    recursive: bool = False
    #: How: rm, truncate, find -delete, mv, rsync --delete, ...
    how: str = "rm"


class Write(Effect, frozen=True, tag="write"):
    """A file is made or changed."""

    path: str
    #: The new text when it is known.
    text: str | None = None
    #: Taint of what is written.
    taint: int = 0
    #: False when the target may only be named, not certainly written (an unknown program's argument).
    certain: bool = True
    #: write, mode (chmod, chown), link, device, folder, mount, template (a file of secrets made from its example)
    how: str = "write"


class Read(Effect, frozen=True, tag="read"):
    """A file's content, or with `listing` its name, comes to the agent or goes into the command."""

    path: str
    listing: bool = False
    certain: bool = True
    #: A search that goes through a folder rather than one file.
    recursive: bool = False


class Exec(Effect, frozen=True, tag="exec"):
    """Code runs. Programs that are known as such and do nothing else are not worth an effect."""

    program: str
    #: unknown-program, tainted, opaque (code that can't be seen), obfuscated, stdin, fork-bomb, endless, remote, traces
    kind: str
    taint: int = 0


class Net(Effect, frozen=True, tag="net"):
    """A connection to a host. `host` is empty when it is not known."""

    host: str
    #: What goes out besides the request: none, literal, file, secret
    sends: str = "none"
    #: read, write (POST, PUT), delete, raw (nc, socat, /dev/tcp), listen, tunnel, shell (ssh), reverse-shell
    how: str = "read"
    url: str = ""


class GitRemote(Effect, frozen=True, tag="git-remote"):
    """A remote's refs change."""

    #: push, force, delete, mirror
    verb: str
    remote: str = ""
    #: Names of the branches; empty means whatever is configured.
    refs: tuple[str, ...] = ()
    #: True when the force is guarded by --force-with-lease.
    lease: bool = False


class GitLocal(Effect, frozen=True, tag="git-local"):
    """Work or history of the repository would be lost, or git's own machinery is bent."""

    #: discard (uncommitted work), branch-delete, tag-delete, history (rewrite, expire, prune), stash-drop,
    #: hooks-skip, hidden (git shall not see a file's changes), config-exec (a setting that runs code), worktree-force, abort, config
    verb: str
    detail: str = ""


class Persist(Effect, frozen=True, tag="persist"):
    """Something is left that runs later or elsewhere: cron, service, shell rc, hook, loader variable."""

    #: cron, service, shell-rc, git-hook, agent-settings, loader, autostart, ssh
    kind: str
    path: str = ""


class Install(Effect, frozen=True, tag="install"):
    """Packages come in or go."""

    manager: str
    #: lock, name, url, path, remove, publish
    kind: str
    names: tuple[str, ...] = ()
    #: Registry or index named on the command line.
    registry: str = ""
    #: Signature or TLS checks are switched off.
    unsafe: bool = False


class Kill(Effect, frozen=True, tag="kill"):
    """A process is signalled. `target`: pid, name, or `all`."""

    target: str


class Privilege(Effect, frozen=True, tag="privilege"):
    """Rights change: sudo, setuid, a privileged container, the machine's power or kernel."""

    #: sudo, setuid, container, power, kernel, users, firewall
    how: str


class Device(Effect, frozen=True, tag="device"):
    """A disk or partition is written, formatted or re-partitioned."""

    path: str
    how: str


class Infra(Effect, frozen=True, tag="infra"):
    """Something outside the machine's files changes: containers, clusters, clouds, databases, services."""

    #: docker, kubectl, aws, psql, ...
    service: str
    #: read, change, destroy, secret, publish, apply-unasked, shell, grant (rights), deploy, message
    verb: str
    detail: str = ""


class Guarding(Effect, frozen=True, tag="guarding"):
    """The guard's, the agent's or the supervisor's own settings or process would change."""

    what: str


class Unverifiable(Effect, frozen=True, tag="unverifiable"):
    """It can't be known what this part would do. Never skipped: it decides."""

    why: str


AnyEffect = (
    Delete
    | Write
    | Read
    | Exec
    | Net
    | GitRemote
    | GitLocal
    | Persist
    | Install
    | Kill
    | Privilege
    | Device
    | Infra
    | Guarding
    | Unverifiable
)

#: The kinds of effects, as rules of a policy and explanations name them.
TAGS = tuple(str(kind.__struct_config__.tag) for kind in get_args(AnyEffect))
