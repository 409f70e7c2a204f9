// Pictures of masks: loaded and decoded in advance, drawn at once.

import { surroundings, wholeImage } from "./geometry.js";
import { mediaUrl } from "./host.js";

const KEEP_IMAGES = 16;
const KEEP_MASKS = 40;
const AROUND = [
  [-1, 0],
  [1, 0],
  [0, -1],
  [0, 1],
  [-0.7, -0.7],
  [0.7, -0.7],
  [-0.7, 0.7],
  [0.7, 0.7],
];

/** Images and masks by what names them; what was used longest ago goes first. */
export class Pictures {
  images = new Map(); // filepath -> promise of an image
  ready = new Map(); // mask id -> {image, mask, error}

  get({ mask_id }) {
    return this.ready.get(mask_id);
  }

  /** Loads both; resolves when `get` answers. A picture that cannot be read is an `error`, and reviewing goes on. */
  async prepare(item) {
    if (this.ready.has(item.mask_id)) return;
    try {
      const [image, mask] = await Promise.all([this.image(item.filepath), item.mask ? alphaOf(item.mask) : box()]);
      keep(this.ready, item.mask_id, { image, mask }, KEEP_MASKS);
    } catch {
      this.images.delete(item.filepath);
      keep(this.ready, item.mask_id, { error: `The picture ${item.filepath} could not be read.` }, KEEP_MASKS);
    }
  }

  image(filepath) {
    const known = this.images.get(filepath);
    const image = known ?? decoded(mediaUrl(filepath));
    keep(this.images, filepath, image, KEEP_IMAGES);
    return image;
  }
}

function keep(map, key, value, most) {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value);
}

async function decoded(src) {
  const image = new Image();
  image.crossOrigin = "anonymous";
  image.src = src;
  await image.decode();
  return image;
}

/** The mask as a canvas that is opaque inside: a PNG says it in grey. */
async function alphaOf(base64) {
  const image = await decoded(`data:image/png;base64,${base64}`);
  const canvas = sized(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data[i + 3] = pixels.data[i] > 127 ? 255 : 0;
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** What stands for the mask of a box without pixels: all of it. */
function box() {
  const canvas = sized(1, 1);
  canvas.getContext("2d").fillRect(0, 0, 1, 1);
  return canvas;
}

function sized(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  return canvas;
}

/** Draw the mask's surroundings (or all) and the mask into `canvas`, whose size on the page is `width` x `height`. */
export function draw(canvas, item, { image, mask }, { width, height, whole, showMask }) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const shape = canvas.width / canvas.height;
  const [imageW, imageH] = [image.naturalWidth, image.naturalHeight];
  // An image on disk may have another size than the metadata say; boxes are in the metadata's pixels.
  const [scaleX, scaleY] = [imageW / item.width, imageH / item.height];
  const box = [item.box[0] * scaleX, item.box[1] * scaleY, item.box[2] * scaleX, item.box[3] * scaleY];
  const [x, y, w] = whole ? wholeImage(imageW, imageH, shape) : surroundings(box, imageW, imageH, shape);
  const zoom = canvas.width / w;
  const context = canvas.getContext("2d");
  context.drawImage(image, -x * zoom, -y * zoom, imageW * zoom, imageH * zoom);
  const place = [(box[0] - x) * zoom, (box[1] - y) * zoom, box[2] * zoom, box[3] * zoom];
  if (showMask) context.drawImage(filled(mask, place, "rgb(255, 109, 4)", canvas), 0, 0);
  for (const [reach, color] of [
    [2.6, "#000"],
    [1.6, "#fff"],
  ]) {
    context.drawImage(outline(mask, place, reach * ratio, color, canvas), 0, 0);
  }
}

function filled(mask, place, color, { width, height }) {
  const layer = sized(width, height);
  const context = layer.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(mask, ...place);
  context.globalCompositeOperation = "source-in";
  context.globalAlpha = 0.3;
  context.fillStyle = color;
  context.fillRect(0, 0, width, height);
  return layer;
}

/** The mask pushed to all sides, less the mask: a line around it of about `reach` pixels. */
function outline(mask, [x, y, w, h], reach, color, { width, height }) {
  const layer = sized(width, height);
  const context = layer.getContext("2d");
  context.imageSmoothingEnabled = false;
  for (const [right, down] of AROUND) context.drawImage(mask, x + right * reach, y + down * reach, w, h);
  context.globalCompositeOperation = "destination-out";
  context.drawImage(mask, x, y, w, h);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = color;
  context.fillRect(0, 0, width, height);
  return layer;
}
