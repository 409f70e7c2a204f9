// Decisions on many masks at once: the App's selection, and all of a class above a margin.

import { NameField } from "./NameField.jsx";
import { Link, Press, Quiet } from "./parts.jsx";
import { masks, sentence } from "./words.js";

const { useEffect, useState } = React;
const { Box, TextField } = __mui__;

/** Whether what is done applies to the masks that are selected in the App. */
export function SelectionBar({ number, applies, setApplies }) {
  return (
    <Box
      data-cy="review-selection"
      sx={{
        display: "flex",
        alignItems: "center",
        gap: 1,
        px: 1,
        py: 0.5,
        borderRadius: 1,
        bgcolor: "action.selected",
      }}
    >
      <Quiet sx={{ flex: 1, color: "text.primary" }}>
        {applies
          ? `Keys and buttons apply to the ${masks(number)} selected in the App.`
          : `${masks(number)} selected in the App.`}
      </Quiet>
      <Press cy="review-apply" onClick={() => setApplies(!applies)}>
        {applies ? "Back to the queue" : `Apply to the ${number} selected`}
      </Press>
    </Box>
  );
}

/** Accept all of a class above a margin: how many is shown first, then a second press does it. */
export function AcceptMany({ session, label, leave }) {
  const [open, setOpen] = useState(false);
  const [wanted, setWanted] = useState(null);
  const [margin, setMargin] = useState("0.5");
  const [found, setFound] = useState(null); // {masks} | {problem}
  const name = wanted ?? label;
  const params = { class_name: name, min_margin: Number(margin) };
  const right = margin.trim() !== "" && Number.isFinite(params.min_margin);
  useEffect(() => {
    setFound(null);
    if (!open || !name || !right) return undefined;
    let stale = false;
    const timer = setTimeout(async () => {
      const answer = await session.acceptAll(params, true).catch(({ message }) => ({ problem: sentence(message) }));
      if (!stale) setFound(answer);
    }, 300);
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  }, [open, name, margin, session.answered, session.state.entries]);

  const accept = () => {
    setOpen(false);
    leave();
    session.acceptAll(params, false);
  };
  if (!open)
    return (
      <Box>
        <Link
          cy="review-many"
          onClick={() => {
            setWanted(label);
            setOpen(true);
          }}
        >
          Accept many at once…
        </Link>
      </Box>
    );
  return (
    <Box
      data-cy="review-many-form"
      sx={{
        display: "flex",
        flexDirection: "column",
        gap: 1,
        p: 1,
        border: 1,
        borderColor: "divider",
        borderRadius: 1,
      }}
    >
      <Quiet>
        Accept every open mask of this view that is named <b>{name}</b> and whose margin is at least {margin || "…"}.
      </Quiet>
      <Box sx={{ display: "flex", gap: 1 }}>
        <Box sx={{ flex: 1 }}>
          <NameField
            names={session.state.names}
            take={setWanted}
            leave={() => {}}
            label="Another class"
            cy="review-many-class"
            hint={null}
          />
        </Box>
        <TextField
          size="small"
          label="margin"
          value={margin}
          sx={{ width: 96 }}
          error={!right}
          inputProps={{ "data-cy": "review-many-margin", inputMode: "decimal" }}
          onChange={(event) => setMargin(event.target.value)}
          onKeyDown={(event) => event.stopPropagation()}
        />
      </Box>
      <Box sx={{ display: "flex", alignItems: "center", gap: 1 }}>
        <Quiet data-cy="review-many-count" data-masks={found?.masks ?? ""} sx={{ flex: 1 }}>
          {!right
            ? "A margin is a number between 0 and 1."
            : found
              ? (found.problem ?? `${masks(found.masks)} would be accepted.`)
              : "Counting…"}
        </Quiet>
        <Press
          cy="review-many-cancel"
          onClick={() => {
            setOpen(false);
            leave();
          }}
        >
          Cancel
        </Press>
        <Press
          cy="review-many-accept"
          variant="contained"
          color="primary"
          disabled={!found?.masks}
          onClick={accept}
          sx={{ color: "text.buttonHighlight" }}
        >
          Accept {found?.masks ? masks(found.masks) : ""}
        </Press>
      </Box>
    </Box>
  );
}
