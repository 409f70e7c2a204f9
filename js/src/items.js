// What the queue will show soon, asked for in advance, so that the next mask never waits for the server.

export const AHEAD = 10;
const BATCH = 5; // fewer than this are asked for only where the shown mask is among them
const KEEP = 80;

export class Items {
  /** `fetch(pairs)` answers with items in any order; `arrived()` is called when some have come. */
  constructor(fetch, arrived) {
    this.fetch = fetch;
    this.arrived = arrived;
    this.items = new Map(); // by mask id, least recently wanted first
    this.asked = new Set();
    this.errors = new Map();
  }

  get(mask) {
    return this.items.get(mask);
  }

  error(mask) {
    return this.errors.get(mask);
  }

  /** Whatever came for an older queue is dropped. */
  clear() {
    this.items.clear();
    this.errors.clear();
    this.asked = new Set();
  }

  /** Ask for what stands at `at` and after it, and for the one before it. */
  want(entries, at) {
    const shown = entries[at];
    const window = entries.slice(Math.max(0, at - 1), at + AHEAD + 1);
    const missing = window.filter(
      ([, mask]) => !this.items.has(mask) && !this.asked.has(mask) && !this.errors.has(mask),
    );
    const urgent = shown && missing.includes(shown);
    const last = entries.length <= at + AHEAD + 1;
    if (!missing.length || !(urgent || missing.length >= BATCH || last)) return;
    // The shown one comes with few others, so that it comes soon; its arrival asks for the rest.
    this.ask(urgent ? [shown, ...missing.filter((entry) => entry !== shown).slice(0, 2)] : missing);
  }

  async ask(entries) {
    const asked = this.asked; // `clear` starts another
    for (const [, mask] of entries) asked.add(mask);
    try {
      const items = await this.fetch(entries.map(([sample, mask]) => [sample, mask]));
      if (asked !== this.asked) return;
      for (const item of items) this.put(item);
      for (const [, mask] of entries) if (!this.items.has(mask)) this.errors.set(mask, "the mask is gone");
    } catch (error) {
      if (asked !== this.asked) return;
      for (const [, mask] of entries) this.errors.set(mask, error.message);
    }
    for (const [, mask] of entries) asked.delete(mask);
    this.arrived();
  }

  put(item) {
    this.items.delete(item.mask_id);
    this.items.set(item.mask_id, item);
    if (this.items.size > KEEP) this.items.delete(this.items.keys().next().value);
  }

  /** Ask again for what failed. */
  retry() {
    this.errors.clear();
  }
}
