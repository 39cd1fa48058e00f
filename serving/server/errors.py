"""Answers that are no predictions."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


class Refusal(HTTPException):
    """A request that is not answered: the status and the reason, which names what to change."""

    def __init__(
        self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)


def busy(detail: str, wait_s: int = 1) -> Refusal:
    """Return the refusal of a request that may be sent again after `wait_s` seconds."""
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, {"Retry-After": str(wait_s)})


def response_of(error: HTTPException) -> JSONResponse:
    """Return the answer to a refused request."""
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def response_to_wrong_option(_: Request, error: Exception) -> JSONResponse:
    """Return the answer to an option of a URL that cannot be read: one text, as of all refusals."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    reason = f"{first['loc'][-1]}: {first['msg']}"
    return response_of(Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, reason))
