"""What a person may set about the guard, `[guard]` in TOML, as values. What no one may set is in the guard itself."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from msgspec import Struct, defstruct
from msgspec.structs import fields


class Decision(StrEnum):
    """allow only when every effect is known and permitted; ask without a person becomes deny."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class InstallPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which packages may come in."""

    #: What the repository's own manifest or lock file names (`npm ci`, `uv sync`, `pip install -r`, `pip install .`).
    locked: Decision = Decision.ALLOW
    #: A package named on the command line.
    named: Decision = Decision.ALLOW
    #: These names only; empty puts no bound.
    names: tuple[str, ...] = ()
    #: From a URL, a git repository or an archive.
    url: Decision = Decision.DENY
    #: Hosts of registries that may be named on the command line. None by default: which one is right is for the
    #: machine's own configuration of its package managers to say.
    registries: tuple[str, ...] = ()
    #: Packages of the machine (apt, brew, dnf, ...), installed.
    system: Decision = Decision.ALLOW
    #: Packages removed.
    remove: Decision = Decision.ASK
    #: Releases pushed to a registry.
    publish: Decision = Decision.DENY


class GitPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may happen to history, here and on remotes."""

    #: Pushing at all. Overnight lands work itself; the agent needs no push.
    push: Decision = Decision.DENY
    #: Forced pushes to a named branch that is not protected, and leased ones.
    force_push_feature: Decision = Decision.DENY
    #: Branches, as globs, that no call may force or delete on a remote. `main` and `master` always are.
    protected: tuple[str, ...] = (
        "main",
        "master",
        "develop",
        "trunk",
        "production",
        "release",
        "release/*",
        "releases/*",
    )
    #: Throwing away uncommitted work: `reset --hard`, `checkout -- FILE`, `restore FILE`, `clean -f`.
    discard: Decision = Decision.DENY
    #: Deleting a branch that may hold unmerged work, or a tag.
    delete_refs: Decision = Decision.DENY
    #: Rewriting or expiring history: filter-branch, reflog expire, gc --prune=now, update-ref -d.
    history: Decision = Decision.DENY
    #: `stash drop` and `stash clear`.
    stash_clear: Decision = Decision.DENY
    #: Leaving out hooks: `commit --no-verify`, `core.hooksPath`.
    skip_hooks: Decision = Decision.DENY


class InfraPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may happen outside the work tree's files."""

    #: Looking: `docker ps`, `kubectl get`, `terraform plan`, `aws s3 ls`.
    read: Decision = Decision.ALLOW
    #: Making and changing: `docker run`, `kubectl apply`, `INSERT`.
    change: Decision = Decision.ALLOW
    #: Destroying: `docker system prune`, `kubectl delete`, `terraform destroy`, `DROP TABLE`.
    destroy: Decision = Decision.DENY


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule on one kind of effect. Of all that match the strictest counts.

    The user's take the place of the knobs: `allow` lifts and `ask` softens what a knob would stop, never what the floor
    stops. A repo's only make it stricter.
    """

    #: Kind of effect: `write`, `delete`, `read`, `net`, `install`, `infra`, `git-remote`, ... as `guard explain` says.
    effect: str
    #: Glob over its path (from the work tree's root, or absolute), host, package, branch, service or verb.
    match: str = "**"
    #: What follows.
    then: Decision = Decision.DENY
    #: Said to the agent and the person.
    reason: str = ""


class RepoLayer(Struct, frozen=True, kw_only=True):
    """What a repo says on top that can't be merged into the user's tables without losing who said it."""

    rules: tuple[Rule, ...] = ()
    mcp: dict[str, Decision] = {}
    mcp_default: Decision = Decision.ALLOW
    tools: dict[str, Decision] = {}


class GuardPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The guard's policy, whole. The defaults are those of an unattended run in a box."""

    git: GitPolicy = GitPolicy()
    install: InstallPolicy = InstallPolicy()
    infra: InfraPolicy = InfraPolicy()
    #: Reading a file that holds secrets.
    secret_reads: Decision = Decision.DENY
    #: Files that hold secrets, as globs over absolute paths. Names added here come on top of the built-in ones.
    secrets: tuple[str, ...] = ()
    #: Regular expressions of what is a secret here: no command may hold and no file get what they match.
    secret_patterns: tuple[str, ...] = ()
    #: Files, as globs over absolute paths or from the work tree's root, that no call may change.
    protected: tuple[str, ...] = ()
    #: Changing what runs by itself: CI files, git hooks, `.git/config`, editor tasks.
    machinery: Decision = Decision.DENY
    #: package.json lifecycle scripts, conftest.py, Makefile, build scripts: what a later command runs. Such text is
    #: analysed always; this decides what happens when it can't be.
    opaque_code: Decision = Decision.ALLOW
    #: Programs that the guard has no model of.
    unknown_programs: Decision = Decision.ALLOW
    #: Commands whose name or code is put together while they run, from nothing that was decoded or fetched.
    computed_code: Decision = Decision.ASK
    #: Paths, as globs from the work tree's root, that are to be treated with care. A repo names them in `[paths]`.
    sensitive: tuple[str, ...] = ()
    #: Changing one of these. Where it is allowed, the verdict says so all the same.
    sensitive_writes: Decision = Decision.ALLOW
    #: Hosts that may be reached, as globs. The box closes the network besides; this says what may be tried.
    egress: tuple[str, ...] = ("*",)
    #: Sending a file's content to a host that is not this machine.
    uploads: Decision = Decision.DENY
    #: Requests to private and link-local addresses, localhost not among them.
    private_hosts: Decision = Decision.DENY
    #: sudo, doas, su: what runs under them is judged besides.
    privilege: Decision = Decision.ALLOW
    #: Ending single processes by id or name; `kill -1` and init are on the floor.
    kill: Decision = Decision.ALLOW
    #: MCP tools by glob (`mcp__github__get_*`) -> allow, ask, deny. The longest matching glob decides.
    mcp: dict[str, Decision] = {}
    #: MCP tools that no entry matches.
    mcp_default: Decision = Decision.ASK
    #: Tools of the agent by name -> decision. `allow` is for those that the guard has no model of.
    tools: dict[str, Decision] = {}
    #: Rules on single effects.
    rules: tuple[Rule, ...] = ()
    #: What the repo says on top; set by `tighten`, in no file.
    repo: RepoLayer = RepoLayer()


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _sparse(kind: type[Struct]) -> type[Struct]:
    """The same keys, each of which may be left out (None): what a file says, and nothing of what it does not say."""
    hints, made = get_type_hints(kind), list[tuple[str, Any, Any]]()
    for field in fields(kind):
        hint: Any = hints[field.name]
        if hint is RepoLayer:
            continue
        if _is_struct(hint):
            inner = _sparse(hint)
            made.append((field.name, inner, inner()))
        else:
            made.append((field.name, hint | None, None))
    name = kind.__name__.replace("Policy", "Table")
    return defstruct(name, made, frozen=True, kw_only=True, forbid_unknown_fields=True, module=__name__)


if TYPE_CHECKING:

    class GuardTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """`[guard]` of one file: the keys of `GuardPolicy`, None where the file says nothing."""

else:
    GuardTable = _sparse(GuardPolicy)


def knobs(kind: type[Struct] = GuardPolicy, prefix: str = "") -> tuple[str, ...]:
    """Dotted names of everything that a `[guard]` table may hold."""
    hints, names = get_type_hints(kind), list[str]()
    for field in fields(kind):
        hint: Any = hints[field.name]
        if hint is RepoLayer:
            continue
        if _is_struct(hint):
            names += knobs(hint, f"{prefix}{field.name}.")
        else:
            names.append(prefix + field.name)
    return tuple(names)


def said(table: GuardTable, prefix: str = "") -> dict[str, Any]:
    """Dotted name -> value of everything that a table says."""
    found: dict[str, Any] = {}
    for name in table.__struct_fields__:
        value = getattr(table, name)
        if isinstance(value, Struct):
            found |= said(cast("GuardTable", value), f"{prefix}{name}.")
        elif value is not None:
            found[prefix + name] = value
    return found
