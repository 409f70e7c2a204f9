// The panel “Review masks”.

import { Actions, Facts, Proposals } from "./Card.jsx";
import { End, Plain, Waiting } from "./End.jsx";
import { useKeptFilters } from "./filters.js";
import { Header } from "./Header.jsx";
import { History, Notice } from "./History.jsx";
import { Operators, useApp, useShowInApp } from "./host.js";
import { AcceptMany, SelectionBar } from "./Many.jsx";
import { NameField } from "./NameField.jsx";
import { Message, Press, Quiet } from "./parts.jsx";
import { Picture } from "./Picture.jsx";
import { decisions, undoable } from "./queue.js";
import { useReview } from "./useReview.js";
import { SENTENCES } from "./words.js";

const { useEffect, useRef, useState } = React;
const { Box } = __mui__;

export function Review() {
  const operators = useRef({});
  const app = useApp();
  useKeptFilters();
  const [loaded, setLoaded] = useState(false);
  useEffect(() => setLoaded(true), []); // the executors stand after the first drawing
  return (
    <>
      <Operators operators={operators} />
      {loaded && <Ready operators={operators} app={app} />}
    </>
  );
}

function Ready({ operators, app }) {
  if (!app.dataset) return <Plain sentence={SENTENCES.noDataset} cy="review-no-dataset" />;
  if (!operators.current.review_queue) return <Plain sentence={SENTENCES.noOperator} cy="review-no-operator" />;
  return <Panel key={app.dataset} operators={operators} app={app} />;
}

function Panel({ operators, app }) {
  const review = useReview(operators, app);
  const { root, session, entry, keys, act, leave, like } = review;
  const { state } = session;
  const undo = (decision) => {
    act("undo", decision);
    leave();
  };
  return (
    <Box
      ref={root}
      tabIndex={-1}
      {...keys.props}
      data-cy="review-masks"
      data-phase={session.phase}
      data-mask={entry?.[1] ?? ""}
      data-sample={entry?.[0] ?? ""}
      data-waiting={state.history.filter(({ status, undoing }) => status === "sent" || undoing).length}
      sx={ROOT}
    >
      <Header app={app} review={review} />
      <Notice notice={state.notice} />
      <Body app={app} review={review} />
      <History history={decisions(state)} undo={undo} alike={like && ((mask) => like(mask, { same_wrong_name: true }))} />
    </Box>
  );
}

function Body({ app, review }) {
  const { session, drawing, entry, item, picture, act } = review;
  if (session.phase === "loading") return <Waiting label="Reading the queue" />;
  if (session.phase === "failed") {
    return (
      <Message cy="review-failed" title="The queue could not be read" text={session.failure}>
        <Press onClick={() => session.load()}>Try again</Press>
      </Message>
    );
  }
  if (!entry) return <End state={session.state} act={act} />;
  return (
    <Box sx={COLUMNS}>
      <Picture item={item} picture={picture} {...drawing} />
      <Side app={app} review={review} />
    </Box>
  );
}

function Side({ app, review }) {
  const { session, entry, item, refused, label, selected, applies, setApplies, act, like, leave, nameInput } = review;
  const { state } = session;
  const show = useShowInApp();
  const apply = (on) => {
    setApplies(on);
    leave();
  };
  return (
    <Box sx={SIDE}>
      {selected.length > 0 && <SelectionBar number={selected.length} applies={applies} setApplies={apply} />}
      {item ? (
        <>
          <Facts
            item={item}
            doubt={entry[2]}
            decision={state.decided[entry[1]]}
            show={() => show(item, state.field, app.patches)}
            like={like && (() => like(item.mask_id))}
          />
          <Proposals item={item} label={label} take={(index) => act("proposal", index)} />
        </>
      ) : (
        <Quiet>{refused ?? "Reading the mask…"}</Quiet>
      )}
      <NameField names={state.names} inputRef={nameInput} take={(name) => act("name", name)} leave={leave} />
      <Actions act={act} canUndo={Boolean(undoable(state))} />
      {!selected.length && <AcceptMany session={session} label={label} leave={leave} />}
    </Box>
  );
}

const ROOT = {
  containerType: "inline-size",
  height: "100%",
  boxSizing: "border-box",
  overflow: "auto",
  p: 1.5,
  display: "flex",
  flexDirection: "column",
  gap: 1,
  outline: "none",
  color: "text.primary",
  bgcolor: "background.level2",
  fontSize: 14,
};

const BESIDE = "@container (min-width: 820px)"; // wide enough for the picture and what is said of it side by side
const COLUMNS = {
  flex: 1,
  minHeight: 0,
  display: "flex",
  flexDirection: "column",
  gap: 1,
  [BESIDE]: { flexDirection: "row", gap: 2 },
};
const SIDE = {
  display: "flex",
  flexDirection: "column",
  gap: 1,
  [BESIDE]: { width: 380, flexShrink: 0, overflow: "auto" },
};
