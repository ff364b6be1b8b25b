/*
 * The seeds of one prompt at a glance: a column for each setting, a row for each seed, as large as fits the window.
 */

const GLANCE = { label: 72, gap: 6, smallest: aspect >= 2 ? 96 : 56, largest: 480 };

function makeSeeds() {
  const parent = byId("seeds");
  const texts = report.prompts.map((prompt, index) => [String(index), prompt || "(no prompt)"]);
  const [label, select] = selection("Prompt", texts, (prompt) => choose({ prompt }));
  const by = (step) => () => {
    const shown = LISTS.prompts.filter((each) => state.prompts.has(each));
    const next = shown[shown.indexOf(promptAtAGlance()) + step];
    if (next !== undefined) choose({ prompt: next });
  };
  const arrow = (text, says, step) =>
    element("button", { type: "button", "aria-label": says, title: says, click: by(step) }, text);
  const tools = element(
    "div",
    { class: "tools", hidden: report.prompts.length < 2 },
    arrow("\u2190", "Previous prompt", -1),
    label,
    arrow("\u2192", "Next prompt", 1),
  );
  const scroll = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Seeds at a glance" });
  parent.append(tools, scroll);
  let shown = "";
  watch(() => {
    parent.hidden = state.view !== "seeds";
    if (parent.hidden) return;
    const prompt = promptAtAGlance();
    select.value = prompt ?? "";
    for (const option of select.options) option.disabled = !state.prompts.has(option.value);
    const some = shownColumns();
    const seeds = shownRows().filter((row) => String(row.prompt) === prompt);
    const wanted = JSON.stringify([
      some.map(({ name }) => name),
      seeds.map(({ key }) => key),
      state.only && [...state.favourites],
    ]);
    if (wanted === shown) return;
    shown = wanted;
    scroll.replaceChildren(seeds.length && some.length ? makeGlance(some, seeds) : "");
    fit(scroll, some.length, seeds.length);
  });
  const fitAgain = () => fit(scroll, shownColumns().length, scroll.querySelectorAll("tbody tr").length);
  new ResizeObserver(fitAgain).observe(parent);
  addEventListener("resize", fitAgain);
}

/** The chosen prompt, or the first one that the filters leave. */
function promptAtAGlance() {
  if (state.prompts.has(state.prompt)) return state.prompt;
  return LISTS.prompts.find((each) => state.prompts.has(each));
}

function makeGlance(some, seeds) {
  return element(
    "table",
    { class: "glance" },
    element("caption", { class: "unseen" }, report.prompts[seeds[0].prompt]),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        element("td"),
        some.map(({ title }) => element("th", { scope: "col", title }, element("span", {}, title))),
      ),
    ),
    element(
      "tbody",
      {},
      seeds.map((row) =>
        element(
          "tr",
          { "data-row": row.key },
          element("th", { scope: "row" }, `seed ${row.seed}`),
          some.map((setting) => element("td", {}, makeCell(row, setting))),
        ),
      ),
    ),
  );
}

/** Let all seeds be seen at once where they are not too small then. */
function fit(scroll, across, down) {
  const wide = (scroll.clientWidth - GLANCE.label) / Math.max(across, 1) - GLANCE.gap;
  // As the page opens, unless much of it stands above.
  const above = Math.min(scroll.getBoundingClientRect().top + scrollY, innerHeight / 2);
  const head = scroll.querySelector("thead")?.offsetHeight ?? 0;
  const high = (innerHeight - above - head) / Math.max(down, 1) - GLANCE.gap;
  const width = bounded(Math.min(wide, high * aspect), GLANCE.smallest, GLANCE.largest);
  scroll.style.setProperty("--cell", `${Math.floor(width)}px`);
}
