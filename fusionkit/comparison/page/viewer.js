/*
 * The viewer: the pictures of one prompt and seed at full size, beside each other or two under a slider.
 */

const PAN_STEP = 60;
const ZOOM_STEP = 1.25;
const CAPTION_HEIGHT = 26;
const GAP = 8;
const KEYS = [
  "Wheel, + and -: zoom",
  "drag, arrows: pan",
  "0: whole",
  "1: pixels",
  "N, P: next, previous",
  "S: slider",
  "Esc: close",
].join(" · ");

function makeViewer() {
  const dialog = byId("viewer");
  const level = element("output", { class: "level", "aria-label": "Size of a picture's pixel on the screen" });
  const lens = new Lens(() => {
    const text = `${Math.round(100 * lens.magnification)} %`;
    // Even the same text, set again, would have the browser lay out the page for each step of a drag.
    if (level.textContent !== text) level.textContent = text;
  });
  const title = element("h2", { id: "viewer-title" });
  const stage = element("div", { class: "stage", tabindex: -1, autofocus: true });
  const button = (text, label, click) =>
    element("button", { type: "button", "aria-label": label, title: label, click }, text);
  const previous = button("\u2190", "Previous prompt and seed (P)", () => step(-1));
  const next = button("\u2192", "Next prompt and seed (N)", () => step(1));
  const [modes, showMode] = segmented("How pictures are shown", { side: "Side by side", slider: "Slider" }, (mode) =>
    choose({ mode }),
  );
  const options = settings.map((setting) => [setting.name, setting.title]);
  const [labelA, selectA] = selection("A", options, (a) => choose({ a }));
  const [labelB, selectB] = selection("B", options, (b) => choose({ b }));
  const pair = element("div", { class: "pair" }, labelA, labelB);
  dialog.append(
    element(
      "div",
      { class: "viewer-head" },
      element("div", { class: "group" }, previous, next),
      title,
      element("div", { class: "group close" }, button("\u2715", "Close (Escape)", close)),
    ),
    element(
      "div",
      { class: "viewer-tools" },
      modes,
      pair,
      element(
        "div",
        { class: "group zoom" },
        button("\u2212", "Zoom out (-)", () => lens.zoomBy(1 / ZOOM_STEP)),
        level,
        button("+", "Zoom in (+)", () => lens.zoomBy(ZOOM_STEP)),
        button("Fit", "Whole pictures (0)", () => lens.fitAll()),
        button("1:1", "A pixel of the picture for one of the screen (1)", () => lens.actualPixels()),
      ),
    ),
    stage,
    element("p", { class: "keys" }, KEYS),
  );

  /** What the stage shows now, so that a change elsewhere in the page does not load pictures again. */
  let shown = "";
  watch(() => {
    if (!state.open) {
      if (dialog.open) dialog.close();
      // Full-size pictures are large: none is kept while none is seen.
      stage.replaceChildren();
      lens.panes = [];
      shown = "";
      return;
    }
    const row = rowOf[state.open];
    const some = shownSettings();
    title.replaceChildren(element("span", {}, report.prompts[row.prompt]), element("small", {}, ` seed ${row.seed}`));
    showMode(state.mode);
    pair.hidden = state.mode !== "slider";
    selectA.value = state.a;
    selectB.value = state.b;
    const [before, after] = neighbours();
    // Disabled for real, a button would lose the focus that it has.
    previous.setAttribute("aria-disabled", String(!before));
    next.setAttribute("aria-disabled", String(!after));
    if (!dialog.open) {
      lens.fitAll();
      dialog.showModal();
    }
    const wanted = JSON.stringify([
      state.open,
      state.mode,
      state.mode === "slider" ? [state.a, state.b] : some.map(({ name }) => name),
    ]);
    if (wanted === shown) return;
    shown = wanted;
    if (state.mode === "slider") showSlider(stage, row, lens);
    else showPanes(stage, row, some, lens);
  });

  new ResizeObserver(() => {
    arrange(stage);
    lens.measure();
  }).observe(stage);
  dialog.addEventListener("close", close);
  // On the document, since after a click beside all buttons nothing in the dialog has the focus.
  document.addEventListener("keydown", (event) => {
    if (
      !dialog.open ||
      byId("larger").open ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      event.target.matches("select")
    )
      return;
    const far = event.shiftKey ? 5 * PAN_STEP : PAN_STEP;
    const actions = {
      "+": () => lens.zoomBy(ZOOM_STEP),
      "=": () => lens.zoomBy(ZOOM_STEP),
      "-": () => lens.zoomBy(1 / ZOOM_STEP),
      0: () => lens.fitAll(),
      1: () => lens.actualPixels(),
      ArrowLeft: () => lens.panBy(far, 0),
      ArrowRight: () => lens.panBy(-far, 0),
      ArrowUp: () => lens.panBy(0, far),
      ArrowDown: () => lens.panBy(0, -far),
      n: () => step(1),
      PageDown: () => step(1),
      p: () => step(-1),
      PageUp: () => step(-1),
      s: () => choose({ mode: state.mode === "slider" ? "side" : "slider" }),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  function close() {
    if (state.open) choose({ open: "" });
  }

  function step(by) {
    const row = neighbours()[by < 0 ? 0 : 1];
    if (row) choose({ open: row.key });
  }
}

/** The rows before and after the open one, of those that the filters leave. */
function neighbours() {
  const open = rowOf[state.open];
  const left = new Set(shownRows());
  const shown = rows.filter((row) => row === open || left.has(row));
  const index = shown.indexOf(open);
  return [shown[index - 1], shown[index + 1]];
}

function showPanes(stage, row, some, lens) {
  const panes = [];
  const figures = some.map((setting) => {
    const picture = row.pictures[setting.name];
    const frame = element("div", { class: "frame" });
    if (picture) {
      const pane = fullSize(frame, frame, picture, `${setting.title}: ${rowTitle(row)}`);
      listenToGestures(frame, lens, () => pane);
      panes.push(pane);
    } else {
      frame.append(element("div", { class: "missing" }, "not drawn"));
    }
    const scores = picture
      ? scoresOf(picture)
          .map((words) => words.join(""))
          .join(" · ")
      : "";
    return element(
      "figure",
      { "data-setting": setting.name },
      element(
        "figcaption",
        { title: scores },
        element("b", {}, setting.title),
        element("span", {}, scores),
        picture ? actions(picture) : "",
      ),
      frame,
    );
  });
  stage.classList.remove("slides");
  stage.replaceChildren(
    ...(figures.length ? figures : [element("p", { class: "notice" }, "No setting is switched on.")]),
  );
  arrange(stage);
  lens.show(panes);
}

function showSlider(stage, row, lens) {
  const frame = element("div", { class: "frame" });
  const over = element("div", { class: "over" });
  const two = ["a", "b"].map((side) => settings.find(({ name }) => name === state[side]));
  const panes = [];
  // B lies below, A on top of it and left of the divider.
  for (const [parent, setting] of [
    [frame, two[1]],
    [over, two[0]],
  ]) {
    const picture = row.pictures[setting.name];
    if (picture) panes.unshift(fullSize(frame, parent, picture, `${setting.title}: ${rowTitle(row)}`));
    else parent.append(element("div", { class: "missing" }, "not drawn"));
  }
  const { divider } = makeDivider(
    frame,
    over,
    (percent) => `${percent} % ${two[0].title}, ${100 - percent} % ${two[1].title}`,
  );
  frame.append(
    over,
    element("span", { class: "name-a" }, two[0].title),
    element("span", { class: "name-b" }, two[1].title),
    divider,
  );
  listenToGestures(frame, lens, () => panes[0]);
  stage.classList.add("slides");
  stage.replaceChildren(frame);
  lens.show(panes);
}

/** A picture's own file in a frame; until it is there, its thumbnail is seen. */
function fullSize(frame, parent, picture, alt) {
  const { width, height } = picture;
  const image = element("img", { class: "full", alt, decoding: "async", draggable: "false" });
  image.style.backgroundImage = `url("${address(picture.thumbnail)}")`;
  const done = (name) => () => {
    frame.classList.add(name);
    frame.setAttribute("aria-busy", "false");
  };
  image.addEventListener("load", done("loaded"));
  image.addEventListener("error", done("failed"));
  frame.setAttribute("aria-busy", "true");
  image.src = address(picture.file);
  parent.append(image);
  return { frame, image, width, height };
}

/** Put the panes into as many columns as make their pictures largest: panoramas in a stack, squares side by side. */
function arrange(stage) {
  if (stage.classList.contains("slides")) return;
  const count = stage.childElementCount;
  let [best, largest] = [1, 0];
  for (let across = 1; across <= count; across += 1) {
    const down = Math.ceil(count / across);
    const wide = (stage.clientWidth - GAP * (across - 1)) / across;
    const high = (stage.clientHeight - GAP * (down - 1)) / down - CAPTION_HEIGHT;
    const size = Math.min(wide, high * aspect);
    if (size > largest) [best, largest] = [across, size];
  }
  stage.style.setProperty("--across", best);
}
