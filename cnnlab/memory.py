"""Keep the memory that a training step frees for the next step."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for the two settings, see man 3 mallopt
MOST_KEPT = 512 * 1024 * 1024  # bytes of freed memory that stay with the process
LARGEST = 1024 * 1024 * 1024   # bytes; larger arrays still come from the system


def keep_freed_memory() -> bool:
    """Tell glibc not to hand large arrays back to the system; whether it could be told.

    By default each array of more than 128 KB may be mapped anew, and the system fills every page with zeros
    before it can be written to. A step of LeNet-5 on 64 images makes 20 MB of them: a third of its time. The setting holds for
    the whole process and changes no result. Elsewhere than on glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, musl for one
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST)) and bool(mallopt(TRIM_THRESHOLD, MOST_KEPT))
