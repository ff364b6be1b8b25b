/*
 * Buttons that copy a text.
 */

/** How long a button says what came of it, in milliseconds. */
const SAID = 2500;

/** A button that copies what `text()` answers. */
function copyButton(label, text, attributes = {}) {
  // Said to screen readers as well, in the button that was pressed.
  const says = element("span", { "aria-live": "polite" }, label);
  let timer;
  const copy = async () => {
    says.textContent = (await copied(text())) ? "Copied" : "Can\u2019t copy here";
    clearTimeout(timer);
    timer = setTimeout(() => (says.textContent = label), SAID);
  };
  return element("button", { type: "button", class: "copy", ...attributes, click: copy }, says);
}

/** Whether a text is in the clipboard now. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByHand(text);
  }
}

/** The older way, for browsers that give pages from disk no clipboard. */
function copiedByHand(text) {
  const before = document.activeElement;
  const area = element("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  // Outside of an open dialog nothing can be selected.
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  before?.focus();
  return isDone;
}
