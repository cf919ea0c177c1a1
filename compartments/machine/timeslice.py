"""How soon a process that wakes has its turn: the length of its slice, sched_setattr(2).

Rule: since Linux 6.12 the fair scheduler lets a process that asks for a shorter slice begin before the slice of
another has ended; its share of the core is the same. No privilege is needed. Elsewhere nothing happens.
"""

import ctypes
import os
import platform
import struct

_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period
_NORMAL, _BATCH = 0, 3  # the policies whose runtime is a slice
_NUMBERS = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}  # of the system calls: set, get
_libc = ctypes.CDLL(None, use_errno=True)


def set_slice(pid: int, slice_ns: int) -> None:
    """Of its main thread, which runs the loop; Linux takes 0.1 to 100 ms. Raises OSError, ProcessLookupError."""
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None:
        return
    setting, getting = numbers
    held = ctypes.create_string_buffer(_ATTRIBUTES.size)
    _call(getting, pid, held, _ATTRIBUTES.size, 0)
    size, policy, flags, nice, priority, _, deadline, period = _ATTRIBUTES.unpack(held.raw)
    if policy in (_NORMAL, _BATCH):
        changed = _ATTRIBUTES.pack(size, policy, flags, nice, priority, slice_ns, deadline, period)
        _call(setting, pid, changed, 0)


def get_slice(pid: int) -> int:
    """ns; 0 where the kernel has none or does not tell. Raises OSError, ProcessLookupError."""
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None:
        return 0
    held = ctypes.create_string_buffer(_ATTRIBUTES.size)
    _call(numbers[1], pid, held, _ATTRIBUTES.size, 0)
    runtime: int = _ATTRIBUTES.unpack(held.raw)[5]
    return runtime


def _call(number: int, *arguments: object) -> None:
    if _libc.syscall(number, *arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
