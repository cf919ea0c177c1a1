"""How soon a process that wakes has its turn: the length of its slice, sched_setattr(2).

Rule: since Linux 6.12 the fair scheduler lets a process that asks for a shorter slice begin before the slice of
another has ended; its share of the core is the same. No privilege is needed. Elsewhere nothing happens.
"""

import ctypes
import errno
import os
import platform
import struct

_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period
_RESET_ON_FORK = 1  # a flag: what the process starts has the kernel's own slice again
_UNKNOWN = (errno.ENOSYS, errno.EPERM, errno.EINVAL)  # no such call here, or not for us
_NORMAL, _BATCH = 0, 3  # the policies whose runtime is a slice
_NUMBERS = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}  # of the system calls: set, get
_libc = ctypes.CDLL(None, use_errno=True)


def set_slice(pid: int, slice_ns: int) -> None:
    """Of its main thread, which runs the loop; Linux takes 0.1 to 100 ms. Raises OSError, ProcessLookupError."""
    numbers = _NUMBERS.get(platform.machine())
    held = _attributes(pid)
    if numbers is None or held is None:
        return
    size, policy, flags, nice, priority, _, deadline, period = held
    if policy in (_NORMAL, _BATCH):
        flags |= _RESET_ON_FORK
        changed = _ATTRIBUTES.pack(size, policy, flags, nice, priority, slice_ns, deadline, period)
        _call(numbers[0], pid, changed, 0)


def get_slice(pid: int) -> int:
    """ns; 0 where the kernel has none or does not tell. Raises OSError, ProcessLookupError."""
    held = _attributes(pid)
    return 0 if held is None else held[5]


def _attributes(pid: int) -> tuple[int, ...] | None:
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None:
        return None
    held = ctypes.create_string_buffer(_ATTRIBUTES.size)
    return _ATTRIBUTES.unpack(held.raw) if _call(numbers[1], pid, held, _ATTRIBUTES.size, 0) else None


def _call(number: int, *arguments: object) -> bool:
    """False where it cannot be had."""
    if _libc.syscall(number, *arguments) >= 0:
        return True
    code = ctypes.get_errno()
    if code in _UNKNOWN:
        return False
    raise OSError(code, os.strerror(code))
