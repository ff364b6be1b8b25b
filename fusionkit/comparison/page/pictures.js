/*
 * The grid of pictures: a row for each prompt and seed, a column for each setting that is shown.
 */

/** The narrowest and widest column in pixels: a panorama needs more width than a square. */
const COLUMN = aspect >= 2 ? [180, 480] : [140, 300];

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
    const isRows = state.view === "rows";
    parent.hidden = !isRows;
    byId("columns").hidden = !isRows;
    const some = new Set(shownColumns().map(({ name }) => name));
    style.setProperty("--columns", Math.max(some.size, 1));
    const shown = new Set(shownRows());
    rows.forEach((row, index) => (grid.children[index].hidden = !shown.has(row) || !state.settings.size));
    for (const cell of document.querySelectorAll("#columns [data-setting], #pictures [data-setting]")) {
      cell.hidden = !some.has(cell.dataset.setting);
    }
    const isOnly = state.only === "favourites";
    for (const cell of parent.querySelectorAll("figure[data-key]")) {
      cell.classList.toggle("blank", isOnly && !state.favourites.has(cell.dataset.key));
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
  const scores = scoresOf(picture)
    .map((words) => words.join(""))
    .join("\n");
  const isBlank = state.only === "favourites" && !isFavourite(picture);
  return element(
    "figure",
    { "data-setting": setting.name, "data-key": keyOf(picture), class: isBlank ? "blank" : null },
    element("a", { href: address(picture.file), click: open }, image),
    element(
      "figcaption",
      {},
      element(
        "span",
        { class: "told", title: scores },
        scoresOf(picture).flatMap(([before, value, behind]) => [
          element("span", {}, before, element("b", {}, value), behind),
          " ",
        ]),
      ),
      actions(picture),
    ),
  );
}
