// FiftyOne 1.22 drops the sidebar's filters whenever its layout changes: a panel opens, is resized or comes to the front.
// This panel puts them back, also those that are dropped when it goes behind another one.

const { useEffect, useRef } = React;
const { useRecoilCallback, useRecoilValue } = recoil;
const fos = __fos__;

const WATCHED_MS = 10_000;
const EVERY_MS = 250;
const isEmpty = (filters) => !Object.keys(filters ?? {}).length;

/** Watches for a while after each change of the layout, and puts back what was filtered before, once. */
export function useKeptFilters() {
  const now = useRef(null);
  now.current = { filters: useRecoilValue(fos.filters), dataset: useRecoilValue(fos.datasetName) };
  const layout = useRecoilValue(fos.sessionSpaces);
  const putBack = useRecoilCallback(({ snapshot, set }) => ({ filters, dataset }) => {
    const read = (state) => snapshot.getLoadable(state).contents;
    const dropped = isEmpty(read(fos.filters)) && read(fos.datasetName) === dataset;
    if (dropped) set(fos.filters, filters);
    return dropped;
  });
  const watch = () => {
    const [before, until] = [now.current, Date.now() + WATCHED_MS];
    if (isEmpty(before.filters)) return;
    const timer = setInterval(() => (putBack(before) || Date.now() > until) && clearInterval(timer), EVERY_MS);
  };
  useEffect(watch, []); // it was opened
  useEffect(() => watch, [layout]); // the layout is no longer this one, or the panel is gone
}
