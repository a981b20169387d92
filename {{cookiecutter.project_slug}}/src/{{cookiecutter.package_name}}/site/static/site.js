// The site: the model runs here, in the visitor's browser, and nothing is sent anywhere.

import * as ort from "../runtime/ort.wasm.min.mjs";
import { decodeImage } from "./pixels.js";
import { $, install, setStatus, showModel, showSamples } from "./ui.js";

const RUNTIME = "runtime/ort-wasm-simd-threaded";

let model = null;
let session = null;

async function start() {
  const [described, samples] = await Promise.all(
    ["model/metadata.json", "model/samples.json"].map(async (url) => (await fetch(url)).json()),
  );
  model = described;
  showModel(model);
  showSamples(samples);
  const [runtime, file] = await receive([`${RUNTIME}.wasm`, "model/model.onnx"]);
  ort.env.wasm.numThreads = 1; // more of them need headers that static hosts do not send
  ort.env.wasm.wasmPaths = { mjs: new URL(`${RUNTIME}.mjs`, document.baseURI).href };
  ort.env.wasm.wasmBinary = runtime;
  session = await ort.InferenceSession.create(file, { logSeverityLevel: 3 });
  $("progress").hidden = true;
  setStatus("ready", "ready");
}

// Get files, and show how much of them has arrived.
function receive(urls) {
  const progress = $("progress");
  // What a server compresses arrives as more bytes than it says; sizes are the builder's.
  progress.max = Number(progress.dataset.bytes);
  return Promise.all(urls.map(async (url) => {
    const response = await fetch(url);
    const parts = [];
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
      parts.push(value);
      progress.value += value.length;
    }
  }));
}

// The answer to an image: probabilities, the largest first, and how long it took in milliseconds.
export async function classify(blob) {
  await started;
  const start = performance.now();
  const pixels = await decodeImage(blob, model.image);
  const decoded = performance.now();
  const { channels, height, width } = model.image;
  const input = new ort.Tensor("uint8", pixels, [1, channels, height, width]);
  const { logits } = await session.run({ pixels: input });
  const end = performance.now();
  const probabilities = softmax(Array.from(logits.data))
    .map((probability, i) => ({ label: model.classes[i], probability }))
    .sort((a, b) => b.probability - a.probability);
  return { probabilities, pixels, latency: { Decoding: decoded - start, Inference: end - decoded } };
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}

// Exactly what the model got.
function showPixels({ pixels }) {
  const { channels, height, width } = model.image;
  const canvas = Object.assign($("seen"), { width, height });
  const size = width * height;
  const rgba = new Uint8ClampedArray(4 * size).fill(255);
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = pixels[channels === 1 ? i : c * size + i];
  }
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

install({ classify, shown: showPixels, cleared: () => {} });
const started = start();
started.catch((error) => setStatus("down", `the model could not be loaded: ${error.message}`));
