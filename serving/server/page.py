"""The page at `/`."""

from fastapi import FastAPI

from serving.server.service import Service


def mount_page(app: FastAPI, service: Service) -> None:
    """Add the page's routes to `app`."""
