// The queue without a browser: `node --test tests/js`.
import assert from "node:assert/strict";
import { test } from "node:test";

import { EMPTY, current, openAhead, reduce, skipped, undoable } from "../../js/src/queue.js";

const server = (ids, numbers = {}) => ({
  label_field: "ssa",
  fields: ["ssa"],
  names: ["tree"],
  ids: ids.map((id) => ["s", id, 0.5]),
  total: ids.length,
  reviewed: 0,
  ...numbers,
});
const after = (...actions) => actions.reduce(reduce, EMPTY);
const begin = (ids = ["a", "b", "c"], numbers) => ({ type: "loaded", queue: server(ids, numbers), keep: false });
const decide = (seq, id, more = {}) => ({
  type: "decide",
  seq,
  kind: "accept",
  was: "tree",
  entry: ["s", id, 0.5],
  count: 1,
  field: "ssa",
  ...more,
});
const shown = (state) => current(state)?.[1] ?? null;

test("a decision counts at once and shows the next", () => {
  const state = after(begin(), decide(1, "a"));
  assert.equal(shown(state), "b");
  assert.equal(state.reviewed, 1);
  assert.equal(state.history[0].status, "sent");
});

test("skip and back move without deciding, and stay inside", () => {
  assert.equal(shown(after(begin(), { type: "skip" })), "b");
  assert.equal(shown(after(begin(), { type: "back" })), "a");
  const end = after(begin(), { type: "skip" }, { type: "skip" }, { type: "skip" }, { type: "skip" });
  assert.equal(shown(end), null);
  assert.equal(skipped(end), 3);
  assert.equal(shown(reduce(end, { type: "again" })), "a");
});

test("a mask that is decided twice counts once, and the next undecided one follows", () => {
  const state = after(
    begin(),
    decide(1, "a"),
    decide(2, "b"),
    { type: "back" },
    { type: "back" },
    decide(3, "a", { kind: "reject" }),
  );
  assert.equal(state.reviewed, 2);
  assert.equal(shown(state), "c");
  assert.equal(state.decided.a.kind, "reject");
});

test("what the server refuses comes next and counts no more", () => {
  const state = after(begin(), decide(1, "a"), { type: "failed", seq: 1, text: "no" });
  assert.equal(shown(state), "b");
  assert.equal(state.reviewed, 0);
  assert.equal(shown(reduce(state, { type: "skip" })), "a");
  assert.equal(state.notice.text, "no");
  const last = after(begin(["a"]), decide(1, "a"), { type: "failed", seq: 1, text: "no" });
  assert.equal(shown(last), "a");
});

test("undo shows the mask again before and after the answer", () => {
  for (const answer of [[], [{ type: "done", seq: 1, count: 1 }]]) {
    const state = after(begin(), decide(1, "a"), ...answer, { type: "undo", seq: 1 });
    assert.equal(shown(state), "a");
    assert.equal(state.reviewed, 0);
    assert.equal(undoable(state), undefined);
  }
});

test("a decision belongs to its field: another one neither counts it nor takes it back", () => {
  const other = { type: "loaded", queue: server(["x"], { label_field: "engine" }), keep: false };
  const there = after(begin(), decide(1, "a"), other);
  assert.equal(undoable(there), undefined);
  assert.equal(reduce(there, { type: "failed", seq: 1, text: "no" }).reviewed, 0);
  assert.deepEqual([undoable(reduce(there, begin())).field, reduce(there, begin()).reviewed], ["ssa", 1]);
});

test("an answer that comes after the undo changes nothing", () => {
  const undone = after(begin(), decide(1, "a"), { type: "undo", seq: 1 });
  for (const answer of [
    { type: "done", seq: 1, count: 1 },
    { type: "failed", seq: 1, text: "no" },
  ]) {
    assert.equal(reduce(undone, answer).reviewed, 0);
    assert.equal(reduce(undone, answer).history[0].status, "undone");
  }
});

test("undo of a second decision brings the first back", () => {
  const twice = [
    decide(1, "a"),
    { type: "back" },
    decide(2, "a", { kind: "name", name: "grass" }),
    { type: "undo", seq: 2 },
  ];
  const state = after(begin(), ...twice);
  assert.equal(state.decided.a.kind, "accept");
  assert.equal(state.reviewed, 1);
});

test("an undo that is refused leaves the decision", () => {
  const state = after(
    begin(),
    decide(1, "a"),
    { type: "undo", seq: 1 },
    { type: "undoFailed", seq: 1, text: "changed since" },
  );
  assert.equal(state.reviewed, 1);
  assert.equal(undoable(state).seq, 1);
  assert.equal(state.notice.text, "changed since");
});

test("many masks at once count as the server says", () => {
  const many = { type: "decide", seq: 1, kind: "accept", name: "tree", entry: null, count: 0, field: "ssa" };
  const state = after(begin(["a", "b", "c"], { total: 900 }), many, { type: "done", seq: 1, count: 800 });
  assert.equal(state.reviewed, 800);
  assert.equal(reduce(state, { type: "undo", seq: 1 }).reviewed, 0);
});

test("a refill goes on with what was seen and leaves out nothing that is new", () => {
  const state = after(
    begin(["a", "b"], { total: 4 }),
    decide(1, "a"),
    { type: "done", seq: 1, count: 1 },
    { type: "skip" },
  );
  assert.equal(openAhead(state), 0);
  const queue = server(["b", "c", "d"], { total: 4, reviewed: 1 });
  const more = reduce(state, { type: "loaded", queue, keep: true });
  assert.deepEqual([shown(more), more.reviewed, more.exhausted], ["c", 1, false]);
  const same = reduce(state, { type: "loaded", queue: server(["b"], { total: 4, reviewed: 3 }), keep: true });
  assert.equal(same.exhausted, true);
});

test("a queue that was read before a decision arrived does not show its mask again", () => {
  for (const keep of [true, false]) {
    const state = after(begin(), decide(1, "a"), { type: "loaded", queue: server(["a", "b", "c"]), keep });
    assert.equal(shown(state), "b");
    assert.equal(state.reviewed, 1);
  }
});

test("undo finds a mask that a newer queue no longer lists", () => {
  const state = after(
    begin(),
    decide(1, "a"),
    { type: "done", seq: 1, count: 1 },
    begin(["b", "c"], { total: 3, reviewed: 1 }),
    { type: "undo", seq: 1 },
  );
  assert.equal(shown(state), "a");
  assert.equal(state.reviewed, 0);
});

test("a queue that was read before an undo arrived neither counts nor loses what is undone", () => {
  for (const keep of [true, false]) {
    const undone = after(begin(), decide(1, "a"), { type: "done", seq: 1, count: 1 }, { type: "undo", seq: 1 });
    const state = reduce(undone, { type: "loaded", queue: server(["b", "c"], { total: 3, reviewed: 1 }), keep });
    assert.deepEqual([shown(state), state.reviewed], ["a", 0]);
    const then = reduce(state, { type: "undoDone", seq: 1 });
    assert.equal(reduce(then, { type: "loaded", queue: server(["a", "b", "c"]), keep }).reviewed, 0);
  }
  const many = { type: "decide", seq: 1, kind: "accept", entry: null, count: 0, field: "ssa" };
  const undone = after(
    begin(["a", "b"], { total: 9 }),
    many,
    { type: "done", seq: 1, count: 7 },
    { type: "undo", seq: 1 },
  );
  const state = reduce(undone, { type: "loaded", queue: server(["a", "b"], { total: 9, reviewed: 7 }), keep: true });
  assert.equal(state.reviewed, 0);
});
