"""docker, kubectl, terraform, helm and their like: looking, changing, destroying."""

from __future__ import annotations

import re

from overnight.guard.effects import Infra, Install, Privilege, Read, Write
from overnight.guard.machine import Run, model
from overnight.guard.models.services import prints_secret
from overnight.guard.options import options
from overnight.guard.state import SECRET_NAME
from overnight.guard.text import HOLE, LOCAL, NETWORK, Text, shown

_DOCKER = ("-H", "--host", "-l", "--log-level", "--config", "-c", "--context", "-f", "--file", "-p", "--project-name", "--project-directory", "--profile",
           "--env-file", "--tlscacert", "--ansi", "--progress", "--url", "--connection", "--root", "--runroot", "--storage-driver", "-n", "--namespace")  # fmt: skip
_RUN = ("-v", "--volume", "--mount", "-e", "--env", "--env-file", "-p", "--publish", "--name", "-w", "--workdir", "-u", "--user", "--entrypoint", "--network",
        "--net", "-h", "--hostname", "--cap-add", "--cap-drop", "--device", "--pid", "--ipc", "--security-opt", "-m", "--memory", "--cpus", "-l", "--label",
        "--restart", "--platform", "--add-host", "--gpus", "--ulimit", "--tmpfs", "--userns", "--pull", "--dns", "--log-driver", "--log-opt", "-a",
        "--cidfile", "--shm-size", "--runtime", "--expose", "--link", "--volumes-from", "--group-add", "--init-path", "--index",
        "--service", "--context", "-c", "-f", "-n", "--namespace", "--container", "--image", "--target", "--overrides", "--cgroupns", "--uts")  # fmt: skip
#: Containers that others live by.
_SHARED = re.compile(
    r"traefik|haproxy|nginx-proxy|ingress|envoy|vault|consul|registry|prometheus|grafana|kafka|rabbitmq|elastic|minio|prod|gitlab|jenkins"
)
_DESTROY = frozenset({"reset", "rm", "rmi", "prune", "remove", "leave", "delete", "uninstall", "destroy", "drain"})


_DOCKER_OBJECTS = frozenset(
    {
        "container",
        "image",
        "volume",
        "network",
        "system",
        "builder",
        "buildx",
        "compose",
        "context",
        "service",
        "stack",
        "swarm",
        "node",
        "secret",
        "config",
        "plugin",
        "manifest",
        "trust",
        "pod",
        "machine",
        "images",
        "containers",
        "tasks",
        "run-",
    }
)


@model("docker", "podman", "nerdctl", "docker-compose", "podman-compose", "buildah", "ctr", "crictl")
def docker(run: Run) -> Text | None:
    """`docker [OBJECT] VERB`."""
    found = options(run.args, valued=_DOCKER, leading=True)
    words = found.operands
    if found.has("--help", "--version", "-v") or not words or {"--help"} & set(words[1:4]):
        return Text(HOLE)
    verb, rest, kind = str(words[0]), words[1:], ""
    if verb in _DOCKER_OBJECTS and rest:
        kind = verb
        inner = options(rest, valued=_DOCKER, leading=True)
        verb, rest = (str(inner.operands[0]), inner.operands[1:]) if inner.operands else ("", [])
    if verb in ("run", "create", "exec") and kind not in (
        "network",
        "volume",
        "context",
        "config",
        "secret",
        "service",
        "buildx",
    ):
        return _container(run, verb, rest)
    removes = verb == "down" and {"-v", "--volumes", "--rmi"} & {word.partition("=")[0] for word in rest}
    if (verb in _DESTROY or removes) and not {"--dry-run"} & set(rest):
        run.emit(Infra(service=run.name, verb="destroy", detail=f"{kind} {verb}".strip(), words=run.words))
    elif verb in ("push", "login", "logout"):
        run.emit(Infra(service=run.name, verb="publish" if verb == "push" else "change", detail=verb, words=run.words))
    elif verb == "inspect" and any(re.search(r"\.Env\b|json \.(?:Config)?\}", word) for word in rest):
        run.emit(Infra(service=run.name, verb="secret", detail="the environment of a container", words=run.words))
    elif verb == "cp":
        names = [word for word in rest if not word.startswith("-")]
        for name in names[:-1]:
            if ":" not in name and name != "-":
                run.read(name, recursive=True)
        for name in names[-1:]:
            if ":" not in name and name != "-":
                run.write(name)
    elif verb in ("stop", "kill", "pause") and any(_SHARED.search(word) for word in rest):
        run.emit(Infra(service=run.name, verb="destroy", detail=f"{verb} {shown(rest[-1])}", words=run.words))
    elif verb in ("load", "import") and run.stdin is not None and run.stdin.taint & NETWORK:
        run.emit(Install(manager=run.name, kind="url", names=("an image",), words=run.words))
    elif verb in ("save", "export") and not {"-o", "--output"} & set(rest):
        return Text(HOLE, LOCAL)
    elif verb in (
        "stop",
        "restart",
        "build",
        "up",
        "start",
        "pull",
        "tag",
        "import",
        "load",
        "save",
        "commit",
        "rename",
        "update",
        "pause",
        "create",
    ):
        run.emit(Infra(service=run.name, verb="change", detail=f"{kind} {verb}".strip(), words=run.words))
        for name in (
            options(rest, valued=("-o", "--output", "-t", "-f", "--build-arg")).all("-o", "--output")
            if verb == "save"
            else []
        ):
            run.write(name)
    return Text(HOLE)


def _container(run: Run, verb: str, args: list[Text]) -> Text | None:
    found = options(args, valued=_RUN, leading=True)
    flags = found.flags
    mounts = found.all("-v", "--volume", "--mount")
    roots = [_source(run, mount) for mount in mounts]
    if (
        "--privileged" in flags
        or any(value in ("host",) for value in found.all("--pid", "--userns"))
        or found.has("--cap-add", "--device")
    ):
        run.emit(Privilege(how="container", words=run.words))
    state = run.state.copy()
    state.cwd = "/container"
    for mount, source in zip(mounts, roots, strict=True):
        if source in ("", "/container"):
            continue
        readonly = mount.endswith(":ro") or "readonly" in mount
        if source.startswith(("/", "~")):
            if source in (
                "/",
                "/etc",
                "/root",
                "/var/run/docker.sock",
                "/run/docker.sock",
                "/home",
                "/var",
                "/usr",
                "/proc",
                "/sys",
                "/dev",
            ):
                run.emit(Privilege(how="container", words=run.words))
            if not readonly:
                run.emit(Write(path=source, certain=False, how="mount", words=run.words))
            else:
                run.emit(Read(path=source, certain=False, recursive=True, words=run.words))
    inner = found.operands[1:]
    entry = found.value("--entrypoint")
    if entry is not None and entry:
        inner = [entry, *inner]
    run.emit(Infra(service=run.name, verb="change", detail=verb, words=run.words))
    if verb == "exec" and len(inner) == 1 and inner[0].rpartition("/")[2] in ("sh", "bash", "ash", "zsh"):
        run.emit(Infra(service=run.name, verb="shell", detail="exec", words=run.words))
    if inner:
        _inside(run, state, inner, mounts)
    return Text(HOLE)


def _source(run: Run, mount: Text) -> str:
    found = re.search(r"(?:source|src)=([^,]+)", mount)
    name = found.group(1) if found else mount.partition(":")[0]
    if not name.startswith(("/", ".", "~")):
        return ""
    return run.path(run.m.bounds.home + name[1:] if name.startswith("~") else name)


#: Where engines and clusters mount secrets.
_KEPT = re.compile(r"(?:^|[\s=])(?:/var)?/run/secrets/")


def _asks_for_secret(inner: list[Text]) -> bool:
    """`printenv DB_PASSWORD`: a secret by its name."""
    return any(SECRET_NAME.search(word) for word in inner[1:])


def _inside(run: Run, state: object, inner: list[Text], mounts: list[Text]) -> None:
    """What runs in a container is judged for code from elsewhere and for what is mounted; its own files are its own."""
    from overnight.guard.effects import Delete
    from overnight.guard.machine import Machine
    from overnight.guard.state import State

    assert isinstance(state, State)
    before = len(run.m.effects)
    if inner[:1] and inner[0].rpartition("/")[2] == "printenv" and _asks_for_secret(inner):
        run.emit(Infra(service=run.name, verb="secret", detail="the environment of a container", words=run.words))
    if any(_KEPT.search(word) for word in inner):
        run.emit(Infra(service=run.name, verb="secret", detail="what is mounted as a secret", words=run.words))
    run.m.dispatch(Run(run.m, state, inner, run.stdin))
    targets: dict[str, str] = {}
    for mount in mounts:
        pieces = mount.split(":")
        if len(pieces) > 1:
            targets[pieces[1].rstrip("/") or "/"] = _source(run, mount)
    kept = run.m.effects[:before]
    for effect in run.m.effects[before:]:
        if isinstance(effect, Delete | Write | Read):
            source = next(
                (
                    s + effect.path[len(t) :]
                    for t, s in targets.items()
                    if effect.path == t or effect.path.startswith(t + "/")
                ),
                None,
            )
            if source is None and not (
                isinstance(effect, Delete) and not targets and run.argv[1] == "exec" and effect.path in ("/", "/data")
            ):
                if isinstance(effect, Delete) and effect.path == "/" and effect.recursive:
                    kept.append(effect)
                continue
            if isinstance(effect, Delete):
                kept.append(Delete(path=source or effect.path, recursive=True, how="container", words=effect.words))
            continue
        kept.append(effect)
    run.m.effects[:] = kept
    assert isinstance(run.m, Machine)


_KUBERNETES_DESTROYS = frozenset(
    {"delete", "drain", "uninstall", "cordon", "evict", "del", "destroy", "reset", "taint", "rollback", "purge"}
)


@model("kubectl", "oc", "k", "k3s", "microk8s", "minikube", "kind", "k3d", "eksctl", "kops", "kubeadm", "kustomize", "stern", "k9s", "helm", "helmfile", "flux",
       "argocd", "skaffold", "tilt", "istioctl", "linkerd", "velero", "kubectx", "kubens")  # fmt: skip
def kubernetes(run: Run) -> Text | None:
    """`kubectl VERB`."""
    valued = ("-n", "--namespace", "--context", "--kubeconfig", "-f", "--filename", "-l", "--selector", "-o", "--output", "--as", "-s", "--server", "--token",
              "--user", "--cluster", "--kube-context", "-c", "--container", "--type", "--patch", "--timeout", "-v")  # fmt: skip
    found = options(run.args, valued=valued, leading=False)
    words = found.operands
    if run.name in ("k3s", "microk8s") and words[:1] == ["kubectl"]:
        words = words[1:]
    if found.has("--help", "-h", "--version") or any(
        word.startswith("--dry-run") and not word.endswith("=none") for word in run.args
    ):
        return Text(HOLE)
    verb = words[0] if words else ""
    second = words[1] if len(words) > 1 else ""
    rm = second in ("delete", "remove", "rm", "uninstall", "destroy", "prune") and verb not in (
        "get",
        "describe",
        "logs",
        "explain",
        "help",
    )
    if verb == "exec" or (verb == "run" and "--" in run.args):
        inner = run.args[run.args.index(Text("--")) + 1 :] if "--" in run.args else words[2:]
        if len(inner) == 1 and inner[0].rpartition("/")[2] in ("sh", "bash", "ash", "zsh"):
            run.emit(Infra(service=run.name, verb="shell", detail=str(verb), words=run.words))
        state = run.state.copy()
        run.emit(Infra(service=run.name, verb="change", detail=str(verb), words=run.words))
        if inner:
            _inside(run, state, list(inner), [])
        return Text(HOLE)
    if (
        verb in _KUBERNETES_DESTROYS
        or rm
        or (verb == "replace" and found.has("--force"))
        or (verb == "scale" and "--replicas=0" in run.args)
    ) or (verb == "config" and second in ("delete-context", "delete-cluster", "delete-user", "unset")):
        run.emit(Infra(service=run.name, verb="destroy", detail=f"{verb} {second}", words=run.words))
    elif verb in (
        "apply",
        "create",
        "patch",
        "edit",
        "set",
        "scale",
        "rollout",
        "label",
        "annotate",
        "install",
        "upgrade",
        "expose",
        "autoscale",
        "replace",
    ):
        pruned = verb == "apply" and found.has("--prune")
        run.emit(
            Infra(service=run.name, verb="destroy" if pruned else "change", detail=f"{verb} {second}", words=run.words)
        )
    elif verb == "cp":
        run.emit(Infra(service=run.name, verb="change", detail="cp", words=run.words))
        for name in words[2:3]:
            if ":" not in name:
                run.write(name)
    return Text(HOLE)


_PROVISIONING_HELP_WORDS = frozenset(
    {
        "--help",
        "-h",
        "-help",
        "--version",
        "-version",
        "--check",
        "--syntax-check",
        "--list-hosts",
        "--list-tasks",
        "--list-tags",
    }
)


_PROVISIONING_DESTROYS = frozenset(
    {
        "destroy",
        "delete",
        "down",
        "undefine",
        "remove",
        "rm",
        "unregistervm",
        "purge",
        "stop-",
        "taint",
        "force-unlock",
        "revoke",
        "undeploy",
    }
)


_PROVISIONING_SECONDS = frozenset(
    {
        "rm",
        "delete",
        "destroy",
        "disable",
        "remove",
        "purge",
        "undelete-",
        "revoke",
        "push",
        "metadata-delete",
        "force-leave",
        "mv",
        "replace-provider",
    }
)


_PROVISIONING_READ_VERBS = frozenset(
    {
        "plan",
        "show",
        "output",
        "validate",
        "fmt",
        "graph",
        "version",
        "console",
        "test",
        "list",
        "synth",
        "diff",
        "ls",
        "inspect",
        "status",
    }
)


@model("terraform", "tofu", "terragrunt", "pulumi", "cdk", "cdktf", "sam", "serverless", "sls", "amplify", "packer", "vagrant", "multipass", "virsh",
       "VBoxManage", "vboxmanage", "qemu-img", "lxc", "incus", "ansible", "ansible-playbook", "ansible-galaxy", "ansible-pull", "salt", "puppet", "chef",
       "nomad", "consul", "vault", "waypoint", "crossplane", "copilot", "chalice", "zappa")  # fmt: skip
def provisioning(run: Run) -> Text | None:
    """Plans look; apply changes; destroy _PROVISIONING_DESTROYS."""
    found = options(run.args, valued=( "-var", "-var-file", "-out", "-e", "-i", "-m", "-a", "-u", "--stack", "-s", "--profile", "--limit", "-l"),
                    single_dash=run.name in ("terraform", "tofu", "packer", "vault", "consul", "nomad"))  # fmt: skip
    words = found.operands
    flags = set(run.args)
    verb = words[0] if words else ""
    second = words[1] if len(words) > 1 else ""
    if _PROVISIONING_HELP_WORDS & flags:
        return Text(HOLE)
    if run.name == "ansible":
        return _ansible(run, found.value("-m") or Text("command"), found.value("-a") or Text(""))
    deeper = run.name in ("vault", "consul", "nomad", "chef", "puppet") and bool(
        {"delete", "destroy", "stop", "seal", "purge"} & set(words[1:4])
    )
    destroying = (
        deeper
        or verb in _PROVISIONING_DESTROYS
        or (second in _PROVISIONING_SECONDS and verb not in _PROVISIONING_READ_VERBS)
    )
    destroying = (
        destroying
        or (verb in ("apply", "up") and bool({"-destroy", "--destroy"} & flags))
        or ("-migrate-state" in flags and "-force-copy" in flags)
    )
    if (run.name == "consul" and verb == "leave") or (run.name == "pulumi" and verb == "cancel"):
        destroying = True
    if run.name == "terraform" and verb == "workspace":
        destroying = second == "delete"
    if destroying:
        run.emit(Infra(service=run.name, verb="destroy", detail=f"{verb} {second}", words=run.words))
    elif prints_secret([str(word) for word in words]):
        run.emit(Infra(service=run.name, verb="secret", detail=f"{verb} {second}", words=run.words))
    elif verb in ("apply", "up", "deploy", "import", "write", "put") or (run.name == "ansible-playbook" and verb):
        # A plan that was saved is applied without a question.
        planned = run.name in ("terraform", "tofu") and bool(second)
        unasked = bool({"-auto-approve", "--auto-approve", "--yes", "-y"} & flags)
        run.emit(
            Infra(
                service=run.name,
                verb="apply-unasked" if (unasked or planned) and verb == "apply" else "change",
                detail=f"{verb} {second}",
                words=run.words,
            )
        )
    return Text(HOLE)


def _ansible(run: Run, module: Text, argument: Text) -> Text | None:
    if module in ("shell", "command", "raw", "script", "win_shell"):
        run.shell(argument, "ansible -m shell")
    if re.search(r"state=(?:absent|stopped)", argument):
        run.emit(Infra(service="ansible", verb="destroy", detail=shown(argument)[:80], words=run.words))
    return Text(HOLE)
