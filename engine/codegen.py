"""Plan → the Python source of its functions; nothing is interpreted at request time.

Rule: text in, text out. Each part of a plan (parameters, access path, output) has one
emitter, so that another front or access path adds an emitter, not a second generator.
Values never become source text: what the code needs is in its namespace (`program`). Of
names, which come with the data, only ASCII identifiers do, and those behind `p_`, so that
none can clash with the namespace; in the comment at the top the others stand escaped.

A query that is no more than a look-up has one too: its answer is a list of one row or none.

The generated module has
    query(text)   canonical query string → the row's JSON; b"" no such row;
                  None when the text is not canonical (escapes, other order, defaults):
                  the caller then goes through the binder, which also words the errors
    point(...)    bound values in key form → the row's JSON, or None
    batch(keys)   rows of a batch, in order → a JSON array with null for the missing;
                  raises BadParam when they are too many bytes
"""

import textwrap

from engine.plan import Fields, Param, Point, Rules
from havok.keys import KEY_BYTES_MAX

LINE_MAX = 100  # characters, for whoever reads `havok plan --code`

# Printable ASCII without % & + (escapes and separators) and # (never in a target).
_TEXT = r"([!\"$'-*,-~]*)"
_CANONICAL = {
    "string": _TEXT,
    "int": r"(-?[0-9]{1,18})",
    "uint": r"([0-9]{1,19})",
    "wide": r"(-?[0-9]{1,38})",
    "bool": r"(true|false)",
}
_FIXED_BIAS = {"int": " + INT_BIAS", "date": " + INT_BIAS", "timestamp": " + INT_BIAS", "uint": ""}


def generate(service: str, point: Point) -> str:
    """The whole module, formatted to be read by a person."""
    names = _argument_names(point.params)
    key = ", ".join(_shown(param.name) for param in point.params)
    output = "the whole row"
    if isinstance(point.output, Fields):
        output = f"fields {', '.join(_shown(name) for name in point.output.names)}"
    batch = "" if point.listed else f", {point.batch_max} in a batch"
    blocks = [
        _comment(
            f"Service {_shown(service)}: {output} of {_shown(point.dataset)}.",
            f"Access path: point lookup by key ({key}); at most 1 row read{batch}.",
        )
    ]
    if _is_canonical(point):
        blocks.append(_query_function(point, names))
    blocks.append(_point_function(point, names))
    if not point.listed:
        blocks.append(_batch_function(point, names))
    return "\n\n\n".join(blocks) + "\n"


def canonical_pattern(access: Point) -> str | None:
    """Regular expression of a query string with every parameter in key order, plain."""
    if not _is_canonical(access):
        return None
    return "&".join(f"{param.name}={_CANONICAL[param.kind]}" for param in access.params)


def _shown(name: str) -> str:
    """A name as it is when it is plain, else as an escaped literal: one line, ASCII."""
    return name if name.isascii() and name.replace("-", "_").isidentifier() else ascii(name)


def _comment(*paragraphs: str) -> str:
    lines = [line for text in paragraphs for line in textwrap.wrap(text, LINE_MAX - 2, break_on_hyphens=False)]
    return "\n".join(f"# {line}" for line in lines)


def _is_canonical(access: Point) -> bool:
    """Rules are the binder's; a name that is an ASCII identifier needs no escaping anywhere."""
    return all(
        param.kind in _CANONICAL and param.rules == Rules() and param.name.isidentifier() and param.name.isascii()
        for param in access.params
    )


def _argument_names(params: tuple[Param, ...]) -> list[str]:
    """Column names where they can be Python names of ours, else a number."""
    return [
        f"p_{param.name}" if param.name.isidentifier() and param.name.isascii() else f"p_{number}"
        for number, param in enumerate(params)
    ]


def _key_parts(params: tuple[Param, ...], values: list[str], *, raw: bool) -> list[str]:
    """One expression per run of the key. `raw`: values are the bytes of a canonical query.

    Neighbouring 64-bit numbers are packed by one call: `pack2(a + INT_BIAS, b + INT_BIAS)`.
    """
    parts: list[str] = []
    numbers: list[str] = []

    def flush() -> None:
        if numbers:
            parts.append(f"pack{len(numbers)}({', '.join(numbers)})")
            numbers.clear()

    for param, value in zip(params, values, strict=True):
        if param.kind in _FIXED_BIAS:
            number = f"int({value})" if raw else value
            numbers.append(number + _FIXED_BIAS[param.kind])
            continue
        flush()
        if param.kind == "string":
            parts += [value, 'b"\\0"'] if raw else [f"escape({value}.encode())", 'b"\\0"']
        elif param.kind == "wide":
            number = f"int({value})" if raw else value
            parts.append(f'({number} + WIDE_BIAS).to_bytes(16, "big")')
        else:
            test = f'{value} == b"true"' if raw else value
            parts.append(f'(b"\\1" if {test} else b"\\0")')
    flush()
    return parts


def _broken(indent: str, start: str, items: list[str], end: str) -> list[str]:
    """`start` items `end` on one line, or, where that is too long, one item a line."""
    line = f"{indent}{start}{', '.join(items)}{end}"
    if len(line) <= LINE_MAX:
        return [line]
    inner = []
    for item in items:
        call, bracket, rest = item.partition("(")
        if len(indent) + len(item) + 5 > LINE_MAX and call.startswith("pack"):
            inner += _broken(f"{indent}    ", call + bracket, rest[:-1].split(", "), "),")
        else:
            inner.append(f"{indent}    {item},")
    return [indent + start, *inner, indent + end]


def _unpacking(indent: str, start: str, names: list[str], end: str) -> list[str]:
    line = f"{indent}{start}{', '.join(names)}{end}"
    return [line] if len(line) <= LINE_MAX or len(names) == 1 else _broken(indent, f"{start}(", names, f"){end}")


def _key_lines(indent: str, parts: list[str]) -> list[str]:
    """The statement that makes `key`."""
    line = f"{indent}key = {' + '.join(parts)}"
    if len(parts) <= 2 and len(line) <= LINE_MAX:
        return [line]
    return _broken(indent, "key = join((", parts, "))")


def _fetch(indent: str) -> list[str]:
    """Key → `row`, checked, or None. A CRC that fails never reaches a caller."""
    lines = [
        f"if len(key) > {KEY_BYTES_MAX}:",
        "    row = long_row(key)",
        "else:",
        "    value = get(key)",
        "    if value is None:",
        "        row = None",
        "    elif crc32(value, crc32(key)) != RESIDUE:",
        "        raise damaged()",
        "    else:",
        "        row = value[:-4]",
    ]
    return [indent + line for line in lines]


def _answer(point: Point, *, miss: str) -> list[str]:
    found = _output(point)
    if point.listed:
        miss, found = 'b"[]"', f'b"[%b]" % {found}'
    return ["    if row is None:", "        missed(key)", f"        return {miss}", f"    return {found}"]


def _output(point: Point) -> str:
    return "project(row)" if isinstance(point.output, Fields) else "row"


def _query_function(point: Point, names: list[str]) -> str:
    parts = _key_parts(point.params, names, raw=True)
    unpack = [f"    {names[0]} = match[1]"] if len(names) == 1 else _unpacking("    ", "", names, " = match.groups()")
    match = [
        "    match = canonical(text)",
        "    if match is None:",
        "        return None",
        *unpack,
    ]
    if len(names) == 1 and point.params[0].kind == "string":
        match = _letters_first(point.params[0].name, names[0], match)
    lines = [
        "def query(text):",
        *match,
        *_key_lines("    ", parts),
        *_fetch("    "),
        *_answer(point, miss='b""'),
    ]
    return "\n".join(lines)


def _letters_first(param: str, argument: str, match: list[str]) -> list[str]:
    """One text of letters and digits needs no pattern: an eighth of a lookup's time saved."""
    prefix = f"{param}="
    return [
        f"    {argument} = text[{len(prefix)}:]",
        f'    if text[:{len(prefix)}] != b"{prefix}" or not {argument}.isalnum():',
        *("    " + line for line in match),
    ]


def _point_function(point: Point, names: list[str]) -> str:
    parts = _key_parts(point.params, names, raw=False)
    lines = [
        *_broken("", "def point(", names, "):"),
        *_key_lines("    ", parts),
        *_fetch("    "),
        *_answer(point, miss="None"),
    ]
    return "\n".join(lines)


def _batch_function(point: Point, names: list[str]) -> str:
    params = point.params
    parts = _key_parts(params, names, raw=False)
    loop = _unpacking("    ", "for ", names, " in keys:")
    lines = [
        "def batch(keys):",
        "    rows = []",
        "    add = rows.append",
        "    room = BATCH_BYTES_MAX",
        *loop,
        *_key_lines("        ", parts),
        *_fetch("        "),
        "        if row is None:",
        "            room -= missed(key)",
        '            add(b"null")',
        "        else:",
        "            room -= len(row)",
        f"            add({_output(point)})",
        "        if room < 0:",
        "            raise oversized()",
        '    return b"[%b]" % b",".join(rows)',
    ]
    return "\n".join(lines)
