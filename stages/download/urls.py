"""URLs: which are valid, which host is asked for them, and the file names that they get."""

import hashlib
import re
from urllib.parse import quote, urlsplit, urlunsplit

from yarl import URL

from stages.download.failures import RequestError

# A URL in which nothing is left to escape. It is asked for as it is: another spelling of it would
# break a signature of its path or query. "." and ".." are left to yarl, as is an odd host.
_ESCAPED = re.compile(
    r"(?:https?://[a-z0-9.:-]+(?=[/?#]|\Z))?(?!.*/\.)(?:[\w\-.~!$&'()*+,;=:@/?#]|%[0-9A-Fa-f]{2})*",
    re.ASCII,
)

# The parameters by which a link is one that Amazon's S3 or CloudFront, Google or Azure has signed,
# and those that are new in each link that is signed anew.
_SIGNED = (
    (
        {"X-Amz-Signature"},
        {
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-Security-Token",
            "X-Amz-Signature",
        },
    ),
    (
        {"X-Goog-Signature"},
        {"X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires", "X-Goog-Signature"},
    ),
    (
        {"AWSAccessKeyId", "Signature"},
        {"AWSAccessKeyId", "Expires", "Signature", "x-amz-security-token"},
    ),
    ({"GoogleAccessId", "Signature"}, {"Expires", "Signature"}),
    ({"Key-Pair-Id", "Signature"}, {"Expires", "Policy", "Signature"}),
    ({"sv", "sig"}, {"se", "sig", "ske", "skt", "st"}),
)

_OBJECT = re.compile(r"(?:s3|gs)://[^/?#]*", re.IGNORECASE)


def mirrored(url: str, mirror: str | None) -> str:
    """Replace the scheme, host and user of `url` by the mirror's. Path and query stay.

    A bucket counts as a host; the key of an object, which is no URL, is escaped. The mirror's own
    path, if it has one, comes before that of `url`.
    Raises RequestError where `url` is not a URL.
    """
    if mirror is None:
        return url
    host = urlsplit(mirror)
    if found := _OBJECT.match(url):
        url = found[0] + quote(url[found.end() :], errors="surrogatepass")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise RequestError("no valid URL") from None
    path = host.path.rstrip("/") + parts.path
    return urlunsplit((host.scheme, host.netloc, path, parts.query, ""))


def parse_http_url(url: str, base: URL | None = None) -> URL:
    """Parse a URL, relative to `base` if there is one.

    Raises RequestError where it is not a valid http or https URL.
    """
    try:
        parsed = URL(url, encoded=_ESCAPED.fullmatch(url) is not None)
        if base is not None:
            parsed = base.join(parsed)
        host = parsed.host or ""  # decodes it, which may fail
    except ValueError:
        raise RequestError("no valid URL") from None
    if not host.isprintable():
        raise RequestError("no valid URL")
    if parsed.scheme not in ("http", "https") or not host:
        raise RequestError("no http or https URL" if base is None else "redirected to no http URL")
    return parsed


def unsigned(url: str) -> str:
    """Return a URL without what is new where its link is signed anew; others stay as they are."""
    path, _, query = url.partition("?")
    parameters = [(part.partition("=")[0], part) for part in query.split("&")]
    for marks, changing in _SIGNED:
        if marks <= {name for name, _ in parameters}:
            return f"{path}?{'&'.join(part for name, part in parameters if name not in changing)}"
    return url


def file_name(url: str) -> str:
    """Return a unique file name for a URL. It ends like the URL's path, for people who look.

    A link that was signed anew keeps its name.
    """
    end = re.sub(r"[^\w.-]", "_", urlsplit(url).path.rpartition("/")[2], flags=re.ASCII)
    return f"{hashlib.sha256(unsigned(url).encode()).hexdigest()[:16]}-{end[-80:]}"
