"""What /openapi.json says of requests that FastAPI does not read itself, and a page of it."""

from collections.abc import Collection, Sequence
from html import escape
from http import HTTPStatus
from typing import Any

from serving.server.bodies import FORM, JSON
from serving.server.schemas import ErrorResponse, PredictRequest, RequestProduct

REFUSALS: dict[int | str, dict[str, Any]] = {
    status.value: {"model": ErrorResponse, "description": reason}
    for status, reason in {
        HTTPStatus.BAD_REQUEST: "the body is no JSON, or no form",
        HTTPStatus.UNAUTHORIZED: "the server has a key, and the request has another or none",
        HTTPStatus.REQUEST_TIMEOUT: "the body did not come in time",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too many bytes or products",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "neither JSON nor a form, or in an odd charset",
        HTTPStatus.UNPROCESSABLE_ENTITY: "a field is wrong; the reason names it",
        HTTPStatus.TOO_MANY_REQUESTS: "too much to do; Retry-After says when to try again",
        HTTPStatus.SERVICE_UNAVAILABLE: "no answer in time, or from what embeds the texts",
    }.items()
}
EXAMPLE = {"products": [{"sku": "1", "name": "USB cable", "description": "2 m"}], "top": 3}


def request_body() -> dict[str, Any]:
    """Return the part of an OpenAPI operation that describes a request to predict."""
    whole = PredictRequest.model_json_schema()
    product = RequestProduct.model_json_schema()
    whole.pop("$defs")
    options = dict(whole["properties"])
    options.pop("products")
    file = {"type": "string", "format": "binary", "description": "the image file"}
    form = {
        "type": "object",
        "title": "Form with one product",
        "properties": {**product["properties"], "image": file, **options},
    }
    whole["properties"]["products"]["items"] = product
    content = {JSON: {"schema": whole, "example": EXAMPLE}, FORM: {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def add_key(openapi: dict[str, Any], open_paths: Collection[str]) -> None:
    """Say that requests have to send the server's key, but for those of `open_paths`."""
    openapi["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in openapi["paths"].items():
        if path not in open_paths:
            for route in methods.values():
                route["security"] = [{"key": []}]


def routes_page(openapi: dict[str, Any]) -> str:
    """Return a page in HTML of all routes, their fields and their answers; it needs no network."""
    routes = "".join(
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>{_route(route)}</section>"
        for path, methods in openapi["paths"].items()
        for method, route in methods.items()
    )
    schemas = openapi["components"]["schemas"].items()
    answers = "".join(
        f"<section><h3>{escape(name)}</h3>{_schema(schema)}</section>" for name, schema in schemas
    )
    info = openapi["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}: routes</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI).</p>'
        f"{routes}<h2>Answers</h2>{answers}</main></body></html>"
    )


_STYLE = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
    "main{max-width:52rem;margin:0 auto;padding:1rem}h2{margin-top:2rem}"
    "table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}"
    "td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;"
    "border-bottom:1px solid #8886}"
)


def _route(route: dict[str, Any]) -> str:
    parts = [f"<p>{escape(route.get('description') or route.get('summary', ''))}</p>"]
    for kind, body in route.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>Body: <code>{escape(kind)}</code></h3>{_schema(body['schema'])}")
    answers = [
        (status, answer["description"], _kind(answer))
        for status, answer in route["responses"].items()
    ]
    return "".join(parts) + _table(("status", "meaning", "answer"), answers)


def _schema(schema: dict[str, Any]) -> str:
    rows = [
        (name, field.get("description", ""), _kind(field))
        for name, field in schema.get("properties", {}).items()
    ]
    text = f"<p>{escape(schema['description'])}</p>" if "description" in schema else ""
    inner = schema.get("properties", {}).get("products", {}).get("items", {})
    more = f"<h4>Each product</h4>{_schema(inner)}" if "properties" in inner else ""
    return text + _table(("field", "meaning", "type"), rows) + more


def _kind(field: dict[str, Any]) -> str:
    """Return a short name of a field's type."""
    if "content" in field:
        return " or ".join(_kind(body.get("schema", {})) for body in field["content"].values())
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(map(_kind, field["anyOf"]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    return field.get("title", "object") if field.get("type") == "object" else field.get("type", "")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
