"""Ports for servers of tests: different ones, that no outgoing connection is given meanwhile."""

import contextlib
import random
import socket

_FROM, _TO = 12_000, 30_000  # below what Linux gives to connections (net.ipv4.ip_local_port_range)


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on; all are held until the last is found."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            port = random.randrange(_FROM, _TO)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
    return found
