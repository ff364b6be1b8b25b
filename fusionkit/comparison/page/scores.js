/*
 * The table of scores: a row for each setting, a column for each metric and cost.
 */

const MARKS = { best: "best", near: "not separable from the best" };

function makeScores() {
  const headings = columns.map((column) => {
    const button = element(
      "button",
      { type: "button", title: sortingHint(column), click: () => choose({ sort: nextSort(column.name) }) },
      titled(column),
      element("span", { class: "direction", "aria-hidden": "true" }, direction(column)),
    );
    return element("th", { scope: "col", "data-column": column.name }, button);
  });
  const all = element("input", {
    type: "checkbox",
    "aria-label": "Show all settings",
    change: () => toggle("settings", names, all.checked),
  });
  const lines = Object.fromEntries(settings.map((setting) => [setting.name, makeLine(setting)]));
  const body = element(
    "tbody",
    {},
    Object.values(lines).map(({ row }) => row),
  );
  const head = element(
    "tr",
    {},
    element("th", { scope: "col", class: "name" }, element("div", { class: "named" }, all, "Setting")),
    headings,
  );
  byId("scores").append(element("table", { class: "scores" }, element("thead", {}, head), body));

  const hasDifferences = settings.length > 1;
  const [choice, showChoice] = segmented(
    "What the table shows",
    { scores: "Scores", differences: `Differences to ${first.title}` },
    (table) => choose({ table }),
  );
  if (hasDifferences) byId("scores-tools").append(choice);

  watch(() => {
    showChoice(state.table);
    all.checked = state.settings.size === names.length;
    all.indeterminate = !all.checked && state.settings.size > 0;
    const sorted = state.sort.replace(/^-/, "");
    for (const heading of headings) {
      const isSorted = heading.dataset.column === sorted;
      heading.setAttribute("aria-sort", isSorted ? (state.sort === sorted ? "ascending" : "descending") : "none");
    }
    const order = inTableOrder();
    if (order.some(({ name }, index) => body.children[index] !== lines[name].row)) {
      body.append(...order.map(({ name }) => lines[name].row));
    }
    for (const { setting, row, box } of Object.values(lines)) {
      box.checked = state.settings.has(setting.name);
      row.classList.toggle("off", !box.checked);
    }
    const isDifferences = hasDifferences && state.table === "differences";
    for (const column of columns) fillColumn(column, lines, isDifferences);
    byId("scores-legend").replaceChildren(...legend(isDifferences));
  });
}

/** The settings in the order that the table is sorted in. */
function inTableOrder() {
  const column = columns.find(({ name }) => name === state.sort.replace(/^-/, ""));
  return column ? inOrder(column, state.sort.startsWith("-")) : settings;
}

function makeLine(setting) {
  const box = element("input", {
    type: "checkbox",
    "aria-label": `Show ${setting.title}`,
    change: () => toggle("settings", [setting.name], box.checked),
  });
  const changes = Object.entries(setting.changes ?? {}).map(
    ([key, value]) => `${key.replace(/^plugins\./, "")}: ${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const name = setting.recipe
    ? element("a", { href: address(setting.recipe), title: `${setting.name}: its recipe` }, setting.title)
    : element("span", {}, setting.title);
  const text = element(
    "div",
    {},
    name,
    changes.length ? element("small", { class: "changes", title: changes.join("\n") }, changes.join(", ")) : "",
  );
  const cells = Object.fromEntries(columns.map((column) => [column.name, element("td")]));
  const row = element(
    "tr",
    { "data-setting": setting.name },
    element("th", { scope: "row", class: "name" }, element("div", { class: "named" }, box, text)),
    Object.values(cells),
  );
  return { setting, row, box, cells };
}

function fillColumn(column, lines, isDifferences) {
  const digits = digitsOf(settings.map(column.score).filter(Boolean));
  const found = marks(column, shownSettings());
  for (const { setting, cells } of Object.values(lines)) {
    const cell = cells[column.name];
    const score = column.score(setting);
    cell.className = "";
    cell.title = "";
    if (!score) {
      cell.replaceChildren(element("span", { class: "none", title: "no score" }, "–"));
    } else if (isDifferences) {
      fillDifference(cell, column, setting);
    } else {
      const mark = found[setting.name] ?? "";
      cell.className = mark;
      cell.title = tooltip(column, setting, score, digits, mark);
      cell.replaceChildren(
        element("span", { class: "value" }, fixed(score.value, digits)),
        mark ? element("span", { class: "unseen" }, ` ${MARKS[mark]}`) : "",
        score.high > score.low
          ? element("small", {}, column.isCost ? spreadOf(score, digits) : halfWidth(score, digits))
          : "",
      );
    }
  }
}

function fillDifference(cell, column, setting) {
  if (setting === first) {
    const digits = digitsOf([column.score(first)]);
    cell.className = "base";
    cell.replaceChildren(element("span", { class: "value" }, fixed(column.score(first).value, digits)));
    return;
  }
  const difference = column.difference(setting);
  const base = column.score(first)?.value;
  if (difference) {
    const digits = digitsOf([difference]);
    const says = verdict(column, setting);
    cell.className = says;
    cell.replaceChildren(
      element("span", { class: "value" }, signed(difference.value, digits)),
      says ? element("span", { class: "unseen" }, ` ${says}`) : "",
      difference.high > difference.low ? element("small", {}, halfWidth(difference, digits)) : "",
    );
  } else if (base > 0) {
    // What is not paired picture by picture is still told as a ratio, as the papers tell costs.
    cell.replaceChildren(
      element("span", { class: "value" }, `\u00d7${threeDigits(column.score(setting).value / base)}`),
    );
  } else {
    cell.replaceChildren(element("span", { class: "none" }, "–"));
  }
}

/** From the least to the most, shorter than in words. */
function spreadOf({ low, high }, digits) {
  return `${fixed(low, digits)}\u2013${fixed(high, digits)}`;
}

function tooltip(column, setting, score, digits, mark) {
  const difference = setting === first ? null : column.difference(setting);
  return [
    `${titled(column)}: ${withInterval(score, digits)}`,
    score.count ? `of ${score.count.toLocaleString("en")} pictures` : "",
    MARKS[mark] ?? "",
    difference ? `to ${first.title}: ${withInterval(difference, digitsOf([difference]), signed)}` : "",
  ]
    .filter(Boolean)
    .join("\n");
}

function legend(isDifferences) {
  const scope = [
    "Arrows say what is better. \u00b1 is half of a 95 % interval, whose ends a number tells when pointed at;",
    "below costs is their spread over pictures. All prompts and seeds count, whichever are shown above.",
  ].join(" ");
  if (isDifferences) {
    return [
      element("span", { class: "key better" }, "better"),
      element("span", { class: "key worse" }, "worse"),
      `than ${first.title}, by an interval without 0. × is a ratio. ${scope}`,
    ];
  }
  return [
    element("span", { class: "key best" }, "best of those shown"),
    element("span", { class: "key near" }, "not separable: intervals overlap"),
    scope,
  ];
}

function direction({ better }) {
  return { lower: "\u2193", higher: "\u2191", "closer-to-1": "\u21921", none: "" }[better];
}

function sortingHint({ better }) {
  const says = { lower: "lower is better", higher: "higher is better", "closer-to-1": "closer to 1 is better" }[better];
  return says ? `${says}; click to sort` : "click to sort";
}

/** Best first, then worst first, then the settings' own order. */
function nextSort(name) {
  if (state.sort === name) return `-${name}`;
  return state.sort === `-${name}` ? "" : name;
}
