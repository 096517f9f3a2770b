"""What training asks of the machine: memory that stays with the process, and one thread for its small products."""

import ctypes
import sys
from contextlib import contextmanager
from functools import cache
from threading import Lock
from weakref import WeakSet

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
    return ThreadpoolController().select(user_api="blas").lib_controllers


class Held:
    """Who is inside `one_thread` just now, in all threads, and what the first of them found."""

    inside, lock = WeakSet(), Lock()
    found = ()  # pairs (library, how many threads it used)


class Caller:
    """One who asked for one thread; forgotten with the call, also where an interrupt broke that off."""


@contextmanager
def one_thread():
    """`with one_thread():` matrix products use one thread; as before once the last one who asked for it is out.

    The products of a step are small. Two threads gain little on a quiet machine, and on a busy one they wait for
    each other: twenty times slower was seen. With one, a run also comes out the same however many cores there are.
    """
    me = Caller()
    try:  # an interrupt may come between any two lines: what it leaves behind, the next one out makes good
        with Held.lock:
            if not Held.inside:  # what an interrupt left behind in `found` is how it was at first
                Held.found = Held.found or tuple((each, each.get_num_threads()) for each in libraries())
                for library, _ in Held.found:
                    library.set_num_threads(1)
            Held.inside.add(me)
        yield
    finally:
        with Held.lock:
            Held.inside.discard(me)
            if not Held.inside:
                for library, threads in Held.found:
                    library.set_num_threads(threads)
                Held.found = ()
