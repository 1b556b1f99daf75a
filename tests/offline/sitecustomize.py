"""Keep every Python process of the tests on this machine.

Imported by ``tests/conftest.py``, and, because its folder is put on ``PYTHONPATH``, by every
Python that a test starts: ``site`` imports a module of this name when an interpreter starts.
An audit hook is told of each connection before it is made, and what it raises prevents it.
"""

import sys
from typing import Any

_ADDRESS = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}
_HOST = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0}


class NetworkUsed(RuntimeError):
    """A test tried to leave this machine; no OSError, or a library would quietly try again."""


def stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse connections and look-ups other than those of the loopback interface."""
    if event in _ADDRESS:
        address = arguments[_ADDRESS[event]]
        host = address[0] if isinstance(address, tuple) else None  # A Unix socket has a path.
    elif event in _HOST:
        host = arguments[_HOST[event]]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if name not in {"localhost", "::1"} and not name.startswith("127."):
        message = f"{event} to {name!r}: tests use no network"
        raise NetworkUsed(message)


sys.addaudithook(stay_here)
