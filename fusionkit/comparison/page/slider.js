/*
 * Two pictures over each other, with a divider between them. The divider stays where it is while the pictures move.
 */

const STEP = 2;
const LARGE_STEP = 10;

/** Make a divider over a frame. `over` is what lies on top and is clipped; `text` names both sides. */
function makeDivider(frame, over, text) {
  let percent = 50;
  const handle = element("div", {
    class: "handle",
    role: "slider",
    tabindex: 0,
    "aria-label": "Divider between the two pictures",
    "aria-orientation": "horizontal",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
  });
  // As wide as the frame, so that a percentage moves it by parts of the frame.
  const divider = element("div", { class: "divider" }, handle);

  const move = (to) => {
    percent = bounded(to, 0, 100);
    over.style.clipPath = `inset(0 ${(100 - percent).toFixed(2)}% 0 0)`;
    divider.style.transform = `translateX(${percent.toFixed(2)}%)`;
    handle.setAttribute("aria-valuenow", Math.round(percent));
    handle.setAttribute("aria-valuetext", text(Math.round(percent)));
  };
  handle.addEventListener("pointerdown", (event) => {
    // The frame below would take this for a drag of the pictures.
    event.stopPropagation();
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    handle.focus();
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    event.stopPropagation();
    const { left, width } = frame.getBoundingClientRect();
    move((100 * (event.clientX - left)) / width);
  });
  handle.addEventListener("dblclick", (event) => event.stopPropagation());
  handle.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? LARGE_STEP : STEP;
    const to = { ArrowLeft: percent - step, ArrowRight: percent + step, Home: 0, End: 100 }[event.key];
    if (to === undefined) return;
    // Elsewhere in the viewer these keys move the pictures.
    event.stopPropagation();
    event.preventDefault();
    move(to);
  });
  move(percent);
  return { divider, refresh: () => move(percent) };
}
