"""Starts a node's processes: each with its name, its sockets and what it inherits.

Rule: names and numbers are never used twice in the life of a data directory's processes, of
whichever supervisor.
"""

import os
from pathlib import Path

import msgspec

from compartments.processes.listeners import lending_path
from compartments.processes.member import Member, Patience
from compartments.processes.ports import Ports
from compartments.processes.process import GateSettings, WorkerSettings
from havok.layout import run_dir
from havok.settings import NodeSettings

GATE = "gate"  # stands where a compartment's name would


class Site(msgspec.Struct, frozen=True):
    """What all processes of a node have in common. `code`: what those run that are started now."""

    data_dir: Path
    code: str = ""


class Launcher:
    def __init__(self, site: Site, ports: Ports, node: NodeSettings, patience: Patience) -> None:
        self._site = site
        self._ports = ports
        self.node = node
        self.own: dict[str, str] = {}  # compartment → the address of its own port
        self._patience = patience
        self._number = 0

    def addresses(self, compartment: str) -> tuple[str, ...]:
        """Whose sockets a process of it holds: the node's, and its own."""
        own = self.own.get(compartment)
        return (self.node.listen,) if own is None else (self.node.listen, own)

    def known(self, name: str) -> None:
        """A process that is there already; its number is taken."""
        number = name.rpartition("-")[2]
        if number.isdecimal():
            self._number = max(self._number, int(number))

    def worker(self, compartment: str, fds: int | None) -> tuple[Member, str, msgspec.Struct]:
        """A process to be started, the module it runs and its argument. `fds`: files it may have open."""
        process = self._member(compartment, "w")
        held = self._ports.fds(self.addresses(compartment))
        settings = WorkerSettings(
            process.name,
            compartment,
            str(self._site.data_dir),
            process.inbox,
            self.node.drain_s,
            fds,
            held,
            self.own.get(compartment),
        )
        return process, "compartments.worker", settings

    def gate(self) -> tuple[Member, str, msgspec.Struct]:
        process = self._member(GATE, "g")
        settings = GateSettings(
            process.name,
            str(self._site.data_dir),
            self.node.listen,
            self._ports.fds(self.addresses(GATE))[self.node.listen],
            self.node.drain_s,
            lends_at=lending_path(process.inbox),
        )
        return process, "compartments.gate", settings

    def _member(self, compartment: str, letter: str) -> Member:
        self._number += 1
        inbox = run_dir(self._site.data_dir) / f"{letter}-{os.getpid()}-{self._number}.sock"
        return Member(f"{compartment}-{self._number}", compartment, self._site.code, self._patience, str(inbox))

    def start(self, process: Member, module: str, settings: msgspec.Struct) -> None:
        """Raises OSError."""
        held = self._ports.fds(self.addresses(process.compartment))
        process.start(module, msgspec.json.encode(settings).decode(), held)
