"""A node's listening sockets, by address: one for all, and those that compartments have to themselves.

Rule: the supervisor opens them, every process that may need one inherits it, and none is
closed while somebody is to accept on it. What is held already, by a supervisor before or by
processes that it left, is taken over.
"""

import os
import socket
from collections.abc import Iterable, Mapping

from compartments.processes.claim import listen, wait_for_data
from havok.settings import Settings


def addresses(settings: Settings) -> dict[str, str]:
    """Every address of a node → the key that it stands at."""
    found = {settings.node.listen: "node.listen"}
    for name, compartment in settings.compartments.items():
        if compartment.listen is not None:
            found[compartment.listen] = f"compartments.{name}.listen"
    return found


class Ports:
    def __init__(self, held: Mapping[str, socket.socket]) -> None:
        """`held`: by address, sockets that listen already."""
        self._held = dict(held)
        self._open: dict[str, socket.socket] = {}

    def open(self, wanted: Mapping[str, str]) -> None:
        """Opens what is not open (`wanted`: address → key). Raises NodeError; then nothing was opened. Blocks."""
        new: dict[str, socket.socket] = {}
        try:
            for address, key in wanted.items():
                if address not in self._open:
                    held = self._held.pop(address, None)
                    new[address] = listener = held if held is not None else listen(address, key)
                    wait_for_data(listener)
        except BaseException:
            for listener in new.values():
                listener.close()
            raise
        self._open.update(new)

    def keep(self, wanted: Iterable[str]) -> None:
        """Closes the others. Connections that wait there are lost: nobody is to accept them any more."""
        for address in self._open.keys() - set(wanted):
            self._open.pop(address).close()
        for listener in self._held.values():
            listener.close()
        self._held.clear()

    def fds(self, wanted: Iterable[str]) -> dict[str, int]:
        """Descriptors of those that are open, by address."""
        return {address: self._open[address].fileno() for address in wanted if address in self._open}

    def duplicates(self) -> dict[str, int]:
        """A descriptor of each for somebody else, who then owns it."""
        return {address: os.dup(listener.fileno()) for address, listener in self._open.items()}

    def close(self) -> None:
        self.keep(())
