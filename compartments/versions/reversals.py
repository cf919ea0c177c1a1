"""Changes that are taken back because workers died of them, until they are changed again or the supervisor is.

Rule: what is to blame is `compartments.versions.suspects`'; here it is remembered what was deployed, and
what is deployed instead. A version that is to blame counts as damaged (`rollout`); a plan is
held back: the one before serves on, over the versions that are live.
"""

from collections.abc import Mapping

import msgspec

from compartments.facts.deployment import Deployment, Refusal
from compartments.versions.suspects import Change, Suspects, changed, died
from engine.plan import Plan


class Reversals:
    def __init__(self) -> None:
        self._deployed: dict[str, Deployment] | None = None  # None before the first
        self._suspects: dict[str, Suspects] = {}
        self._held_back: dict[
            str, tuple[Plan | None, Deployment | None]
        ] = {}  # service → the plan, what serves instead

    def overlaid(self, wanted: dict[str, Deployment]) -> dict[str, Deployment]:
        """With the plans before for those that are held back; one that is another by now is given its chance."""
        self._held_back = {
            name: (blamed, before)
            for name, (blamed, before) in self._held_back.items()
            if name in wanted and wanted[name].plan == blamed
        }
        found = dict(wanted)
        for name, (_, before) in self._held_back.items():
            found[name] = _instead(wanted[name], before)
        return found

    def note(self, wanted: Mapping[str, Deployment], now_s: float, *, suspect: bool = True) -> None:
        """What is deployed from now on; what is another than before is a suspect, unless it is what was taken back."""
        before, self._deployed = self._deployed, dict(wanted)
        if before is None or not suspect:
            return
        by_compartment: dict[str, list[Change]] = {}
        for name, item in wanted.items():
            if item.plan is not None and item != before.get(name):
                change = Change(name, before.get(name), item, now_s)
                by_compartment.setdefault(item.compartment, []).append(change)
        for compartment, changes in by_compartment.items():
            self._suspects[compartment] = changed(self._suspects.get(compartment, Suspects()), tuple(changes))

    def died(self, compartment: str, lived_s: float, now_s: float) -> tuple[Change, ...]:
        """A worker died without being told to → the changes to take back."""
        suspects, blamed = died(self._suspects.get(compartment, Suspects()), lived_s, now_s)
        self._suspects[compartment] = suspects
        return blamed

    def hold_back(self, change: Change) -> None:
        self._held_back[change.service] = (change.after.plan, change.before)

    def held_back(self, service: str) -> str | None:
        """What is to be said of it."""
        if service not in self._held_back:
            return None
        instead = "the plan before serves on" if self._held_back[service][1] is not None else "it is not served"
        return (
            f"its newest plan was taken back, since workers died of it again and again; {instead} until it is changed"
        )


def _instead(wanted: Deployment, before: Deployment | None) -> Deployment:
    if before is None or before.plan is None or wanted.plan is None:
        detail = f"service {wanted.service} was taken back: workers died of it again and again"
        return msgspec.structs.replace(wanted, plan=None, refusal=Refusal("bad_plan", detail))
    live = dict(wanted.versions)
    versions = tuple((dataset, live.get(dataset, version)) for dataset, version in before.versions)
    return msgspec.structs.replace(before, versions=versions)
