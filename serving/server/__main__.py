"""Serve a model over HTTP: `python -m serving.server --help`."""

import logging
import os
import signal
import socket
import sys
import warnings
from types import FrameType
from typing import TYPE_CHECKING

from serving.server.settings import ServerSettings, read_settings
from stages.common.errors import InputError
from stages.common.process import print_any_character

if TYPE_CHECKING:
    from uvicorn import Server

    from serving.predictor import Predictor


def main() -> None:
    """Load the model, then answer requests until SIGTERM or Ctrl-C."""
    print_any_character()
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        with listening_socket(settings.host, settings.port) as listener:
            serve(settings, listener)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # a model that its user may not read, as one mounted in a container
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit("interrupted before the model was loaded")


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that has the address, before the model is loaded.

    Raises InputError where it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:  # no name at all, such as a..b, is a UnicodeError
        raise _no_listener(host, port, error) from None
    return listener


def _no_listener(host: str, port: int, error: OSError | UnicodeError) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else "no name of a host"
    return InputError(
        f"cannot listen at {host}, port {port} ({reason}): name others with --host and --port"
    )


def serve(settings: ServerSettings, listener: socket.socket) -> None:
    """Load the model and answer requests until a signal ends it; finish those that have begun."""
    from serving.predictor import Predictor

    # What clients send must not fill the log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="PIL")
    predictor = Predictor.load(settings.model)
    warm_up(predictor)
    try:
        listener.listen()  # of two that start at once both have the address, and one may listen
    except OSError as error:
        raise _no_listener(settings.host, settings.port, error) from None
    found = server(predictor, settings, listener)

    def stop(*_: object) -> None:
        found.should_exit = True  # also where uvicorn does not listen for signals yet

    for name in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises it again when all is done, which would end with another code than 0.
        signal.signal(name, stop)
    found.run(sockets=[listener])


def warm_up(predictor: "Predictor") -> None:
    """Predict one product and two, so that no client waits for what is done only once.

    They have no text where an endpoint would be paid for its vectors.
    """
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(file, "PNG")
    name = "" if predictor.remote_encoders else "product"
    product = predictor.read({"name": name, "image": file.getvalue()})
    for count in (1, 2):
        predictor.predict_products([product] * count, accuracy=predictor.accuracies[0])


def server(predictor: "Predictor", settings: ServerSettings, listener: socket.socket) -> "Server":
    """Return a uvicorn server for the model, which says in a line when it listens."""
    import uvicorn

    from serving.server.app import create_app, has_random_weights
    from serving.server.connections import connection_class

    app = create_app(predictor, settings)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.service.is_stopping = True
            super().handle_exit(sig, frame)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            host, port = listener.getsockname()[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            note = (
                ", with random weights: only for trying out"
                if has_random_weights(predictor)
                else ""
            )
            print(
                f"serving {settings.model} ({predictor.file.name}, {len(predictor.labels)} classes"
                f"{note}) at http://{address}",
                flush=True,
            )

    return Server(
        uvicorn.Config(
            app,
            http=connection_class(settings.max_connections),
            ws="none",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=settings.header_timeout_s,
            timeout_graceful_shutdown=int(settings.request_timeout_s + settings.body_timeout_s) + 1,
        )
    )


if __name__ == "__main__":
    main()
