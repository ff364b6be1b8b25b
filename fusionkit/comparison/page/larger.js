/*
 * "Draw it larger": the command that draws a picture again, larger and the same, to be copied.
 */

/** What stands for the picture, its prompt, and where the larger one goes, in a setting's command. */
const WORDS = {
  "{picture}": pathOf,
  "{prompt}": ({ prompt }) => report.prompts[prompt],
  "{output}": (picture) => `${picture.setting}-${stemOf(picture)}-2x.png`,
};

/** The comparison's folder on this machine; empty where the page did not come from its disk. */
const here = folderOf(location);
const isWindows = /^[A-Za-z]:/.test(here);

function folderOf({ protocol, pathname }) {
  if (protocol !== "file:") return "";
  const path = decodeURIComponent(pathname.replace(/[^/]*$/, ""));
  return path.replace(/^\/(?=[A-Za-z]:)/, "");
}

function pathOf({ file }) {
  return here + file;
}

/** "p000-s5". */
function stemOf({ file }) {
  return file.replace(/^.*\//, "").replace(/\.[^.]*$/, "");
}

/** The command for a picture, as a shell reads it; empty where its setting has none. */
function largerCommand(picture) {
  const { larger } = settings.find(named(picture.setting));
  return (larger ?? []).map((word) => quoted(WORDS[word]?.(picture) ?? word)).join(" ");
}

function quoted(word) {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return isWindows ? `"${word.replaceAll('"', '\\"')}"` : `'${word.replaceAll("'", "'\\''")}'`;
}

function largerButton(picture, label) {
  const show = () => showLarger(picture);
  const title = "Draw it larger: the command";
  return element(
    "button",
    { type: "button", class: "act", "aria-label": `Draw it larger: ${label}`, title, click: show },
    "\u2922",
  );
}

function showLarger(picture) {
  const dialog = byId("larger");
  const command = largerCommand(picture);
  const isDrawnAgain = settings.find(named(picture.setting)).larger?.[1] === "run";
  const how = isDrawnAgain ? "the same picture, drawn again and enlarged" : "the picture, enlarged as a photo is";
  const [width, height] = [2 * picture.width, 2 * picture.height].map((side) => side.toLocaleString("en"));
  const code = (text, label) =>
    element(
      "div",
      { class: "code" },
      element("pre", { tabindex: 0, role: "group", "aria-label": label }, element("code", {}, text)),
      copyButton("Copy", () => text, { "aria-label": `Copy the ${label}` }),
    );
  dialog.replaceChildren(
    element(
      "div",
      { class: "larger-head" },
      element("h2", { id: "larger-title" }, "Draw it larger"),
      element(
        "button",
        { type: "button", "aria-label": "Close (Escape)", title: "Close (Escape)", click: () => dialog.close() },
        "\u2715",
      ),
    ),
    element("img", { src: address(picture.thumbnail), alt: "" }),
    element("p", {}, titleOf(picture)),
    command
      ? element(
          "p",
          {},
          `In a terminal${here ? "" : ", in the comparison\u2019s folder"}: ${how} to ${width} \u00d7 ${height} pixels.`,
        )
      : element("p", {}, "No command is known that enlarges what this setting draws."),
    ...(command ? [code(command, "command")] : []),
    element("p", {}, "The picture\u2019s file:"),
    code(pathOf(picture), "path"),
  );
  dialog.showModal();
}
