/* Elements. Texts only ever become text nodes and attributes, so no prompt and no name can become markup. */

/** An HTML element. Attributes: functions are listeners, true is a bare attribute, null and false leave it out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A button that does something. */
export function button(text, does, attributes = {}) {
  return element("button", { type: "button", click: does, ...attributes }, text);
}

/** Text whose parts between backticks are code. */
export function marked(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** Seconds in words. */
export function duration(seconds) {
  if (seconds < 90) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Lines as a list, which is hidden where there are none. */
export function tell(list, lines) {
  const now = lines.map((line) => element("li", {}, line));
  list.replaceChildren(...now);
  list.hidden = lines.length === 0;
}

/** Calls a function once things have been quiet for so many milliseconds. */
export function quiet(milliseconds, does) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => does(...given), milliseconds);
  };
}

/** The address of a file by its name, which may hold any character. */
export function address(...parts) {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join("");
}
