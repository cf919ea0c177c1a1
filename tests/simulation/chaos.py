"""What is done to a simulated node, and what must hold when it is left in peace.

Rule: everything is drawn; after `chaos` comes `heal`, and then there is a time within which
all is as it should be.
"""

import signal
from collections.abc import Callable

from tests.simulation.wires import Weather
from tests.simulation.world import MS, World

HEALED_NS_MAX = 8_000 * MS  # restarts that are put off, stand-ins, drains; less than real code waits for anybody
SERVED_NS_MAX = 4_000 * MS  # requests of living connections, then
STEP_S = 3600


def calm(world: World) -> None:
    """From nothing to a node that serves."""
    world.start_supervisor()
    for client in world.clients:
        world.loop.at(world.loop.now_ns + world.dice.randrange(300) * MS, world.loop.outside, client.connect)
    if not world.loop.run(world.loop.now_ns + HEALED_NS_MAX, lambda: fault_of(world) is None):
        world.trace.fail(f"the node does not come up: {fault_of(world)}")


def chaos(world: World, lasts_ms: int, actions: list[Callable[[World], None]], each_ms: float) -> None:
    end_ns = world.loop.now_ns + lasts_ms * MS
    while world.loop.now_ns < end_ns:
        world.loop.run(world.loop.now_ns + int(world.dice.expovariate(1 / each_ms) * MS) + 1)
        world.dice.choice(actions)(world)


def heal(world: World) -> None:
    """Nothing is lost and nothing dies any more; the newest facts are everywhere, everybody is served."""
    world.network.change(Weather())
    for process in world.kernel.living("worker", "gate", "supervisor"):
        world.kernel.signal(process, signal.SIGCONT)
    if world.supervisor is None or not world.supervisor.alive:
        world.start_supervisor()
    world.read_again()  # a person whom nobody heard tries again
    for client in world.clients:
        client.rest()
    loop = world.loop
    for _ in range(HEALED_NS_MAX // (500 * MS)):
        if loop.run(loop.now_ns + 500 * MS, lambda: fault_of(world) is None):
            break
        world.trace.say("heal", "{}", fault_of(world))
        world.read_again()  # of a supervisor that was about to start, too
    else:
        world.trace.fail(f"not healed after {HEALED_NS_MAX // MS} ms: {fault_of(world)}")
    _settle(world)
    for client in world.clients:
        client.services = sorted(world.compartment_of)
        loop.at(loop.now_ns, loop.outside, client.probe)
    loop.run(loop.now_ns + MS)
    _settle(world)
    for client in world.clients:
        for service in client.services:
            dataset = world.disk.settings.services[service].dataset
            wanted = (b"200", world.disk.pointers[str(dataset)])
            if client.newest[service] != wanted:
                world.trace.fail(f"{client.line.name}: {service} answers {client.newest[service]}, not {wanted}")


def _settle(world: World) -> None:
    loop = world.loop
    if not loop.run(loop.now_ns + SERVED_NS_MAX, lambda: all(client.settled for client in world.clients)):
        waiting = ", ".join(f"{c.line.name} at {c.line.where}" for c in world.clients if not c.settled)
        world.trace.fail(f"{waiting} wait for answers still")


def fault_of(world: World) -> str | None:
    """What is not yet as it should be."""
    charge, balance = world.charge, world.balance
    if charge is None or balance is None or balance._supervisor is not charge:
        return "no supervisor"
    at_work = [command.what for command in world.commands if not command.over]
    if at_work:
        return f"{at_work} at work"
    gates, workers = world.kernel.living("gate"), world.kernel.living("worker")
    if len(gates) != 1 or gates[0].body is None:
        return f"{len(gates)} gates"
    for name, wanted in balance.wanted.items():
        found = [process for process in workers if process.compartment == name]
        if len(found) != wanted or any(process.body is None or process.told_to_end for process in found):
            return f"{name} has {[process.name for process in found]} and is to have {wanted}"
    newest = world.history.states[world.history.newest]
    for process in (*gates, *workers):
        replica = process.body._follower.replica
        if (replica.epoch, replica.seq) != world.history.newest or replica.entries != newest:
            return f"{process.name} is at {replica.epoch}.{replica.seq}, the newest is {world.history.newest}"
    for process in workers:
        wanted_here = {
            name: {service.dataset: world.disk.pointers[str(service.dataset)]}
            for name, service in world.disk.settings.services.items()
            if service.compartment == process.compartment
        }
        if process.body._deployer.serving != wanted_here:
            return f"{process.name} serves {process.body._deployer.serving} and not {wanted_here}"
    listed = gates[0].body._peers.paths
    if listed != {process.inbox for process in workers}:
        return f"the gate knows {listed}"
    return None


# -- what may happen ---------------------------------------------------------------------


def load(world: World) -> None:
    world.load(world.dice.choice("xy"))


def load_unannounced(world: World) -> None:
    world.load(world.dice.choice("xy"), announced=False)


def kill(*kinds: str) -> Callable[[World], None]:
    def do(world: World) -> None:
        found = world.kernel.living(*kinds)
        if found:
            world.kernel.signal(world.dice.choice(found), signal.SIGKILL)

    return do


def kill_supervisor(world: World) -> None:
    """Its successor comes soon, or it dies at its start as well."""
    if world.supervisor is None or not world.supervisor.alive:
        return
    world.kernel.signal(world.supervisor, signal.SIGKILL)

    def again() -> None:
        if world.supervisor is None or not world.supervisor.alive:
            world.start_supervisor()

    world.loop.at(world.loop.now_ns + world.dice.randrange(200) * MS, world.loop.outside, again)


def hang(world: World) -> None:
    _stop(world, ("worker", "gate", "supervisor"), 30, 900)


def stall(world: World) -> None:
    """The supervisor, for so long that everybody seems silent to it."""
    _stop(world, ("supervisor",), 500, 2500)


def _stop(world: World, kinds: tuple[str, ...], least_ms: int, most_ms: int) -> None:
    found = [process for process in world.kernel.living(*kinds) if not process.stopped]
    if found:
        process = world.dice.choice(found)
        world.kernel.signal(process, signal.SIGSTOP)
        at_ns = world.loop.now_ns + world.dice.randrange(least_ms, most_ms) * MS
        world.loop.at(at_ns, world.loop.outside, world.kernel.signal, process, signal.SIGCONT)


def hang_for_good(world: World) -> None:
    found = [process for process in world.kernel.living("worker", "gate") if not process.stopped]
    if found:
        world.kernel.signal(world.dice.choice(found), signal.SIGSTOP)


def restart(world: World) -> None:
    world.restart_rolling()


def step_clock(world: World) -> None:
    world.wall_offset_s += world.dice.choice((-STEP_S, STEP_S))
    world.trace.say("clock", "steps to {:.0f} s", world.wall_offset_s)


def demand(world: World) -> None:
    name = world.dice.choice(("one", "two"))
    world.demand[name] = world.dice.choice((0.0, 0.4, 0.9, 1.8, 2.6))


def move_service(world: World) -> None:
    """`c` comes, goes, and changes its compartment; so does `b`, which always is."""
    now = dict(world.compartment_of)
    if world.dice.random() < 0.5:
        now["b"] = "one" if now["b"] == "two" else "two"
    elif "c" in now:
        del now["c"]
    else:
        now["c"] = world.dice.choice(("one", "two"))
    world.reload(now)


LOSSES = [load, load, step_clock, demand]
EVERYTHING = [
    load, load, load_unannounced, restart, step_clock, demand, move_service,
    kill("worker"), kill("worker"), kill("gate"), kill_supervisor, kill_supervisor, hang, hang,
]  # fmt: skip


TIDES = [*[demand] * 8, kill("worker"), kill_supervisor, load, restart, hang_for_good, stall, stall]


def tides(world: World) -> None:
    """Loads that rise and fall for so long that workers come and go, and now and then a death."""
    for client in world.clients:
        client.pause_ms = world.dice.choice((1_000, 2_000, 12_000))
    calm(world)
    chaos(world, 120_000, TIDES, 6000)
    heal(world)


def storm(world: World) -> None:
    """Everything, in bad weather."""
    calm(world)
    dice = world.dice
    world.network.change(Weather(dice.choice((0.0, 0.1, 0.3)), dice.choice((0.0, 0.05)), 0.1, 0.02))
    chaos(world, dice.randrange(100, 900), EVERYTHING, dice.choice((30, 80, 200)))
    heal(world)


def lossy(world: World) -> None:
    """Only messages are lost, 30 % of broadcasts, and nothing dies: how long facts take."""
    calm(world)
    world.network.change(Weather(0.3, 0.02, 0.1, 0.02))
    chaos(world, 1500, LOSSES, 40)
    heal(world)
