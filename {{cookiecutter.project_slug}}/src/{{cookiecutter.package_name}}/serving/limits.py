"""How many requests an API key may send."""

import mmap
import time
from pathlib import Path

from .keys import ApiKey

NUM_SLOTS = 2**20  # so many that two keys hardly ever share one
ROUNDING_SECONDS = 1e-6


class RateLimiter:
    """The generic cell rate algorithm (ITU-T I.371): a burst of one second's requests, then a rate.

    All it keeps of a key is the time at which its quota would be whole again. These times are in
    memory that all workers map. Two workers that look at one in the same moment may let a request
    too many through; a lock would cost every request more than that is worth.

    Args:
        file: what the workers map, made if there is none; None for a single worker.
    """

    def __init__(self, file: Path | None) -> None:
        size = 8 * NUM_SLOTS
        if file is None:
            shared = mmap.mmap(-1, size)
        else:
            with file.open("a+b") as opened:
                opened.truncate(size)
                shared = mmap.mmap(opened.fileno(), size)
        self._whole_at = memoryview(shared).cast("d")  # on the monotonic clock, in seconds

    def consume(self, key: ApiKey) -> float:
        """Consume quota; return seconds to wait, or 0."""
        slot = int(key.sha256[:8], 16) % NUM_SLOTS
        now = time.monotonic()
        whole_at = max(self._whole_at[slot], now)
        interval = 1 / key.rate
        ahead = max(0.0, 1 - interval)  # seconds: a burst may take the requests of one second
        wait = whole_at - now - ahead
        if wait > ROUNDING_SECONDS:
            return wait
        self._whole_at[slot] = whole_at + interval
        return 0.0
