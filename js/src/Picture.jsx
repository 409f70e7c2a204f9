// The mask, large, with what is around it; measures how long a key press takes to the next mask on the screen.

import { draw } from "./picture.js";
import { afterPaint } from "./paint.js";
import { Link, Quiet } from "./parts.jsx";

const { useLayoutEffect, useRef, useState } = React;
const { Box, CircularProgress } = __mui__;

function useSize(ref) {
  const [size, setSize] = useState(null);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => {
      setSize({ width: Math.floor(contentRect.width), height: Math.floor(contentRect.height) });
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return size;
}

/** `clock` is {pressed: when the key that led here was pressed, or null; times: what is measured}. */
export function Picture({ item, picture, whole, showMask, toggleWhole, toggleMask, clock }) {
  const place = useRef(null);
  const canvas = useRef(null);
  const size = useSize(place);
  const drawable = Boolean(item && picture?.image && size?.width && size?.height);
  useLayoutEffect(() => {
    if (!drawable) return;
    draw(canvas.current, item, picture, { ...size, whole, showMask });
    const { pressed } = clock;
    clock.pressed = null;
    if (!pressed) return;
    afterPaint(() => {
      clock.times = [...clock.times.slice(-199), performance.now() - pressed];
      const root = place.current?.closest("[data-cy=review-masks]");
      if (!root) return;
      root.dataset.latencyMs = clock.times.at(-1).toFixed(1);
      root.dataset.latencies = clock.times.map((ms) => ms.toFixed(1)).join(" ");
    });
  }, [drawable, item, picture, size, whole, showMask]);
  return (
    <Box
      ref={place}
      data-cy="review-picture"
      data-shown={drawable ? item.mask_id : ""}
      sx={{
        position: "relative",
        flex: 1,
        minHeight: 180,
        overflow: "hidden",
        borderRadius: 1,
        bgcolor: "background.level3",
      }}
    >
      <canvas
        ref={canvas}
        role="img"
        aria-label={item ? `Mask named ${item.label}` : "Mask"}
        onDoubleClick={toggleWhole}
        style={{ position: "absolute", inset: 0, width: "100%", height: "100%", display: drawable ? "block" : "none" }}
      />
      {!drawable && (
        <Box sx={{ position: "absolute", inset: 0, display: "flex" }}>
          {picture?.error ? (
            <Quiet sx={{ m: "auto", p: 2 }}>{picture.error}</Quiet>
          ) : (
            <CircularProgress size={28} sx={{ m: "auto" }} />
          )}
        </Box>
      )}
      <Box
        sx={{
          position: "absolute",
          right: 8,
          bottom: 6,
          display: "flex",
          gap: 2,
          px: 1,
          borderRadius: 1,
          bgcolor: "background.level1",
        }}
      >
        <Link cy="review-whole" onClick={toggleWhole} title="w">
          {whole ? "Closer" : "Whole image"}
        </Link>
        <Link cy="review-mask" onClick={toggleMask} title="m">
          {showMask ? "Hide colour" : "Show colour"}
        </Link>
      </Box>
    </Box>
  );
}
