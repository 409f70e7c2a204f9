// A name that is typed, completed over the names of the dataset.

import { Key } from "./parts.jsx";
import { completions } from "./words.js";

const { useState } = React;
const { Box, TextField } = __mui__;

/**
 * Enter takes the marked line: the first completion, or what was typed where no name begins with it. The last line is
 * always what was typed, one arrow up from the first. `take(name)` gets the name; `leave()` gives the keys back.
 */
export function NameField({ names, inputRef, take, leave, label = "Another name", cy = "review-name", hint = "t" }) {
  const [typed, setTyped] = useState("");
  const [marked, setMarked] = useState(0);
  const [open, setOpen] = useState(false);
  const fits = completions(names, typed);
  const own = typed.trim();
  const lines = own && !fits.includes(own) ? [...fits, own] : fits;
  const begins = fits[0]?.toLowerCase().startsWith(own.toLowerCase());
  const first = begins || !fits.length ? 0 : lines.length - 1;
  const at = lines.length ? (first + marked + lines.length) % lines.length : -1;

  const change = (text) => {
    setTyped(text);
    setMarked(0);
    setOpen(true);
  };
  const finish = (name) => {
    change("");
    setOpen(false);
    leave();
    if (name) take(name);
  };
  const press = (event) => {
    event.stopPropagation(); // what is typed is no shortcut of the App's
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && lines.length) setMarked((marked + step) % lines.length);
    else if (event.key === "Enter" && at >= 0) finish(lines[at]);
    else if (event.key === "Escape") finish(null);
    else return;
    event.preventDefault();
  };

  return (
    <Box sx={{ position: "relative" }}>
      <TextField
        fullWidth
        size="small"
        placeholder={label}
        value={typed}
        inputRef={inputRef}
        autoComplete="off"
        inputProps={{ "data-cy": cy, "aria-label": label, role: "combobox", "aria-expanded": open && lines.length > 0 }}
        InputProps={{ endAdornment: hint && <Key>{hint}</Key> }}
        onChange={(event) => change(event.target.value)}
        onKeyDown={press}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
      />
      {open && lines.length > 0 && (
        <Box role="listbox" data-cy={`${cy}-list`} sx={LIST}>
          {lines.map((name, i) => (
            <Box
              key={name}
              role="option"
              aria-selected={i === at}
              data-cy={`${cy}-option`}
              onMouseDown={(event) => {
                event.preventDefault();
                finish(name);
              }}
              sx={{
                px: 1.5,
                py: 0.5,
                cursor: "pointer",
                bgcolor: i === at ? "action.selected" : undefined,
                "&:hover": { bgcolor: "action.hover" },
              }}
            >
              {fits.includes(name) ? name : `“${name}”, a new name`}
            </Box>
          ))}
        </Box>
      )}
    </Box>
  );
}

const LIST = {
  position: "absolute",
  zIndex: 5,
  left: 0,
  right: 0,
  bottom: "100%",
  mb: 0.5,
  maxHeight: 280,
  overflow: "auto",
  color: "text.primary",
  bgcolor: "background.level1",
  border: 1,
  borderColor: "divider",
  borderRadius: 1,
  fontSize: 14,
};
