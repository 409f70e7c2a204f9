// Work that can wait until the browser has shown what was just drawn.

/** Calls once what was drawn is on the screen; soon, too, where nothing is drawn (a tab in the background). */
export function afterPaint(call) {
  let called = false;
  const once = () => {
    if (!called) call();
    called = true;
  };
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = once;
    port2.postMessage(null);
  });
  setTimeout(once, 250);
}

export const painted = () => new Promise(afterPaint);
