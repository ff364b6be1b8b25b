/* What does not change while the page is open: what is installed, and what a control may suggest. */

import { element } from "/page/dom.js";

export const known = { fields: [], plugins: [], models: {}, recipes: [], suggestions: {}, lists: element("div", { hidden: true }) };

/** The plugin of a name, as the studio tells it; one that is not installed has no options. */
export function pluginOf(name) {
  return known.plugins.find((each) => each.name === name) ?? { name, about: "", fields: [], broken: "is not installed" };
}
