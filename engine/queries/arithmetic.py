"""What generated code calculates with: operators that Python has otherwise.

Rule: pure, and equal to DuckDB 2 to the letter, its errors included. No operand is None.
"""

import math
import operator
from collections.abc import Callable
from decimal import Context, Decimal
from typing import NoReturn

from engine.sqltype import INTEGERS, width_and_scale
from havok.errors import QueryFailed

EXACT = Context(prec=77, Emax=10_000, Emin=-10_000)  # two factors of 38 digits


def out_of_range(kind: str) -> NoReturn:
    raise QueryFailed(f"a result does not fit {kind}; cast an operand to a wider type")


def fit_integer(value: int, kind: str) -> int:
    low, high = INTEGERS[kind]
    return value if low <= value <= high else out_of_range(kind)


def fit_decimal(value: Decimal, kind: str) -> Decimal:
    """Within the width; the scale is right already."""
    if not value:
        return value.copy_abs()  # there is no negative zero
    width, scale = width_and_scale(kind)
    return value if value.adjusted() < width - scale else out_of_range(kind)


def ratio(left: float, right: float) -> float:
    """`/` of DOUBLEs: infinity or NaN by zero."""
    if right:
        return left / right
    if left != left or left == 0:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def integer_quotient(left: int, right: int) -> int:
    """`//`, towards zero."""
    if not right:
        raise QueryFailed("division by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def integer_remainder(left: int, right: int) -> int:
    """`%`, with the sign of the dividend."""
    if not right:
        raise QueryFailed("division by zero")
    return left - right * integer_quotient(left, right)


def double_remainder(left: float, right: float) -> float:
    if not right or math.isinf(left) or left != left or right != right:
        return math.nan
    return math.fmod(left, right)


def wide_remainder(left: float, right: float) -> float:
    """`%` of two DECIMALs that no DECIMAL holds both of: of DOUBLEs, but for the zero."""
    if not right:
        raise QueryFailed("division by zero")
    return double_remainder(left, right)


def decimal_remainder(left: Decimal, right: Decimal) -> Decimal:
    if not right:
        raise QueryFailed("division by zero")
    return EXACT.remainder(left, right)


def compare(op: str) -> Callable[[float, float], bool]:
    """A comparison of DOUBLEs in which NaN equals itself and is above all else."""
    plain = getattr(operator, op)

    def key(value: float) -> tuple[bool, float]:
        return (True, 0.0) if value != value else (False, value)

    return lambda left, right: bool(plain(key(left), key(right)))
