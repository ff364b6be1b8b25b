/*
 * What the reader has chosen. It is kept in the address behind the #, so that a link or a reload brings it back.
 */

const LISTS = {
  settings: settings.map(({ name }) => name),
  prompts: report.prompts.map((_, index) => String(index)),
  seeds: report.seeds.map(String),
};
const names = LISTS.settings;
const metricNames = report.metrics.map(({ name }) => name);
const costNames = report.costs.map(({ name }) => name);
const columnNames = columns.map(({ name }) => name);

/** What the plot opens on: of the metrics that say what is better, the one by which settings are farthest apart. */
function mostDifferent() {
  const metrics = columns.filter(({ isCost }) => !isCost);
  const telling = metrics.filter(({ better }) => better !== "none");
  const found = (telling.some(separation) ? telling : metrics).map((column) => [separation(column), column.name]);
  return found.reduce((one, other) => (other[0] > one[0] ? other : one), [0, metricNames[0] ?? ""])[1];
}

/** Single choices: what is allowed in the address, and what holds where the address says nothing. */
const CHOICES = {
  sort: [["", ...columnNames, ...columnNames.map((name) => `-${name}`)], ""],
  table: [["scores", "differences"], "scores"],
  metric: [metricNames, mostDifferent()],
  cost: [costNames, costNames[0] ?? ""],
  view: [["rows", "seeds"], "rows"],
  prompt: [LISTS.prompts, LISTS.prompts[0]],
  only: [["", "favourites"], ""],
  open: [["", ...rows.map(({ key }) => key)], ""],
  mode: [["side", "slider"], "side"],
  a: [names, names[0]],
  b: [names, names[1] ?? names[0]],
};

const state = {};
const watchers = [];

/** Call a function now and whenever something is chosen. */
function watch(show) {
  watchers.push(show);
  show(state);
}

/** Choose something; opening a row of pictures is a step that the browser's "back" undoes. */
function choose(changes) {
  const opens = changes.open && !state.open;
  Object.assign(state, changes);
  history[opens ? "pushState" : "replaceState"](null, "", `#${written()}`);
  for (const show of watchers) show(state);
}

/** Switch one of a list on or off, or all of it. */
function toggle(list, values, isOn) {
  const next = new Set(state[list]);
  for (const value of values) isOn ? next.add(value) : next.delete(value);
  choose({ [list]: next });
}

function shownSettings() {
  return settings.filter(({ name }) => state.settings.has(name));
}

/** The rows that the filters leave. */
function shownRows() {
  const some = shownSettings();
  return rows.filter(
    ({ prompt, seed, pictures }) =>
      state.prompts.has(String(prompt)) &&
      state.seeds.has(String(seed)) &&
      (state.only !== "favourites" || some.some(({ name }) => pictures[name] && isFavourite(pictures[name]))),
  );
}

/** The settings that have a column of pictures: of favourites alone, those that have one. */
function shownColumns() {
  const shown = shownSettings();
  if (state.only !== "favourites") return shown;
  const left = shownRows();
  return shown.filter(({ name }) => left.some(({ pictures }) => pictures[name] && isFavourite(pictures[name])));
}

function written() {
  const parameters = new URLSearchParams();
  for (const [list, all] of Object.entries(LISTS)) {
    if (state[list].size === all.length) continue;
    for (const value of state[list].size ? all.filter((each) => state[list].has(each)) : [""]) {
      parameters.append(list, value);
    }
  }
  // None has to be told where this browser keeps some, which an address without any would bring back.
  const liked = state.favourites.size || !keptFavourites().length ? [...state.favourites] : [""];
  for (const key of liked) parameters.append("favourite", key);
  for (const [name, [, usual]] of Object.entries(CHOICES)) {
    if (state[name] !== usual) parameters.set(name, state[name]);
  }
  return parameters.toString();
}

/** Take over what the address says; anything unknown in it counts for nothing, and an empty list shows nothing. */
function readAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  for (const [list, all] of Object.entries(LISTS)) {
    const given = parameters.getAll(list);
    const known = all.filter((value) => given.includes(value));
    state[list] = new Set(known.length || given.includes("") ? known : all);
  }
  const given = parameters.getAll("favourite");
  state.favourites = new Set((given.length ? given : keptFavourites()).filter((key) => pictureOf.has(key)));
  for (const [name, [allowed, usual]] of Object.entries(CHOICES)) {
    const given = parameters.get(name);
    state[name] = given !== null && allowed.includes(given) ? given : usual;
  }
}

readAddress();
addEventListener("hashchange", () => {
  readAddress();
  for (const show of watchers) show(state);
});
