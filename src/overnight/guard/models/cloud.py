"""aws, gcloud, az, gh: verbs in the clouds' own grammars."""

from __future__ import annotations

import re

from overnight.guard.effects import Infra, Net
from overnight.guard.machine import Run, model
from overnight.guard.models.asking import asks
from overnight.guard.models.services import verdict_of
from overnight.guard.options import options
from overnight.guard.text import HOLE, LOCAL, NETWORK, SECRET, Text

_AWS = (
    "--region",
    "--profile",
    "--output",
    "--query",
    "--endpoint-url",
    "--cli-connect-timeout",
    "--cli-read-timeout",
    "--ca-bundle",
    "--color",
    "--cli-input-json",
)
_AWS_DESTROY = re.compile(
    r"(?:change-resource-record-sets|delete|terminate|remove|deregister|disassociate|detach|revoke|disable|cancel|purge|stop|reboot|release|reset|batch-delete|untag|abort|deactivate|unsubscribe"
    r"|schedule-key-deletion|create-invalidation|put-bucket-policy|put-bucket-acl|force|empty|rb|rm|admin-delete|admin-disable|modify-db-instance-)\b|put-bucket-lifecycle"
)


@model("aws", "awslocal", "aws-cli")
def aws(run: Run) -> Text | None:
    """`aws SERVICE OPERATION`."""
    found = options(run.args, valued=_AWS)
    words = found.operands
    if asks(run.args, "--dryrun", "--dry-run") or "help" in words[:3] or len(words) < 2:
        return Text(HOLE)
    service, verb = words[0], words[1]
    if service == "s3" and verb in ("cp", "mv", "sync"):
        return _s3(run, verb, words[2:], deletes=found.has("--delete"))
    if service == "s3" and verb in ("rm", "rb"):
        run.emit(Infra(service="aws", verb="destroy", detail=f"s3 {verb}", words=run.words))
    elif _AWS_DESTROY.match(verb):
        run.emit(Infra(service="aws", verb="destroy", detail=f"{service} {verb}", words=run.words))
    elif service == "secretsmanager" and verb in ("get-secret-value", "batch-get-secret-value"):
        run.emit(Infra(service="aws", verb="secret", detail=f"{service} {verb}", words=run.words))
    elif not re.match(
        r"(?:get|list|describe|head|ls|lookup|search|filter|query|scan|batch-get|check|detect|estimate|generate|validate|wait|test|help|download)",
        verb,
    ):
        run.emit(Infra(service="aws", verb="change", detail=f"{service} {verb}", words=run.words))
    return Text(HOLE, NETWORK & 0)


def _s3(run: Run, verb: str, names: list[Text], *, deletes: bool) -> Text | None:
    if deletes or (verb == "mv" and any(name.startswith("s3://") for name in names[:1])):
        run.emit(Infra(service="aws", verb="destroy", detail=f"s3 {verb}", words=run.words))
    taint = 0
    for name in names[:-1]:
        if not name.startswith("s3://") and name != "-":
            taint |= run.read(name, recursive=True).taint | LOCAL
    if names and names[-1].startswith("s3://"):
        if taint:
            run.emit(Net(host="s3", how="write", sends="secret" if taint & SECRET else "file", words=run.words))
    elif names and names[-1] != "-":
        run.write(names[-1], Text(HOLE, NETWORK))
    return Text(HOLE, NETWORK)


@model("gcloud", "az", "bq", "gsutil-", "oc-login")
def clouds(run: Run) -> Text | None:
    """`gcloud GROUP... VERB NAME`, `az GROUP... VERB`."""
    valued = ("--project", "--format", "--region", "--zone", "--filter", "-o", "--output", "-n", "--name", "-g", "--resource-group", "--query", "--account", "-f", "-p",
              "--location", "-l", "-c", "--subscription", "--limit", "--resource-type", "--vault-name", "--configuration", "--project_id", "-s", "--sql")  # fmt: skip
    found = options(run.args, valued=valued)
    words = [str(word) for word in found.operands]
    if asks(run.args, "--dry-run", "--dry_run", "-h") or words[:1] in (
        ["help"],
        ["version"],
        ["topic"],
        ["find"],
    ):
        return Text(HOLE)
    if run.name == "bq":
        destroys = words[:1] in (["rm"], ["truncate"]) or bool(
            re.search(r"(?i)\b(?:drop|truncate|delete)\s", " ".join(words[1:]))
        )
        run.emit(
            Infra(service="bq", verb="destroy" if destroys else "change", detail=" ".join(words[:2]), words=run.words)
        )
        return Text(HOLE)
    verb = "change"
    for word in words:
        low = word.lower()
        if low in (
            "list",
            "show",
            "describe",
            "get",
            "ls",
            "read",
            "tail",
            "query",
            "exists",
            "search",
            "get-value",
            "list-tags",
            "url",
            "logs",
            "get-iam-policy",
        ):
            verb = "read"
            break
        looked = verdict_of([low])
        if looked == "destroy" and low not in ("stop-", "archive", "rotate", "roll"):
            verb = "destroy"
            break
        if low.startswith(("list-", "show-", "get-", "describe-")):
            verb = "read"
            break
    if words[-3:-1] == ["secrets", "versions"] or ("access" in words and "secrets" in words):
        verb = "secret" if "access" in words else verb
    run.emit(Infra(service=run.name, verb=verb, detail=" ".join(words[:4]), words=run.words))
    return Text(HOLE)


@model("gh")
def gh(run: Run) -> Text | None:
    """`gh NOUN VERB`."""
    valued = ("-R", "--repo", "-X", "--method", "-f", "-F", "--field", "--raw-field", "-H", "--header", "--jq", "-q", "-t", "--template", "--input", "-L", "--limit",
              "-b", "--body", "--title", "--json", "-B", "--base", "--label", "-l", "-a", "--author", "--assignee", "-m", "--message", "--body-file", "-D", "--dir")  # fmt: skip
    found = options(run.args, valued=valued)
    words = found.operands
    if asks(run.args) or len(words) < 1:
        return Text(HOLE)
    noun, verb = str(words[0]), str(words[1]) if len(words) > 1 else ""
    if noun == "api":
        method = (found.value("-X", "--method") or Text("")).upper()
        mutation = any("mutation" in value for value in found.all("-f", "-F", "--field", "--raw-field"))
        fields = bool(found.all("-f", "-F", "--field", "--raw-field", "--input"))
        if method == "DELETE" or (
            mutation and any(re.search(r"delete|remove", value) for value in found.all("-f", "--raw-field", "-F"))
        ):
            run.emit(Infra(service="gh", verb="destroy", detail="api DELETE", words=run.words))
        elif method in ("POST", "PUT", "PATCH") or (fields and method != "GET" and words[1:] != ["graphql"]):
            run.emit(Infra(service="gh", verb="grant", detail="api write", words=run.words))
        elif mutation:
            run.emit(Infra(service="gh", verb="change", detail="api mutation", words=run.words))
        return Text(HOLE, NETWORK & 0)
    if noun == "alias" and verb == "set":
        code = words[-1]
        if code.startswith("!"):
            run.shell(Text(code[1:]), "gh alias")
    if verb in (
        "delete",
        "remove",
        "close",
        "archive",
        "revoke",
        "cancel",
        "disable",
        "lock",
        "unlink",
        "delete-asset",
        "transfer",
        "rename",
        "purge",
        "delete-all",
    ):
        soft = verb in ("close", "cancel", "lock", "rename", "unlink")
        run.emit(Infra(service="gh", verb="change" if soft else "destroy", detail=f"{noun} {verb}", words=run.words))
    elif noun == "pr" and verb == "merge":
        run.emit(Infra(service="gh", verb="publish", detail="pr merge", words=run.words))
    elif noun == "extension" and verb in ("install", "upgrade"):
        from overnight.guard.effects import Install

        run.emit(Install(manager="gh", kind="url", names=tuple(words[2:3]), words=run.words))
    elif noun == "gist" and verb == "create":
        run.emit(Net(host="github.com", how="write", sends="file", words=run.words))
    elif noun in ("secret", "variable") and verb == "set":
        run.emit(Infra(service="gh", verb="change", detail=f"{noun} {verb}", words=run.words))
    return Text(HOLE)
