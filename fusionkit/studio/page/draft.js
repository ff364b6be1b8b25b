/* The recipe that is edited. It survives a reload of the page in the browser's own storage. */

const KEY = "fusionkit-studio-draft";

export const draft = { recipe: {}, careful: false };

const changed = [];
const replaced = [];

// Drafts as they were before, the latest last; changes of less than a second apart are one.
const past = [];
const MOST = 50;
const PAUSE = 1000;
let last = "";
let when = 0;

/** Calls a function after each change of a value. */
export function onChange(does) {
  changed.push(does);
}

/** Calls a function after the recipe, or its structure, has become another one: controls are made anew. */
export function onReplace(does) {
  replaced.push(does);
}

/** Another recipe in place of this one. */
export function replace(recipe, careful) {
  draft.recipe = { ...recipe, plugins: (recipe.plugins ?? []).map(spelledOut) };
  draft.careful = careful;
  restructured();
}

/** Says that entries were added, removed or moved. */
export function restructured() {
  for (const does of replaced) does();
  touched();
}

export function touched() {
  const now = JSON.stringify(draft);
  if (last && now !== last && Date.now() - when > PAUSE) past.push(last);
  past.splice(0, past.length - MOST);
  when = Date.now();
  last = now;
  try {
    localStorage.setItem(KEY, last);
  } catch {
    // A browser that keeps nothing forgets the draft.
  }
  for (const does of changed) does();
}

/** Whether nothing is said yet. */
export function isBlank() {
  return Object.entries(draft.recipe).every(([key, given]) => key === "plugins" && given.length === 0);
}

export function canUndo() {
  return past.length > 0;
}

/** The draft before the latest change; what was changed can't be had back again. */
export function undo() {
  if (past.length === 0) return;
  last = past.pop();
  Object.assign(draft, JSON.parse(last));
  restructured();
}

/** The draft of before the page was loaded; null without one. */
export function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEY));
  } catch {
    return null;
  }
}

/** The value at a pointer, such as ["plugins", 0, "regions", "boxes"]; undefined where there is none. */
export function value(at) {
  return at.reduce((inner, key) => (inner === undefined || inner === null ? undefined : inner[key]), draft.recipe);
}

/** Sets the value at a pointer, or takes it out where it is undefined; mappings on the way there are made. */
export function set(at, given) {
  let inner = draft.recipe;
  for (const key of at.slice(0, -1)) {
    if (inner[key] === undefined || inner[key] === null || typeof inner[key] !== "object") inner[key] = {};
    inner = inner[key];
  }
  const last = at.at(-1);
  if (given === undefined && Array.isArray(inner)) inner.splice(last, 1);
  else if (given === undefined) delete inner[last];
  else inner[last] = given;
  touched();
}

/** What is sent: plugins without options are names, and places where nothing is said are left out. */
export function sent() {
  const recipe = { ...draft.recipe };
  recipe.plugins = recipe.plugins.map((entry) => {
    const [name, options] = Object.entries(entry)[0];
    return Object.keys(options).length === 0 ? name : entry;
  });
  if (recipe.plugins.length === 0) delete recipe.plugins;
  return { recipe, careful: draft.careful };
}

function spelledOut(entry) {
  if (typeof entry === "string") return { [entry]: {} };
  const [name, options] = Object.entries(entry)[0];
  return { [name]: options ?? {} };
}
