/*
 * Favourites: a heart on each picture, and the menu of those that have one.
 */

function isFavourite(picture) {
  return state.favourites.has(keyOf(picture));
}

function heart(picture, label) {
  const key = keyOf(picture);
  const press = () => {
    const isOn = !state.favourites.has(key);
    keepFavourite(key, isOn);
    toggle("favourites", [key], isOn);
  };
  const pressed = String(state.favourites.has(key));
  return element("button", {
    type: "button",
    class: "act heart",
    "aria-pressed": pressed,
    "aria-label": `Favourite: ${label}`,
    title: "Favourite",
    "data-key": key,
    click: press,
  });
}

/** A picture's heart, and how to draw it larger. */
function actions(picture) {
  const label = titleOf(picture);
  return element("span", { class: "acts" }, heart(picture, label), largerButton(picture, label));
}

/** The menu of favourites, to stand among the filters. */
function makeFavourites() {
  const count = element("span", { class: "count" });
  const list = element("ul", { class: "liked" });
  const only = element("input", { type: "checkbox", change: () => choose({ only: only.checked ? "favourites" : "" }) });
  const chosen = () => report.pictures.filter(isFavourite);
  const buttons = [
    copyButton("Copy paths", () => lines(chosen().map(pathOf))),
    copyButton("Copy commands", () => lines(chosen().map(largerCommand).filter(Boolean)), {
      title: "The commands that draw them larger",
    }),
  ];
  const hint = element(
    "p",
    { class: "hint" },
    "None yet: give pictures a heart. They are kept in this browser and in the page\u2019s address.",
  );
  const menu = element(
    "details",
    { class: "filter favourites", name: "filter" },
    element(
      "summary",
      {},
      element("span", { "aria-hidden": "true" }, "\u2665"),
      element("span", { class: "unseen" }, "Favourites"),
      count,
    ),
    element(
      "div",
      { class: "menu", role: "group", "aria-label": "Favourites" },
      element("label", {}, only, element("span", {}, "Show favourites only")),
      hint,
      list,
      element("div", { class: "every" }, buttons),
    ),
  );
  watch(() => {
    const found = chosen();
    count.textContent = found.length;
    only.checked = state.only === "favourites";
    menu.classList.toggle("narrowed", only.checked);
    hint.hidden = found.length > 0;
    for (const button of buttons) button.hidden = !found.length;
    list.replaceChildren(...found.map(likedLine));
    for (const each of document.querySelectorAll(".heart")) showHeart(each);
  });
  return menu;
}

function showHeart(button) {
  button.setAttribute("aria-pressed", String(state.favourites.has(button.dataset.key)));
}

function likedLine(picture) {
  const open = () => choose({ open: `${picture.prompt}.${picture.seed}` });
  return element("li", {}, element("button", { type: "button", class: "link", click: open }, titleOf(picture)));
}

function lines(texts) {
  return texts.map((text) => `${text}\n`).join("");
}
