"""Command lines of services: their verbs follow one grammar, `SERVICE [NOUN]... VERB [NAME]`."""

from __future__ import annotations

import re

from overnight.guard.effects import Infra, Persist, Read
from overnight.guard.machine import Run, model
from overnight.guard.models.asking import asks
from overnight.guard.text import HOLE, Text

#: Verbs that destroy or take away, as whole words.
DESTROY = frozenset(
    [
        "deallocate",
        "delete",
        "remove",
        "rm",
        "destroy",
        "purge",
        "drop",
        "terminate",
        "deregister",
        "disassociate",
        "detach",
        "revoke",
        "disable",
        "cancel",
        "erase",
        "wipe",
        "forget",
        "kill",
        "archive",
        "rotate",
        "roll",
        "reset",
        "del",
        "uninstall",
        "unset",
        "stop",
        "unlink",
        "clear",
        "abort",
        "empty",
        "deactivate",
        "suspend",
        "untag",
        "flush",
        "break-lock",
        "recreate",
        "prune",
        "cleanup",
        "compact",
        "void",
        "refund",
        "delete_user",
        "delete_vhost",
        "delete_queue",
        "clear_permissions",
        "force_reset",
        "forget_cluster_node",
        "delete-batch",
        "unsubscribe",
        "remove-permission",
    ]
)
#: Words that make it a look.
LOOKS = frozenset(
    [
        "list",
        "ls",
        "show",
        "get",
        "describe",
        "info",
        "status",
        "view",
        "search",
        "help",
        "logs",
        "log",
        "version",
        "whoami",
        "cat",
        "diff",
        "history",
    ]
)
_DASHED = re.compile(
    r"(?:delete|remove|terminate|destroy|purge|deregister|revoke|disable|cancel|release|detach|disassociate|deactivate|reset|clear|flush|force-leave|abort|stop|shutdown)[-_][\w-]+\Z"
)


def verdict_of(words: list[str]) -> str:
    """`destroy`, `read` or `change` from the words of a command line, options left out."""
    for piece in [piece for word in words[:5] for piece in word.split(":")]:
        low = piece.lower()
        if low in LOOKS or low.startswith(("list-", "describe-", "get-", "show-", "check-", "head-")):
            return "read"
        if low in DESTROY or _DASHED.match(low):
            return "destroy"
    return "change"


#: Verbs that print what is kept under a name.
_PRINTS = frozenset(
    {"get", "print", "output", "show", "read", "reveal", "view", "cat", "value", "fetch", "lookup", "export"}
)
#: A name of a value, not of a kind of things: `db_password`, `prod/api-key`, `stripeSecretKey`.
_NAMED = re.compile(
    r"(?i:(?:^|.*[\W_])[a-z0-9]+[\W_]+(?:password|passwd|passphrase|secret|token|credentials?|api[-_]?key|(?:private|access|secret)[-_]?key)(?:[-_]\w+)?)\Z"
    r"|.*[a-z0-9](?:Password|Secret|Token|ApiKey|PrivateKey|AccessKey|SecretKey)\Z"
)
_CONFIRMS = re.compile(
    r"--(?:yes-)?i-(?:really|know|understand|am-sure)[\w-]*\Z|--force-(?:delete|destroy)\Z|--confirm-(?:delete|destroy)\Z"
)


def prints_secret(words: list[str]) -> bool:
    """True when a verb that prints is given the name of a secret."""
    place = next((i for i, word in enumerate(words[:4]) if word in _PRINTS), None)
    return place is not None and any(_NAMED.match(word) for word in words[place + 1 :])


def confirmed(args: list[Text]) -> bool:
    """True when an option says that one is sure: nobody asks for that where nothing is lost."""
    return any(_CONFIRMS.match(word) for word in args)


@model("doppler-", "heroku", "fly", "flyctl", "vercel", "netlify", "wrangler", "railway", "render", "supabase", "firebase", "auth0", "okta", "stripe", "square",
       "twilio", "sentry-cli", "newrelic", "datadog", "dog", "pd", "splunk", "ldcli", "flipt", "unleash", "split", "fastly", "algolia", "deck", "apigeecli", "apigee",
       "glab", "circleci", "buildkite-agent", "bk", "travis", "tkn", "nats", "rabbitmqctl", "rabbitmqadmin", "rpk", "kcat", "pulsar-admin", "confluent", "ccloud",
       "restic", "borg", "borgmatic", "duplicity", "kopia", "tarsnap", "doctl", "linode-cli", "hcloud", "vultr-cli", "scw", "ibmcloud", "oci", "exo", "civo", "upctl",
       "planetscale", "pscale", "neonctl", "turso", "atlas", "mongocli", "dnscontrol", "cf", "eb", "ecs-cli", "snowsql-", "databricks", "snyk", "sonar-scanner", "jira",
       "linear", "notion", "slack", "gh-", "hub-", "tea", "shopify", "contentful", "sanity", "expo", "eas", "fastlane", "appcenter", "launchctl", "tmutil", "hermes",
       "snapper", "timeshift", "etcdctl", "zkcli", "kong", "traefik", "haproxy", "postmark", "mailgun", "sendgrid", "braintree", "grafana-cli", "promtool", "influx",
       "jenkins-cli", "teamcity", "bamboo", "spinnaker", "spin", "airflow", "prefect", "dagster", "temporal", "tctl", "kadmin", "bw", "lpass", "1password", "keepassxc-cli",
       "security", "secret-tool", "gcloud-", "akamai", "cloudflare", "flarectl", "ngrok-api", "tailscale", "wg", "zerotier-cli", "unleash-cli", "logcli", "hasura")  # fmt: skip
def service(run: Run) -> Text | None:
    """One grammar for them all."""
    if asks(run.args, "--dry-run"):
        return Text(HOLE)
    words = _nouns(run)
    verb = verdict_of(words)
    name = run.name
    keeper = name in ("security", "lpass", "bw", "secret-tool", "op", "1password") and bool(words)
    if keeper and _gives_secrets(words[0], run.args):
        run.emit(Read(path=run.m.bounds.home + "/Library/Keychains/login", words=run.words))
    if name == "launchctl" and words[:1] and words[0] in ("load", "bootstrap", "submit", "enable", "kickstart"):
        run.emit(Persist(kind="service", path="launchd", words=run.words))
    if name == "launchctl" and words[:1] and words[0] in ("unload", "bootout", "remove", "kill", "reboot"):
        verb = "destroy"
    if name == "haproxy" and {"-sf", "-st"} & set(run.args):
        verb = "destroy"
    if (name == "fastly" and "activate" in words[:4]) or (name == "deck" and "sync" in words[:2]):
        verb = "destroy"
    if name == "tmutil" and words[:1] and re.match(r"delete|disable|thin|restore|removeexclusion|stop", words[0]):
        verb = "destroy"
    if confirmed(run.args):
        verb = "destroy"
    elif verb == "read" and prints_secret(words):
        verb = "secret"
    elif verb == "change" and {"upload", "publish"} & set(words[:3]):
        verb = "publish"
    if name == "restic" and words[:1] == ["cache"] and "--cleanup" in run.args:
        verb = "destroy"
    run.emit(Infra(service=name, verb=verb, detail=" ".join(words[:4]), words=run.words))
    return Text(HOLE)


def _gives_secrets(verb: str, args: list[Text]) -> bool:
    shows = "-w" in args or "-g" in args
    return verb in ("dump-keychain", "export") or (shows and bool(re.match(r"find-.*-password", verb)))


def _nouns(run: Run) -> list[str]:
    """Words without options and their likely values."""
    out: list[str] = []
    skip = False
    for word in run.args:
        if skip:
            skip = False
            if not word.startswith("-") and word not in DESTROY:
                continue
        if word.startswith("-"):
            skip = (
                "=" not in word
                and len(out) == 0
                and len(word) > 1
                and word not in ("-y", "-f", "-q", "-v", "--yes", "--force", "--debug", "--quiet")
            )
            continue
        out.append(word)
    return out
