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

# Of the query of a link that is signed, what is new where the same file is signed anew, by Amazon's
# S3 and CloudFront, Google or Azure.
_SIGNED = re.compile(r"(?:^|&)(?:x-(?:amz|goog)-signature|signature|sig)=", re.IGNORECASE)
_OF_SIGNING = re.compile(
    r"(?:^|&)(?:x-(?:amz|goog)-(?:credential|date|expires|security-token|signature)"
    r"|awsaccesskeyid|expires|policy|signature|se|sig|ske|skt|st)=[^&#]*",
    re.IGNORECASE,
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


def file_name(url: str) -> str:
    """Return a unique file name for a URL. It ends like the URL's path, for people who look.

    A link that was signed anew keeps its name.
    """
    end = re.sub(r"[^\w.-]", "_", urlsplit(url).path.rpartition("/")[2], flags=re.ASCII)
    path, _, query = url.partition("?")
    if _SIGNED.search(query):
        url = f"{path}?{_OF_SIGNING.sub('', query)}"
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{end[-80:]}"
