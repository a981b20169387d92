// From an image to the pixels that the model takes, as preprocess.py does it with Pillow.

const MAX_PIXELS = 16_000_000; // of a canvas on a telephone

// blob: a PNG, JPEG or WebP; image: channels, height and width of the result
export async function decodeImage(blob, { channels, height, width }) {
  // Turned as its EXIF orientation says, in the colours that are in the file.
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none" };
  const bitmap = await createImageBitmap(blob, options).catch(() => {
    throw new Error("this is not an image that the browser can read");
  });
  const shrink = Math.min(1, Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height)));
  const size = [Math.round(bitmap.width * shrink), Math.round(bitmap.height * shrink)];
  const canvas = Object.assign(document.createElement("canvas"), { width: size[0], height: size[1] });
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // where it is transparent
  context.fillRect(0, 0, ...size);
  context.drawImage(bitmap, 0, 0, ...size);
  const planes = toPlanes(context.getImageData(0, 0, ...size).data, channels);

  const scale = Math.min(size[0] / width, size[1] / height); // cropped about its centre
  const left = (size[0] - width * scale) / 2;
  const top = (size[1] - height * scale) / 2;
  const across = coefficients(size[0], left, left + width * scale, width);
  const down = coefficients(size[1], top, top + height * scale, height);
  const pixels = new Uint8Array(channels * height * width);
  planes.forEach((plane, channel) => {
    const narrow = resample(plane, { lines: size[1], step: size[0], stride: 1 }, across);
    const small = resample(narrow, { lines: width, step: 1, stride: width }, down);
    // Its lines are the columns of the image.
    for (let x = 0; x < width; x++) {
      for (let y = 0; y < height; y++) {
        pixels[(channel * height + y) * width + x] = small[x * height + y];
      }
    }
  });
  return pixels;
}

// RGBA to one plane of grey, or to three of colours. ITU-R 601-2, in Pillow's whole numbers.
function toPlanes(rgba, channels) {
  const planes = Array.from({ length: channels }, () => new Uint8Array(rgba.length / 4));
  for (let i = 0, j = 0; i < rgba.length; i += 4, j++) {
    if (channels === 1) {
      planes[0][j] = (rgba[i] * 19595 + rgba[i + 1] * 38470 + rgba[i + 2] * 7471 + 0x8000) >> 16;
    } else {
      for (let channel = 0; channel < 3; channel++) planes[channel][j] = rgba[i + channel];
    }
  }
  return planes;
}

// For each place of the result, the first place of the source that counts, and the weights from there
// on: a triangle as wide as a pixel of the larger of both (Pillow's `Resampling.BILINEAR`).
function coefficients(sourceSize, start, end, size) {
  const scale = (end - start) / size;
  const support = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(sourceSize, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) =>
      Math.max(0, 1 - Math.abs((first + k - centre + 0.5) / support)));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

// Scale the lines of a plane: line after line, `stride` apart within a line and `step` between two.
function resample(plane, { lines, step, stride }, places) {
  const result = new Uint8ClampedArray(lines * places.length); // rounds, too
  for (let line = 0; line < lines; line++) {
    places.forEach(({ first, weights }, i) => {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += plane[line * step + (first + k) * stride] * weights[k];
      result[line * places.length + i] = sum;
    });
  }
  return result;
}
