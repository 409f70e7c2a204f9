// Which key does what, and when the panel's keys are its own rather than the App's.

const KEYS = {
  Enter: ["accept"],
  1: ["proposal", 0],
  2: ["proposal", 1],
  3: ["proposal", 2],
  t: ["type"],
  x: ["reject"],
  s: ["skip"],
  ArrowRight: ["skip"],
  ArrowLeft: ["back"],
  z: ["undo"],
  w: ["whole"],
  m: ["mask"],
};

/** [action, argument] of a key press, or null where the panel has no use for it. */
export function actionOf({ key, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey) return null;
  return KEYS[key.length === 1 ? key.toLowerCase() : key] ?? null;
}

const WRITES = "input, textarea, select, [contenteditable=true], [role=textbox], [role=combobox], [role=listbox]";

/**
 * Whether a key pressed now belongs to the panel: the focus is in it, or the pointer is over it and the focus nowhere;
 * never while somebody types, chooses from a menu, or works in a dialog that lies above.
 */
export function isOurs({ root, focused, hovered, body }) {
  if (focused && focused !== body) return root.contains(focused) && !focused.closest(WRITES);
  return hovered;
}

/** A button reached with the tab key is pressed with Enter and space, as everywhere. */
export function pressesButton({ key }, focused, root) {
  return (
    (key === "Enter" || key === " ") && focused !== root && Boolean(focused?.closest?.("button, a, [role=button]"))
  );
}

/**
 * Gives key presses to `act(action, argument, time)` while they are ours, before the App sees them.
 * Returns `props` for the root element, and whether keys are ours now.
 */
export function useKeys(root, enabled, act) {
  const { useEffect, useRef, useState } = React;
  const [hovered, setHovered] = useState(false);
  const [within, setWithin] = useState(false);
  const now = useRef();
  now.current = { enabled, hovered, act };
  useEffect(() => {
    const press = (event) => {
      const element = root.current;
      const focused = document.activeElement;
      if (!element || !now.current.enabled) return;
      if (!isOurs({ root: element, focused, hovered: now.current.hovered, body: document.body })) return;
      if (pressesButton(event, focused, element)) return;
      const action = actionOf(event);
      if (!action) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if (!event.repeat || action[0] === "skip" || action[0] === "back")
        now.current.act(action[0], action[1], event.timeStamp);
    };
    // The window's capturing listeners come before all of the document's, which the App uses.
    window.addEventListener("keydown", press, true);
    if (!document.activeElement?.closest(WRITES)) root.current?.focus({ preventScroll: true });
    return () => window.removeEventListener("keydown", press, true);
  }, []);
  const props = {
    onPointerEnter: () => setHovered(true),
    onPointerLeave: () => setHovered(false),
    onFocus: () => setWithin(true),
    onBlur: (event) => setWithin(Boolean(root.current?.contains(event.relatedTarget))),
  };
  return { props, ours: enabled && (within || hovered) };
}
