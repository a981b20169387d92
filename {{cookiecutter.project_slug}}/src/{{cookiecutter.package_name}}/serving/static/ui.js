// What the service's page and the site have in common: where images come from, and what is shown.

import { Pad } from "./pad.js";

const MAX_BARS = 10;
const DRAWABLE_SIDE = 64; // larger grey images are photographs rather than drawings
const FORMATS = ["image/png", "image/jpeg", "image/webp"];

export const $ = (id) => document.getElementById(id);
export const percent = (value) => `${(100 * value).toFixed(1)} %`;

let model = null;
let newest = 0; // answers may overtake each other; only the newest one is shown
let page = null;
const pad = new Pad($("pad"), drawn);

// The page's own part:
//   classify(blob)     a promise of probabilities, the largest first, and latency by its name in ms
//   shown(prediction)  after a prediction has been shown
//   cleared()          after it has been taken away
export function install(own) {
  page = own;
}

export function setStatus(kind, text) {
  $("status").className = `status ${kind}`;
  $("status").textContent = kind === "down" ? "not ready" : text;
  $("status").title = text;
}

// described: classes, and channels, height and width of the model's images
export function showModel(described) {
  model = described;
  const { channels, width, height } = model.image;
  const drawable = channels === 1 && Math.max(width, height) <= DRAWABLE_SIDE;
  $("stage").classList.toggle("drawable", drawable);
  $("pad").hidden = $("undo").hidden = !drawable;
  $("hint").textContent = drawable ? "Draw here, or drop an image" : "Drop an image here";
  $("resolution").textContent = `${width} × ${height}, ${channels === 1 ? "grey" : "colour"}`;
  $("tagline").textContent = `Classifies images into ${model.classes.length} classes: ${listed(model.classes)}.`;
  showBars(model.classes.map((label) => ({ label, probability: 0 })));
}

// samples: label and PNG in base64 of images to try
export function showSamples(samples) {
  $("samples").replaceChildren(...samples.map(({ label, png }) => {
    const blob = fromBase64(png);
    const image = element("img", { src: URL.createObjectURL(blob), alt: `A test image: ${label}` });
    const button = element("button", { type: "button", title: label }, image);
    button.addEventListener("click", () => picked(blob));
    return button;
  }));
}

export function showFacts(list, facts) {
  list.replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

export function element(name, properties = {}, ...children) {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
}

function fromBase64(png) {
  return new Blob([Uint8Array.from(atob(png), (byte) => byte.charCodeAt(0))], { type: "image/png" });
}

function listed(classes) {
  const shown = classes.slice(0, 10).join(", ");
  return classes.length > 10 ? `${shown} …` : shown;
}

// --- a prediction ---

async function classify(blob) {
  const number = ++newest;
  $("error").hidden = true;
  const answer = await page.classify(blob).catch((error) => ({ error }));
  if (number !== newest) return;
  if (answer.error) return showError(answer.error.message);
  showPrediction(answer);
}

function showPrediction(prediction) {
  const best = prediction.probabilities[0];
  $("answer").classList.remove("empty");
  $("label").textContent = best.label;
  $("label").parentElement.classList.toggle("long", best.label.length > 12);
  $("confidence").textContent = `${percent(best.probability)} sure`;
  showBars(prediction.probabilities);
  const latency = Object.entries(prediction.latency);
  showFacts($("latency"), Object.fromEntries(latency.map(([name, ms]) => [name, `${ms.toFixed(2)} ms`])));
  page.shown(prediction);
}

function showError(message) {
  reset();
  $("confidence").textContent = "";
  $("error").textContent = message[0].toUpperCase() + message.slice(1);
  $("error").hidden = false;
}

function reset() {
  newest++;
  page.cleared();
  $("answer").classList.add("empty");
  $("label").textContent = "–";
  $("confidence").textContent = "nothing to classify yet";
  $("error").hidden = true;
  $("latency").replaceChildren();
  if (model) showBars(model.classes.map((label) => ({ label, probability: 0 })));
}

// Few classes keep their places, so that one sees the bars move; of many, the most probable are shown.
function showBars(ranking) {
  const best = ranking[0].probability > 0 ? ranking[0].label : null;
  const places = new Map(model.classes.map((label, index) => [label, index]));
  const shown = ranking.slice(0, MAX_BARS);
  if (ranking.length <= MAX_BARS) shown.sort((a, b) => places.get(a.label) - places.get(b.label));
  const bars = $("bars");
  while (bars.children.length < shown.length) bars.append(newBar());
  shown.forEach(({ label, probability }, index) => {
    const bar = bars.children[index];
    const [name, track, value] = bar.children;
    name.textContent = label;
    track.firstChild.style.width = percent(probability).replace(" ", "");
    value.textContent = best === null ? "" : percent(probability);
    bar.classList.toggle("best", label === best);
  });
}

function newBar() {
  const fill = element("div", { className: "fill" });
  return element("li", {}, element("span"), element("div", { className: "track" }, fill), element("span", { className: "value" }));
}

// --- where images come from ---

async function drawn() {
  if (pad.isEmpty) return clear();
  const { width, height } = model.image;
  const drawing = pad.render(width * 8, height * 8);
  showSeen(drawing, drawing.width, drawing.height);
  // toBlob() waits for the browser to be idle, which on a busy machine takes seconds.
  classify(fromBase64(drawing.toDataURL("image/png").split(",")[1]));
}

async function picked(file) {
  if (!file || !model) return;
  clear();
  $("hint").hidden = true;
  if (!FORMATS.includes(file.type)) return showError("choose a PNG, JPEG or WebP image");
  const image = $("image");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  image.hidden = false;
  classify(file);
  await image.decode().then(
    () => {
      $("stage").classList.toggle("pixelated", image.naturalWidth < 100);
      showSeen(image, image.naturalWidth, image.naturalHeight);
    },
    () => { image.hidden = true; }, // not an image: the answer says so
  );
}

// Show the centre of an image at the model's resolution, cropped as the service does it.
function showSeen(source, sourceWidth, sourceHeight) {
  const { channels, width, height } = model.image;
  const scale = Math.min(sourceWidth / width, sourceHeight / height);
  const crop = [(sourceWidth - width * scale) / 2, (sourceHeight - height * scale) / 2];
  const canvas = Object.assign($("seen"), { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.filter = channels === 1 ? "grayscale(1)" : "none";
  context.drawImage(source, ...crop, width * scale, height * scale, 0, 0, width, height);
}

function clear() {
  pad.clear();
  $("image").hidden = true;
  $("hint").hidden = false;
  Object.assign($("seen"), { width: 1, height: 1 });
  reset();
}

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  picked($("file").files[0]);
  $("file").value = ""; // the same file can be chosen again
});
$("clear").addEventListener("click", clear);
$("pad").addEventListener("pointerdown", () => {
  $("hint").hidden = true;
  $("image").hidden = true;
});
$("undo").addEventListener("click", () => pad.undo());
document.addEventListener("paste", (event) => picked(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  picked(event.dataTransfer.files[0]);
});
