"""FastAPI and PyTorch as most would write it: nothing protected, logged or remembered."""

from pathlib import Path

import torch
from classify import answer_of, pixels_of
from fastapi import FastAPI, Request
from my_project.training.checkpoint import load_model

torch.set_num_threads(1)  # with a worker for each core, more threads are slower
model = load_model(Path("checkpoints/best.pt"), torch.device("cpu")).eval()
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> dict:
    pixels = torch.from_numpy(pixels_of(await request.body()).copy())
    with torch.inference_mode():
        return answer_of(model(pixels)[0].numpy())
