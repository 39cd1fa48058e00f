"""Ask the server on this machine whether it answers: `python -m serving.server.health`."""

import http.client
import os
import sys

from serving.server.settings import read_settings
from stages.common.errors import InputError

TIMEOUT_S = 5


def main() -> None:
    """Exit with 0 if the server answers that it is well."""
    try:
        port = read_settings(sys.argv[1:], os.environ).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (InputError, OSError, http.client.HTTPException) as error:
        sys.exit(f"error: the server does not answer: {error}")
    sys.exit(None if status == 200 else f"error: the server is not well: HTTP {status}")


if __name__ == "__main__":
    main()
