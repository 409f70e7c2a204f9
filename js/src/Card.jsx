// What is said of the shown mask, and what can be done with it.

import { Key, Link, Press, Quiet } from "./parts.jsx";
import { count, share } from "./words.js";

const { Box, ButtonBase, Typography } = __mui__;

const STATES = { accept: "accepted", reject: "rejected", name: "corrected" };

/** The name and, small, why it is doubted. */
export function Facts({ item, doubt, decision, show, like }) {
  const facts = [
    ["doubt", share(doubt), "How likely the name is wrong, from 0 to 1"],
    ["margin", share(item.margin), "How far the winner is ahead of the next name"],
    ["confidence", share(item.confidence), "How sure the model is"],
    ["pixels", count(item.area ?? 0), "How large the mask is"],
    ["by", item.source, "Who named it"],
  ].filter(([, value]) => value && value !== "–");
  return (
    <Box>
      <Box sx={{ display: "flex", alignItems: "baseline", gap: 1.5, flexWrap: "wrap" }}>
        <Typography
          data-cy="review-label"
          sx={{ fontSize: 24, lineHeight: 1.3, color: "text.primary", overflowWrap: "anywhere" }}
        >
          {decision?.name ?? item.label ?? "no name"}
        </Typography>
        {decision && <Quiet data-cy="review-decided">{STATES[decision.kind]}</Quiet>}
        <Box sx={{ flex: 1 }} />
        <Link cy="review-show" onClick={show}>
          Show in App
        </Link>
        {like && (
          <Link cy="review-like" onClick={like}>
            Find its like
          </Link>
        )}
      </Box>
      <Quiet data-cy="review-facts" sx={{ display: "flex", columnGap: 1.5, flexWrap: "wrap" }}>
        {facts.map(([name, value, title]) => (
          <span key={name} title={title}>
            {name} {value}
          </span>
        ))}
      </Quiet>
      <Quiet sx={{ fontStyle: "italic", minHeight: "1.5em" }}>{item.caption && `“${item.caption}”`}</Quiet>
    </Box>
  );
}

function Proposal({ number, proposal, isNow, take }) {
  const width = `${Math.round(100 * Math.min(1, Math.max(0, proposal.score ?? 0)))}%`;
  return (
    <ButtonBase
      onMouseDown={(event) => event.preventDefault()}
      onClick={take}
      data-cy={`review-proposal-${number}`}
      disableRipple
      aria-keyshortcuts={String(number)}
      sx={{
        position: "relative",
        justifyContent: "flex-start",
        gap: 1,
        width: "100%",
        px: 1,
        py: 0.75,
        fontSize: 15,
        overflow: "hidden",
        color: "text.primary",
        border: 1,
        borderColor: "divider",
        borderRadius: 1,
        "&:hover, &:focus-visible": { bgcolor: "action.hover" },
      }}
    >
      <Box sx={{ position: "absolute", left: 0, top: 0, bottom: 0, width, bgcolor: "primary.main", opacity: 0.16 }} />
      <Key>{number}</Key>
      <Box
        component="span"
        sx={{
          position: "relative",
          flex: 1,
          textAlign: "left",
          overflow: "hidden",
          textOverflow: "ellipsis",
          whiteSpace: "nowrap",
        }}
      >
        {proposal.name}
      </Box>
      {isNow && <Quiet sx={{ position: "relative" }}>now</Quiet>}
      <Quiet sx={{ position: "relative" }}>{share(proposal.score)}</Quiet>
    </ButtonBase>
  );
}

const STILL = { minHeight: 122 }; // room for three, so that no button moves under the pointer from mask to mask

/** The engine's first three proposals; `take(index)`. */
export function Proposals({ item, label, take }) {
  if (!item.proposals?.length) return <Quiet sx={STILL}>No proposals were kept for this mask.</Quiet>;
  return (
    <Box sx={{ ...STILL, display: "flex", flexDirection: "column", gap: 0.5 }}>
      {item.proposals.slice(0, 3).map((proposal, index) => (
        <Proposal
          key={proposal.name}
          number={index + 1}
          proposal={proposal}
          isNow={proposal.name === label}
          take={() => take(index)}
        />
      ))}
    </Box>
  );
}

export function Actions({ act, canUndo }) {
  return (
    <Box sx={{ display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(96px, 1fr))", gap: 0.5 }}>
      <Press
        cy="review-accept"
        keyName="Enter"
        variant="contained"
        color="primary"
        onClick={() => act("accept")}
        sx={{ color: "text.buttonHighlight" }}
      >
        Accept
      </Press>
      <Press cy="review-reject" keyName="x" onClick={() => act("reject")}>
        Reject
      </Press>
      <Press cy="review-back" keyName="ArrowLeft" onClick={() => act("back")}>
        Back
      </Press>
      <Press cy="review-skip" keyName="ArrowRight" onClick={() => act("skip")}>
        Skip
      </Press>
      <Press cy="review-undo" keyName="z" disabled={!canUndo} onClick={() => act("undo")}>
        Undo
      </Press>
    </Box>
  );
}
