// The page: drop a picture, see its masks with their names, point at one, click it for what else it could be.
"use strict";

const $ = (id) => document.getElementById(id);
const state = { file: null, masks: null, bitmap: null, answer: null, owners: null, boxes: [], chosen: -1, hidden: new Set(), pointed: -1, scale: 1, turn: 0 };

/** A colour that stays the same for a name. */
function colour(name) {
  let hash = 2166136261;
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
  hash ^= hash >>> 15;
  const hue = (hash >>> 0) % 360, light = 45 + ((hash >>> 9) & 15);
  return { css: `hsl(${hue} 75% ${light}%)`, hue, light };
}

function rgb({ hue, light }) {
  const s = 0.75, l = light / 100, a = s * Math.min(l, 1 - l);
  const channel = (n) => { const k = (n + hue / 30) % 12; return Math.round(255 * (l - a * Math.max(-1, Math.min(k - 3, 9 - k, 1)))); };
  return [channel(0), channel(8), channel(4)];
}

const nameOf = (mask) => mask.class_name ?? "no name";
const percent = (share) => `${(100 * share).toFixed(0)} %`;

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

function headers() {
  const token = $("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers() }).catch(() => {
    throw new Error("the service did not answer; is it running, and is the picture within its limits?");
  });
  const content = await response.json().catch(() => ({}));
  if (response.status === 401) $("token-field").hidden = false;
  if (!response.ok) throw new Error(content.detail || `the service answered ${response.status}`);
  return content;
}

async function greet() {
  try {
    const info = await ask("/info");
    $("preset").textContent = info.preset;
    $("names-field").hidden = $("only-field").hidden = !info.takes_vocabulary;
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

async function take(files) {
  const pictures = [...files].filter((file) => !/json/.test(file.type) && !file.name.endsWith(".json"));
  if (!pictures.length) return say("there is no picture among these files", true);
  state.masks = [...files].find((file) => file.name.endsWith(".json")) ?? null;
  state.file = pictures[0];
  await label();
}

async function label() {
  const form = new FormData();
  form.append("image", state.file);
  if (state.masks) form.append("masks", state.masks);
  if (!$("names-field").hidden) {
    form.append("vocabulary", $("vocabulary").value);
    form.append("only", $("only").checked && $("vocabulary").value.trim() ? "true" : "false");
  }
  form.append("format", "both");
  document.body.dataset.phase = "waiting";
  $("again").disabled = true;
  say(`labelling ${state.file.name} ...`);
  const started = performance.now(), turn = ++state.turn;
  try {
    const [answer, bitmap] = await Promise.all([ask("/label", { method: "POST", body: form }), createImageBitmap(state.file).catch(() => null)]);
    if (turn !== state.turn) return; // another picture was dropped meanwhile
    show(answer, bitmap);
    const masks = state.answer.ssa.annotations.length;
    say(`${masks} mask${masks === 1 ? "" : "s"} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
    document.body.dataset.phase = "done";
  } catch (error) {
    if (turn !== state.turn) return;
    say(error.message, true);
    document.body.dataset.phase = "failed";
  }
  $("again").disabled = false;
}

/** Lay out an answer: the masks by area, and for each pixel the smallest mask that holds it. */
function show(answer, bitmap) {
  const { width, height } = answer.coco.images[0];
  Object.assign(state, { answer, bitmap, chosen: -1, pointed: -1, hidden: new Set() });
  const masks = answer.ssa.annotations;
  const owners = new Int32Array(width * height).fill(-1);
  const areas = masks.map((mask) => { let area = 0; eachColumn(mask.segmentation, (x, from, to) => { area += to - from; }); return area; });
  state.order = masks.map((_, index) => index).sort((a, b) => areas[b] - areas[a]);
  for (const index of state.order) {
    eachColumn(masks[index].segmentation, (x, from, to) => { for (let y = from; y < to; y++) owners[y * width + x] = index; });
  }
  Object.assign(state, { owners, areas, width, height });
  state.boxes = masks.map((_, index) => boxOf(index));
  state.layer = Object.assign(document.createElement("canvas"), { width, height });
  $("drop").classList.add("small");
  $("picture").hidden = $("downloads").hidden = $("count").hidden = false;
  $("tip").hidden = true;
  fit();
  listClasses();
  choose(-1);
}

/** As large as the window lets it be, small pictures too. */
function fit() {
  if (!state.answer) return;
  const wide = Math.min($("stage").clientWidth, 0.74 * innerHeight * state.width / state.height);
  state.scale = wide / state.width;
  const sharp = Math.max(1, state.scale * devicePixelRatio); // the names on a small picture are as sharp as on a large one
  Object.assign($("canvas"), { width: Math.round(state.width * sharp), height: Math.round(state.height * sharp) });
  $("canvas").style.width = `${Math.round(wide)}px`;
}

function paint() {
  const { width, height, owners, hidden, pointed, chosen } = state;
  const masks = state.answer.ssa.annotations;
  const context = state.layer.getContext("2d", { willReadFrequently: true });
  if (state.bitmap) context.drawImage(state.bitmap, 0, 0, width, height);
  else { context.fillStyle = "#888"; context.fillRect(0, 0, width, height); }
  const image = context.getImageData(0, 0, width, height), pixels = image.data;
  const colours = masks.map((mask) => rgb(colour(nameOf(mask))));
  const shown = masks.map((mask) => !hidden.has(nameOf(mask)));
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const owner = owners[at];
      if (owner < 0 || !shown[owner]) continue;
      const edge = (x > 0 && owners[at - 1] !== owner) || (y > 0 && owners[at - width] !== owner);
      const share = edge ? 0.9 : owner === chosen || owner === pointed ? 0.7 : 0.4;
      for (let c = 0; c < 3; c++) pixels[4 * at + c] += share * (colours[owner][c] - pixels[4 * at + c]);
    }
  }
  context.putImageData(image, 0, 0);
  const canvas = $("canvas"), view = canvas.getContext("2d");
  view.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  view.drawImage(state.layer, 0, 0);
  writeNames(view, masks, shown);
}

/** Write each mask's name on it where it has the room, the largest first, none over another. */
function writeNames(context, masks, shown) {
  const size = 13 / state.scale, edge = 4 / state.scale, taken = [];
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const index of state.order) {
    if (!shown[index]) continue;
    const box = state.boxes[index], text = nameOf(masks[index]), wide = context.measureText(text).width + 2 * edge;
    if (!box || box.w < wide * 0.6 || box.h < size) continue;
    const x = Math.max(0, Math.min(state.width - wide, box.cx - wide / 2)), y = Math.max(0, Math.min(state.height - size - edge, box.cy - size / 2));
    if (taken.some((other) => x < other.x + other.wide && other.x < x + wide && y < other.y + size + edge && other.y < y + size + edge)) continue;
    taken.push({ x, y, wide });
    context.fillStyle = "rgb(0 0 0 / 65%)";
    context.fillRect(x, y, wide, size + edge);
    context.fillStyle = "#fff";
    context.fillText(text, x + edge, y + edge / 2);
  }
}

/** Where a mask is seen: the box of the pixels that no smaller mask has, and one of its own pixels in the middle. */
function boxOf(index) {
  let x0 = Infinity, x1 = -1, y0 = Infinity, y1 = -1, best = null;
  eachColumn(state.answer.ssa.annotations[index].segmentation, (x, from, to) => {
    for (let y = from; y < to; y++) {
      if (state.owners[y * state.width + x] !== index) continue;
      x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y);
    }
  });
  if (x1 < 0) return null;
  const middle = { x: (x0 + x1) / 2, y: (y0 + y1) / 2 };
  for (let y = y0; y <= y1; y += Math.max(1, (y1 - y0) >> 4)) {
    for (let x = x0; x <= x1; x += Math.max(1, (x1 - x0) >> 4)) {
      const far = Math.hypot(x - middle.x, y - middle.y);
      if (state.owners[y * state.width + x] === index && (!best || far < best.far)) best = { far, cx: x, cy: y };
    }
  }
  return { w: x1 - x0 + 1, h: y1 - y0 + 1, cx: best ? best.cx : middle.x, cy: best ? best.cy : middle.y };
}

function listClasses() {
  const counts = new Map();
  for (const mask of state.answer.ssa.annotations) counts.set(nameOf(mask), (counts.get(nameOf(mask)) ?? 0) + 1);
  $("count").textContent = `${counts.size} name${counts.size === 1 ? "" : "s"}`;
  $("classes").replaceChildren(...[...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([name, count]) => {
    const item = document.createElement("li"), box = document.createElement("input"), dot = document.createElement("i"), label = document.createElement("label");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => { state.hidden[box.checked ? "delete" : "add"](name); paint(); });
    dot.style.background = colour(name).css;
    label.append(box, dot, name, ` (${count})`);
    item.append(label);
    return item;
  }));
}

function choose(index) {
  state.chosen = index;
  $("mask").hidden = index < 0;
  if (index >= 0) {
    const mask = state.answer.ssa.annotations[index];
    $("mask-name").textContent = nameOf(mask);
    const facts = [...(mask.confidence == null ? [] : [`confidence ${percent(mask.confidence)}`]), `${state.areas[index].toLocaleString("en")} pixels`];
    if (mask.caption) facts.push(`“${mask.caption}”`);
    if (mask.label_source) facts.push(`from ${mask.label_source}`);
    $("mask-facts").textContent = facts.join(" · ");
    $("proposals").replaceChildren(...mask.class_proposals.map((name, at) => {
      const row = document.createElement("tr"), score = mask.proposal_scores[at];
      const cells = [name, percent(score)].map((text) => { const cell = document.createElement("td"); cell.textContent = text; return cell; });
      const bar = document.createElement("meter");
      bar.value = score;
      cells[1].append(bar);
      row.append(...cells);
      return row;
    }));
  }
  paint();
}

function pointedAt(event) {
  const canvas = $("canvas"), box = canvas.getBoundingClientRect();
  const x = Math.floor((event.clientX - box.left) * state.width / box.width), y = Math.floor((event.clientY - box.top) * state.height / box.height);
  if (x < 0 || y < 0 || x >= state.width || y >= state.height) return -1;
  const owner = state.owners[y * state.width + x];
  return owner >= 0 && !state.hidden.has(nameOf(state.answer.ssa.annotations[owner])) ? owner : -1;
}

function point(event) {
  const index = event.type === "pointerleave" ? -1 : pointedAt(event), tip = $("tip");
  tip.hidden = index < 0;
  if (index >= 0) {
    const mask = state.answer.ssa.annotations[index];
    tip.textContent = mask.confidence == null ? nameOf(mask) : `${nameOf(mask)} ${percent(mask.confidence)}`;
    const box = $("picture").getBoundingClientRect();
    tip.style.left = `${Math.max(0, Math.min(event.clientX - box.left + 14, box.width - 120))}px`;
    tip.style.top = `${event.clientY - box.top + 14}px`;
  }
  if (index !== state.pointed) { state.pointed = index; paint(); }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function download(kind) {
  const stem = state.answer.coco.images[0].file_name.replace(/\.[^.]*$/, ""); // of the picture that is shown
  if (kind === "png") return $("canvas").toBlob((blob) => save(blob, `${stem}_masks.png`));
  save(new Blob([JSON.stringify(state.answer[kind])], { type: "application/json" }), `${stem}_${kind === "ssa" ? "semantic" : "coco"}.json`);
}

for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => { event.preventDefault(); document.body.classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
document.addEventListener("drop", (event) => { event.preventDefault(); document.body.classList.remove("over"); take(event.dataTransfer.files); });
$("file").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
$("choose").addEventListener("click", () => $("file").click());
$("ask").addEventListener("submit", (event) => { event.preventDefault(); if (state.file) label(); });
$("token").value = sessionStorage.getItem("token") ?? "";
$("token").addEventListener("change", () => { sessionStorage.setItem("token", $("token").value.trim()); greet(); });
window.addEventListener("resize", () => { fit(); if (state.answer) paint(); });
$("canvas").addEventListener("pointermove", point);
$("canvas").addEventListener("pointerleave", point);
$("canvas").addEventListener("click", (event) => choose(pointedAt(event)));
for (const button of document.querySelectorAll("[data-download]")) button.addEventListener("click", () => download(button.dataset.download));
greet();
