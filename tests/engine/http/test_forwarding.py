"""What is not forwarded though it could be."""

import socket

from engine.http.passage import LINE
from tests.engine.http.relaying import HERE, THERE, Pair
from tests.engine.wire import parse_answers


def test_a_connection_goes_up_with_its_request(pair: Pair) -> None:
    pair.here.server.forwarding.rank = -1
    client = pair.client()
    client.send(HERE + THERE + HERE)
    client.pump()
    assert pair.handed == [(THERE + HERE, 1, "travel-low")]


def test_a_worker_on_its_way_out_forwards_nothing(pair: Pair) -> None:
    client = pair.client()
    pair.here.server.hand_overs.leave()
    client.send(THERE)
    client.pump()
    assert [compartment for _, _, compartment in pair.handed] == ["travel-low"]


def test_a_line_is_handed_over_when_its_service_moved(pair: Pair) -> None:
    """The other worker never forwards what was forwarded to it."""
    handed: list[tuple[bytes, int]] = []

    def pass_on(sock: socket.socket, received: bytes, hops: int, _compartment: str) -> bool:
        handed.append((received, hops))
        pair.here.server.accept(sock.dup(), received, hops)
        return True

    pair.there.hand_overs._pass_on = pass_on
    client = pair.client()
    client.talk(THERE)
    client.received = b""
    client.connection.buffer = THERE
    client.connection.advance()  # it is on its way, and only then the service moves
    here, there = pair.here.server.target("far"), pair.there.target("far")
    pair.here.deploy(far=there)
    pair.there.deploy({"far": here})
    client.pump()
    assert [answer.status for answer in parse_answers(client.received)] == [200]
    assert handed == [(THERE, LINE)]
