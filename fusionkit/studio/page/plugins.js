/* The recipe's plugins as cards, in the order in which they apply. */

import { button, byId, element, marked } from "/page/dom.js";
import { control } from "/page/controls.js";
import { draft, restructured } from "/page/draft.js";
import { known, pluginOf } from "/page/known.js";

const open = new WeakSet();

/** Makes all cards anew. */
export function showPlugins() {
  const entries = draft.recipe.plugins ?? [];
  byId("plugins").replaceChildren(...entries.map((entry, index) => card(entry, index, entries)));
}

/** Fills the list of plugins that can be added. */
export function offerPlugins() {
  const select = byId("add");
  select.replaceChildren(...known.plugins.map(({ name }) => element("option", { value: name }, name)));
  const tell = () => {
    const found = pluginOf(select.value);
    byId("add-about").replaceChildren(...marked(found.broken ?? found.about));
  };
  select.addEventListener("change", tell);
  tell();
  byId("add-it").addEventListener("click", () => {
    addPlugin(select.value);
    byId("plugins").lastElementChild.querySelector("summary").focus();
  });
}

/** Adds a plugin behind the others, and opens its card. */
export function addPlugin(name, options = {}) {
  const entry = { [name]: options };
  open.add(entry);
  draft.recipe.plugins = [...(draft.recipe.plugins ?? []), entry];
  restructured();
}

function card(entry, index, entries) {
  const [name] = Object.keys(entry);
  const { about, fields, broken, package: from } = pluginOf(name);
  const at = ["plugins", index, name];
  const move = (by, label) =>
    button(by < 0 ? "\u2191" : "\u2193", () => {
      [entries[index], entries[index + by]] = [entries[index + by], entries[index]];
      restructured();
      const moved = byId("plugins").children[index + by].querySelectorAll(".actions button");
      const again = moved[by < 0 ? 0 : 1];
      (again.disabled ? moved[2] : again).focus();
    }, { "aria-label": `Move ${name} ${label}`, disabled: index + by < 0 || index + by >= entries.length });
  const remove = button("\u00d7", () => {
    entries.splice(index, 1);
    restructured();
    (byId("plugins").children[Math.min(index, entries.length - 1)]?.querySelector("summary") ?? byId("add")).focus();
  }, { "aria-label": `Remove ${name}` });
  const inner = fields.length ? fields.map((field) => control(field, [...at, field.name])) : element("p", { class: "help" }, broken ?? "It has no options.");
  const whose = from && from !== "fusionkit" ? element("p", { class: "help" }, `of the package ${from}`) : null;
  const details = element(
    "details",
    { open: open.has(entry) },
    element("summary", {}, name, element("small", {}, marked(about))),
    element("form", { class: "options", submit: (event) => event.preventDefault() }, whose, inner),
  );
  details.addEventListener("toggle", () => (details.open ? open.add(entry) : open.delete(entry)));
  return element(
    "li",
    { class: "card", "data-at": JSON.stringify(["plugins", index]) },
    details,
    element("div", { class: "actions" }, move(-1, "up"), move(1, "down"), remove),
    element("div", { class: "wrong" }),
  );
}
