// Keys, names, geometry and prefetching without a browser.
import assert from "node:assert/strict";
import { test } from "node:test";

import { surroundings, wholeImage } from "../../js/src/geometry.js";
import { AHEAD, Items } from "../../js/src/items.js";
import { actionOf, isOurs } from "../../js/src/keys.js";
import { completions, decisionText, failureText } from "../../js/src/words.js";

test("keys do what the panel says, and none does with a modifier", () => {
  const wanted = {
    Enter: "accept",
    1: "proposal",
    3: "proposal",
    t: "type",
    x: "reject",
    X: "reject",
    ArrowRight: "skip",
    s: "skip",
    ArrowLeft: "back",
    z: "undo",
  };
  for (const [key, action] of Object.entries(wanted)) assert.equal(actionOf({ key })[0], action, key);
  assert.equal(actionOf({ key: "2" })[1], 1);
  for (const key of ["4", "q", "Escape", "ArrowUp", " ", "`"]) assert.equal(actionOf({ key }), null, key);
  assert.equal(actionOf({ key: "z", ctrlKey: true }), null);
});

test("keys are the panel's with focus in it, or the pointer over it and nobody typing", () => {
  const body = {};
  const inside = { closest: () => null };
  const field = { closest: () => ({}) };
  const elsewhere = { closest: () => null };
  const root = { contains: (element) => element === inside || element === field };
  const ours = (focused, hovered) => isOurs({ root, focused, hovered, body });
  assert.deepEqual([ours(inside, false), ours(body, true), ours(null, true)], [true, true, true]);
  assert.deepEqual([ours(field, true), ours(elsewhere, true), ours(body, false)], [false, false, false]);
});

test("completions: whole, beginning, beginning of a word, inside; frequent ones first", () => {
  const names = ["street tree", "tree", "trees", "palm-tree", "subtree", "sky"];
  assert.deepEqual(completions(names, "Tree"), ["tree", "trees", "street tree", "palm-tree", "subtree"]);
  assert.deepEqual(completions(names, "tr"), ["tree", "trees", "street tree", "palm-tree", "subtree"]);
  assert.deepEqual(completions(names, "  "), []);
  assert.equal(
    completions(
      Array.from({ length: 50 }, (_, i) => `tree ${i}`),
      "t",
    ).length,
    8,
  );
});

test("sentences", () => {
  const entry = ["s", "a", 0.5];
  assert.equal(decisionText({ kind: "name", name: "grass", was: "tree", entry }), "tree → grass");
  assert.equal(decisionText({ kind: "accept", name: "tree", entry: null, count: 1200 }), "Accepted 1,200 masks: tree");
  assert.equal(
    failureText({ kind: "accept", entry }, "InputError: it is gone"),
    "Could not accept it: it is gone. It comes back next.",
  );
});

test("the surroundings hold the box, lie in the image, and have the shape asked for", () => {
  for (const shape of [0.6, 1, 2.3]) {
    for (const box of [
      [0, 0, 10, 10],
      [390, 290, 10, 10],
      [100, 50, 200, 30],
      [0, 0, 400, 300],
    ]) {
      const [x, y, w, h] = surroundings(box, 400, 300, shape);
      assert.ok(Math.abs(w / h - shape) < 1e-9);
      assert.ok(
        x <= box[0] + 1e-9 && y <= box[1] + 1e-9 && x + w >= box[0] + box[2] - 1e-9 && y + h >= box[1] + box[3] - 1e-9,
      );
      if (w <= 400) assert.ok(x >= 0 && x + w <= 400 + 1e-9);
      if (h <= 300) assert.ok(y >= 0 && y + h <= 300 + 1e-9);
      assert.ok(w <= 400 + 1e-9 || h <= 300 + 1e-9); // no border on all four sides
    }
  }
  assert.deepEqual(wholeImage(400, 300, 1), [0, -50, 400, 400]);
});

const entries = Array.from({ length: 40 }, (_, i) => ["s", `m${i}`, 0]);
const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

test("ten masks are fetched in advance, in batches, none twice", async () => {
  const asked = [];
  const items = new Items(
    async (pairs) => {
      asked.push(pairs.map(([, mask]) => mask));
      return pairs.map(([, mask]) => ({ mask_id: mask }));
    },
    () => items.want(entries, at),
  );
  let at = 0;
  items.want(entries, at);
  await settled();
  await settled();
  assert.equal(asked[0][0], "m0"); // the shown one first, with few others
  for (let i = 0; i <= AHEAD; i += 1) assert.ok(items.get(`m${i}`), `m${i}`);
  for (at = 1; at < 25; at += 1) {
    assert.ok(items.get(`m${at}`)); // never waited for
    items.want(entries, at);
    await settled();
  }
  assert.equal(new Set(asked.flat()).size, asked.flat().length);
  assert.ok(asked.length < 10);
});

test("what is asked for an older queue is dropped, and a failure is told", async () => {
  let answer;
  const items = new Items(
    () => new Promise((resolve, reject) => (answer = { resolve, reject })),
    () => {},
  );
  items.want(entries, 0);
  const old = answer;
  items.clear();
  old.resolve([{ mask_id: "m0" }]);
  await settled();
  assert.equal(items.get("m0"), undefined);
  items.want(entries, 0);
  answer.reject(new Error("no database"));
  await settled();
  assert.equal(items.error("m0"), "no database");
});
