"""POST /v1/table: a CSV comes, and goes back with predictions while they are made."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from serving.answers import ASK, Prediction
from serving.reading import fields_read
from serving.server.errors import Refusal, busy
from serving.server.openapi import REFUSALS
from serving.server.schemas import RequestProduct
from serving.server.service import Options, Service
from serving.server.uploaded_csv import read_uploaded_csv
from serving.server.uploaded_table import UploadedTable
from stages.common.errors import InputError

MAX_BYTES = 10_000_000
MAX_ROWS = 20_000
AT_ONCE = 2  # tables that are in memory
CSV = "text/csv; charset=utf-8"
_BODY = {"text/csv": {"schema": {"type": "string", "format": "binary"}}}
_OK = {"description": "the table with six more columns", "content": _BODY}
STOPS = "the server stops: send the row again"
RETRY_S = 0.5
BUSY_S = 5


def mount_table_upload(app: FastAPI, service: Service) -> None:
    """Add the route to `app`."""
    free = asyncio.Semaphore(AT_ONCE)

    async def turn() -> AsyncIterator[None]:
        if free.locked():
            raise busy(f"{AT_ONCE} tables are being answered: try again later", BUSY_S)
        async with free:
            yield

    @app.post(
        "/v1/table",
        response_class=StreamingResponse,
        dependencies=[Depends(turn, scope="request")],
        openapi_extra={"requestBody": {"required": True, "content": _BODY}},
        responses={200: _OK, **REFUSALS},
    )
    async def table(request: Request, accuracy: float = Options.accuracy) -> StreamingResponse:
        """Predict for each row of a CSV, and send it back.

        It has a column name (or title), description or both, or those of the table that the model
        was trained on. Added are prediction, probability, decision, image_prediction,
        text_prediction and error; the other columns stay as they are.
        """
        _check_options(request)
        upload = await _read(request, service)
        parts = _predicted(service, upload, Options(accuracy, top=1))
        first = await anext(parts)  # what is wrong with the whole request shows here
        headers = {
            "Content-Disposition": 'attachment; filename="predictions.csv"',
            "X-Content-Type-Options": "nosniff",
            "X-Rows": str(len(upload.rows)),
        }
        if upload.notes:
            headers["X-Note"] = " ".join(upload.notes)
        return StreamingResponse(_whole(upload, first, parts), media_type=CSV, headers=headers)


def _check_options(request: Request) -> None:
    """Raise Refusal for any option but one accuracy: a misspelt one would be ignored."""
    names = [name for name, _ in request.query_params.multi_items()]
    if names not in ([], ["accuracy"]):
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"the URL has the options {', '.join(names)[:100]}: it takes accuracy, once",
        )


async def _read(request: Request, service: Service) -> UploadedTable:
    """Return the table that a request sends. Raises Refusal where it cannot be used."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the CSV itself as the body, as text/csv"
        )
    if "text" not in service.predictor.inputs:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "the model judges images alone, and a CSV has texts: use python -m serving.predict",
        )
    content = await request.body()
    if len(content) > MAX_BYTES:
        raise Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the table has more than {MAX_BYTES:,} bytes: send it in parts, or use "
            "python -m serving.predict",
        )
    file = service.predictor.file
    own, fields = file.table or {}, fields_read(file)
    try:
        return await run_in_threadpool(
            read_uploaded_csv, content, max_rows=MAX_ROWS, own=own, fields=fields
        )
    except InputError as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None


async def _whole(
    upload: UploadedTable, first: bytes, parts: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    yield upload.head() + first
    async for part in parts:
        yield part


async def _predicted(
    service: Service, upload: UploadedTable, options: Options
) -> AsyncIterator[bytes]:
    """Yield the rows with their predictions, some at a time.

    Raises Refusal in the first part alone: later a refusal is the error of the rows it is about.
    """
    size = min(service.settings.max_products, service.settings.batch_size * 4)
    for start in range(0, len(upload.rows), size):
        rows = range(start, min(start + size, len(upload.rows)))
        if start and service.is_stopping:
            yield upload.lines(start, [_without(STOPS)] * (len(upload.rows) - start))
            return
        try:
            predictions = await _predict(service, upload, rows, options, is_first=start == 0)
        except Refusal as refusal:
            if start == 0:
                raise
            predictions = [_without(refusal.detail)] * len(rows)
        yield upload.lines(start, predictions)


async def _predict(
    service: Service,
    upload: UploadedTable,
    rows: Sequence[int],
    options: Options,
    *,
    is_first: bool,
) -> list[Prediction]:
    """Return a prediction for each of the rows; wait where the server is busy, but at first."""
    products = [RequestProduct(**upload.texts(i)) for i in rows if i not in upload.faults]
    until = time.monotonic() + service.settings.request_timeout_s
    while True:
        try:
            answers = iter(await service.predict(products, options) if products else ())
            break
        except Refusal as refusal:
            is_busy = refusal.status_code == HTTPStatus.TOO_MANY_REQUESTS
            if is_first or not is_busy or time.monotonic() > until:
                raise
        await asyncio.sleep(RETRY_S)
    return [_without(upload.faults[i]) if i in upload.faults else next(answers) for i in rows]


def _without(error: Any) -> Prediction:
    """Return the answer to a row that is not predicted."""
    return Prediction(None, None, None, ASK, error=str(error))
