"""Where training runs, and in which floating-point type networks calculate there."""

import torch

from ..config import Precision
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
        return torch.device("cuda" if available["cuda"] else "mps" if available["mps"] else "cpu")
    if not available[name]:
        raise UserError(f"train.device = {name!r}: not available here; auto picks one that is")
    return torch.device(name)


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type for mixed precision (Micikevicius et al. 2017, arXiv:1710.03740).

    Weights, their gradients and batch normalisation stay in float32. `auto` takes bfloat16 where
    the device has it in hardware; emulated, it is slower than float32.
    """
    if precision != "auto":
        dtype: torch.dtype = getattr(torch, precision)
        return dtype
    return torch.bfloat16 if _has_bfloat16(device) else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return False
