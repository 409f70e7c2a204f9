// COCO's compressed run-length codes, as pycocotools writes them: column by column, runs of 0 and 1 in turn.
"use strict";

/** The runs' lengths, the first of 0s. */
function readRuns(text) {
  const runs = [];
  let at = 0;
  while (at < text.length) {
    let value = 0, shift = 0, more = true, bits = 0;
    while (more) {
      bits = text.charCodeAt(at++) - 48;
      value += (bits & 31) * 2 ** shift;
      shift += 5;
      more = (bits & 32) !== 0;
    }
    if (bits & 16) value -= 2 ** shift;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

/** Call paint(x, y from, y to) for each column's piece of a mask. */
function eachColumn(code, paint) {
  const height = code.size[0];
  let start = 0, inside = false;
  for (const run of readRuns(code.counts)) {
    if (inside) {
      for (let at = start; at < start + run;) {
        const x = Math.floor(at / height), y = at % height;
        const until = Math.min(start + run - at, height - y);
        paint(x, y, y + until);
        at += until;
      }
    }
    start += run;
    inside = !inside;
  }
}
