"""Logits of a whole split, batch by batch."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn


@torch.inference_mode()
def predict_logits(
    model: nn.Module, images: npt.NDArray[np.uint8], batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """Logits (N, num_classes) of pixels (N, C, H, W), computed on the model's device."""
    device = next((weights.device for weights in model.parameters()), torch.device("cpu"))
    model.eval()
    batches = [
        model(torch.from_numpy(np.array(images[start : start + batch_size])).to(device)).cpu()
        for start in range(0, len(images), batch_size)
    ]
    logits: npt.NDArray[np.float32] = torch.cat(batches).float().numpy()
    return logits
