"""Fetch one file, such as a catalogue or an archive, and keep it up to date in the cache."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from stages.common.cache import cache_folder
from stages.common.errors import InputError
from stages.common.files import atomic_file, remove_leftovers, write_json
from stages.download.client import Client, check_status, open_session
from stages.download.failures import DiskFullError, RequestError
from stages.download.google_drive import DRIVE_HOSTS, fetch_from_drive
from stages.download.progress import byte_bar
from stages.download.settings import DownloadSettings
from stages.download.size_limit import SizeLimit
from stages.download.urls import file_name, mirrored, parse_http_url

BLOCK = 1 << 16  # bytes of a file that must arrive within the time of an attempt
VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


def fetch_file(
    url: str,
    *,
    mirror: str | None,
    settings: DownloadSettings,
    max_bytes: int | None = None,
    cache: Path | None = None,
) -> Path:
    """Fetch a file and return its path in the folder `cache`, or in .cache/files.

    A file that is there is fetched again only if it has changed, by its ETag or date. A file on
    Google Drive has neither and is fetched once.

    Raises InputError naming the URL where it cannot be fetched, has more than `max_bytes` bytes or
    does not fit on the disk.
    """
    try:
        source = mirrored(url, mirror)
        host = parse_http_url(source).host
        path = (cache or cache_folder() / "files") / file_name(source)
        remove_leftovers(path.parent)  # of killed runs, whose URL may have been another one
        if host in DRIVE_HOSTS:
            fetch_from_drive(source, path, settings, max_bytes)
        else:
            asyncio.run(_fetch(source, path, settings, max_bytes))
    except DiskFullError as error:
        raise InputError(
            f"{url} does not fit on the disk: {error.reason}; make room there"
        ) from None
    except RequestError as error:
        raise InputError(
            f"{url} cannot be fetched{f' from the mirror {mirror}' if mirror else ''}: "
            f"{error.reason}; check the URL and the network, or set data.mirror to a host that has "
            "the file"
        ) from None
    return path


async def _fetch(url: str, path: Path, settings: DownloadSettings, max_bytes: int | None) -> None:
    """Bring `path` up to date; its size and validators are in a file beside it."""
    metadata_file = path.with_name(f"{path.name}.metadata.json")

    async def attempt() -> None:
        known = _read_metadata(path, metadata_file)
        headers = {header: known[name] for name, header in VALIDATORS.items() if name in known}
        async with client.get(url, headers) as (response, deadline):
            if response.status == 304 and headers:
                return
            check_status(response)
            with atomic_file(path) as part:
                limit = SizeLimit(part.parent, max_bytes)
                limit.check(response.content_length or 0)
                packed = "Content-Encoding" in response.headers
                total = None if packed else response.content_length
                with part.open("wb") as file, byte_bar(path.name[17:], total) as bar:
                    async for block in _blocks(response, deadline, client.attempt_s):
                        limit.check(file.tell() + len(block))
                        file.write(block)
                        bar.update(len(block))
                # Validators must never be beside a file that they do not belong to.
                metadata_file.unlink(missing_ok=True)
                size = part.stat().st_size
            found = {
                name: response.headers[name] for name in VALIDATORS if name in response.headers
            }
            write_json(metadata_file, {"size": size, **found})

    async with open_session(settings) as session:
        client = Client(session, settings)
        await client.retry(attempt)


async def _blocks(
    response: aiohttp.ClientResponse, deadline: asyncio.Timeout, block_s: float
) -> AsyncIterator[bytes]:
    """Yield the body of an answer; each BLOCK of bytes must arrive within `block_s` seconds."""
    now = asyncio.get_running_loop().time
    since_deadline = 0
    async for chunk in response.content.iter_any():
        since_deadline += len(chunk)
        if since_deadline >= BLOCK:
            since_deadline = 0
            deadline.reschedule(now() + block_s)
        yield chunk
    deadline.reschedule(None)


def _read_metadata(path: Path, metadata_file: Path) -> dict[str, Any]:
    """Return the size and validators of a file that was fetched, empty unless it is whole."""
    try:
        metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
        return metadata if metadata["size"] == path.stat().st_size else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
