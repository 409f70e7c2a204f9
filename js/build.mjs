// Builds the panel's one script. The same sources, versions and options give the same bytes (tests/js/test_bundle.py).
import { build } from "esbuild";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

await build({
  entryPoints: [here("src/index.jsx")],
  outfile: process.argv[2] ?? here("bundle/review_masks.js"),
  absWorkingDir: here("."),
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  charset: "utf8",
  legalComments: "none",
  banner: { js: "/* fiftyone-ssa: the panel “Review masks”, built from js/src by `make js`. */" },
});
