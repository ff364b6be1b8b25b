/*
 * The grid of pictures: a row for each prompt and seed, a column for each setting that is shown.
 */

/** The narrowest and widest column in pixels: a panorama needs more width than a square. */
const COLUMN = aspect >= 2 ? [230, 480] : [140, 300];

function makePictures() {
  const grid = element("div", { class: "rows" }, rows.map(makeRow));
  const titles = settings.map(({ name, title }) => element("div", { "data-setting": name, title }, title));
  const strip = element("div", { class: "strip" }, titles);
  byId("columns").append(strip);
  const parent = byId("pictures");
  parent.append(grid);
  // The titles stay in sight while rows scroll by, so they are outside of what scrolls sideways, and follow it.
  parent.addEventListener("scroll", () => (strip.style.transform = `translateX(${-parent.scrollLeft}px)`), {
    passive: true,
  });

  const style = document.documentElement.style;
  style.setProperty("--narrowest", `${COLUMN[0]}px`);
  style.setProperty("--widest", `${COLUMN[1]}px`);
  watch(() => {
    style.setProperty("--columns", Math.max(state.settings.size, 1));
    const shown = new Set(shownRows());
    rows.forEach((row, index) => (grid.children[index].hidden = !shown.has(row) || !state.settings.size));
    for (const cell of document.querySelectorAll("#columns [data-setting], #pictures [data-setting]")) {
      cell.hidden = !state.settings.has(cell.dataset.setting);
    }
  });
}

function makeRow(row) {
  return element(
    "section",
    { class: "row", "data-row": row.key, "aria-label": rowTitle(row) },
    element("h3", {}, element("span", {}, report.prompts[row.prompt]), element("small", {}, ` seed ${row.seed}`)),
    element(
      "div",
      { class: "cells" },
      settings.map((setting) => makeCell(row, setting)),
    ),
  );
}

function makeCell(row, setting) {
  const picture = row.pictures[setting.name];
  if (!picture) {
    return element(
      "figure",
      { "data-setting": setting.name },
      element("div", { class: "missing", style: `aspect-ratio: ${aspect}` }, "not drawn"),
    );
  }
  const { width, height } = picture;
  const image = element("img", {
    src: address(picture.thumbnail),
    width,
    height,
    alt: `${setting.title}: ${rowTitle(row)}`,
    loading: "lazy",
    decoding: "async",
    draggable: "false",
  });
  const open = (event) => {
    // A click with a modifier does what links do: the picture's file in a new tab.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    choose({ open: row.key });
  };
  return element(
    "figure",
    { "data-setting": setting.name },
    element("a", { href: address(picture.file), click: open }, image),
    element(
      "figcaption",
      {},
      scoresOf(picture).map(([before, value, behind]) => element("span", {}, before, element("b", {}, value), behind)),
    ),
  );
}
