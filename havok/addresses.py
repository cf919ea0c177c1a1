"""Addresses to listen at: what one is, and that no two of a node's are the same.

Rule: pure; whether a port can be had is found out by who listens.
"""

import ipaddress
import re
from collections.abc import Iterator

from havok.settings import Settings
from havok.typed import Finding, Path, shown

PORT_MAX = 65535
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_EVERY = {"0.0.0.0", "::"}


def address(text: str) -> tuple[str, int]:
    """ "127.0.0.1:8080" or "[::1]:8080" → host and port. Raises ValueError with the reason."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > PORT_MAX:
        raise ValueError(f'expected "host:port" with a port from 1 to {PORT_MAX}, got {shown(text)}')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{host} is no IPv6 address") from None
    elif _HOST.fullmatch(host) is None:
        raise ValueError(f'{shown(host)} is no host; for every interface write "0.0.0.0:{port}"')
    return host, int(port)


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Every listening address is one, and no two of them are the same."""
    given: list[tuple[Path, str]] = [
        (("node", "listen"), settings.node.listen),
        (("node", "admin"), settings.node.admin),
        *(
            (("compartments", name, "listen"), compartment.listen)
            for name, compartment in settings.compartments.items()
            if compartment.listen is not None
        ),
    ]
    places: list[tuple[Path, str, tuple[str, int]]] = []
    for path, text in given:
        try:
            host, port = address(text)
        except ValueError as error:
            yield Finding(path, str(error))
            continue
        for other, other_text, (other_host, other_port) in places:
            same_host = host == other_host or not _EVERY.isdisjoint((host, other_host))
            if port == other_port != 0 and same_host:
                mine, theirs = ".".join(map(str, path)), ".".join(map(str, other))
                reason = f"{mine} ({text}) and {theirs} ({other_text}) need different ports"
                yield Finding(path, reason, (other, path))
        places.append((path, text, (host, port)))
