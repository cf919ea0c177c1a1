"""What is to blame when a compartment's workers die again and again: the newest change of what they serve.

Rule: pure. A worker that dies young, DEATHS times within WINDOW, did not die of its load or
its age. The newest change of what the compartment serves, if it is not older than RECENT, is
taken back, then the one before, each only after as many deaths more: what did not help was
not to blame, but what is newer was tried less. Without such a change nothing is taken back.

With the back-off of `compartments.processes.restarts` (0, 0.1, 0.2 s …) and a start of a third of a
second the third death comes within about two seconds, well below the bar of five.
"""

import msgspec

from compartments.facts.deployment import Deployment

DEATHS = 3
YOUNG_S = 10.0
WINDOW_S = 15.0
RECENT_S = 600.0  # a fault in new data or a new plan shows within minutes, at the first request that meets it
CHANGES_MAX = 1000  # remembered of a compartment: as many services as change at once, and then some


class Change(msgspec.Struct, frozen=True):
    """`before` None: the service is new."""

    service: str
    before: Deployment | None
    after: Deployment
    at_s: float

    @property
    def new_versions(self) -> tuple[tuple[str, str], ...]:
        """(dataset, version) of what it reads since; none where only the plan is another."""
        known = self.before.versions if self.before is not None else ()
        datasets = {dataset for dataset, _ in known}
        return tuple(pair for pair in self.after.versions if pair not in known and pair[0] in datasets)


class Suspects(msgspec.Struct, frozen=True):
    """Of one compartment. Changes, oldest first; when workers died young, oldest first."""

    changes: tuple[Change, ...] = ()
    deaths_s: tuple[float, ...] = ()


def changed(suspects: Suspects, changes: tuple[Change, ...]) -> Suspects:
    return msgspec.structs.replace(suspects, changes=(suspects.changes + changes)[-CHANGES_MAX:])


def died(suspects: Suspects, lived_s: float, now_s: float) -> tuple[Suspects, tuple[Change, ...]]:
    """→ what is remembered, and the changes to take back: all that were made at one moment."""
    if lived_s > YOUNG_S:
        return suspects, ()
    deaths = (*(at for at in suspects.deaths_s if now_s - at <= WINDOW_S), now_s)
    if len(deaths) < DEATHS:
        return Suspects(suspects.changes, deaths), ()
    recent = [change for change in suspects.changes if now_s - change.at_s <= RECENT_S]
    if not recent:
        return Suspects((), deaths[-DEATHS:]), ()
    newest = recent[-1].at_s
    blamed = tuple(change for change in recent if change.at_s == newest)
    return Suspects(tuple(change for change in recent if change.at_s != newest), ()), blamed
