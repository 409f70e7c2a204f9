// The queue of masks as a pure reducer: what is shown, what is decided, what can be undone.
// An entry is [sample id, mask id, doubt]. Decisions count at once and are taken back where the server refuses them.

const KEEP_HISTORY = 50;

export const EMPTY = {
  field: null,
  fields: [],
  names: [],
  entries: [],
  at: 0,
  total: 0,
  reviewed: 0,
  decided: {}, // mask id -> what was decided here: {kind, name}
  history: [], // newest first: {seq, kind, name, was, entry, count, field, before, status: sent|done|failed|undone, written, undoing}
  exhausted: false, // the server has no mask that this queue has not shown
  notice: null,
};

export const current = (state) => state.entries[state.at] ?? null;

/** How many masks from here on nobody has decided. */
export const openAhead = (state) => state.entries.slice(state.at).filter(([, mask]) => !state.decided[mask]).length;

/** How many masks were passed without a decision. */
export const skipped = (state) => state.entries.slice(0, state.at).filter(([, mask]) => !state.decided[mask]).length;

/** The decisions on masks of the shown field; those of others wait until their field is shown again. */
export const decisions = (state) => state.history.filter(({ field }) => field === state.field);

/** The newest decision that can be taken back, or undefined. */
export const undoable = (state) => decisions(state).find(({ status }) => status === "sent" || status === "done");

/** Where the first undecided mask from `index` on stands; the length of the list where all are decided. */
function nextOpen(entries, decided, index) {
  while (index < entries.length && decided[entries[index][1]]) index += 1;
  return index;
}

const indexOf = (state, entry) => (entry ? state.entries.findIndex(([, mask]) => mask === entry[1]) : -1);

function changed(state, seq, change) {
  return { ...state, history: state.history.map((item) => (item.seq === seq ? { ...item, ...change } : item)) };
}

function withDecision(state, { kind, name, entry, before, count, field }) {
  if (field !== state.field) return state; // another one is shown by now
  if (!entry) return { ...state, reviewed: state.reviewed + count };
  const decided = { ...state.decided, [entry[1]]: { kind, name } };
  return { ...state, decided, reviewed: state.reviewed + (before ? 0 : 1) };
}

function withoutDecision(state, { entry, before, count, field }) {
  if (field !== state.field) return state;
  if (!entry) return { ...state, reviewed: state.reviewed - count };
  const { [entry[1]]: _, ...decided } = state.decided;
  if (before) decided[entry[1]] = before;
  return { ...state, decided, reviewed: state.reviewed - (before ? 0 : 1) };
}

function decide(state, { seq, kind, name, was, entry, count = 1, field }) {
  const before = entry ? state.decided[entry[1]] : undefined;
  const item = { seq, kind, name, was, entry, count, field, before, status: "sent" };
  const next = withDecision(state, item);
  const at = entry ? nextOpen(next.entries, next.decided, state.at) : state.at;
  return { ...next, at, history: [item, ...state.history].slice(0, KEEP_HISTORY), notice: null };
}

/** The server wrote it; `count` is how many masks it changed. */
function done(state, { seq, count }) {
  const item = state.history.find((each) => each.seq === seq);
  if (!item) return state;
  if (item.status === "undone") return changed(state, seq, { written: true, count });
  const reviewed = state.reviewed + (item.entry ? 0 : count - item.count);
  return changed({ ...state, reviewed }, seq, { status: "done", written: true, count });
}

/** The server refused: the mask comes next, not at once, because a finger may be on its way to a key. */
function failed(state, { seq, text }) {
  const item = state.history.find((each) => each.seq === seq);
  if (!item) return state;
  const back = item.status === "undone" ? state : changed(withoutDecision(state, item), seq, { status: "failed" });
  const notice = { kind: "error", text };
  const index = indexOf(back, item.entry);
  if (index < 0 || index >= back.at) return { ...back, notice };
  const entries = back.entries.filter((_, i) => i !== index);
  entries.splice(back.at, 0, item.entry); // what is shown has moved to `at - 1`; at the end, this one is shown
  return { ...back, entries, at: back.at - 1, notice };
}

/** Shown again before the server has answered. */
function undo(state, { seq }) {
  const item = state.history.find((each) => each.seq === seq);
  if (!item) return state;
  const back = { ...changed(withoutDecision(state, item), seq, { status: "undone", undoing: true }), notice: null };
  if (!item.entry) return back;
  const index = indexOf(back, item.entry);
  if (index >= 0) return { ...back, at: index };
  const entries = [...back.entries];
  entries.splice(back.at, 0, item.entry); // the queue was fetched anew since
  return { ...back, entries };
}

function undoFailed(state, { seq, text }) {
  const item = state.history.find((each) => each.seq === seq);
  if (!item) return state;
  return {
    ...changed(withDecision(state, item), seq, { status: "done", undoing: false }),
    notice: { kind: "error", text },
  };
}

const counted = (items) => items.reduce((sum, { count }) => sum + count, 0);

/**
 * A queue from the server. `keep`: it goes on with what was seen and decided, as after a bulk decision or near the end;
 * otherwise it begins anew, as after another filter. What is on its way to the server is not in its numbers yet.
 */
function loaded(state, { queue, keep }) {
  const history = decisions({ ...state, field: queue.label_field });
  const undoing = history.filter((item) => item.undoing && item.written && !item.before);
  const back = undoing.filter(({ entry }) => entry).map(({ entry }) => entry);
  const passed = keep ? state.entries.slice(0, state.at) : [];
  const seen = passed.filter(([, mask]) => !back.some((entry) => entry[1] === mask));
  const known = new Set(seen.map(([, mask]) => mask));
  const listed = new Set(queue.ids.map(([, mask]) => mask));
  const fresh = [...back.filter(([, mask]) => !listed.has(mask)), ...queue.ids.filter(([, mask]) => !known.has(mask))];
  const entries = [...seen, ...fresh];
  const onItsWay = history.filter(({ status, before }) => status === "sent" && !before);
  const decided = keep
    ? state.decided
    : Object.fromEntries(onItsWay.filter((i) => i.entry).map((i) => [i.entry[1], i]));
  return {
    ...state,
    field: queue.label_field,
    fields: queue.fields,
    names: queue.names,
    entries,
    decided,
    at: nextOpen(entries, decided, seen.length),
    total: queue.total,
    reviewed: queue.reviewed + counted(onItsWay) - counted(undoing),
    exhausted: keep && fresh.length === 0,
    notice: keep ? state.notice : null,
  };
}

export function reduce(state, action) {
  switch (action.type) {
    case "loaded":
      return loaded(state, action);
    case "decide":
      return decide(state, action);
    case "done":
      return done(state, action);
    case "failed":
      return failed(state, action);
    case "undo":
      return undo(state, action);
    case "undoDone":
      return changed(state, action.seq, { undoing: false });
    case "undoFailed":
      return undoFailed(state, action);
    case "skip":
      return { ...state, at: Math.min(state.at + 1, state.entries.length), notice: null };
    case "back":
      return { ...state, at: Math.max(state.at - 1, 0), notice: null };
    case "again":
      return { ...state, at: nextOpen(state.entries, state.decided, 0), exhausted: false, notice: null };
    case "notice":
      return { ...state, notice: action.notice };
    default:
      return state;
  }
}
