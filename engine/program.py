"""A program: a plan's generated functions, compiled and bound to open snapshots.

Rule: made aside, whole, before anything is swapped; immutable once made. What depends on
the plan alone is made once (`Compiled`) and shared by the programs of all versions. A
program holds a lease on each snapshot it reads until it is closed.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import Annotated, Any

import msgspec
from isal.isal_zlib import crc32

from engine.codegen import canonical_pattern, generate
from engine.forms.transcode import record
from engine.params import Binder, show
from engine.plan import Fields, Param, ParamKind, Plan, PlanError, Point, Rules
from engine.snapshot import Snapshot, store_fault
from havok.errors import BadParam, DamagedVersion, StoreDown
from havok.keys import INT_BIAS, INT_MAX, INT_MIN, WIDE_BIAS, bounded, escape
from havok.rows import RESIDUE, ROW_BYTES_MAX, unseal

BATCH_BYTES_MAX = ROW_BYTES_MAX  # read for one request: no more memory and time than its longest row may take

# Kinds whose decoded JSON is in key form as it comes; the binder converts the others.
_PLAIN: dict[ParamKind, Any] = {
    "string": str,
    "int": Annotated[int, msgspec.Meta(ge=INT_MIN, le=INT_MAX)],
    "bool": bool,
}


class Compiled:
    """A plan's code, binder and decoders: the slow part of a program, without its data."""

    __slots__ = ("binder", "canonical", "code", "keys", "plain_batch", "plan", "point")

    def __init__(self, plan: Plan, point: Point) -> None:
        """`point`: the look-up to make of the plan. Raises PlanError when the generated code does not compile."""
        self.plan = plan
        self.point = point
        self.binder = Binder(point.params)
        try:
            self.code: CodeType = compile(generate(plan.service, point), f"<plan {plan.service!a}>", "exec")
        except SyntaxError as error:
            raise PlanError(f"service {plan.service}: generated code does not compile: {error}") from None
        pattern = canonical_pattern(point)
        self.canonical = re.compile(pattern.encode()).fullmatch if pattern else None
        self.keys, self.plain_batch = _batch_decoder(point.params)


class Program:
    """`query(text)`, `point(*values)` and `batch(keys)` as `codegen` describes them."""

    __slots__ = (
        "_batch",
        "_keys",
        "_plain_batch",
        "batch_max",
        "binder",
        "closed",
        "plan",
        "point",
        "query",
        "snapshots",
    )

    def __init__(self, compiled: Compiled, snapshots: Mapping[str, Snapshot]) -> None:
        plan = compiled.plan
        self.plan = plan
        self.snapshots = (snapshots[compiled.point.dataset],)
        self.binder = compiled.binder
        self.batch_max = compiled.point.batch_max
        self.closed = False
        namespace = _namespace(compiled, self.snapshots[0])
        exec(compiled.code, namespace)
        self.query: Callable[[bytes], bytes | None] = namespace.get("query", no_such_text)
        self.point: Callable[..., bytes | None] = namespace["point"]
        self._batch: Callable[[Sequence[Any]], bytes] = namespace.get("batch", _no_batch)
        self._keys, self._plain_batch = compiled.keys, compiled.plain_batch
        for snapshot in self.snapshots:
            snapshot.acquire()

    def bind_query(self, text: bytes) -> bytes | None:
        """Any query string → the row's JSON, or None. Raises BadParam."""
        return self.point(*self.binder.from_query(text))

    def bind_object(self, values: Mapping[str, object]) -> bytes | None:
        """A JSON object of parameters → the row's JSON, or None. Raises BadParam."""
        return self.point(*self.binder.from_object(values))

    def bind_batch(self, raw: bytes) -> bytes:
        """The JSON text of `keys` → the JSON array of rows. Raises BadParam."""
        try:
            keys = self._keys.decode(raw)
        except msgspec.ValidationError:
            keys, plain = self._explain(raw), False
        else:
            plain = self._plain_batch
        if len(keys) > self.batch_max:
            raise BadParam("keys", "max_items", f"keys has {len(keys)} items; at most {self.batch_max} in one request")
        if not plain:
            single = len(self.plan.params) == 1
            bound = [
                self.binder.from_array(position, (values,) if single else values)
                for position, values in enumerate(keys)
            ]
            return self._batch([values[0] for values in bound] if single else bound)
        return self._batch(keys)

    def _explain(self, raw: bytes) -> list[Any]:
        """Keys of the wrong shape: untyped, so that the binder names the offending one."""
        keys = msgspec.json.decode(raw)
        if not isinstance(keys, list):
            raise BadParam("keys", "type", "keys must be an array")
        if len(self.plan.params) > 1:
            for position, key in enumerate(keys):
                if not isinstance(key, list):
                    names = ", ".join(param.name for param in self.plan.params)
                    raise BadParam(
                        f"keys[{position}]", "type", f"keys[{position}] must be an array: [{names}], not {show(key)}"
                    )
        return keys

    def fault(self, error: Exception) -> StoreDown | None:
        """What an error of the store means to the caller; None for any other error."""
        return store_fault(error, self.snapshots)

    def close(self) -> None:
        """Gives the leases back. The functions must not be called again."""
        if not self.closed:
            self.closed = True
            for snapshot in self.snapshots:
                snapshot.release()


def no_such_text(_text: bytes) -> bytes | None:
    """For a program whose query strings all go through the binder."""
    return None


def _no_batch(_keys: Sequence[Any]) -> bytes:
    raise AssertionError("a query has no batch")


def _batch_decoder(params: tuple[Param, ...]) -> tuple["msgspec.json.Decoder[list[Any]]", bool]:
    """A decoder typed as the key, and whether what it yields is in key form already."""
    plain = all(param.kind in _PLAIN and param.rules == Rules() for param in params)
    kinds = tuple(_PLAIN.get(param.kind, object) for param in params)
    item: Any = kinds[0] if len(kinds) == 1 else tuple[kinds]  # type: ignore[valid-type]
    return msgspec.json.Decoder(list[item]), plain


def _namespace(compiled: Compiled, snapshot: Snapshot) -> dict[str, Any]:
    point = compiled.point
    namespace: dict[str, Any] = {
        "get": snapshot.get,
        "crc32": crc32,
        "RESIDUE": RESIDUE,
        "BATCH_BYTES_MAX": BATCH_BYTES_MAX,
        "INT_BIAS": INT_BIAS,
        "WIDE_BIAS": WIDE_BIAS,
        "escape": escape,
        "join": b"".join,
        "canonical": compiled.canonical,
        "damaged": lambda: _damaged(snapshot),
        "long_row": _long_row(snapshot),
        "missed": _missed(snapshot),
        "oversized": _oversized,
    }
    for count in range(1, len(point.params) + 1):
        namespace[f"pack{count}"] = struct.Struct(f">{count}Q").pack
    if isinstance(point.output, Fields):
        namespace["project"] = projection(point.output.names)
    return namespace


def _damaged(snapshot: Snapshot) -> StoreDown:
    snapshot.report_damage("a row failed its checksum")
    return StoreDown("the stored row is damaged and was not served")


def _missed(snapshot: Snapshot) -> Callable[[bytes], int]:
    """To be called for a key that has no row: the bytes to count for having looked."""

    def missed(encoding: bytes) -> int:
        try:
            return min(snapshot.check_gap(bounded(encoding)), BATCH_BYTES_MAX)  # a key alone gets its answer
        except DamagedVersion as error:
            snapshot.report_damage(error.detail)
            raise StoreDown("the stored rows are damaged where this one would be") from None

    return missed


def _oversized() -> BadParam:
    detail = f"the rows of keys are longer than {BATCH_BYTES_MAX} bytes together; send fewer keys at a time"
    return BadParam("keys", "max_bytes", detail)


def _long_row(snapshot: Snapshot) -> Callable[[bytes], bytes | None]:
    """Lookup of a key whose encoding is over LMDB's limit: by hash, verified."""

    def long_row(encoding: bytes) -> bytes | None:
        value = snapshot.get(bounded(encoding))
        if value is None:
            return None
        try:
            return unseal(encoding, value)
        except DamagedVersion:
            raise _damaged(snapshot) from None

    return long_row


def projection(names: Sequence[str]) -> Callable[[bytes], bytes]:
    """Row JSON → JSON of some fields, each value's bytes as stored (`msgspec.Raw`)."""
    encode = msgspec.json.Encoder().encode
    struct_type = record("Projection", [(name, msgspec.Raw) for name in names])
    if struct_type is None:
        decode_all = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

        def project(row: bytes) -> bytes:
            values = decode_all(row)
            return encode({name: values[name] for name in names})

        return project
    decode = msgspec.json.Decoder(struct_type).decode
    return lambda row: encode(decode(row))
