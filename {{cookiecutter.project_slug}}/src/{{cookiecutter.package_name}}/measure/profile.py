"""Where the time of a training step goes: `make profile`.

Writes to build/profile/: `trace.json` for https://ui.perfetto.dev, and `profile.md`, a table of the
operations.
"""

from itertools import chain, count, islice

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from ..config import load_config
from ..data.dataset import load_info, load_split
from ..files import write_text
from ..models import build_model
from ..paths import BUILD, PREPARED
from ..provenance import describe_hardware
from ..stages._main import run_main
from ..training.device import choose_device
from ..training.loop import set_up, train_loader
from ..training.step import train_step

OUTPUT = BUILD / "profile"
NUM_WARM_UP, NUM_STEPS = 10, 30
NUM_ROWS = 15


def main() -> None:
    """Train for some steps as params.yaml says, and list the operations by their own time."""
    config = load_config()
    device = choose_device(config.train.device)
    torch.manual_seed(config.train.seed)
    model = build_model(config.model, load_info(PREPARED))
    state = set_up(model, config.train, num_steps=NUM_WARM_UP + NUM_STEPS, device=device)
    loader = train_loader(load_split(PREPARED, "train"), config.train, device)
    batches = chain.from_iterable(loader.epoch(number) for number in count(1))
    model.train()
    for images, labels in islice(batches, NUM_WARM_UP):
        train_step(state, images, labels, len(labels))
    is_cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]
    with profile(activities=activities) as profiler:
        for _ in range(NUM_STEPS):
            with record_function("load a batch"):
                images, labels = next(batches)
            train_step(state, images, labels, len(labels))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    profiler.export_chrome_trace(str(OUTPUT / "trace.json"))
    own_time = "self_device_time_total" if is_cuda else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=own_time, row_limit=NUM_ROWS)
    text = (
        "# Where the time of a training step goes\n\n"
        f"{config.model.name}, batches of {config.train.batch_size}, {describe_hardware(device)}; "
        f"{NUM_STEPS} steps under `torch.profiler`\n\n```\n{table}\n```\n"
    )
    write_text(OUTPUT / "profile.md", text)
    print(text, end="")


if __name__ == "__main__":
    run_main(main)
