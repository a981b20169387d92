"""One thin module per DVC stage: read files, call the library, write files."""

import os

# PyTorch's threads wait for each other asleep. By default they spin, and where another program
# keeps a core busy, a training step takes many times as long. OpenMP reads this as torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
