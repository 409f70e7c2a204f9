// The last decisions, each with its own undo, and what went wrong.

import { Link, Quiet } from "./parts.jsx";
import { decisionText } from "./words.js";

const { useState } = React;
const { Alert, Box } = __mui__;
const FEW = 3;

export function Notice({ notice }) {
  if (!notice) return null;
  return (
    <Alert severity={notice.kind} data-cy="review-notice" sx={{ py: 0, fontSize: 14 }}>
      {notice.text}
    </Alert>
  );
}

/** `alike(mask)` opens the masks that look like a corrected one and have the same wrong name; null where none can be found. */
export function History({ history, undo, alike }) {
  const [all, setAll] = useState(false);
  return (
    <Box data-cy="review-history" sx={{ minHeight: 88, maxHeight: 180, overflow: "auto", flexShrink: 0 }}>
      {history.slice(0, all ? 50 : FEW).map((item) => (
        <Quiet key={item.seq} data-cy="review-decision" data-status={item.status} sx={{ display: "flex", gap: 1 }}>
          <Box
            component="span"
            sx={{
              flex: 1,
              textDecoration: item.status === "undone" ? "line-through" : undefined,
              overflow: "hidden",
              textOverflow: "ellipsis",
              whiteSpace: "nowrap",
            }}
          >
            {decisionText(item)}
          </Box>
          {item.status === "sent" && <span>saving…</span>}
          {item.status === "failed" && <span>not saved</span>}
          {item.status === "undone" && <span>undone</span>}
          {alike && item.status === "done" && item.kind === "name" && item.entry && (
            <Link
              cy="review-alike"
              onClick={() => alike(item.entry[1])}
              title="Open its look-alikes that have the same wrong name"
            >
              look-alikes
            </Link>
          )}
          {item.status === "done" && (
            <Link cy="review-undo-one" onClick={() => undo(item)}>
              undo
            </Link>
          )}
        </Quiet>
      ))}
      {history.length > FEW && (
        <Link cy="review-history-all" onClick={() => setAll(!all)}>
          {all ? "fewer" : "more"}
        </Link>
      )}
    </Box>
  );
}
