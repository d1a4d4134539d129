"""Databases: statements that destroy, and clients that can run programs."""

from __future__ import annotations

import re

from overnight.guard.effects import Infra
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import HOLE, Text

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_STRINGS = re.compile(r"'(?:[^']|'')*'")
_DESTROY = re.compile(
    r"(?i)\b(?:drop\s+(?:table|database|schema|index|view|user|role|column|keyspace|collection|owned|materialized|trigger|function|tablespace|extension|sequence|type|policy"
    r"|publication|subscription|constraint|domain|if)|truncate\b|delete\s+from\b(?![^;]*\bwhere\b)|update\s+[\w.\"`]+\s+set\b(?![^;]*\bwhere\b)|flushall|flushdb|reset\s+master"
    r"|alter\s+(?:table\b[^;]*\bdrop\b|database\b[^;]*\bset\b)|delete\s+from\b[^;]*\bwhere\s+(?:1\s*=\s*1|true)\b|dropdatabase|\.drop\b|deletemany\s*\(\s*\{\s*\}|remove\s*\(\s*\{\s*\}"
    r"|grant\s+all\b|shutdown\b|purge\s+binary|pg_terminate_backend|vacuum\s+full-|config\s+set\s+(?:dir|dbfilename)|script\s+flush|cluster\s+reset|debug\s+segfault)"
)
#: Rights of accounts, and settings of the whole server.
_GRANT = re.compile(
    r"(?i)\b(?:alter\s+(?:user|role|login)\b|alter\s+system\b|set\s+(?:global|persist)\b|grant\s+\w+\s+to\b|reassign\s+owned|set\s+password)"
)
_SHELL = re.compile(
    r"(?i)(?:\\!|^\s*system\s|^\s*\.(?:shell|system)\s|\bto\s+program\s+'([^']*)'|\bfrom\s+program\s+'([^']*)'|xp_cmdshell\s*'([^']*)')\s*([^\n]*)",
    re.MULTILINE,
)
_VALUED = {
    "psql": ("-c", "--command", "-f", "--file", "-h", "--host", "-p", "--port", "-U", "--username", "-d", "--dbname", "-o", "--output", "-v", "--set", "-P", "-F", "-L", "-R"),
    "mysql": ("-e", "--execute", "-h", "--host", "-u", "--user", "-P", "--port", "-D", "--database", "--init-command", "-S", "--defaults-file"),
    "sqlite3": ("-cmd", "-init", "-separator", "-nullvalue", "-newline", "-mmap", "-vfs", "-lookaside"),
    "mongosh": ("--eval", "--host", "--port", "-u", "-p", "-f", "--file", "--username", "--password"),
    "redis-cli": ("-h", "-p", "-a", "-n", "-u", "--user", "--pass", "-i", "-r", "--eval", "-s"),
}  # fmt: skip


def statements(run: Run, text: str) -> None:
    """Emit what SQL (or another database's commands) would do."""
    run.m.parsing(text)
    for found in _SHELL.finditer(text):
        code = found.group(1) or found.group(2) or found.group(3) or found.group(4)
        run.shell(Text(code or HOLE), run.name)
    bare = _STRINGS.sub("''", _COMMENTS.sub(" ", text))
    if _DESTROY.search(bare) or (run.name in ("redis-cli", "valkey-cli") and _DESTROY.search(text)):
        run.emit(Infra(service=run.name, verb="destroy", detail=text[:80], words=run.words))
    elif _GRANT.search(bare):
        run.emit(Infra(service=run.name, verb="grant", detail=text[:80], words=run.words))
    elif re.search(r"(?i)\b(?:insert|update|delete|create|alter|grant|revoke|copy|merge|replace|set)\b", bare):
        run.emit(Infra(service=run.name, verb="change", detail=text[:80], words=run.words))
    for name in re.findall(
        r"(?i)(?:\.output|\.once|\.save|\.backup|\binto\s+outfile|\bcopy\b[^;]*\bto)\s+'?([^\s';|(]+)", text
    ):
        if name.upper() not in ("STDOUT", "PROGRAM"):
            run.write(name)
    for name in re.findall(r"(?i)(?:\.read|\.import|\.load|load_file\(|\binfile|readfile\()\s*'?([^\s';)]+)", text):
        run.read(name)


@model("psql", "mysql", "mariadb", "sqlite3", "sqlite", "mongosh", "mongo", "redis-cli", "valkey-cli", "clickhouse-client", "clickhouse", "cqlsh", "sqlcmd", "duckdb", "snowsql",
       "cockroach", "influx-", "sqlplus", "isql", "tsql", "pgcli", "mycli", "litecli", "usql", "bcp", "osql", "litestream", "surreal", "neo4j", "cypher-shell", "rqlite")  # fmt: skip
def client(run: Run) -> Text | None:
    """Statements on the command line, in a file, or on standard input."""
    name = {
        "mariadb": "mysql",
        "duckdb": "sqlite3",
        "sqlite": "sqlite3",
        "mongo": "mongosh",
        "valkey-cli": "redis-cli",
    }.get(run.name, run.name)
    valued = _VALUED.get(
        name,
        ("-q", "--query", "-e", "--execute", "-Q", "-c", "--command", "-S", "-U", "-P", "-d", "-h", "-f", "-i", "-o"),
    )
    found = options(run.args, valued=valued, single_dash=name == "sqlite3")
    if found.has("--help", "--version", "-V", "-help", "-version", "-?"):
        return Text(HOLE)
    texts = (
        found.all("-c", "--command", "-e", "--execute", "--eval", "-cmd", "-q", "--query", "-Q", "--init-command")
        if name != "redis-cli"
        else []
    )
    if name in ("sqlite3",):
        texts += found.operands[1:]
        for database in found.operands[:1]:
            run.read(database, certain=False)
    elif name == "redis-cli":
        if found.operands[:1] and found.operands[0].lower() in (
            "del",
            "unlink",
            "rename",
            "migrate",
            "restore",
            "slaveof",
            "replicaof",
        ):
            run.emit(Infra(service=run.name, verb="destroy", detail=" ".join(found.operands[:2]), words=run.words))
        texts += [Text(" ".join(found.operands))]
    else:
        texts += [word for word in found.operands if " " in word]
    for path in found.all("-f", "--file", "-i", "-init"):
        text = run.read(path)
        if HOLE not in text and len(text) < 100_000:
            texts.append(text)
    for path in found.all("-o", "--output", "-L"):
        if name in ("psql", "sqlcmd"):
            run.write(path)
    if run.stdin is not None:
        texts.append(run.stdin)
    texts.append(Text(" ".join(run.args)))
    for text in texts:
        statements(run, text)
    return Text(HOLE)


@model("dropdb", "dropuser", "mysqladmin", "pg_dropcluster", "pg_resetwal", "pg_ctl", "createdb", "createuser", "pg_restore", "pg_dump", "pg_dumpall", "mysqldump",
       "mongodump", "mongorestore", "mongoimport", "mongoexport", "initdb", "reindexdb", "vacuumdb", "pg_isready", "kafka-topics", "kafka-configs", "kafka-consumer-groups",
       "kafka-delete-records", "kafka-acls", "redis-server", "kafka-topics.sh", "kafka-configs.sh", "kafka-consumer-groups.sh", "kafka-delete-records.sh", "kafka-acls.sh",
       "rake-db", "alembic", "flyway", "liquibase", "prisma", "knex", "sequelize", "typeorm", "drizzle-kit", "rails", "artisan", "django-admin", "manage.py", "diesel", "sqlx",
       "goose", "migrate", "dbmate", "atlas-db", "ecto", "sequelize-cli", "knex-cli", "typeorm-ts-node-commonjs", "mikro-orm")  # fmt: skip
def admin(run: Run) -> Text | None:
    """Administration and migrations."""
    words = " ".join(word for word in run.args if " " not in word)
    destroys = run.name in (
        "dropdb",
        "dropuser",
        "pg_dropcluster",
        "pg_resetwal",
        "kafka-delete-records",
        "kafka-delete-records.sh",
    )
    destroys = destroys or (run.name == "pg_ctl" and "stop" in run.args)
    destroys = destroys or bool(re.search(
        r"(?:^|[\s:])(?:seed:replant|undo(?:$|\s)|reset$|clean(?:$|\s)|drop|--delete\b|--delete-config|--reset-offsets.*--execute|--remove|shutdown|clean\b|db:drop|db:reset|migrate:(?:fresh|reset)|migrate reset|db push.*--force-reset"
        r"|flush\b|reset_db|dropAll|drop-all|database reset|downgrade base|undo:all|--drop\b|--clean\b|schema:drop|db:wipe|db:schema:load|db:migrate:reset|rollback --all|down -all|sqlflush)", words))  # fmt: skip
    if {"--help", "--version", "--dry-run"} & set(run.args):
        return Text(HOLE)
    run.emit(Infra(service=run.name, verb="destroy" if destroys else "change", detail=words[:80], words=run.words))
    found = options(run.args, valued=("-f", "--file", "-o", "--out", "-r", "--result-file"))
    for name in found.all("-f", "--file", "-r", "--result-file", "-o", "--out") if "dump" in run.name else []:
        run.write(name)
    return Text(HOLE)
