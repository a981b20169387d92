"""ONNX Runtime with nothing around it: images a second, on one thread and on all cores."""

import json
import os
import threading
import time

import numpy as np
import onnxruntime

SECONDS = 3
BATCH_SIZE = 16


def pictures_per_second(num_threads: int) -> float:
    """As many sessions as threads, each of one thread, as workers have them."""
    counts = [0] * num_threads

    def work(number: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession("model/model.onnx", options)
        source = session.get_inputs()[0]
        pixels = np.zeros((BATCH_SIZE, *source.shape[1:]), np.uint8)
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            session.run(None, {source.name: pixels})
            counts[number] += BATCH_SIZE

    threads = [threading.Thread(target=work, args=(number,)) for number in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / SECONDS


if __name__ == "__main__":
    cores = os.cpu_count() or 1
    print(json.dumps({str(n): pictures_per_second(n) for n in (1, cores)}))
