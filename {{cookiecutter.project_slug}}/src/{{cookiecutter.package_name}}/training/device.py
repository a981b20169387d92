"""Where training runs."""

import torch
from torch import Tensor

from ..errors import UserError


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` takes a GPU where there is one.

    Raises:
        UserError: the machine, or this build of PyTorch, does not have it.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device(next(kind for kind, is_there in available.items() if is_there))
    if not available[name]:
        raise UserError(f"train.device = {name!r}: not available here; auto picks one that is")
    return torch.device(name)


def get_random_state(device: torch.device) -> Tensor:
    """Where the random numbers of a device are; dropout draws from them."""
    module = torch if device.type == "cpu" else torch.get_device_module(device)
    state: Tensor = module.get_rng_state()
    return state


def set_random_state(device: torch.device, state: Tensor) -> None:
    """Go back to where `get_random_state` was called."""
    module = torch if device.type == "cpu" else torch.get_device_module(device)
    module.set_rng_state(state)
