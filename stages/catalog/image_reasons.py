"""Why a text cannot be a reference to an image, in the words of who wrote the table."""

import re

from stages.common.image_ref import is_url

NO_SCHEME = "no http:// or https:// at the start"
FILE_NAME = "a file name: use data.table.image_path"
URL = "a URL: use data.table.image_url"
HALF = "cut within an emoji: write the name whole"
DATA_URL = "an image in the cell itself (data:): use a URL or a file"
TOO_LONG = "too long for a path, such as an image in the cell itself: use a file"

_MAX_PATH = 4096  # characters
IMAGE_ENDING = re.compile(
    r"\.(?:jpe?g|jpe|jfif|jp2|j2k|jxl|png|apng|gif|webp|avif|hei[cf]|bmp|tiff?|svg|ico|psd)$",
    re.IGNORECASE,
)
_HOST = re.compile(r"[^/\\\s]+(?:\.[a-z]{2,}|\.\d{1,3}|:\d+)/", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z]{2,}:", re.IGNORECASE)  # a single letter is a drive of Windows
_STORE = re.compile(
    r"(s3[an]|gcs|ftps?|sftp|azure|azblob|az|abfss?|wasbs?|hdfs|dbfs|oss|cos|r2|b2|minio|swift"
    r"|smb|nfs|ipfs|hf|drive|dropbox)://",
    re.IGNORECASE,
)


def why_no_url(text: str) -> str | None:
    """Return why a text is no URL of an image, None if it may be one."""
    if is_url(text):
        return None
    is_path = IMAGE_ENDING.search(text) and not _HOST.match(text) and not _SCHEME.match(text)
    is_file = is_path or text[:5].lower() == "file:"
    return _why_not_read(text) or (FILE_NAME if is_file else NO_SCHEME)


def why_no_path(text: str) -> str | None:
    """Return why a text is no path of an image, None if it may be one."""
    if is_url(text):
        return URL
    return _why_not_read(text) or (TOO_LONG if len(text) > _MAX_PATH else None)


def _why_not_read(text: str) -> str | None:
    if text[:5].lower() == "data:":
        return DATA_URL
    found = _STORE.match(text)
    return f"{found[1].lower()} is not read: use https" if found else None
