// The panel's state and what its keys and buttons do: a session, the App's selection, and how the mask is drawn.

import { useQuietRefresh } from "./host.js";
import { useKeys } from "./keys.js";
import { current } from "./queue.js";
import { useSession } from "./session.js";
import { sentence } from "./words.js";

const { useCallback, useEffect, useRef, useState } = React;

const PAUSE_MS = 2500; // without a decision, until grid and modal are read again

function useSwitch(initial) {
  const [on, setOn] = useState(initial);
  return [on, useCallback(() => setOn((was) => !was), [])];
}

/** Opens what looks like masks; null where the operator has no index of this field. */
function useLike(operators, session, mask) {
  const { field } = session.state;
  const [available, setAvailable] = useState(false);
  useEffect(() => {
    setAvailable(false);
    if (!field || !mask || !operators.current.show_like) return;
    operators.current
      .show_like({ ids: [mask], label_field: field, dry_run: true })
      .then((answer) => setAvailable(answer.available === true))
      .catch(() => setAvailable(false)); // an answer, too: there is none
  }, [field, Boolean(mask)]);
  if (!available) return null;
  return (id, more) =>
    operators.current
      .show_like({ ids: [id], label_field: field, ...more })
      .catch(({ message }) => session.tell({ kind: "error", text: sentence(message) }));
}

/** How the mask is drawn, and the clock that measures from a key to the next mask. */
function useDrawing() {
  const [whole, toggleWhole] = useSwitch(false);
  const [showMask, toggleMask] = useSwitch(true);
  const clock = useRef({ pressed: null, times: [] }).current;
  return { whole, toggleWhole, showMask, toggleMask, clock };
}

/** Everything that is drawn, and `act(action, argument)`. `root` is the element that keys belong to. */
export function useReview(operators, app) {
  const root = useRef(null);
  const nameInput = useRef(null);
  const [thisImage, setThisImage] = useState(app.inModal);
  const session = useSession(operators, {
    dataset: app.dataset,
    key: app.key,
    sample: thisImage ? app.sample : null,
  });
  const { state, store } = session;
  const drawing = useDrawing();
  const [applies, setApplies] = useState(false);
  const entry = current(state);
  const item = entry && store.items.get(entry[1]);
  const refused = entry && store.items.error(entry[1]);
  const picture = item ? store.pictures.get(item) : refused && { error: refused };
  const label = state.decided[entry?.[1]]?.name ?? item?.label;
  const selected = app.selected.filter(({ field }) => field === null || field === state.field).map(({ id }) => id);
  const those = applies && selected.length ? selected : null;
  const like = useLike(operators, session, entry?.[1]);
  useQuietRefresh(session.answered, PAUSE_MS);
  useEffect(() => {
    if (!selected.length) setApplies(false);
  }, [selected.length]);

  // Nobody decides what is not on the screen yet.
  const decide = (kind, name) => (those || picture) && session.decide(kind, name, those);
  // The name that it has already is accepted; of many, some may have another.
  const take = (name) => (name === label && !those ? decide("accept") : decide("name", name));
  const actions = {
    accept: () => decide("accept"),
    reject: () => decide("reject"),
    proposal: (index) => item?.proposals?.[index] && take(item.proposals[index].name),
    name: take,
    type: () => nameInput.current?.focus({ preventScroll: true }),
    undo: (decision) => session.undo(decision),
    skip: session.skip,
    back: session.back,
    again: session.again,
    whole: drawing.toggleWhole,
    mask: drawing.toggleMask,
  };
  const act = (action, argument) => actions[action](argument);
  const keys = useKeys(root, !app.covered, (action, argument, pressed) => {
    drawing.clock.pressed = pressed;
    act(action, argument);
  });
  const leave = useCallback(() => root.current?.focus({ preventScroll: true }), []);
  const selection = { selected, applies, setApplies };
  const scope = { thisImage, setThisImage };
  return {
    root,
    nameInput,
    session,
    drawing,
    entry,
    item,
    refused,
    picture,
    label,
    like,
    keys,
    act,
    leave,
    ...selection,
    ...scope,
  };
}
