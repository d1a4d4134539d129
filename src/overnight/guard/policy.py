"""The guard's policy: what a person may set. What no one may set is in `rules` (the floor)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from overnight.guard.verdict import Decision

_ORDER = (Decision.ALLOW, Decision.ASK, Decision.DENY)

SECRETS = (
    "**/*.env", "**/.bash_history", "**/.zsh_history", "**/.mysql_history", "**/.psql_history", "**/.python_history", "**/.s3cfg",
    "**/.boto", "**/.config/rclone/rclone.conf", "**/.config/sops/**", "**/.config/op/**", "**/.vnc/passwd", "**/*.ovpn",
    "**/wallet.dat", "**/.ethereum/keystore/**", "**/.bitcoin/**", "**/.config/chromium/**", "**/.databrickscfg", "**/.snowsql/config",
    "**/.m2/settings.xml", "**/.gradle/gradle.properties", "**/.config/doctl/config.yaml", "**/.fly/config.yml", "**/.heroku/**",
    "**/private*.pem", "**/private_key", "**/*_key.pem", "**/*-key.pem", "**/key.pem", "**/credentials.csv", "**/credentials",
    "**/.env", "**/.env.*", "**/.envrc", "**/.netrc", "**/_netrc", "**/.pgpass", "**/.my.cnf", "**/.git-credentials",
    "**/.npmrc", "**/.pypirc", "**/.ssh", "**/.ssh/**", "**/.gnupg", "**/.gnupg/**", "**/.aws", "**/.aws/**", "**/.azure/**",
    "**/.kube/**", "**/.docker/config.json", "**/.config/gcloud/**", "**/.config/gh/hosts.yml", "**/.config/glab-cli/**",
    "**/.config/hub", "**/.cargo/credentials", "**/.cargo/credentials.toml", "**/.gem/credentials",
    "**/.terraform.d/credentials*", "**/.vault-token", "**/.password-store/**", "**/.local/share/keyrings/**",
    "**/.mozilla/**", "**/.config/google-chrome/**", "**/.claude/.credentials.json", "**/.codex/auth.json",
    "**/Library/Keychains/**", "**/id_rsa", "**/id_dsa", "**/id_ecdsa", "**/id_ed25519", "**/id_*_sk", "**/*.pem.key",
    "**/*.key", "**/*.p12", "**/*.pfx", "**/*.jks", "**/*.keystore", "**/*.kdbx", "**/*_rsa", "**/.htpasswd",
    "**/credentials.json", "**/service-account*.json", "**/secrets.y*ml", "**/.secrets", "**/.secrets/**",
    "**/.aws/credentials", "/etc/shadow*", "/etc/gshadow*", "/etc/sudoers", "/etc/sudoers.d/**", "/etc/ssh/ssh_host_*",
    "/etc/ssl/private/**", "/proc/*/environ", "/proc/*/mem", "/run/secrets/**", "/var/run/secrets/**", "/etc/krb5.keytab",
    "/etc/master.passwd",
)  # fmt: skip
NOT_SECRETS = ("**/.env.example", "**/.env.sample", "**/.env.template", "**/.env.dist", "**/.env.schema", "**/*.pub")
PROTECTED = (
    "**/.claude/settings*.json", "**/.claude/hooks/**", "**/.claude/agents/**", "**/.claude/plugins/**", "**/.claude.json",
    "**/.mcp.json", "**/.codex/**", "**/.gemini/**", "**/.cursor/hooks*", "**/.cursor/mcp.json", "**/.config/opencode/**",
    "**/opencode.json", "**/overnight.toml", "**/.overnight/**", "**/.config/overnight/**", "**/.local/state/overnight/**",
)  # fmt: skip
MACHINERY = (
    ".git/hooks/**", ".git/config", ".git/config.worktree", ".git/info/attributes", ".husky/**", ".githooks/**",
    ".github/workflows/**", ".github/actions/**", ".gitlab-ci.yml", ".circleci/**", "Jenkinsfile", "azure-pipelines.yml",
    ".travis.yml", ".drone.yml", "bitbucket-pipelines.yml", ".buildkite/**", ".woodpecker/**", ".forgejo/workflows/**",
    ".gitea/workflows/**", ".pre-commit-config.yaml", "lefthook.yml", ".envrc", ".vscode/tasks.json",
    ".vscode/settings.json", ".devcontainer/**", ".gitmodules",
)  # fmt: skip


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
    #: Branches, as globs, that no call may force or delete on a remote.
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
    """A rule of the user or the repo. The first field that is set and does not match makes it not apply."""

    #: Effect by its tag: `write`, `delete`, `read`, `net`, `install`, `infra`, ...
    effect: str
    #: Glob over the effect's path (relative to the work tree, or absolute), host, package name, service or verb.
    match: str = "**"
    #: What follows. `allow` lifts what the policy would stop, never what the floor stops.
    then: Decision = Decision.DENY
    #: Said to the agent and the person.
    reason: str = ""


class GuardPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that may be set, `[guard]` in TOML. The defaults are those of an unattended run in a box."""

    git: GitPolicy = GitPolicy()
    install: InstallPolicy = InstallPolicy()
    infra: InfraPolicy = InfraPolicy()
    #: Reading a file that holds secrets.
    secret_reads: Decision = Decision.DENY
    #: Files that hold secrets, as globs over absolute paths. Names added here come on top of the built-in ones.
    secrets: tuple[str, ...] = ()
    #: Files, as globs over absolute paths or from the work tree's root, that no call may change.
    protected: tuple[str, ...] = ()
    #: Changing what runs by itself: CI files, git hooks, `.git/config`, editor tasks.
    machinery: Decision = Decision.DENY
    #: package.json lifecycle scripts, conftest.py, Makefile, build scripts: what a later command runs. Such text is
    #: analysed always; this decides what happens when it can't be.
    opaque_code: Decision = Decision.ALLOW
    #: Programs that the guard has no model of.
    unknown_programs: Decision = Decision.ALLOW
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
    #: Tools of the agent by name -> decision, for those that the guard has no model of.
    tools: dict[str, Decision] = {}
    #: Rules in order; the strictest match counts.
    rules: tuple[Rule, ...] = ()


#: For a person at the keyboard: what git asks a person for anyway is theirs to do.
ATTENDED = GuardPolicy(
    git=GitPolicy(push=Decision.ALLOW, force_push_feature=Decision.ALLOW),
)


def strictest(*decisions: Decision) -> Decision:
    """The one that allows least."""
    return max(decisions, key=_ORDER.index)


def tighten(policy: GuardPolicy, repo: GuardPolicy) -> GuardPolicy:
    """The policy with a repo's wishes, which can only make it stricter.

    Decisions: the stricter. Lists of what is forbidden: both. Lists of what is allowed: what both allow. Rules of the
    repo that would allow something are left out.
    """
    rules = policy.rules + tuple(rule for rule in repo.rules if rule.then is not Decision.ALLOW)
    return msgspec.structs.replace(
        policy,
        git=_decisions(policy.git, repo.git, protected=_both(policy.git.protected, repo.git.protected)),
        install=_decisions(
            policy.install,
            repo.install,
            names=_allowed(policy.install.names, repo.install.names, ()),
            registries=tuple(r for r in policy.install.registries if r in repo.install.registries),
        ),
        infra=_decisions(policy.infra, repo.infra),
        **_stricter(policy, repo),
        secrets=_both(policy.secrets, repo.secrets),
        protected=_both(policy.protected, repo.protected),
        egress=_allowed(policy.egress, repo.egress, ("*",)),
        mcp=_merged(policy.mcp, repo.mcp, policy.mcp_default),
        tools=_merged(policy.tools, repo.tools, Decision.ASK),
        rules=rules,
    )


def _stricter(mine: Any, theirs: Any) -> dict[str, Any]:
    names = [name for name in mine.__struct_fields__ if isinstance(getattr(mine, name), Decision)]
    return {name: strictest(getattr(mine, name), getattr(theirs, name)) for name in names}


def _decisions(mine: Any, theirs: Any, **more: Any) -> Any:
    return msgspec.structs.replace(mine, **_stricter(mine, theirs), **more)


def _both(mine: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mine + theirs))


def _allowed(mine: tuple[str, ...], theirs: tuple[str, ...], everything: tuple[str, ...]) -> tuple[str, ...]:
    """Intersection of two lists of what may be, where `everything` puts no bound."""
    if theirs == everything:
        return mine
    if mine == everything:
        return theirs
    return tuple(name for name in mine if name in theirs) or ("\0",)


def _merged(mine: dict[str, Decision], theirs: dict[str, Decision], default: Decision) -> dict[str, Decision]:
    return {**mine, **{name: strictest(mine.get(name, default), then) for name, then in theirs.items()}}
