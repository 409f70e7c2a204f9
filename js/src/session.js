// What the panel knows and does: the queue, the decisions on their way to the database, what was fetched in advance.

import { clearSelection } from "./host.js";
import { Items } from "./items.js";
import { afterPaint, painted } from "./paint.js";
import { Pictures } from "./picture.js";
import { EMPTY, current, openAhead, reduce, skipped, undoable } from "./queue.js";
import { failureText, sentence } from "./words.js";

const { useCallback, useEffect, useReducer, useRef, useState } = React;
const LIMIT = 1000;
let lastWish = { dataset: null, field: null, order: "doubt" }; // the modal's panel begins as the grid's is
const listeners = new Set(); // of the panels that are open

/** Show the masks of a field, in the panels that are open and in the next that opens. */
export function wishForField(dataset, field) {
  if (lastWish.dataset === dataset && lastWish.field === field) return;
  lastWish = { ...lastWish, dataset, field };
  listeners.forEach((wishFor) => wishFor(lastWish));
}

/** What was wished for last; of another dataset not its field. */
function wished(dataset) {
  return lastWish.dataset === dataset ? lastWish : { ...lastWish, dataset, field: null };
}

/** A number that changes, and the function that changes it: redraws when something outside of React has come. */
function useTick() {
  return useReducer((number) => number + 1, 0);
}

/** Items and pictures around the shown one. Returns how to reach them; `ready` says that the shown one can be drawn. */
function usePrefetched(operators, state) {
  const [, redraw] = useTick();
  const store = useRef(null);
  const shown = useRef(state);
  shown.current = state;
  if (!store.current) {
    const pictures = new Pictures();
    const fetch = async (pairs) =>
      (await operators.current.review_item({ label_field: shown.current.field, items: pairs })).items;
    const items = new Items(fetch, () => {
      look();
      redraw();
    });
    const look = () => {
      const { entries, at } = shown.current;
      items.want(entries, at);
      for (const [, mask] of entries.slice(Math.max(0, at - 1), at + 11)) {
        const item = items.get(mask);
        if (item && !pictures.get(item))
          pictures.prepare(item).then(() => mask === current(shown.current)?.[1] && redraw());
      }
    };
    store.current = { items, pictures, look };
  }
  useEffect(() => afterPaint(store.current.look), [state.entries, state.at]);
  return store.current;
}

/** Sends one after the other, so that an undo finds what it takes back; the panel waits for none of them. */
function useOutbox() {
  const last = useRef(Promise.resolve());
  const waiting = useRef(0);
  useEffect(() => {
    const ask = (event) => waiting.current && event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, []);
  return useCallback((send) => {
    waiting.current += 1;
    const sent = last.current
      .then(painted)
      .then(send)
      .finally(() => (waiting.current -= 1));
    last.current = sent.catch(() => {});
    return sent;
  }, []);
}

/**
 * The session of one panel. `scope` is {dataset, key, sample}: another key begins another queue; `sample` keeps to one
 * image.
 * Returns the state, what was fetched in advance, and the functions that keys and buttons call.
 */
export function useSession(operators, scope) {
  const [state, dispatch] = useReducer(reduce, EMPTY);
  const [phase, setPhase] = useState("loading"); // loading | ready | failed
  const [failure, setFailure] = useState(null);
  const [wish, wishFor] = useState(() => wished(scope.dataset));
  const setWish = useCallback((wanted) => wishFor((lastWish = wanted)), []);
  const [answered, countAnswer] = useTick();
  const latest = useRef(state);
  latest.current = state;
  const asked = useRef(0); // queues; only the last one asked for is taken
  const numbered = useRef(0); // decisions
  const tokens = useRef(new Map()); // decision -> what undoes it
  const store = usePrefetched(operators, state);
  const send = useOutbox();
  useEffect(() => {
    listeners.add(wishFor);
    return () => listeners.delete(wishFor);
  }, []);

  const load = useCallback(
    async (keep = false) => {
      const number = (asked.current += 1);
      if (!keep) setPhase("loading");
      const params = { order: wish.order, states: ["open"], limit: LIMIT + (keep ? skipped(latest.current) : 0) };
      if (wish.field) params.label_field = wish.field;
      if (scope.sample) params.sample_ids = [scope.sample];
      try {
        const queue = await send(() => operators.current.review_queue(params)); // after what was decided before
        if (number !== asked.current) return;
        if (!keep) store.items.clear();
        dispatch({ type: "loaded", queue, keep });
        setPhase("ready");
      } catch (error) {
        if (number !== asked.current) return;
        setFailure(sentence(error.message));
        setPhase("failed");
      }
    },
    [wish, scope.sample, scope.key],
  );
  const loader = useRef(load);
  loader.current = load;
  useEffect(() => {
    load();
  }, [load]);

  // At the end of what was fetched: more, where there is more than was skipped.
  const more = phase === "ready" && !state.exhausted && !openAhead(state) && state.total > state.reviewed;
  useEffect(() => {
    if (more) load(true);
  }, [more]);

  /** Send one decision; it is on the screen already. */
  const write = useCallback((decision, call) => {
    const seq = (numbered.current += 1);
    dispatch({ type: "decide", seq, ...decision });
    const sent = async () => {
      const answer = await call();
      tokens.current.set(seq, answer.token);
      return answer;
    };
    return send(sent)
      .then(({ masks }) => dispatch({ type: "done", seq, count: masks ?? decision.count }))
      .catch(({ message }) => dispatch({ type: "failed", seq, text: failureText(decision, message) }))
      .finally(countAnswer);
  }, []);

  /** Decide on the shown mask, or on the masks `selected`: `kind` is accept, reject or name. */
  const decide = useCallback((kind, name, selected = null) => {
    const { field, decided, ...now } = latest.current;
    const entry = selected ? null : current(now);
    if (!selected && !entry) return;
    const was = entry && (decided[entry[1]]?.name ?? store.items.get(entry[1])?.label);
    const ids = selected ?? [entry[1]];
    const params = { label_field: field, ids, quiet: true };
    if (entry) params.sample_ids = [entry[0]]; // saves the server a search
    const { relabel, review } = operators.current;
    const call = () => (kind === "name" ? relabel({ ...params, label: name }) : review({ ...params, action: kind }));
    const written = write({ kind, name, was, entry, count: ids.length, field }, call);
    if (!selected) return;
    clearSelection();
    written.then(() => loader.current(true));
  }, []);

  const undo = useCallback((item = undoable(latest.current)) => {
    if (!item) return;
    const { seq, entry, field } = item;
    dispatch({ type: "undo", seq });
    const call = () => {
      const token = tokens.current.get(seq); // none: it was never written
      return token && operators.current.review({ label_field: field, action: "undo", token, quiet: true });
    };
    send(call)
      .then(() => {
        dispatch({ type: "undoDone", seq });
        if (!entry) loader.current(true);
      })
      .catch(({ message }) => dispatch({ type: "undoFailed", seq, text: `Could not undo: ${sentence(message)}` }))
      .finally(countAnswer);
  }, []);

  /** Accept all of a class above a margin as one decision; `preview` only counts. */
  const acceptAll = useCallback(async (params, preview) => {
    const { field } = latest.current;
    const call = (dry) =>
      operators.current.review({ label_field: field, action: "accept", quiet: true, ...params, dry_run: dry });
    if (preview) return call(true);
    const decision = { kind: "accept", name: params.class_name, entry: null, count: 0, field };
    await write(decision, () => call(false));
    return loader.current(true);
  }, []);

  const move = (type) => useCallback(() => dispatch({ type }), []);
  const tell = useCallback((notice) => dispatch({ type: "notice", notice }), []);
  const [skip, back, again] = [move("skip"), move("back"), move("again")];
  return {
    state,
    phase,
    failure,
    wish,
    setWish,
    load,
    decide,
    undo,
    acceptAll,
    answered,
    store,
    skip,
    back,
    again,
    tell,
  };
}
