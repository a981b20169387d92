"""Mixed precision: networks calculate in 16 bits where that is faster and safe.

Micikevicius et al. 2017, arXiv:1710.03740. Weights, their gradients' sums and batch normalisation
stay in 32 bits. bfloat16 has float32's range; float16 has not, so its losses are scaled.
"""

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The type to calculate in; `auto` takes bfloat16 where the device has it in hardware."""
    if precision != "auto":
        return {
            "float32": torch.float32,
            "bfloat16": torch.bfloat16,
            "float16": torch.float16,
        }[precision]
    return torch.bfloat16 if _has_bfloat16(device) else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return False
