"""Memory that a training step frees and the next one asks for again."""

import ctypes
import sys

# Of glibc's malloc.h and mallopt(3): from which size on a block is fetched from the kernel by
# itself (32 MiB is the most that can be set), and from how much free memory on it goes back.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 32 * 2**20
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, where its C library is glibc.

    A network's activations take megabytes, which glibc gives back to the kernel after use. In the
    next step it gets them again page by page, each zeroed: up to half of a step's time on a CPU.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(M_TRIM_THRESHOLD, LARGEST_INT)
