"""GitHub's published description of its API, and whether a request and its answer are as it says."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, cast

from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from overnight.landing.forge.local.server import Exchange

NODE = Path(__file__).parents[2] / "node_modules" / "@octokit"
_NAME = "urn:github"


@cache
def description() -> dict[str, Any]:
    """The OpenAPI document, read once."""
    return json.loads((NODE / "openapi/generated/api.github.com.json").read_bytes())


@cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    found = [
        (re.compile(re.sub(r"\\\{[a-z_]+\\\}", "([^/]+)", re.escape(path))), path)
        for path in description()["paths"]
        if path.startswith("/repos/{owner}/{repo}/")
    ]
    return sorted(found, key=lambda each: each[1].count("{"))


@cache
def _registry() -> Registry[Any]:
    return Registry[Any]().with_resource(_NAME, Resource(contents=description(), specification=DRAFT4))


def problems(exchange: Exchange) -> list[str]:
    """Everything in which a request or its answer is not as published; empty when nothing is."""
    path = next((path for pattern, path in _paths() if pattern.fullmatch(exchange.path)), None)
    operation = description()["paths"].get(path, {}).get(exchange.method.lower())
    where = f"{exchange.method} {exchange.path}"
    if operation is None:
        return [f"{where}: there is no such operation"]
    found = [f"{where}: no parameter `{name}`" for name in exchange.query if name not in _parameters(operation)]
    content = _resolved(operation.get("requestBody", {})).get("content", {})
    if exchange.body is not None:
        found += _against(content.get("application/json", {}).get("schema"), exchange.body, f"{where} asks")
    answer = operation["responses"].get(str(exchange.status))
    if answer is None:
        return [*found, f"{where}: {exchange.status} is not among {sorted(operation['responses'])}"]
    schema = _resolved(answer).get("content", {}).get("application/json", {}).get("schema")
    return found + _against(schema, exchange.answer, f"{where} answers {exchange.status}")


def _parameters(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    known = map(_resolved, operation.get("parameters", []))
    return {each["name"]: each for each in known if each["in"] == "query"}


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = description()
    for name in cast("str", part["$ref"]).removeprefix("#/").split("/"):
        found = found[name]
    return found


def _against(schema: dict[str, Any] | None, value: Any, where: str) -> list[str]:
    if schema is None:
        return [f"{where}: nothing is published for this"]
    pointed = json.loads(json.dumps(schema).replace('"$ref": "#/', f'"$ref": "{_NAME}#/'))
    validator = OAS30Validator(pointed, registry=_registry())
    return [
        f"{where} at {error.json_path}: {error.message[:300]}"
        for error in validator.iter_errors(value)
        if not (error.instance is None and error.schema.get("nullable"))  # its enumerations leave null out
    ]
