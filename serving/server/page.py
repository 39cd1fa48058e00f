"""The page at `/`: plain files, which ask the server that they come from and nobody else."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from serving.server.service import Service
from serving.server.table_upload import mount_table_upload

FOLDER = Path(__file__).with_name("page")
# The browser itself refuses what comes from elsewhere, and text that is to be read as HTML.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return a file with the page's headers."""
        response = super().file_response(*args, **options)
        response.headers.update(HEADERS)
        return response


def mount_page(app: FastAPI, service: Service) -> None:
    """Add to `app` the page, its files, and the table upload that it offers."""

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(FOLDER / "index.html", headers=HEADERS)

    app.mount("/static", _Files(directory=FOLDER), name="static")
    mount_table_upload(app, service)
