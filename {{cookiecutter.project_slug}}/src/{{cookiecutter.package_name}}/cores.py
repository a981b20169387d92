"""How many cores this process may use."""

import math
import os
from pathlib import Path

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def num_cores(quota_file: Path = CPU_QUOTA) -> int:
    """Cores that this process may use: those it is pinned to, or fewer if a container has a limit.

    quota_file: of cgroup v2, such as `150000 100000` for one and a half cores, or `max 100000`.
    """
    pinned = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = pinned or 1
    if quota_file.exists():
        quota, period = quota_file.read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return cores
