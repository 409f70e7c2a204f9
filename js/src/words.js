// What the panel says, and how a typed name is completed. Pure.

const whole = new Intl.NumberFormat("en-US");

export const count = (number) => whole.format(number);
export const masks = (number) => `${count(number)} ${number === 1 ? "mask" : "masks"}`;
export const share = (number) => (Number.isFinite(number) ? number.toFixed(2) : "–");

/** One line for the list of decisions. */
export function decisionText({ kind, name, was, entry, count: number }) {
  if (!entry)
    return `${{ accept: "Accepted", reject: "Rejected", name: "Named" }[kind]} ${masks(number)}${name ? `: ${name}` : ""}`;
  if (kind === "accept") return `Accepted ${was}`;
  if (kind === "reject") return `Rejected ${was}`;
  return `${was} → ${name}`;
}

export function failureText({ kind, name, entry }, message) {
  const it = entry ? "it" : "them";
  const what = { accept: `accept ${it}`, reject: `reject ${it}`, name: `name ${it} “${name}”` }[kind];
  return `Could not ${what}: ${sentence(message)}${entry ? " It comes back next." : ""}`;
}

export function sentence(message) {
  const text = String(message || "no reason was given")
    .trim()
    .replace(/^\w*(Error|Exception): /, "");
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/**
 * Names of the dataset that fit what is typed, best first: those that begin with it, those with a word that does,
 * those that hold it; `names` come most frequent first and stay so within each.
 */
export function completions(names, typed, limit = 8) {
  const wanted = typed.trim().toLowerCase();
  if (!wanted) return [];
  const ranked = [[], [], [], []];
  for (const name of names) {
    const low = name.toLowerCase();
    if (low === wanted) ranked[0].push(name);
    else if (low.startsWith(wanted)) ranked[1].push(name);
    else if ([..." ,/_-"].some((before) => low.includes(before + wanted))) ranked[2].push(name);
    else if (low.includes(wanted)) ranked[3].push(name);
  }
  return ranked.flat().slice(0, limit);
}

export const SENTENCES = {
  noDataset: ["No dataset is open", "Open one to review its masks."],
  noOperator: [
    "The plugin's Python side did not load",
    "Nothing can be reviewed without it. “fiftyone-ssa plugin status” and “fiftyone-ssa doctor” in a terminal say why; then reload this page.",
  ],
  noField: [
    "No masks yet",
    "This dataset has no field of masks. The operator “annotate” names masks; press ` to find it.",
  ],
  noMasks: ["No masks in this view", "Take away a filter or a view stage to see masks here."],
};
