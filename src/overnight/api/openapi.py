"""`/openapi.json`, made of the table of operations and their structs."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from overnight import __version__
from overnight.api.endpoints import OPERATIONS, Operation
from overnight.api.hooks import PATH, Heard
from overnight.api.shapes import EventsQuery, Nothing, Problem

_REF = "#/components/schemas/{name}"


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    kinds = [each.answer for each in OPERATIONS] + [each.body for each in OPERATIONS if each.body is not None]
    kinds += [Problem, Heard, *(each.query for each in OPERATIONS), EventsQuery]
    shapes, components = msgspec.json.schema_components(kinds, schema_hook=_unit, ref_template=_REF)
    known = dict(zip((id(kind) for kind in kinds), shapes, strict=True))
    paths = dict[str, dict[str, Any]]()
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, known, components)
    paths["/api/events"] = {"get": _events(components)}
    paths[PATH] = {"post": _hook()}
    for query in ("EventsQuery", *{each.query.__name__ for each in OPERATIONS}):
        components.pop(query, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Overnight",
            "version": __version__,
            "description": "What the command line can do, for programs. Send the token as `Authorization: Bearer`.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _unit(kind: type) -> dict[str, Any]:
    """How durations, sizes and money look as JSON."""
    if issubclass(kind, float | int):
        return {"type": "number"}
    return {"type": "string"}


def _operation(each: Operation, known: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    fault = {"description": "Why not.", "content": _json({"$ref": _REF.format(name="Problem")})}
    codes = ["400", "401", "403", "404", "408", "409", "413", "421", "429", "500", "503"]
    codes += ["415"] if each.body is not None else []
    answer = {"description": each.summary, "content": {each.media: {"schema": known[id(each.answer)]}}}
    out: dict[str, Any] = {
        "operationId": each.id,
        "summary": each.summary,
        "parameters": [*_path(each), *_query(each.query, components)],
        "responses": {str(each.status): answer, **dict.fromkeys(codes, fault)},
    }
    if each.body is not None:
        out["requestBody"] = {"required": True, "content": _json(known[id(each.body)])}
    return out


def _json(shape: Any) -> dict[str, Any]:
    return {"application/json": {"schema": shape}}


def _path(each: Operation) -> list[dict[str, Any]]:
    if "{" not in each.path:
        return []
    name = each.path.partition("{")[2].partition("}")[0]
    shape = {"type": "string", "minLength": 1, "maxLength": 200}
    return [{"name": name, "in": "path", "required": True, "schema": shape}]


def _query(kind: type[msgspec.Struct], components: dict[str, Any]) -> list[dict[str, Any]]:
    if kind is Nothing:
        return []
    shape = components[kind.__name__]
    needed = shape.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": _bare(each)}
        for name, each in shape["properties"].items()
    ]


def _bare(shape: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what is absent is absent."""
    found = [each for each in shape.get("anyOf", ()) if each != {"type": "null"}]
    if not found:
        return {key: value for key, value in shape.items() if not (key == "default" and value is None)}
    return found[0] if len(found) == 1 else {"anyOf": found}


def _events(components: dict[str, Any]) -> dict[str, Any]:
    fault = {"description": "Why not.", "content": _json({"$ref": _REF.format(name="Problem")})}
    last = {"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"}}
    return {
        "operationId": "get_events",
        "summary": "What happens, as server-sent events; each has its number as id and an event as JSON.",
        "parameters": [*_query(EventsQuery, components), last],
        "responses": {
            "200": {"description": "A stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **dict.fromkeys(("400", "401", "403", "421", "429", "503"), fault),
        },
    }


def _hook() -> dict[str, Any]:
    """Its body is whatever the forge sends."""
    fault = {"description": "Why not.", "content": _json({"$ref": _REF.format(name="Problem")})}
    names = ("X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature-256")
    return {
        "operationId": "post_webhooks_github",
        "summary": "A webhook of GitHub. What is signed with our secret makes us look sooner; nothing of it is believed.",
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in names
        ],
        "requestBody": {"required": True, "content": _json({"type": "object"})},
        "responses": {
            "202": {"description": "It was signed.", "content": _json({"$ref": _REF.format(name="Heard")})},
            **dict.fromkeys(("400", "401", "403", "404", "408", "413", "415", "421", "429", "500", "503"), fault),
        },
    }
