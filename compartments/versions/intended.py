"""A version as a load would make it of other settings, and what a plan loses or gains by that.

Rule: pure. The configuration is ahead of the live version wherever a key or an index was changed
and the dataset not loaded since; columns are the version's, for only the source knows others.
"""

import json
from collections.abc import Mapping

import msgspec

from engine.front import plan_service
from engine.plan import Plan, PlanError, Select
from havok.keys import KeyColumn, kind_of
from havok.manifest import Index, Manifest
from havok.settings import DatasetSettings, ServiceSettings


def as_set(manifest: Manifest, settings: DatasetSettings) -> Manifest:
    """With the key and the indexes of the configuration, as far as the version has their columns."""
    key = _columns(manifest, settings.key) or manifest.key
    indexes = [(name, _columns(manifest, columns)) for name, columns in settings.indexes.items()]
    made = tuple(Index(name, columns) for name, columns in indexes if columns)
    known = {index.name: index for index in manifest.indexes}
    if {index.name: index for index in made} == known:
        made = manifest.indexes  # the same in another order
    return msgspec.structs.replace(manifest, key=key, indexes=made)


def _columns(manifest: Manifest, names: tuple[str, ...]) -> tuple[KeyColumn, ...]:
    """None of them where one cannot be had: the load would refuse it, and says why."""
    found = []
    for name in names:
        column = manifest.column(name)
        kind = kind_of(column.type) if column is not None else None
        if kind is None:
            return ()
        found.append(KeyColumn(name, kind))
    return tuple(found)


def unbuilt(
    name: str, service: ServiceSettings, live: Mapping[str, Manifest], after: Mapping[str, Manifest]
) -> PlanError | None:
    """Why a service does not compile on the live versions, when all it lacks is a load; None when it lacks more."""
    if service.analytical or all(after[dataset] == live[dataset] for dataset in after):
        return None
    try:
        plan = plan_service(name, service, {**live, **after})
    except PlanError:
        return None
    lacking = [dataset for dataset in plan.datasets if after.get(dataset, live[dataset]) != live[dataset]]
    keyed = any(after[dataset].key != live[dataset].key for dataset in lacking)
    loads = " && ".join(f"havok load {dataset}" for dataset in lacking)
    what = "a key" if keyed else "an index"
    return PlanError(f"service {name}: it reads by {what} that the live version does not have yet; build it: {loads}")


def lost_index(plan: Plan | None, after: Manifest) -> Index | None:
    """The index that a plan reads by and a version does not have; its kinds are the plan's."""
    if plan is None or not isinstance(plan.access, Select):
        return None
    seek = plan.access.query.seek
    if seek.index is None or seek.dataset != after.dataset:
        return None
    index = Index(seek.index, seek.columns[: seek.nullable])
    return None if index in after.indexes else index


def kept(index: Index, dataset: str) -> str:
    """What must stand in havok.toml for the next version to have an index."""
    columns = json.dumps([column.name for column in index.columns], ensure_ascii=False)
    return f"indexes.{index.name} = {columns} under [datasets.{dataset}]"
