// What stands where no mask is shown: why, and what can be done.

import { Message, Press } from "./parts.jsx";
import { skipped, undoable } from "./queue.js";
import { SENTENCES, count, masks } from "./words.js";

const { Box, CircularProgress } = __mui__;

export function Waiting({ label }) {
  return (
    <Box sx={{ m: "auto" }}>
      <CircularProgress aria-label={label} />
    </Box>
  );
}

export function Plain({ sentence: [title, text], cy, children }) {
  return (
    <Box sx={{ height: "100%", display: "flex" }}>
      <Message cy={cy} title={title} text={text}>
        {children}
      </Message>
    </Box>
  );
}

/** No masks, all reviewed, or some were skipped. */
export function End({ state, act }) {
  if (!state.field) return <Plain cy="review-no-field" sentence={SENTENCES.noField} />;
  if (!state.total) return <Plain cy="review-no-masks" sentence={SENTENCES.noMasks} />;
  if (state.total > state.reviewed && !state.exhausted) return <Waiting label="Reading more" />;
  const left = skipped(state);
  const passed = `You skipped ${masks(left)}; ${count(state.reviewed)} of ${masks(state.total)} are reviewed.`;
  const sentence = left
    ? ["You have seen them all", passed]
    : ["Everything is reviewed", `All ${masks(state.total)} of this view.`];
  return (
    <Plain cy={left ? "review-skipped" : "review-finished"} sentence={sentence}>
      {left > 0 && (
        <Press cy="review-again" onClick={() => act("again")}>
          Show the skipped
        </Press>
      )}
      {undoable(state) && (
        <Press cy="review-undo" keyName="z" onClick={() => act("undo")}>
          Undo
        </Press>
      )}
    </Plain>
  );
}
