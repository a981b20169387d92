// The service's page: predictions from its API, an API key where it wants one, and feedback.

import { $, element, install, percent, setStatus, showFacts, showModel, showSamples } from "./ui.js";

let shown = null; // the id of the prediction on the page

async function connect() {
  const answer = await request("v1/model").catch((error) => ({ error }));
  setStatus(answer.error ? "down" : "ready", answer.error ? answer.error.message : "ready");
  $("key").hidden = answer.error?.status !== 401;
  if (answer.error) return $("key").hidden && setTimeout(connect, 3000);
  showModel(answer);
  $("classes").replaceChildren(...answer.classes.map((label) => element("option", {}, label)));
  showMetrics(answer.metrics);
  showFacts($("model"), {
    Architecture: answer.name,
    Trained: `${new Date(answer.created).toLocaleString()} on ${answer.hardware}`,
    Commit: answer.commit,
    Data: answer.data_hash,
    "SHA-256": answer.sha256,
  });
  showSamples(await request("v1/samples"));
}

function showMetrics(metrics) {
  const tiles = [
    ["Accuracy", metrics.accuracy, metrics.accuracy_ci95],
    ["Macro F1", metrics.f1_macro, metrics.f1_macro_ci95],
    ["Baseline accuracy", metrics.baseline?.accuracy],
    ["Calibration error", metrics.ece],
  ].filter(([, value]) => value !== undefined);
  $("metrics").replaceChildren(...tiles.map(([name, value, interval]) => {
    const range = interval ? `${interval.map((end) => (100 * end).toFixed(1)).join(" to ")} (95 %)` : "";
    return element("div", {}, element("dt", {}, name), element("dd", {}, percent(value), element("small", {}, range)));
  }));
}

async function request(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const response = await fetch(path, { ...options, headers });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.detail), { status: response.status });
  return body;
}

async function classify(blob) {
  const start = performance.now();
  const { id, probabilities, latency_ms } = await request("v1/predict?keep_image=true", {
    method: "POST",
    body: blob,
    headers: { "Content-Type": blob.type },
  });
  const latency = {
    Decoding: latency_ms.decode,
    Inference: latency_ms.inference,
    "Round trip": performance.now() - start,
  };
  return { id, probabilities, latency };
}

function askForFeedback({ id, probabilities }) {
  shown = id;
  $("classes").value = probabilities[1].label;
  $("feedback").hidden = $("wrong").hidden = false;
  $("truth").hidden = $("send").hidden = true;
  $("thanks").textContent = "";
}

async function sendFeedback(event) {
  event.preventDefault();
  const answer = await request("v1/feedback", {
    method: "POST",
    body: JSON.stringify({ prediction_id: shown, label: $("classes").value }),
    headers: { "Content-Type": "application/json" },
  }).catch((error) => ({ error }));
  $("truth").hidden = $("send").hidden = true;
  $("thanks").textContent = answer.error ? answer.error.message : "Thank you: stored for the next training.";
}

$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  connect();
});
$("bars").after($("feedback"));
$("feedback").addEventListener("submit", sendFeedback);
$("wrong").addEventListener("click", () => {
  $("wrong").hidden = true;
  $("truth").hidden = $("send").hidden = false;
  $("classes").focus();
});
install({ classify, shown: askForFeedback, cleared: () => { $("feedback").hidden = true; } });
connect();
