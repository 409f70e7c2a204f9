// All that the panel takes from FiftyOne's App: its state, its operators, its routes (FiftyOne 1.14 and later).

const { useEffect, useMemo, useRef } = React;
const { useRecoilValue, useRecoilValueLoadable } = recoil;
const fos = __fos__;

const OURS = "@fiftyone-ssa/ssa";
const NAMES = ["review_queue", "review_item", "relabel", "review", "show_like"];

/** Where the panel stands and what it shows there; `key` changes whenever another queue is due. */
export function useApp() {
  const inModal = __fosp__.usePanelContext()?.scope === "modal";
  const dataset = useRecoilValue(fos.datasetName);
  const view = useRecoilValue(fos.view);
  const filters = useRecoilValue(fos.filters);
  const stages = useRecoilValue(fos.extendedStages);
  const labels = useRecoilValue(fos.selectedLabels);
  const samples = useRecoilValue(fos.selectedSamples);
  const modalOpen = Boolean(useRecoilValue(fos.modalSelector));
  // A patch has an id of its own; the sample behind it is what the operators know.
  const modal = useRecoilValueLoadable(inModal && modalOpen ? fos.modalSample : fos.datasetName);
  const shown = inModal && modal.state === "hasValue" ? modal.contents?.sample : null;
  const sample = shown ? (shown._sample_id ?? shown._id ?? shown.id) : null;
  const patches = useRecoilValue(fos.isPatchesView);
  const key = useMemo(() => JSON.stringify([dataset, view, filters, stages]), [dataset, view, filters, stages]);
  // A selected patch is a selected mask, and has its id.
  const selected = useMemo(() => {
    const chosen = (labels ?? []).map(({ labelId, field }) => ({ id: labelId, field }));
    return patches ? [...chosen, ...[...samples.keys()].map((id) => ({ id, field: null }))] : chosen;
  }, [labels, samples, patches]);
  return { inModal, dataset, key, selected, sample, patches, covered: modalOpen && !inModal };
}

/**
 * Holds the executors of our operators, and nothing else, so that their own states redraw nothing else.
 * Fills `operators.current`: name -> function(params) -> promise of the result, or undefined where it did not load.
 */
export function Operators({ operators }) {
  const executors = {};
  for (const name of NAMES) executors[name] = __foo__.useOperatorExecutor(`${OURS}/${name}`);
  operators.current = Object.fromEntries(
    NAMES.filter((name) => executors[name].loadResult !== "NOT_FOUND").map((name) => [name, promised(executors[name])]),
  );
  return null;
}

function promised(executor) {
  return (params) =>
    new Promise((resolve, reject) => {
      const callback = ({ result, error, errorMessage }) => {
        if (error) reject(new Error(String(errorMessage || error.message || error)));
        else resolve(result ?? {});
      };
      executor.execute(params, { callback, skipOutput: true, skipErrorNotification: true });
    });
}

/**
 * A function that shows a mask in the App: its sample large, the mask selected. Not by FiftyOne's `set_selected_labels`:
 * in 1.22 it leaves the kind of selection out, at which a Python session loses its connection and puts an old view back.
 */
export function useShowInApp() {
  const select = fos.useSetSelectedLabels();
  const kind = "labelSelectionStyle" in fos ? { type: "default" } : {}; // older Apps refuse it
  return ({ sample_id, mask_id }, field, patches) => {
    const callback = () => select([{ field, sampleId: sample_id, labelId: mask_id, ...kind }]);
    __foo__.executeOperator("open_sample", { id: patches ? mask_id : sample_id }, { callback });
  };
}

export function clearSelection() {
  for (const what of ["labels", "samples"]) __foo__.executeOperator(`clear_selected_${what}`, {});
}

/**
 * Let grid and modal read samples again. FiftyOne 1.22 answers its own "reload_samples" from what it keeps of earlier
 * answers, so these are declared old first; its page stays, which "reload_dataset" would build anew.
 */
export function refreshApp() {
  fos.getCurrentEnvironment?.()?.commitUpdate((store) => store.invalidateStore());
  __foo__.executeOperator("reload_samples", {});
}

/** The same for Python: `ctx.trigger("@fiftyone-ssa/ssa/read_samples_anew")`. */
class ReadSamplesAnew extends __foo__.Operator {
  get config() {
    return new __foo__.OperatorConfig({ name: "read_samples_anew", label: "SSA: read samples anew", unlisted: true });
  }
  async execute() {
    refreshApp();
  }
}

/** Open the panel on the masks of a field: `ctx.trigger("@fiftyone-ssa/ssa/review_field", {dataset, field})`. */
const reviewField = (wish) =>
  class ReviewField extends __foo__.Operator {
    get config() {
      return new __foo__.OperatorConfig({ name: "review_field", label: "SSA: review a field", unlisted: true });
    }
    async execute({ params: { dataset, field } }) {
      wish(dataset, field);
      __foo__.executeOperator("open_panel", { name: "review_masks", isActive: true, layout: "horizontal" });
    }
  };

/** `wish(dataset, field)` is called with what the panel is to show. */
export function registerOperators(wish) {
  for (const operator of [ReadSamplesAnew, reviewField(wish)]) __foo__.registerOperator(operator, OURS);
}

export const mediaUrl = (filepath) => fos.getSampleSrc?.(filepath) ?? `/media?filepath=${encodeURIComponent(filepath)}`;

/** Calls `refreshApp` when nothing has happened for `ms`, counted from each change of `stamp` (0: nothing to refresh). */
export function useQuietRefresh(stamp, ms) {
  const pending = useRef(0);
  useEffect(() => {
    if (!stamp) return undefined;
    pending.current = setTimeout(refreshApp, ms);
    return () => clearTimeout(pending.current);
  }, [stamp, ms]);
}
