"""A plan's way to its rows, what it costs and what it answers, as a document for a person.

Rule: says what the engine does with the plan, in numbers where they can be had. Shapes:
`access` {path, text, …}, `cost` {rows_max, text, …}, `output` {form, columns}.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from console import terminal
from console.estimate import Estimate, estimate, over_bound
from console.wording import worded
from engine.analysis.analytical import describe as describe_analytical
from engine.codegen import generate
from engine.plan import Analysis, Fields, Plan, Point, Select
from engine.queries.access import conjuncts, in_order, is_one
from engine.queries.advice import Advice, cheaper_index, setting
from engine.queries.block_code import BlockSource, has_blocks, needed_columns, unpacked_columns
from engine.queries.query import Query, describe
from engine.queries.query_code import Source
from havok.keys import KeyColumn
from havok.layout import version_dir
from havok.manifest import Manifest, read_manifest


def access_of(plan: Plan, data_dir: Path, versions: Mapping[str, str]) -> dict[str, Any]:
    """The members `access`, `cost` and `output` of the document of `havok plan --json`."""
    columns = [{"name": column.name, "type": column.type} for column in plan.columns]
    if isinstance(plan.access, Point):
        form = "fields" if isinstance(plan.access.output, Fields) else "whole row"
        return _lookup(plan, plan.access) | {"output": {"form": form, "columns": columns}}
    if isinstance(plan.access, Analysis):
        return _analysis(plan.access) | {"output": {"form": "rows", "columns": columns}}
    dataset = plan.access.query.seek.dataset
    version = version_dir(data_dir, dataset, versions[dataset])
    return _select(plan, plan.access, version) | {"output": {"form": "rows", "columns": columns}}


def code_of(plan: Plan, manifests: Mapping[str, Manifest]) -> str:
    """The generated Python, as it runs on the versions that `manifests` describe."""
    if isinstance(plan.access, Point):
        return generate(plan.service, plan.access)
    if isinstance(plan.access, Analysis):
        return f"-- run by DuckDB:\n{plan.access.analytical.text}"
    query = plan.access.query
    source = BlockSource if has_blocks(query, manifests[query.seek.dataset]) else Source
    text = source(query, plan.service, [param.name for param in plan.access.params]).text
    if plan.access.point is None:
        return text
    return f"{text}\n\n# As JSON, the same without a cursor:\n\n{generate(plan.service, plan.access.point)}"


def _analysis(access: Analysis) -> dict[str, Any]:
    return {
        "access": {"path": "analytical", "text": f"{describe_analytical(access.analytical)}, in an executor process"},
        "cost": {"text": "whole columns are read; bounded by the compartment's executors (memory_mb, timeout_s)"},
    }


def _lookup(plan: Plan, point: Point) -> dict[str, Any]:
    key = [param.name for param in point.params]
    batch = terminal.plural(point.batch_max, "key")
    return {
        "access": {"path": "point lookup by key", "key": key, "text": f"point lookup by key ({', '.join(key)})"},
        "cost": {
            "rows_max": plan.rows_max,
            "batch_max": point.batch_max,
            "text": f"at most {terminal.plural(plan.rows_max, 'row')} a request, {batch} a batch",
        },
    }


def _select(plan: Plan, select: Select, version: Path) -> dict[str, Any]:
    query, found = select.query, estimate(select.query, version)
    manifest = read_manifest(version)
    advice = cheaper_index(query)
    access: dict[str, Any] = {
        "path": describe(query),
        "text": describe(query),
        "key": [column.name for column in query.seek.columns[: len(query.seek.equals)]],
        "index": query.seek.index,
        "filters": [worded(part, query) for part in conjuncts(query.where)],
        "columns": _columns(query, manifest),
        "order": _order(query),
        "pages": _pages(query),
        "advice": None,
    }
    built = [manifest.key, *(index.columns for index in manifest.indexes)]
    if advice is not None and advice.columns not in [_begins(columns, advice) for columns in built]:
        line = f"{setting(advice, manifest)}, then: havok load {advice.dataset}  ({advice.why})"
        line += "; cursors given out before end then" if query.has_pages else ""
        access["advice"] = {"dataset": advice.dataset, "columns": list(advice.columns), "why": advice.why, "text": line}
    rows = terminal.plural(plan.rows_max, "row")
    cost: dict[str, Any] = {"rows_max": plan.rows_max, "text": f"at most {rows} read a request (max_rows_scanned)"}
    if found is not None:
        cost |= {"rows_median": found.median, "rows_most": found.most}
        cost["text"] = f"{_typical(query, found)}; {cost['text']}"
        cost["warning"] = over_bound(query, found, plan.rows_max)
    return {"access": access, "cost": cost}


def _columns(query: Query, manifest: Manifest) -> str | None:
    """What is read of each row; None where a row is looked up."""
    if query.seek.is_whole_key:
        return None
    unpacked = unpacked_columns(query, manifest)
    if unpacked is None:
        return "whole rows are read"
    if unpacked:
        return f"whole rows are read: {', '.join(sorted(unpacked))} {'is' if len(unpacked) == 1 else 'are'} not packed"
    return f"{', '.join(sorted(needed_columns(query))) or 'none'}, packed"


def _begins(columns: Sequence[KeyColumn], advice: Advice) -> tuple[str, ...]:
    """As many columns as are advised: an index that begins with them does as well."""
    return tuple(column.name for column in columns[: len(advice.columns)])


def _typical(query: Query, found: Estimate) -> str:
    if query.seek.is_whole_key:
        return "1 row read for each key"
    fixed = len(query.seek.equals)
    each = f"about {found.median:,} rows read, {found.most:,} for the most frequent values"
    if not fixed:
        each = f"up to {found.most:,} rows read, as far as the range goes"
    elif query.seek.low is not None or query.seek.high is not None:
        each += ", less what the range leaves out"
    if not all(is_one(values) for values in query.seek.equals):
        each += ", for each value of a list"
    if query.has_pages and query.is_in_scan_order:
        each += ", or until a page is full"
    return each


def _order(query: Query) -> str | None:
    if query.is_grouped:
        return "grouped, then sorted" if query.order else "grouped"
    if not query.order:
        return None
    if query.sorted:
        return "as the rows are read"
    turned = [msgspec.structs.replace(item, nulls_first=item.descending) for item in query.order]
    if in_order(query.seek, turned) is not None:
        nulls = "FIRST" if turned[0].descending else "LAST"
        return f"sorted after reading; with NULLS {nulls} rows come as they are read, and LIMIT ends the reading"
    return "sorted after reading"


def _pages(query: Query) -> str | None:
    if not query.has_pages:
        return None
    if query.is_grouped:
        return "a page ends at LIMIT; next goes on there, until another version is live"
    return (
        "a page ends at LIMIT; next goes on there, in later versions too; "
        "it ends when the SQL or the access path changes, as a better index does"
    )
