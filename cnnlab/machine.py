"""What training asks of the machine: memory that stays with the process, and one thread for its small products."""

import ctypes
import sys
from contextlib import contextmanager
from functools import cache
from threading import Lock

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for the two settings, see man 3 mallopt
MOST_KEPT = 512 * 1024 * 1024  # bytes of freed memory that stay with the process
LARGEST = 1024 * 1024 * 1024   # bytes; larger arrays still come from the system


def keep_freed_memory() -> bool:
    """Tell glibc not to hand large arrays back to the system; whether it could be told.

    By default an array of more than 128 KB may be mapped anew, and the system fills every page with zeros before
    it can be written to. A step of LeNet-5 on 64 images makes 20 MB of them: a third of its time. The setting
    holds for the whole process and changes no result. Elsewhere than on glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, musl for one
        return False
    told = [mallopt(MMAP_THRESHOLD, LARGEST), mallopt(TRIM_THRESHOLD, MOST_KEPT)]
    return all(told)


@cache
def libraries():
    """The libraries of this process that multiply matrices; looking for them takes 15 ms, so it is done once."""
    from threadpoolctl import ThreadpoolController  # here, so that `import cnnlab` needs NumPy alone
    return ThreadpoolController()


class Held:
    """How many are inside `one_thread` just now, in all threads, and what the first of them found."""

    inside, limit, lock = 0, None, Lock()


@contextmanager
def one_thread():
    """`with one_thread():` matrix products use one thread; as before once the last one who asked for it is out.

    The products of a step are small. Two threads gain little on a quiet machine, and on a busy one they wait for
    each other: twenty times slower was seen. With one, a run also comes out the same however many cores there are.
    """
    with Held.lock:
        if not Held.inside:
            Held.limit = libraries().limit(limits=1, user_api="blas")
        Held.inside += 1
    try:
        yield
    finally:
        with Held.lock:
            Held.inside -= 1
            if not Held.inside:
                Held.limit.restore_original_limits()
