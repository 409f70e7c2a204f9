// Small pieces that the panel's parts share. Colours are the App's theme's.

const { Box, Button, Typography } = __mui__;

const keepFocus = (event) => event.preventDefault(); // a mouse click leaves the focus, and with it the keys, to the panel

export function Key({ children }) {
  const sx = {
    border: "1px solid currentColor",
    opacity: 0.65,
    borderRadius: 0.5,
    px: 0.5,
    minWidth: 18,
    lineHeight: "16px",
    fontSize: 11,
    fontFamily: "inherit",
    textAlign: "center",
    flexShrink: 0,
  };
  return (
    <Box component="kbd" sx={sx} aria-hidden>
      {children}
    </Box>
  );
}

/** A button with its key; `cy` names it for tests. */
export function Press({ cy, keyName, children, sx, ...props }) {
  return (
    <Button
      size="small"
      variant="outlined"
      color="inherit"
      data-cy={cy}
      onMouseDown={keepFocus}
      aria-keyshortcuts={keyName}
      disableRipple
      sx={{ gap: 1, textTransform: "none", borderColor: "divider", color: "text.primary", lineHeight: 1.4, ...sx }}
      {...props}
    >
      {children}
      {keyName && <Key>{SIGNS[keyName] ?? keyName}</Key>}
    </Button>
  );
}

const SIGNS = { Enter: "↵", ArrowRight: "→", ArrowLeft: "←" };

/** A quiet button that reads as a link. */
export function Link({ cy, children, ...props }) {
  const sx = { textTransform: "none", p: 0, minWidth: 0, color: "text.secondary", textDecoration: "underline" };
  return (
    <Button size="small" color="inherit" data-cy={cy} onMouseDown={keepFocus} disableRipple sx={sx} {...props}>
      {children}
    </Button>
  );
}

/** What stands where there is no mask to show: a sentence, why, and what to do. */
export function Message({ cy, title, text, children }) {
  return (
    <Box data-cy={cy} role="status" sx={{ m: "auto", p: 4, maxWidth: 440, textAlign: "center" }}>
      <Typography variant="h6" sx={{ color: "text.primary" }}>
        {title}
      </Typography>
      {text && <Typography sx={{ color: "text.secondary", mt: 1 }}>{text}</Typography>}
      <Box sx={{ mt: 2, display: "flex", gap: 1, justifyContent: "center" }}>{children}</Box>
    </Box>
  );
}

export function Quiet({ children, sx, ...props }) {
  return (
    <Typography variant="body2" component="div" sx={{ color: "text.secondary", ...sx }} {...props}>
      {children}
    </Typography>
  );
}
