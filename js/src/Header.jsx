// The panel's head: which masks, in which order, and how far the review is.

import { Press, Quiet } from "./parts.jsx";
import { count, masks } from "./words.js";

const { Box, LinearProgress, MenuItem, Select } = __mui__;

const ORDERS = { doubt: "Most doubtful first", area: "Largest first", class: "By name" };

function Choice({ cy, label, value, options, onChange }) {
  return (
    <Select
      size="small"
      variant="standard"
      disableUnderline
      value={value}
      inputProps={{ "aria-label": label }}
      data-cy={cy}
      onChange={(event) => onChange(event.target.value)}
      sx={{ fontSize: 14, maxWidth: 220 }}
    >
      {options.map(([key, text]) => (
        <MenuItem key={key} value={key} data-cy={`${cy}-${key}`}>
          {text}
        </MenuItem>
      ))}
    </Select>
  );
}

export function Header({ app, review: { session, keys, thisImage, setThisImage } }) {
  const { state, wish, setWish, load } = session;
  const done = state.total ? (100 * state.reviewed) / state.total : 0;
  return (
    <Box sx={{ display: "flex", flexDirection: "column", gap: 0.5 }}>
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", columnGap: 2, rowGap: 0.5 }}>
        {state.fields.length > 1 && (
          <Choice
            cy="review-field"
            label="Field of masks"
            value={state.field}
            options={state.fields.map((f) => [f, f])}
            onChange={(field) => setWish({ ...wish, field })}
          />
        )}
        <Choice
          cy="review-order"
          label="Order"
          value={wish.order}
          options={Object.entries(ORDERS)}
          onChange={(order) => setWish({ ...wish, order })}
        />
        {app.inModal && (
          <Choice
            cy="review-scope"
            label="Which masks"
            value={thisImage ? "image" : "view"}
            options={[
              ["image", "This image"],
              ["view", "The whole view"],
            ]}
            onChange={(value) => setThisImage(value === "image")}
          />
        )}
        <Box sx={{ flex: 1 }} />
        <Quiet data-cy="review-keys" sx={{ color: keys.ours ? "text.secondary" : "text.tertiary" }}>
          {keys.ours ? "Keys on" : "Click here for keys"}
        </Quiet>
        <Press
          cy="review-refresh"
          onClick={() => load()}
          title="Read the queue anew"
          sx={{ minWidth: 0, px: 1, border: 0 }}
        >
          ⟳
        </Press>
      </Box>
      <Box sx={{ display: "flex", alignItems: "center", gap: 1.5 }}>
        <LinearProgress
          variant="determinate"
          value={Math.min(100, done)}
          aria-label="Reviewed"
          sx={{ flex: 1, height: 6, borderRadius: 3, bgcolor: "divider" }}
        />
        <Quiet
          data-cy="review-progress"
          data-reviewed={state.reviewed}
          data-total={state.total}
          sx={{ whiteSpace: "nowrap" }}
        >
          {count(state.reviewed)} of {masks(state.total)} reviewed
        </Quiet>
      </Box>
    </Box>
  );
}
