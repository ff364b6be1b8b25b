/* What to begin with: a few recipes that the small models inside draw in a minute, each with what it is. */

import { byId, element, marked } from "/page/dom.js";
import { isBlank } from "/page/draft.js";
import { files } from "/page/history.js";
import { known } from "/page/known.js";

const FIRST = ["panorama", "two-prompts-vista", "cross-architecture", "two-styles-vista", "ring-vista", "inpaint-vista", "upscale-vista", "texture-vista"];

/** Makes the cards; one opens its recipe. */
export function begin(opens) {
  const found = FIRST.map((name) => known.recipes.find((each) => each.name === name)).filter(Boolean);
  const card = ({ name, about }) => element("button", { type: "button", click: () => opens({ recipe: name }) }, element("b", {}, name), element("span", {}, marked(about)));
  byId("begin").append(element("h2", { id: "begin-title" }, "Begin with one of these"), element("div", { class: "cards" }, found.map(card)));
}

/** Shows them in the picture's place, as long as there is neither a recipe nor a picture. */
export function show() {
  const first = isBlank() && files().pictures.length === 0 && files().jobs.length === 0;
  byId("begin").hidden = !first;
  byId("picture").hidden = first;
}

/** What a recipe of the list is. */
export function aboutOf(name) {
  return known.recipes.find((each) => each.name === name)?.about ?? "";
}
