/*
 * The filters above the pictures: which settings, prompts and seeds are shown.
 */

function makeFilters() {
  const titles = {
    settings: settings.map(({ title }) => title),
    prompts: report.prompts,
    seeds: report.seeds.map((seed) => `seed ${seed}`),
  };
  const headings = { prompts: "Prompts", seeds: "Seeds", settings: "Settings" };
  const filters = Object.entries(headings).map(([list, heading]) => makeFilter(list, heading, titles[list]));
  const status = element("p", { class: "status", role: "status" });
  const favourites = makeFavourites();
  filters.push(favourites);
  const [views, showView] = segmented(
    "How pictures are arranged",
    { rows: "Rows", seeds: "Seeds at a glance" },
    (view) => choose({ view }),
  );
  byId("filters").append(...filters, views, status);

  // As menus: one is open at a time, and a click elsewhere or Escape closes it.
  document.addEventListener("pointerdown", ({ target }) => {
    for (const filter of filters) if (!filter.contains(target)) filter.open = false;
  });
  document.addEventListener("keydown", ({ key }) => {
    const open = filters.find((filter) => filter.open);
    if (key !== "Escape" || !open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });
  watch(() => {
    showView(state.view);
    const [shown, across] = [shownRows().length, state.settings.size];
    status.textContent =
      shown && across
        ? `${shown} of ${rows.length} ${rows.length === 1 ? "row" : "rows"}`
        : state.only === "favourites" && across
          ? "Nothing to show: no picture of these has a heart."
          : "Nothing to show: choose at least one prompt, one seed and one setting.";
  });
}

function makeFilter(list, heading, texts) {
  const boxes = LISTS[list].map((value) =>
    element("input", { type: "checkbox", value, change: ({ target }) => toggle(list, [value], target.checked) }),
  );
  const count = element("span", { class: "count" });
  const every = (isOn) => () => toggle(list, LISTS[list], isOn);
  const filter = element(
    "details",
    { class: "filter", name: "filter", "data-list": list },
    element("summary", {}, `${heading} `, count),
    element(
      "div",
      { class: "menu", role: "group", "aria-label": heading },
      element(
        "div",
        { class: "every" },
        element("button", { type: "button", click: every(true) }, "All"),
        element("button", { type: "button", click: every(false) }, "None"),
      ),
      boxes.map((each, index) => element("label", {}, each, element("span", {}, texts[index]))),
    ),
  );
  watch(() => {
    for (const each of boxes) each.checked = state[list].has(each.value);
    const isAll = state[list].size === boxes.length;
    count.textContent = isAll ? `all ${boxes.length}` : `${state[list].size} of ${boxes.length}`;
    filter.classList.toggle("narrowed", !isAll);
  });
  return filter;
}
