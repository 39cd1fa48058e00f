"""uvicorn's connections with the time limits that they lack."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

WRITE_S = 60.0  # for a client to read what it is sent


class Connection(H11Protocol):
    """A connection whose requests must come, and whose answers must be read, in time.

    uvicorn closes a connection that is idle between two requests. Here the same clock runs from the
    start and until all headers of a request are there.
    """

    max_connections: int
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock, or hang up where there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
            return
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Handle what came, without stopping the clock as uvicorn does at the first byte."""
        self.conn.receive_data(data)
        self.handle_events()

    def timeout_keep_alive_handler(self) -> None:
        """Hang up, unless an answer is still being read: that has a clock of its own."""
        if self.flow.write_paused:
            self._start_clock()
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Start a clock where the client does not read."""
        super().pause_writing()
        self._reading = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        self._stop_reading_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_reading_clock()

    def _start_clock(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _stop_reading_clock(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


def connection_class(max_connections: int) -> type[Connection]:
    """Return the class of the connections of a server that has at most so many."""
    return type("LimitedConnection", (Connection,), {"max_connections": max_connections})
