"""The bodies of requests: JSON or a form, checked and as one type."""

import codecs
from functools import partial
from http import HTTPStatus
from typing import Any, NoReturn

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.requests import Request

from serving.server.errors import Refusal
from serving.server.schemas import PredictRequest, RequestProduct
from serving.server.service import Service

JSON, FORM = "application/json", "multipart/form-data"
OPTIONS = ("accuracy", "top", "neighbors")
FIELDS = (*RequestProduct.model_fields, *OPTIONS)
CHARSETS = ("utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252")  # that forms may name
SMALL = 100_000  # bytes of JSON that are read in less time than a thread takes to start


async def read_predict_request(request: Request, service: Service) -> PredictRequest:
    """Return what a request asks. Raises Refusal naming the field that is wrong."""
    if request.query_params:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"the URL takes no options: put {', '.join(OPTIONS)} into the body",
        )
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body is packed: send it as it is")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == JSON:
            body = (await request.body()).removeprefix(codecs.BOM_UTF8)  # as PowerShell writes it
            read = partial(PredictRequest.model_validate_json, body)
            return read() if len(body) < SMALL else await service.in_thread(read)
        if kind == FORM:
            _check_form(request.headers["content-type"], await request.body())
            return PredictRequest.model_validate(await _form(request))
    except ValidationError as error:
        _refuse(error)
    raise Refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"the Content-Type is {kind or 'missing'}: send {JSON} or {FORM}",
    )


def _check_form(content_type: str, body: bytes) -> None:
    """Raise Refusal for a form without its end, whose last field would be left out.

    Also for a charset that is not common: some of Python's fail, or give what is no text.
    """
    _, options = parse_options_header(content_type)
    charset = (options.get(b"charset") or b"utf-8").decode("latin-1").lower()
    if charset not in CHARSETS:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the form is in {charset[:50]}: send it in UTF-8"
        )
    if b"--" + options.get(b"boundary", b"") + b"--" not in body:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the form has no closing boundary: send it whole")


async def _form(request: Request) -> dict[str, Any]:
    """Return the fields of a form, which has one product, as those of a PredictRequest."""
    async with request.form(max_files=1, max_fields=len(FIELDS)) as form:
        found: dict[str, Any] = {}
        for name, value in form.multi_items():
            if name in found or name not in FIELDS:
                reason = "is there twice" if name in found else f"is none of {', '.join(FIELDS)}"
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name[:50]}: {reason}")
            is_file = isinstance(value, UploadFile)
            if is_file and name != "image":
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: a file, not a text")
            found[name] = await value.read() if isinstance(value, UploadFile) else value
        options = {name: found.pop(name) for name in OPTIONS if name in found}
        return {"products": [found], **options}


def _refuse(error: ValidationError) -> NoReturn:
    """Raise Refusal for the first thing that is wrong."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("str", "bytes"))
    is_json = first["type"] != "json_invalid"
    raise Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY if is_json else HTTPStatus.BAD_REQUEST,
        f"{place[:100] or 'the body'}: {first['msg'][:300]}",
    ) from None
