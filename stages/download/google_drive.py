"""Fetch a file that is shared on Google Drive, which needs more than one request."""

from pathlib import Path

from stages.common.files import atomic_file
from stages.download.failures import RequestError
from stages.download.progress import byte_bar
from stages.download.settings import DownloadSettings
from stages.download.size_limit import SizeLimit

DRIVE_HOSTS = frozenset({"drive.google.com", "docs.google.com"})


def fetch_from_drive(
    url: str, path: Path, settings: DownloadSettings, max_bytes: int | None
) -> None:
    """Fetch the file that a link names to `path`, unless it is there.

    Raises RequestError where that fails.
    """
    if path.exists():
        return
    import gdown
    import requests
    from gdown.parse_url import parse_url

    if parse_url(url)[0] is None:
        raise RequestError("it is a link to Google Drive, but not to a file")
    with atomic_file(path) as part, byte_bar("Google Drive") as bar:
        limit = SizeLimit(path.parent, max_bytes)

        def show(done: int, total: int | None) -> None:
            limit.check(max(done, total or 0))
            bar.total = total
            bar.update(done - bar.n)

        try:
            gdown.download(
                url,
                str(part),
                quiet=True,
                use_cookies=False,
                timeout=(settings.connect_timeout_s, settings.read_timeout_s),
                retries=settings.retries,
                progress=show,
            )
        except (gdown.DownloadError, requests.RequestException, LookupError) as error:
            raise RequestError(
                f"Google Drive refuses it ({type(error).__name__}): share it with anyone who has "
                "the link, or download it by hand into data.folder"
            ) from None
