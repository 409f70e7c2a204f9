// Registers the panel, and an operator that Python calls, with FiftyOne's App.

import { Review } from "./Review.jsx";
import { registerOperators } from "./host.js";
import { wishForField } from "./session.js";

function Icon() {
  return (
    <svg
      width="14"
      height="14"
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="2"
      style={{ marginRight: "0.5rem" }}
      aria-hidden
    >
      <path d="M3 12.5 9 18.5 21 6.5" />
    </svg>
  );
}

registerOperators(wishForField);

__fop__.registerComponent({
  name: "review_masks",
  label: "Review masks",
  component: Review,
  type: __fop__.PluginComponentType.Panel,
  Icon,
  panelOptions: {
    surfaces: "grid modal",
    category: "curate",
    helpMarkdown: "Accept, rename or reject masks one after the other, most doubtful first.",
  },
});
