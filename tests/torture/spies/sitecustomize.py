"""Imported by Python at its start: refuses and notes whatever would reach another machine.

Only what goes through Python is seen: a native library that opens sockets itself is not.
"""

import os
import sys
from pathlib import Path
from typing import Any

_REACHES = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _REACHES and not (event == "socket.connect" and isinstance(arguments[1], str)):
        with Path(os.environ["TRIED"]).open("a") as file:
            file.write(f"{event} {arguments[1:]}\n")
        raise PermissionError(f"no network here: {event}")


sys.addaudithook(_watch)
