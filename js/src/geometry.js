// Which part of an image is shown. Pure.

const CONTEXT = 1.8; // how much larger than the mask's box the shown part is
const LEAST_PX = 120; // of the image: a smaller part says too little about where it is

/** The part [x, y, width, height] of the image around `box`; its shape (width / height) is that of the place it fills. */
export function surroundings([x, y, w, h], width, height, shape) {
  const wanted = Math.max(w * CONTEXT, h * CONTEXT * shape, LEAST_PX);
  const [cutW, cutH] = within(wanted, wanted / shape, width, height);
  return [placed(x + w / 2, cutW, width), placed(y + h / 2, cutH, height), cutW, cutH];
}

/** The whole image, with what the shape of its place adds at two sides. */
export function wholeImage(width, height, shape) {
  const cutW = Math.max(width, height * shape);
  const cutH = cutW / shape;
  return [(width - cutW) / 2, (height - cutH) / 2, cutW, cutH];
}

function within(cutW, cutH, width, height) {
  const scale = Math.min(1, Math.max(width / cutW, height / cutH));
  return [cutW * scale, cutH * scale];
}

/** Where a part of `length` begins, so that it is around `centre` and inside; the middle where it is longer than all. */
function placed(centre, length, whole) {
  if (length >= whole) return (whole - length) / 2;
  return Math.min(Math.max(centre - length / 2, 0), whole - length);
}
