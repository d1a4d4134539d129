"""Built-in lists of the guard's policy, and how the layers are put together: defaults, the user's, the repo's."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from overnight.missions.guarding import Decision as Decision
from overnight.missions.guarding import GitPolicy as GitPolicy
from overnight.missions.guarding import GuardPolicy as GuardPolicy
from overnight.missions.guarding import GuardTable as GuardTable
from overnight.missions.guarding import InfraPolicy as InfraPolicy
from overnight.missions.guarding import InstallPolicy as InstallPolicy
from overnight.missions.guarding import RepoLayer as RepoLayer
from overnight.missions.guarding import Rule as Rule
from overnight.missions.guarding import said as said

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
    "/etc/master.passwd", "**/*.tfstate", "**/*.tfstate.backup", "**/NuGet.Config", "**/.oci/**", "**/.config/hcloud/**",
    "**/.config/BraveSoftware/**", "**/.config/microsoft-edge/**", "**/.thunderbird/**", "**/Login Data", "**/logins.json", "**/key4.db",
    "**/Google/Chrome/**", "**/.config/solana/**", "**/.electrum/**", "**/.config/age/**", "**/.step/**", "**/.dockercfg",
    "**/.config/containers/auth.json", "**/.node_repl_history", "**/.rediscli_history", "**/.sentryclirc", "**/.erlang.cookie",
    "/dev/mem", "/dev/kmem", "/proc/kcore", "/etc/kubernetes/**", "/etc/rancher/**", "/var/lib/kubelet/**",
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

#: For a person at the keyboard: what git asks a person for anyway is theirs to do.
ATTENDED = GuardPolicy(
    git=GitPolicy(push=Decision.ALLOW, force_push_feature=Decision.ALLOW),
)
#: Layers, weakest word first.
DEFAULTS, USER, REPO, BOX = "defaults", "config.toml", "overnight.toml", "the box"
#: Lists that a file adds to.
_ADDED = frozenset({"secrets", "secret_patterns", "protected", "sensitive", "rules"})
#: Lists of what may be, by what puts no bound.
_BOUNDS: dict[str, tuple[str, ...]] = {"egress": ("*",), "install.names": ()}
#: Kept apart when a repo tightens: who said it counts.
_APART = frozenset({"rules", "mcp", "mcp_default", "tools"})
#: A list that lets nothing in.
NOTHING = ("\0",)


def strictest(*decisions: Decision) -> Decision:
    """The one that allows least."""
    return max(decisions, key=_ORDER.index)


def strictness(decision: Decision) -> int:
    """0 allow, 1 ask, 2 deny."""
    return _ORDER.index(decision)


def overlay(policy: GuardPolicy, table: GuardTable) -> GuardPolicy:
    """The policy with what its owner says: a decision or a list takes the place of the former one; `secrets`, `protected`,
    `sensitive` and `rules` are added; tables are merged."""
    for name, value in said(table).items():
        policy = _with(policy, name, _laid(name, value_of(policy, name), value))
    return policy


def _laid(name: str, old: Any, new: Any) -> Any:
    if isinstance(new, dict):
        return {**old, **cast("dict[str, Any]", new)}
    return _both(old, new) if name in _ADDED else new


def tighten(policy: GuardPolicy, table: GuardTable) -> GuardPolicy:
    """The policy with a repo's wishes, which can only make it stricter.

    Decisions: the stricter. Lists of what is forbidden: both. Lists of what is allowed: what both allow. Rules and
    tables of tools are kept apart, to be judged besides the user's; those that would allow something are left out.
    """
    for name, value in said(table).items():
        if name not in _APART:
            policy = _with(policy, name, _stricter(name, value_of(policy, name), value))
    return replace(policy, repo=_repo_layer(table))


def _repo_layer(table: GuardTable) -> RepoLayer:
    given = said(table)
    rules = tuple(rule for rule in given.get("rules", ()) if rule.then is not Decision.ALLOW)
    default = given.get("mcp_default", Decision.ALLOW)
    return RepoLayer(rules=rules, mcp=given.get("mcp", {}), mcp_default=default, tools=given.get("tools", {}))


def _stricter(name: str, mine: Any, theirs: Any) -> Any:
    if isinstance(mine, Decision):
        return strictest(mine, theirs)
    if name in _BOUNDS:
        return _allowed(mine, theirs, _BOUNDS[name])
    if name == "install.registries":
        return tuple(host for host in mine if any(fnmatchcase(host, glob) for glob in theirs))
    return _both(mine, theirs)


def _both(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*mine, *(each for each in theirs if each not in mine))


def _allowed(mine: tuple[str, ...], theirs: tuple[str, ...], everything: tuple[str, ...]) -> tuple[str, ...]:
    """What both lists of globs let in, where `everything` puts no bound."""
    if theirs == everything:
        return mine
    if mine == everything:
        return theirs
    narrow = [name for name in theirs if any(fnmatchcase(name, glob) for glob in mine)]
    narrow += [name for name in mine if name not in narrow and any(fnmatchcase(name, glob) for glob in theirs)]
    return tuple(narrow) or NOTHING


def value_of(policy: Struct, name: str) -> Any:
    """The value of a dotted key."""
    value: Any = policy
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _with(policy: GuardPolicy, name: str, value: Any) -> GuardPolicy:
    head, _, rest = name.partition(".")
    return replace(policy, **{head: replace(getattr(policy, head), **{rest: value}) if rest else value})


class Layers(Struct, frozen=True, kw_only=True):
    """A policy by who said what."""

    base: GuardPolicy = GuardPolicy()
    #: The user's tables, the more general first.
    user: tuple[GuardTable, ...] = ()
    repo: GuardTable = GuardTable()
    #: Globs of the repo's `paths.sensitive`.
    sensitive: tuple[str, ...] = ()
    #: Hosts that the run's box lets out to; None where no box bounds it.
    reach: tuple[str, ...] | None = None

    def own(self) -> GuardPolicy:
        """Without the repo's wishes."""
        policy = self.base
        for table in self.user:
            policy = overlay(policy, table)
        return policy

    def policy(self) -> GuardPolicy:
        """What holds."""
        whole = tighten(self.own(), self.repo)
        egress = whole.egress if self.reach is None else _allowed(whole.egress, self.reach or NOTHING, ("*",))
        return replace(whole, sensitive=_both(whole.sensitive, self.sensitive), egress=egress)

    def layer(self, knob: str) -> str:
        """Who decided a key: `defaults`, `config.toml`, `overnight.toml` or, for hosts, `the box`."""
        if knob.startswith("repo."):
            return REPO
        own = self.own()
        if knob == "egress" and self.reach is not None and value_of(own, knob) != value_of(self.policy(), knob):
            return BOX
        if value_of(own, knob) != value_of(tighten(own, self.repo), knob):
            return REPO
        return USER if any(knob in said(table) for table in self.user) else DEFAULTS

    def refused(self) -> tuple[tuple[str, str, str], ...]:
        """(key, what the repo asks for, what holds) of decisions where it asks for more than it gets."""
        own = self.own()
        return tuple(
            (name, str(value), str(mine))
            for name, value in said(self.repo).items()
            if isinstance(value, Decision)
            and name not in _APART
            and (mine := cast("Decision", value_of(own, name))) is not value
            and strictest(mine, value) is mine
        )
