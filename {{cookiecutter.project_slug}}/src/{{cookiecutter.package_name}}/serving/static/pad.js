// A drawing area whose strokes are kept as lines, so that they can be drawn again at any scale.

const SCREEN_PEN = 0.075; // diameters, as parts of the side
const MODEL_PEN = 0.17;
// Handwritten digits fill their frame from top to bottom and are narrower than high.
const INK_BOX = { width: 0.78, height: 1 };

export class Pad {
  constructor(canvas, onChange) {
    this.canvas = canvas;
    this.onChange = onChange;
    this.strokes = []; // of points [x, y], 0 to 1
    canvas.addEventListener("pointerdown", (event) => this.#start(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => this.#end());
    canvas.addEventListener("pointercancel", () => this.#end());
    new ResizeObserver(() => this.#redraw()).observe(canvas);
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  clear() {
    this.strokes = [];
    this.#redraw();
  }

  undo() {
    this.strokes.pop();
    this.#redraw();
    this.onChange();
  }

  // The drawing on black, moved and scaled to fill the frame as the training images do:
  // where on the pad it was drawn, and how large, makes no difference.
  render(width, height) {
    const points = this.strokes.flat();
    const [left, right] = extent(points.map(([x]) => x));
    const [top, bottom] = extent(points.map(([, y]) => y));
    const pen = MODEL_PEN * Math.min(width, height);
    const scale = Math.min(
      (INK_BOX.width * width - pen) / Math.max(right - left, 1e-6),
      (INK_BOX.height * height - pen) / Math.max(bottom - top, 1e-6),
      Math.max(width, height) * 20, // a dot stays a dot
    );
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, width, height);
    drawStrokes(context, this.strokes, pen, ([x, y]) => [
      width / 2 + (x - (left + right) / 2) * scale,
      height / 2 + (y - (top + bottom) / 2) * scale,
    ]);
    return canvas;
  }

  #start(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.current = [this.#point(event)];
    this.strokes.push(this.current);
    this.#redraw();
  }

  #move(event) {
    if (!this.current) return;
    // Several moves may come as one event; all of them make the line smooth.
    for (const move of event.getCoalescedEvents?.() ?? []) this.current.push(this.#point(move));
    this.current.push(this.#point(event));
    this.#redraw();
  }

  #end() {
    if (!this.current) return;
    this.current = null;
    this.onChange();
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  #redraw() {
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    Object.assign(this.canvas, { width: side, height: side });
    const context = this.canvas.getContext("2d");
    drawStrokes(context, this.strokes, SCREEN_PEN * side, ([x, y]) => [x * side, y * side]);
  }
}

function drawStrokes(context, strokes, pen, place) {
  Object.assign(context, { strokeStyle: "white", lineWidth: pen, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    context.beginPath();
    context.moveTo(...place(stroke[0]));
    for (const point of stroke) context.lineTo(...place(point));
    context.stroke();
  }
}

function extent(values) {
  return [Math.min(...values), Math.max(...values)];
}
