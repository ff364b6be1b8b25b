/*
 * Elements. Texts only ever become text nodes and attributes, so no prompt or title can become markup.
 */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes: functions are listeners, true is a bare attribute, null and false leave it out. */
function element(name, attributes = {}, ...children) {
  return furnished(document.createElement(name), attributes, children);
}

/** An SVG element, likewise. */
function drawn(name, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, name), attributes, children);
}

function furnished(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

/** The address of a file of the comparison, relative to the page; its name may hold any character. */
function address(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** Buttons of which one is pressed. Choices: {value: text}. Returns the element, and a function that shows a choice. */
function segmented(label, choices, choose) {
  const buttons = Object.entries(choices).map(([value, text]) =>
    element("button", { type: "button", "data-value": value, click: () => choose(value) }, text),
  );
  const show = (value) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === value));
  };
  return [element("div", { class: "segmented", role: "group", "aria-label": label }, buttons), show];
}

/** A labelled select. Choices: [[value, text], ...]. */
function selection(label, choices, choose) {
  const select = element(
    "select",
    { change: () => choose(select.value) },
    choices.map(([value, text]) => element("option", { value }, text)),
  );
  return [element("label", { class: "selection" }, element("span", {}, label), select), select];
}
