// The panel “Review masks”.

import { Actions, Facts, Proposals } from "./Card.jsx";
import { Header } from "./Header.jsx";
import { History, Notice } from "./History.jsx";
import { Operators, showInApp, useApp, useQuietRefresh } from "./host.js";
import { useKeys } from "./keys.js";
import { AcceptMany, SelectionBar } from "./Many.jsx";
import { NameField } from "./NameField.jsx";
import { Message, Press, Quiet } from "./parts.jsx";
import { Picture } from "./Picture.jsx";
import { current, skipped, undoable } from "./queue.js";
import { useSession } from "./session.js";
import { SENTENCES, count, masks, sentence } from "./words.js";

const { useCallback, useEffect, useRef, useState } = React;
const { Box, CircularProgress } = __mui__;

const PAUSE_MS = 2500; // without a decision, until grid and modal are read again

export function Review() {
  const operators = useRef({});
  const app = useApp();
  const [loaded, setLoaded] = useState(false);
  useEffect(() => setLoaded(true), []); // the executors stand after the first drawing
  return (
    <>
      <Operators operators={operators} />
      {!app.dataset ? <Plain sentence={SENTENCES.noDataset} cy="review-no-dataset" />
        : loaded && (operators.current.review_queue
          ? <Session key={app.dataset} operators={operators} app={app} />
          : <Plain sentence={SENTENCES.noOperator} cy="review-no-operator" />)}
    </>
  );
}

function Plain({ sentence: [title, text], cy }) {
  return <Box sx={{ height: "100%", display: "flex" }}><Message cy={cy} title={title} text={text} /></Box>;
}

function useSwitch(initial) {
  const [on, setOn] = useState(initial);
  return [on, useCallback(() => setOn((was) => !was), [])];
}

/** Whether the operator that finds look-alikes has an index of this field. */
function useLike(operators, field, mask) {
  const [available, setAvailable] = useState(false);
  useEffect(() => {
    setAvailable(false);
    if (!field || !mask || !operators.current.show_like) return;
    operators.current.show_like({ ids: [mask], label_field: field, dry_run: true })
      .then((answer) => setAvailable(answer.available === true))
      .catch(() => setAvailable(false)); // an answer, too: there is none
  }, [field, Boolean(mask)]);
  return available;
}

function Session({ operators, app }) {
  const root = useRef(null);
  const nameInput = useRef(null);
  const clock = useRef({ pressed: null, times: [] }).current;
  const [thisImage, setThisImage] = useState(app.inModal);
  const session = useSession(operators, { key: app.key, sample: thisImage ? app.sample : null });
  const { state, store } = session;
  const [whole, toggleWhole] = useSwitch(false);
  const [showMask, toggleMask] = useSwitch(true);
  const [applies, setApplies] = useState(false);
  const selected = app.selected.filter(({ field }) => field === null || field === state.field).map(({ id }) => id);
  const entry = current(state);
  const item = entry && store.items.get(entry[1]);
  const like = useLike(operators, state.field, entry?.[1]);
  useQuietRefresh(session.answered, PAUSE_MS);
  const find = (ids, more) =>
    operators.current.show_like({ ids, label_field: state.field, ...more }).catch(({ message }) => session.tell({ kind: "error", text: sentence(message) }));
  const leave = useCallback(() => root.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    if (!selected.length) setApplies(false);
  }, [selected.length]);

  const label = state.decided[entry?.[1]]?.name ?? item?.label;
  const those = applies && selected.length ? selected : null;
  const name = (text) => session.decide(text === label && !those ? "accept" : "name", text === label && !those ? undefined : text, those);
  const act = (action, index) => {
    if (action === "accept" || action === "reject") return session.decide(action, undefined, those);
    if (action === "proposal") return item?.proposals?.[index] && name(item.proposals[index].name);
    if (action === "type") return nameInput.current?.focus();
    return { skip: session.skip, back: session.back, undo: () => session.undo(), whole: toggleWhole, mask: toggleMask }[action]();
  };
  const keys = useKeys(root, !app.covered, (action, index, pressed) => {
    clock.pressed = pressed;
    act(action, index);
  });

  const body = { session, app, item, entry, label, selected, applies, setApplies, act, name, like, find, leave, nameInput, whole, toggleWhole, showMask, toggleMask, clock };
  return (
    <Box ref={root} tabIndex={-1} {...keys.props} data-cy="review-masks" data-phase={session.phase} data-mask={entry?.[1] ?? ""}
      data-sample={entry?.[0] ?? ""} data-waiting={state.history.filter(({ status }) => status === "sent").length} sx={ROOT}>
      <Header session={session} app={app} thisImage={thisImage} setThisImage={setThisImage} ours={keys.ours} />
      <Notice notice={state.notice} />
      <Body {...body} />
      <History history={state.history} undo={(decision) => { session.undo(decision); leave(); }}
        alike={like ? (mask) => find([mask], { same_wrong_name: true }) : null} />
    </Box>
  );
}

const ROOT = {
  containerType: "inline-size", height: "100%", boxSizing: "border-box", overflow: "auto", p: 1.5, display: "flex",
  flexDirection: "column", gap: 1, outline: "none", color: "text.primary", bgcolor: "background.level2", fontSize: 14,
};
const COLUMNS = { flex: 1, minHeight: 0, display: "flex", flexDirection: "column", gap: 1, "@container (min-width: 820px)": { flexDirection: "row", gap: 2 } };
const SIDE = { display: "flex", flexDirection: "column", gap: 1, "@container (min-width: 820px)": { width: 380, flexShrink: 0, overflow: "auto" } };

function Body({ session, app, item, entry, label, selected, applies, setApplies, act, name, like, find, leave, nameInput, whole, toggleWhole, showMask, toggleMask, clock }) {
  const { state, store } = session;
  if (session.phase === "failed") {
    return <Message cy="review-failed" title="The queue could not be read" text={session.failure}><Press onClick={() => session.load()}>Try again</Press></Message>;
  }
  if (session.phase === "loading") return <Box sx={{ m: "auto" }}><CircularProgress aria-label="Reading the queue" /></Box>;
  if (!entry) return <End session={session} act={act} />;
  const refused = store.items.error(entry[1]);
  return (
    <Box sx={COLUMNS}>
      <Picture item={item} picture={item ? store.pictures.get(item) : refused && { error: refused }} {...{ whole, showMask, toggleWhole, toggleMask, clock }} />
      <Box sx={SIDE}>
        {selected.length > 0 && <SelectionBar number={selected.length} applies={applies} setApplies={(on) => { setApplies(on); leave(); }} />}
        {item ? (
          <>
            <Facts item={item} doubt={entry[2]} decision={state.decided[entry[1]]} show={() => showInApp(item, state.field, app.patches)}
              like={like && (() => find([item.mask_id]))} />
            <Proposals item={item} label={label} take={(index) => act("proposal", index)} />
          </>
        ) : <Quiet>Reading the mask…</Quiet>}
        <NameField names={state.names} inputRef={nameInput} take={name} leave={leave} />
        <Actions act={act} canUndo={Boolean(undoable(state))} />
        {!selected.length && <AcceptMany session={session} label={label} leave={leave} />}
      </Box>
    </Box>
  );
}

/** Nothing more to show: no masks, all reviewed, or some were skipped. */
function End({ session, act }) {
  const { state } = session;
  const left = skipped(state);
  if (!state.field) return <Message cy="review-no-field" title={SENTENCES.noField[0]} text={SENTENCES.noField[1]} />;
  if (!state.total) return <Message cy="review-no-masks" title={SENTENCES.noMasks[0]} text={SENTENCES.noMasks[1]} />;
  if (state.total > state.reviewed && !state.exhausted) return <Box sx={{ m: "auto" }}><CircularProgress aria-label="Reading more" /></Box>;
  const undo = undoable(state) && <Press cy="review-undo" keyName="z" onClick={() => act("undo")}>Undo</Press>;
  if (left) {
    return (
      <Message cy="review-skipped" title="You have seen them all" text={`You skipped ${masks(left)}; ${count(state.reviewed)} of ${masks(state.total)} are reviewed.`}>
        <Press cy="review-again" onClick={session.again}>Show the skipped</Press>
        {undo}
      </Message>
    );
  }
  return <Message cy="review-finished" title="Everything is reviewed" text={`All ${masks(state.total)} of this view.`}>{undo}</Message>;
}
