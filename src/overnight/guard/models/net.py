"""curl, wget, nc, socat: where they connect, what they send, what they leave."""

from __future__ import annotations

import re

from overnight.guard.effects import Infra, Net
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import HOLE, LOCAL, NETWORK, SECRET, Text, shown

_CURL = ("-X", "--request", "-H", "--header", "-d", "--data", "--data-binary", "--data-raw", "--data-ascii", "--data-urlencode", "--json", "-F",
         "--form", "--form-string", "-o", "--output", "-T", "--upload-file", "-u", "--user", "-A", "--user-agent", "-e", "--referer", "-b", "--cookie",
         "-c", "--cookie-jar", "-m", "--max-time", "--connect-timeout", "--retry", "--retry-delay", "--retry-max-time", "-x", "--proxy", "-K",
         "--config", "--url", "-w", "--write-out", "--resolve", "--cacert", "-E", "--cert", "--key", "--capath", "--ciphers", "-r", "--range", "-C",
         "--continue-at", "-z", "--time-cond", "-D", "--dump-header", "--limit-rate", "-Q", "--quote", "--interface", "--output-dir", "--trace",
         "--trace-ascii", "--stderr", "--unix-socket", "--netrc-file", "-t", "--doh-url", "--url-query", "--etag-save", "--etag-compare", "-Y", "-y",
         "--oauth2-bearer", "--aws-sigv4", "--connect-to", "--dns-servers", "-P", "--max-redirs", "--max-filesize", "--proto", "--proto-default",
         "--socks5", "--socks5-hostname", "--socks4", "--preproxy", "--proxy-user", "-U", "--local-port", "--parallel-max", "--hsts", "--libcurl",
         "--variable", "--expand-data", "--expand-url", "--mail-from", "--mail-rcpt", "--tls-max", "--pinnedpubkey", "--rate", "--create-file-mode",
         "--noproxy", "--request-target", "--speed-limit", "--speed-time", "--keepalive-time", "--ftp-port", "--login-options", "--sasl-authzid")  # fmt: skip
_WGET = ("-O", "--output-document", "-o", "--output-file", "-a", "--append-output", "-P", "--directory-prefix", "-i", "--input-file", "-U",
         "--user-agent", "--header", "--post-data", "--post-file", "--body-data", "--body-file", "--method", "-T", "--timeout", "-t", "--tries", "-e",
         "--execute", "--user", "--password", "-A", "-R", "-l", "--level", "-D", "-w", "--wait", "-Q", "--limit-rate", "--load-cookies",
         "--save-cookies", "--ca-certificate", "--use-askpass", "--referer", "-B", "--base", "-X", "-I", "--max-redirect", "--config",
         "--http-user", "--http-password", "--cut-dirs", "--domains", "--warc-file", "--rejected-log", "--secure-protocol")  # fmt: skip
_HOST = re.compile(r"(?:[a-zA-Z][\w+.-]*://)?(?:[^@/\s]*@)?(\[[^\]]*\]|[^:/?#\s]+)?")


def host_of(url: str) -> str:
    """The host of a URL, lower case, without brackets."""
    found = _HOST.match(url)
    return (found.group(1) or "").strip("[]").lower() if found else ""


def sends(taint: int, *, data: bool) -> str:
    """What a body of this taint carries."""
    if taint & SECRET:
        return "secret"
    if taint & LOCAL:
        return "file"
    return "literal" if data else "none"


def _body(run: Run, value: Text, *, at: bool = True) -> tuple[int, bool]:
    """(taint, True when a file) of a `-d`, `-F`, `-T` value."""
    taint = value.taint & SECRET
    names: list[str] = []
    if at and value.startswith("@"):
        names = [value[1:]]
    elif (at and "=@" in value) or "=<" in value:
        names = list(re.split(r"=[@<]", value, maxsplit=1)[1].split(";")[0].split(","))
    elif at and re.match(r"[\w.-]+@", value) and not re.match(r"[\w.-]+@[\w.-]+\.\w+$", value):
        names = [value.partition("@")[2]]
    for name in names:
        if name in ("-", "/dev/stdin", ".-"):
            taint |= run.stdin.taint if run.stdin is not None else LOCAL
            taint |= 0 if run.stdin is not None and HOLE not in run.stdin and not run.stdin.taint else LOCAL
        else:
            taint |= run.read(name.strip('"')).taint | LOCAL
    return taint, bool(names)


@model("curl", "curlie", "xh", "xhs", "wcurl")
def curl(run: Run) -> Text | None:
    """`curl [OPTION]... URL...`."""
    if run.name in ("xh", "xhs"):
        return http(run)
    found = options(run.args, valued=_CURL)
    if found.has("--help", "-h", "-V", "--version", "-M", "--manual"):
        return Text(HOLE)
    taint, data = 0, False
    for value in found.all(
        "-d", "--data", "--data-binary", "--data-ascii", "--data-urlencode", "--json", "-F", "--form"
    ):
        more, _ = _body(run, value)
        taint, data = taint | more, True
    for value in found.all("--data-raw", "--form-string", "--expand-data"):
        taint, data = taint | value.taint & SECRET, True
    for value in found.all("-T", "--upload-file"):
        taint |= _body(run, Text("@" + ("-" if value == "." else value)))[0] | LOCAL
        data = True
    for value in [
        *found.all("-H", "--header", "-b", "--cookie", "-A", "-u", "--user", "-e", "--url-query"),
        *found.operands,
    ]:
        taint |= value.taint & SECRET if not _authorises(value) else 0
    for value in found.all("-H", "--header"):
        if value.startswith("@"):
            taint |= run.read(value[1:]).taint
    for name in found.all("-K", "--config"):
        text = run.read(name) if name != "-" else run.stdin
        if text is not None and (HOLE in text or re.search(r"(?m)^\s*-?-?(?:output|upload-file|data|form)", text)):
            run.unverifiable("curl's settings are not known")
    method = (found.value("-X", "--request") or Text("")).upper()
    urls = [*found.operands, *found.all("--url")]
    out = Text(HOLE, NETWORK)
    for url in urls:
        out = _request(run, url, method, taint, data=data) or out
    for command in found.all("-Q", "--quote"):
        if re.match(r"\W*(?:DELE|RMD|RNFR|RNTO|SITE|STOR|MKD|rm|rename|rmdir|mkdir|chmod)\b", command, re.IGNORECASE):
            run.emit(Net(host="", how="delete", words=run.words))
    for proxy in found.all("-x", "--proxy", "--socks5", "--preproxy", "--doh-url"):
        run.emit(Net(host=shown(host_of(proxy)), url=shown(proxy), words=run.words))
    _outputs(run, found.all("-o", "--output"), out, found.value("--output-dir"))
    if found.has("-O", "--remote-name", "--remote-name-all"):
        for url in urls:
            run.write(Text(url.rstrip("/").rpartition("/")[2].partition("?")[0] or "index.html"), out)
        return Text("")
    for name in found.all(
        "-c", "--cookie-jar", "-D", "--dump-header", "--trace", "--trace-ascii", "--stderr", "--etag-save", "--libcurl"
    ):
        if name != "-":
            run.write(name, Text(HOLE, NETWORK))
    return Text("") if found.has("-o", "--output") and found.value("-o", "--output") != "-" else out


def _authorises(header: str) -> bool:
    return bool(re.match(r"(?i)(?:authorization|x-api-key|private-token|x-[\w-]*token|api-key)\s*:", header)) or (
        "://" not in header and ":" in header
    )


def _outputs(run: Run, names: list[Text], out: Text, folder: Text | None) -> None:
    for name in names:
        if name != "-":
            run.write(name if folder is None else Text(f"{folder}/{name}"), out)


#: Places that take what is sent to them and show it to others.
SINKS = re.compile(
    r"hooks\.slack\.com|discord(?:app)?\.com/api/webhooks|api\.telegram\.org|webhook\.site|requestbin|pipedream\.net|oast(?:ify)?\.|interact\.sh|burpcollaborator|pastebin\.com|paste\.|hastebin"
    r"|transfer\.sh|0x0\.st|ix\.io|termbin|file\.io|bashupload|gofile\.io|ngrok(?:-free)?\.(?:io|app|dev)|trycloudflare\.com|serveo\.net|localhost\.run|loca\.lt|beeceptor|hookbin|ptsv\d|dpaste|sprunge|anonfiles"
    r"|catbox\.moe|tmpfiles|uguu\.se|temp\.sh|oshi\.at|api\.mailgun|api\.sendgrid|api\.postmarkapp|api\.twilio|api\.pushover|ntfy\.sh|maker\.ifttt|hooks\.zapier|outlook\.office\.com/webhook|webhook\.office"
)
#: Administration of services by HTTP.
_ADMIN = re.compile(
    r"(?:^|/)(?:_cluster/(?:settings|reroute)|_all\b|_snapshot|_settings|_aliases|_ilm|_security|_nodes|sys/(?:seal|policy|mounts|auth)|v1/agent/(?:leave|force-leave)|-/(?:quit|reload)|api/v1/admin|admin/shutdown|shutdown|containers/create|exec/)"
)
#: Ports of services that hold data, which are no development server even on this machine.
_SERVED = re.compile(
    r":(?:9200|9300|8001|8444|7700|8500|2379|8200|9090|9093|15672|6333|8108|5984|8086|3100|4646|7474|8983|2375|2376|10250|6443|9870|8529|8080/api/v1/namespaces)\b"
)


def _own(url: str, host: str) -> bool:
    """True for a development server on this machine."""
    return bool(re.match(r"(?:localhost|127\.\d+\.\d+\.\d+|::1)\Z", host)) and not _SERVED.search(url)


def _request(run: Run, url: Text, method: str, taint: int, *, data: bool) -> Text | None:
    if url.startswith("file://"):
        return run.read(url)
    host = host_of(url)
    how = "delete" if method == "DELETE" else "write" if data or method in ("POST", "PUT", "PATCH") else "read"
    run.emit(Net(host=shown(host), how=how, sends=sends(taint, data=data), url=shown(url), words=run.words))
    path = url.partition("://")[2].partition("/")[2] or url.partition("/")[2]
    if (data or method in ("POST", "PUT", "PATCH")) and SINKS.search(host + "/" + path):
        run.emit(Infra(service="http", verb="message", detail=f"{method} {shown(url)}"[:120], words=run.words))
    if (
        (method in ("PUT", "POST", "PATCH") and _ADMIN.search(path))
        or (method in ("DELETE", "PURGE", "BAN") and not _own(url, host))
        or (
            method == "POST"
            and re.search(
                r"_delete_by_query|(?:^|[/_.-])(?:delete|purge|destroy|flushall|truncate|drop|_?shutdown|_?close)(?:[/_?.-]|$)|doDelete",
                path,
            )
        )
    ):
        run.emit(Infra(service="http", verb="destroy", detail=f"{method} {shown(url)}"[:120], words=run.words))
    return None


@model("wget", "wget2", "aria2c", "axel", "fetch", "lwp-request", "links", "lynx", "w3m", "elinks")
def wget(run: Run) -> Text | None:
    """`wget [OPTION]... URL...`."""
    found = options(run.args, valued=_WGET)
    if found.has("--help", "-V", "--version", "-h"):
        return Text(HOLE)
    taint, data = 0, False
    for name in found.all("--post-file", "--body-file"):
        taint, data = taint | run.read(name).taint | LOCAL, True
    for value in found.all("--post-data", "--body-data"):
        taint, data = taint | value.taint & (SECRET | LOCAL), True
    for value in found.operands:
        taint |= value.taint & SECRET
    for name in found.all("-i", "--input-file"):
        run.read(name)
    for command in found.all("-e", "--execute"):
        if "=" in command and not re.match(r"\s*(?:robots|use_proxy|https?_proxy)\s*=", command):
            run.unverifiable("wget -e")
    if program := found.value("--use-askpass"):
        run.exec([program])
    method = (found.value("--method") or Text("")).upper()
    for url in found.operands:
        _request(run, url, method, taint, data=data)
    out = Text(HOLE, NETWORK)
    if run.name in ("lynx", "links", "w3m", "elinks", "fetch", "lwp-request"):
        return out
    target = found.value("-O", "--output-document") if run.name.startswith("wget") else found.value("-o")
    if target is not None and target != "-":
        run.write(target, out)
        return Text("")
    if target == "-":
        return out
    if found.has("--spider"):
        return Text(HOLE)
    folder = found.value("-P", "--directory-prefix")
    for url in found.operands:
        name = url.rstrip("/").rpartition("/")[2].partition("?")[0] or "index.html"
        run.write(Text(f"{folder}/{name}" if folder else name), out)
    return Text("")


@model("http", "https", "httpie")
def http(run: Run) -> Text | None:
    """httpie: `http [METHOD] URL [ITEM]...`."""
    found = options(
        run.args, valued=("-o", "--output", "-a", "--auth", "--session", "-A", "--proxy", "--timeout", "-p", "--print")
    )
    words = found.operands
    method = ""
    if words and re.fullmatch(r"[A-Z]+", words[0]):
        method, words = words[0], words[1:]
    taint, data = run.stdin.taint if run.stdin is not None else 0, len(words) > 1
    for item in words[1:]:
        match = re.match(r"[^=@:]*(?:=|:=)?@(.+)", item)
        if match:
            taint |= run.read(match.group(1)).taint | LOCAL
        taint |= item.taint & SECRET
    for url in words[:1]:
        _request(run, Text("localhost" + url if url.startswith(":") else url, url.taint), method, taint, data=data)
    for name in found.all("-o", "--output"):
        run.write(name, Text(HOLE, NETWORK))
    return Text(HOLE, NETWORK)


@model("iwr", "irm", "invoke-webrequest", "invoke-restmethod")
def powershell_web(run: Run) -> Text | None:
    """PowerShell's curl."""
    for word in run.args:
        if "://" in word:
            run.emit(Net(host=host_of(word), url=shown(word), words=run.words))
    return Text(HOLE, NETWORK)


@model("nc", "ncat", "netcat", "telnet", "websocat", "pwncat", "busybox-nc")
def netcat(run: Run) -> Text | None:
    """A bare connection. `-e`, `-c` and `--sh-exec` give it a program."""
    valued = (
        "-e",
        "--exec",
        "-c",
        "--sh-exec",
        "--lua-exec",
        "-p",
        "-s",
        "-w",
        "-i",
        "-q",
        "-x",
        "-X",
        "-g",
        "-G",
        "-o",
        "-m",
        "-T",
        "-I",
        "-O",
    )
    found = options(run.args, valued=valued)
    program = found.all("-e", "--exec", "-c", "--sh-exec", "--lua-exec")
    listens = found.has("-l", "--listen", "-L")
    hosts = [word for word in found.operands if not word.isdigit()]
    host = host_of(hosts[0]) if hosts else ""
    if program and run.name != "websocat":
        run.emit(Net(host=shown(host), how="reverse-shell", words=run.words))
        for code in program:
            run.shell(code, run.name)
        return Text(HOLE, NETWORK)
    if found.has("-z"):
        run.emit(Net(host=shown(host), words=run.words))
        return Text(HOLE)
    taint = run.stdin.taint if run.stdin is not None else 0
    how = "listen" if listens else "read" if run.name in ("websocat", "telnet") else "raw"
    run.emit(Net(host=shown(host), how=how, sends=sends(taint, data=run.stdin is not None), words=run.words))
    return Text(HOLE, NETWORK)


@model("socat")
def socat(run: Run) -> Text | None:
    """Two addresses; EXEC, SYSTEM and SHELL ones run programs."""
    found = options(run.args, valued=("-t", "-T", "-b", "-L", "-W", "-lf", "-x"), single_dash=True)
    ends = found.operands
    remote = [word for word in ends if re.match(r"(?i)(?:tcp|udp|openssl|ssl|sctp|socks|proxy)", word)]
    runs = [word for word in ends if re.match(r"(?i)(?:exec|system|shell)\b", word)]
    for word in runs:
        code = (
            word.partition(":")[2].partition(",")[0]
            if not word.lower().startswith("system")
            else word.partition(":")[2]
        )
        if code:
            run.shell(Text(code), "socat")
    taint = run.stdin.taint if run.stdin is not None else 0
    if run.stdin is not None and re.search(
        r"\b(?:shutdown|disable|del|clear|set server|set map|drop|flush)\b", run.stdin
    ):
        run.emit(Infra(service="socat", verb="destroy", detail=shown(run.stdin)[:80], words=run.words))
    for word in ends:
        match = re.match(r"(?i)(?:pipe|file|open|gopen|create):([^,]+)", word)
        if match:
            run.read(match.group(1), certain=False)
            taint |= LOCAL
    for word in remote:
        host = word.partition(":")[2].partition(":")[0]
        how = "reverse-shell" if runs else "raw"
        run.emit(Net(host=shown(host), how=how, sends=sends(taint, data=True), words=run.words))
    return Text(HOLE, NETWORK)


@model("ping", "ping6", "traceroute", "tracepath", "mtr", "dig", "nslookup", "host", "whois", "nmap", "arp", "ip", "ifconfig", "route", "iwconfig",
       "ethtool", "networksetup", "scutil", "resolvectl", "nmcli", "netcat-z", "tcpdump", "tshark", "speedtest", "iperf3")  # fmt: skip
def looks(run: Run) -> Text | None:
    """Network tools that look; those that change interfaces and routes are the machine's."""
    from overnight.guard.effects import Privilege

    words = [word for word in run.args if not word.startswith("-")]
    changes = {"add", "del", "delete", "flush", "set", "change", "replace", "up", "down", "append", "exec"}
    if run.name in ("ip", "nmcli", "route", "ifconfig") and changes & set(words[:4]) and "show" not in words[:3]:
        if run.name == "ip" and words[:2] == ["netns", "exec"]:
            return run.exec(words[3:])
        run.emit(Privilege(how="kernel", words=run.words))
    if run.name in ("networksetup", "scutil") and any(
        word.startswith(("-set", "--set", "-remove", "-add", "-create")) for word in run.args
    ):
        run.emit(Privilege(how="kernel", words=run.words))
    taint = 0
    for word in run.args:
        taint |= word.taint
    if run.name in ("dig", "nslookup", "host", "ping") and taint & (SECRET | LOCAL):
        run.emit(Net(host="", sends="secret" if taint & SECRET else "file", words=run.words))
    if run.name == "tcpdump" and "-z" in run.args:
        place = run.args.index(Text("-z"))
        run.exec(run.args[place + 1 : place + 2])
    if run.name == "ip" and run.args[:1] == ["-batch"]:
        run.unverifiable("ip -batch")
    return Text(HOLE)


@model("mail", "mailx", "mutt", "sendmail", "msmtp", "swaks")
def mail(run: Run) -> Text | None:
    """Mail goes out, with what it is given."""
    taint = run.stdin.taint if run.stdin is not None else 0
    found = options(run.args, valued=("-s", "-a", "-A", "-c", "-b", "-r", "-i"))
    for name in found.all("-a", "-A", "-i"):
        taint |= run.read(name).taint | LOCAL
    run.emit(Net(host="mail", how="write", sends=sends(taint, data=True), words=run.words))
    return Text(HOLE)
