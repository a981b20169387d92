"""FastAPI and ONNX Runtime as most would write it: nothing protected, logged or remembered."""

import onnxruntime
from classify import answer_of, pixels_of
from fastapi import FastAPI, Request

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1  # with a worker for each core, more threads are slower
session = onnxruntime.InferenceSession("model/model.onnx", options)
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> dict:
    pixels = pixels_of(await request.body())
    return answer_of(session.run(None, {session.get_inputs()[0].name: pixels})[0][0])


@app.post("/constant")
async def constant(request: Request) -> dict:
    """The same server with nothing to do: as fast as it can be."""
    await request.body()
    return {"label": "a", "probabilities": [0.1] * 10}
