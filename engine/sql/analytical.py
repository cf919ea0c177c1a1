"""From the text of an analytical service's SQL to a statement that DuckDB runs over cold twins.

Rule: DuckDB parses and binds the text itself, over empty tables with the datasets' columns;
`engine.analysis.reading` says whether it may run, and what is wrong is told at its place in the
author's text. Nothing is rewritten but the parameters: each is cast to its type. DuckDB is
imported here when it is first needed: a worker never compiles.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec

from engine.analysis import reading, shown
from engine.analysis.analytical import Analytical, schema_id
from engine.analysis.reading import Node, Refused
from engine.column import OutputColumn
from engine.plan import PlanError
from engine.sql import parameters
from engine.sql.arguments import Site, Wanted, declared_type, find_sites, wanted
from engine.sql.statement import SQL_CHARS_MAX
from engine.sqltype import common, family
from havok.manifest import Manifest
from havok.settings import ParamSettings

if TYPE_CHECKING:
    import duckdb

_DUMMIES = {"VARCHAR": "", "BOOLEAN": True, "DATE": "2000-01-01", "TIMESTAMP": "2000-01-01 00:00:00"}
_DESCRIBE = "DESCRIBE\n"
_JARGON = re.compile(r"^(?:[A-Z][A-Za-z ]*Error: )+")
_MISSING = re.compile(r'^Referenced (column|table) "(.+)" not found')
_QUOTED = re.compile(r'"([^"]+)"')
_HINT = re.compile(r"^(?:Candidate (?:bindings|tables): |Did you mean )(.+?)\??$", re.MULTILINE)
_FORMS = {"INTEGER_LITERAL": "INTEGER", "STRING_LITERAL": "VARCHAR"}


def compile_analytical(
    sql: str, manifests: Mapping[str, Manifest], params: Mapping[str, ParamSettings]
) -> tuple[Analytical, dict[str, str]]:
    """(what to run, parameter → type in the order they stand). Raises PlanError."""
    if len(sql) > SQL_CHARS_MAX:
        raise PlanError(f"the SQL is longer than {SQL_CHARS_MAX} characters")
    with _session() as session:
        return _Compilation(session, sql, manifests, params).run()


@contextmanager
def _session() -> "Iterator[duckdb.DuckDBPyConnection]":
    """An empty database that reaches nothing outside itself."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "async_threads": 0,  # there is nothing to read
            "memory_limit": "256MiB",
            "enable_external_access": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


class _Compilation:
    def __init__(
        self,
        session: "duckdb.DuckDBPyConnection",
        sql: str,
        manifests: Mapping[str, Manifest],
        params: Mapping[str, ParamSettings],
    ) -> None:
        self._session = session
        self._sql = sql
        self._manifests = {name.lower(): manifest for name, manifest in manifests.items()}
        self._params = params
        self._declared = {name: declared_type(settings.type) for name, settings in params.items() if settings.type}

    def run(self) -> tuple[Analytical, dict[str, str]]:
        try:
            sites, body = find_sites(self._sql)
            if not body.strip():
                raise PlanError("the SQL must be one SELECT statement")
            marked = list(body)
            for site in sites:
                marked[site.start] = "$"
            query = reading.parse(self._session, "".join(marked))
            datasets = reading.check(query, self._manifests)
        except Refused as refused:
            raise self._refuse(refused.reason, refused.start, refused.length) from None
        if not datasets:
            raise PlanError("there is no FROM: name the dataset to read")
        self._check_names(query)
        found = wanted(query, self._manifests)
        self._check_places(sites, found)
        types = self._types(sites, found)
        inner, casts = _with_casts(body, sites, types, found)
        columns = self._describe(inner, casts, datasets, types)
        self._check_answer([name for name, _ in columns], query)
        text = self._outer(inner, columns)
        answer = tuple(OutputColumn(name, shown.type_name(kind)) for name, kind in columns)
        schemas = tuple(schema_id(self._manifests[name].columns) for name in datasets)
        return Analytical(sql=self._sql, text=text, datasets=datasets, schemas=schemas, columns=answer), types

    def _refuse(self, reason: str, start: int | None, length: int) -> PlanError:
        """`start`, `length`: in bytes of UTF-8."""
        if start is None:
            return PlanError(reason)
        content = self._sql.encode()
        before, fragment = (
            content[:start].decode(errors="ignore"),
            content[start : start + length].decode("utf-8", "ignore"),
        )
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1)
        shown_line = self._sql.split("\n")[line - 1]
        if fragment == ":" and "cannot be read" in reason:
            reason = "a parameter cannot stand bare here; put it in brackets: (:name)"
        return PlanError(f"line {line}: {reason}\n{_underlined(shown_line, column, len(fragment.split(chr(10))[0]))}")

    # -- parameters --------------------------------------------------------------------

    def _check_places(self, sites: list[Site], found: Mapping[int, Wanted]) -> None:
        """What we take for a parameter DuckDB must too, and no more."""
        for place in sorted(found.keys() ^ {site.place for site in sites}):
            raise self._refuse("a parameter is written as :name, with a space before the colon", place, 1)

    def _types(self, sites: list[Site], found: Mapping[int, Wanted]) -> dict[str, str]:
        types: dict[str, str] = {}
        for name in dict.fromkeys(site.name for site in sites):
            own = [found[site.place].kind for site in sites if site.name == name]
            kinds = [kind for kind in own if kind is not None]
            kind = self._declared.get(name) or (kinds[0] if kinds else None)
            place = next(site.place for site in sites if site.name == name)
            if reason := parameters.taken(name):
                raise self._refuse(reason, place, len(name) + 1)
            if any(found[site.place].clause == "ORDER BY" for site in sites if site.name == name):
                raise self._refuse(parameters.no_column(name), place, len(name) + 1)
            if kind is None:
                fits = next((found[site.place].fits for site in sites if site.name == name), None)
                raise self._refuse(parameters.unclear(name, fits), place, len(name) + 1)
            if name not in self._declared and len({other.endswith("[]") for other in kinds}) > 1:
                raise self._refuse(
                    f":{name} is a list in one place and a single value in another", place, len(name) + 1
                )
            types[name] = kind
        for site in sites:
            if reason := self._misfit(site.name, types[site.name], found[site.place]):
                raise self._refuse(reason, site.place, len(site.name) + 1)
        return types

    def _misfit(self, name: str, kind: str, place: Wanted) -> str | None:
        """Why a parameter of this type cannot stand there, where that is known before any row is read."""
        if place.clause in ("LIMIT", "OFFSET") and family(kind) != "int":
            return parameters.no_count(place.clause, name)
        if place.column and common(kind.removesuffix("[]"), place.of) is None:
            return parameters.clash(name, self._settings_of(name), kind, place.column, place.of)
        return None

    def _settings_of(self, name: str) -> str | None:
        settings = self._params.get(name)
        return settings.type if settings is not None else None

    # -- what DuckDB says --------------------------------------------------------------

    def _check_names(self, query: Node) -> None:
        for node in reading.spelled(query).get("select_list", ()):
            if not node.get("alias") and node["class"] not in ("COLUMN_REF", "STAR"):
                raise self._refuse("give this column of the answer a name: … AS name", *reading.place(node))

    def _describe(
        self, inner: str, casts: list["_Inserted"], datasets: tuple[str, ...], types: Mapping[str, str]
    ) -> list[tuple[str, Any]]:
        """(name, DuckDB type) of each column of the answer. Raises PlanError with DuckDB's reason."""
        import duckdb

        self._session.execute("SET errors_as_json = true")
        for name in datasets:
            columns = ", ".join(f"{_quoted(column.name)} {column.type}" for column in self._manifests[name].columns)
            self._session.execute(f"CREATE TEMP TABLE {_quoted(name)} ({columns})")
        values = {name: _dummy(kind) for name, kind in types.items()}
        try:
            described = self._session.execute(f"{_DESCRIBE}{inner}", values).fetchall()
        except (duckdb.Error, RuntimeError) as error:  # what its parser's stack does not hold is a RuntimeError
            reason, start, length = _explain(str(error))
            if start is None:
                raise PlanError(reason) from None
            ends = [_authors_place(casts, place - len(_DESCRIBE)) for place in (start, start + length)]
            raise self._refuse(reason, ends[0], max(1, ends[1] - ends[0])) from None
        finally:
            self._session.execute("SET errors_as_json = false")
        names = [str(name) for name, *_ in described]
        kinds = (self._session.type(str(row[1])) for row in described)  # DuckDBPyType(…) would open a database
        return list(zip(names, kinds, strict=True))

    def _check_answer(self, names: list[str], query: Node) -> None:
        for number, name in enumerate(names):
            if "\0" in name:
                raise PlanError("a column's name cannot hold a NUL character")
            if name in names[:number]:
                listed = reading.spelled(query).get("select_list", [])
                star = next((node for node in listed if node["class"] == "STAR"), None)
                own = [node for node in listed if (node.get("alias") or node.get("column_names", [""])[-1]) == name]
                advice = f"give one another name: … AS {name}_2"
                if star is not None:
                    advice = f"write the columns out instead of *, with AS for those named alike: … AS {name}_2"
                where = reading.place(star or own[-1]) if star or own else (None, 1)
                raise self._refuse(f"two columns of the answer are named {name}; {advice}", *where)

    def _outer(self, inner: str, columns: list[tuple[str, Any]]) -> str:
        """The statement to run: every column in the form of `engine.analysis.shown`, in the order of the rows."""
        labels = [f"c{number}" for number in range(len(columns))]
        values = ", ".join(
            f"{shown.expression(label, kind)} AS v{label[1:]}" for label, (_, kind) in zip(labels, columns, strict=True)
        )
        text = f"SELECT {values}\nFROM (\n{inner}\n) AS answer({', '.join(labels)})"
        reading.check(reading.parse(self._session, text), self._manifests)  # an executor asks the same
        return text


class _Inserted(msgspec.Struct, frozen=True):
    """A parameter's place in the author's text, and how much of another it takes in ours; bytes of UTF-8."""

    place: int
    written: int
    length: int


def _with_casts(
    body: str, sites: list[Site], types: Mapping[str, str], found: Mapping[int, Wanted]
) -> tuple[str, list[_Inserted]]:
    parts, end = [], 0
    casts: list[_Inserted] = []
    for site in sites:
        kind = types[site.name]
        value = f"CAST(${site.name} AS {kind})"
        if kind.endswith("[]") and found[site.place].alone:
            value = f"SELECT unnest({value})"
        parts += [body[end : site.start], value]
        end = site.start + 1 + len(site.name)
        casts.append(_Inserted(site.place, 1 + len(site.name), len(value)))
    return "".join([*parts, body[end:]]), casts


def _authors_place(casts: list[_Inserted], place: int) -> int:
    """A place in the text with casts, in the author's."""
    grown = 0
    for cast in casts:
        if place <= cast.place + grown:
            break
        if place < cast.place + grown + cast.length:
            return cast.place
        grown += cast.length - cast.written
    return place - grown


def _dummy(kind: str) -> Any:
    """A value that any check at bind time takes."""
    if kind.endswith("[]"):
        return [_dummy(kind.removesuffix("[]"))]
    return _DUMMIES.get(kind, "2000-01-01 00:00:00+00" if kind.startswith("TIMESTAMP") else 1)


def _explain(report: str) -> tuple[str, int | None, int]:
    """DuckDB's report, which may be JSON → (a sentence, where it is about, how much of it)."""
    text, start, length = report, None, 1
    if (brace := report.find("{")) >= 0:
        with suppress(msgspec.DecodeError):
            found = msgspec.json.decode(report[brace:], type=dict[str, str])
            text = found.get("exception_message", report)
            if "location" in found:
                start, length = msgspec.json.decode(found["location"], type=tuple[int, int])
    first = _JARGON.sub("", next((line.strip() for line in text.splitlines() if line.strip()), "it cannot be bound"))
    for form, kind in _FORMS.items():
        first = first.replace(form, kind)
    reason = first.rstrip("!. ")
    hint = _HINT.search(text)
    candidates = _QUOTED.findall(hint[1]) if hint else []
    if missing := _MISSING.match(reason):
        reason = f"there is no {missing[1]} {missing[2]!r}"
        candidates = get_close_matches(missing[2], candidates, n=1)
    if candidates:
        reason += f"; did you mean {candidates[0]}?"
    return reason[0].lower() + reason[1:], start, length


def _underlined(line: str, start: int, length: int) -> str:
    stripped = line.lstrip()
    start = max(0, start - (len(line) - len(stripped)))
    return f"    {stripped.rstrip()}\n    {' ' * start}{'^' * max(1, length)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
