"""What becomes of a connection whose requests are refused because their service is over its share.

Rule: a refusal costs next to nothing, and the connection stays. Who asks again at once, and has nothing
but refusals, is not read from for a moment; one good answer between them, of whatever service, and it
goes on: a connection may be a proxy's. How long a moment is decides `engine.shares`.
"""

from time import monotonic_ns

from engine.http.peer import Peer
from engine.http.route import Route
from havok.errors import Overloaded

SPREAD = 16
SHEDS_MAX = 2  # refusals in a row, then it rests


def shed(peer: Peer, route: Route) -> None:
    """The fast way: for the price of a read and a write."""
    peer.server.problems.counts[Overloaded.code] += 1
    note_shed(peer)
    peer.add(route.shed)
    if peer.flush():
        rest_if_shed(peer, route.budget.rest_s)
    route.histogram.record(monotonic_ns() - peer.since_ns)


def note_shed(peer: Peer) -> None:
    """Answers of the fast way are noted by their time alone."""
    peer.sheds = peer.sheds + 1 if peer.since_ns == peer.shed_ns else 1
    peer.since_ns = peer.shed_ns = peer.reactor.now_ns


def note_served(peer: Peer) -> None:
    peer.since_ns = peer.reactor.now_ns
    peer.sheds = 0


def rest_if_shed(peer: Peer, seconds: float) -> None:
    """While it waits for a request."""
    if seconds and peer.sheds >= SHEDS_MAX and peer.since_ns == peer.shed_ns:
        peer.reactor.rest(peer.fd, spread(seconds, peer.fd + (peer.shed_ns >> 10)))


def spread(seconds: float, number: int) -> float:
    """From half to one and a half of it: those that were refused together come back apart."""
    return seconds * (0.5 + number % SPREAD / SPREAD)
