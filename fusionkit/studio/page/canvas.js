/* The picture: what is drawn now, or what was picked, with boxes and maps over it; boxes and masks are drawn on it. */

import { button, byId, element } from "/page/dom.js";
import { draft } from "/page/draft.js";
import { upload } from "/page/server.js";

let size = [512, 512];
let boxesShown = true;
let zoomed = false;
let mode = null;

const image = element("img", { alt: "", hidden: true, draggable: "false" });
const map = element("img", { alt: "", class: "map", draggable: "false" });
const overlay = element("div", { class: "overlay", hidden: true }, map);
const legend = element("div", { class: "legend", hidden: true }, element("img", { alt: "" }));
const other = element("img", { alt: "", class: "other", draggable: "false", hidden: true });
const divider = element("input", { type: "range", min: 0, max: 100, class: "divider", "aria-label": "Divider between the two pictures" });
const names = [element("span", {}), element("span", {})];
const split = element("div", { class: "split", hidden: true }, divider, element("div", { class: "line" }), names);
const nothing = element("p", { class: "nothing" }, "The picture will be here.");
const boxes = element("div", { class: "boxes" });
const layer = element("div", { class: "layer" });
const paper = element("div", { class: "paper" }, image, other, overlay, nothing, boxes, split, layer);
const frame = element("div", { class: "frame", role: "group", "aria-label": "The picture", tabindex: "0" }, paper, legend);
const modes = element("div", { class: "modes", role: "toolbar", "aria-label": "Drawing on the picture", hidden: true });
const boxesButton = button("Boxes", () => {
  boxesShown = !boxesShown;
  showBoxes();
}, { "aria-pressed": "true" });
const zoomButton = button("Actual size", () => {
  zoomed = !zoomed;
  zoomButton.setAttribute("aria-pressed", String(zoomed));
  fit();
}, { "aria-pressed": "false" });

/** Puts the picture's frame on the page. */
export function begin() {
  byId("canvas").append(modes, frame);
  byId("tools").append(element("div", { class: "actions view" }, boxesButton, zoomButton));
  fit();
}

/** The size of the picture that the recipe will make, in pixels. */
export function setSize(given) {
  size = given;
  fit();
  showBoxes();
}

/** Shows a picture by its address; null shows none. */
export function show(address, words = "") {
  image.hidden = address === null;
  nothing.hidden = address !== null;
  if (address !== null && image.getAttribute("src") !== address) image.src = address;
  image.alt = words;
}

/** Shows another picture on the right of a divider, beside the one that is there; null shows none. */
export function compare(address, given = []) {
  other.hidden = split.hidden = address === null;
  if (address === null) return;
  if (other.getAttribute("src") !== address) other.src = address;
  other.alt = `The picture ${given[1]}`;
  names.forEach((each, index) => (each.textContent = given[index]));
  divide();
}

function divide() {
  paper.style.setProperty("--split", `${divider.value}%`);
  divider.setAttribute("aria-valuetext", `${names[0].textContent} to ${divider.value} %, then ${names[1].textContent}`);
}

divider.addEventListener("input", divide);

/** Lays a map over the picture; null takes it off. */
export function showMap(address, strength = 0.6) {
  overlay.hidden = address === null;
  if (address !== null && map.getAttribute("src") !== address) map.src = legend.firstChild.src = address;
  overlay.style.opacity = strength;
  fit();
}

image.addEventListener("load", fit);
map.addEventListener("load", fit);

/** How high a map's legend is below the picture, in parts of its width; null where it is no picture with a legend below. */
function legendOf() {
  if (!map.naturalWidth || !image.naturalWidth) return null;
  const below = map.naturalHeight / map.naturalWidth - image.naturalHeight / image.naturalWidth;
  return below > -0.005 ? Math.max(0, below) : null;
}

function fit() {
  const below = overlay.hidden ? 0 : legendOf();
  // A map that is laid out in another way is shown by itself.
  const alone = below === null && map.naturalWidth > 0;
  overlay.classList.toggle("alone", alone);
  const seen = alone ? map : image;
  const [width, height] = mode === null && !image.hidden && seen.naturalWidth ? [seen.naturalWidth, seen.naturalHeight] : size;
  paper.style.aspectRatio = `${width} / ${height}`;
  const real = mode === null && !image.hidden ? Math.max(size[0], width) : size[0];
  paper.style.width = zoomed ? `${real}px` : `min(100%, calc(62vh * ${width / height}))`;
  legend.hidden = !below;
  legend.style.width = paper.style.width;
  legend.style.aspectRatio = `1 / ${below}`;
  frame.classList.toggle("zoomed", zoomed);
}

/** Draws the outlines of all boxes that the recipe has. */
export function showBoxes() {
  boxesButton.setAttribute("aria-pressed", String(boxesShown));
  const found = boxesShown ? [...boxesIn(draft.recipe.plugins ?? [])] : [];
  boxesButton.hidden = boxesShown && found.length === 0;
  boxes.replaceChildren(...found.map(([name, box]) => placed(element("div", { class: "box" }, element("span", {}, name)), box)));
}

function* boxesIn(inner, name = "") {
  if (Array.isArray(inner)) for (const each of inner) yield* boxesIn(each, name);
  else if (inner !== null && typeof inner === "object")
    for (const [key, each] of Object.entries(inner)) {
      const isBox = key === "box" && Array.isArray(each) && each.length === 4 && each.every((part) => typeof part === "number");
      if (isBox) yield [name, each];
      else yield* boxesIn(each, key);
    }
}

/** Puts an element where a box is: in pixels, or in shares of the picture. */
function placed(made, [left, top, width, height]) {
  const shares = Math.max(width, height) <= 1;
  const [across, down] = shares ? [1, 1] : size;
  made.style.left = `${(100 * left) / across}%`;
  made.style.top = `${(100 * top) / down}%`;
  made.style.width = `${(100 * width) / across}%`;
  made.style.height = `${(100 * height) / down}%`;
  return made;
}

function enter(words, ...tools) {
  leave();
  mode = words;
  modes.replaceChildren(element("p", { role: "status" }, words), ...tools, button("Stop", leave));
  modes.hidden = false;
  frame.classList.add("drawing");
  fit();
  frame.scrollIntoView({ block: "nearest" });
  frame.focus();
}

function leave() {
  mode = null;
  modes.hidden = true;
  layer.replaceChildren();
  layer.onpointerdown = layer.onpointermove = layer.onpointerup = null;
  frame.classList.remove("drawing");
  fit();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && mode !== null) leave();
});

/** Where a pointer is on the picture, in pixels of the picture. */
function at(event) {
  const { left, top, width, height } = layer.getBoundingClientRect();
  const within = (value) => Math.min(1, Math.max(0, value));
  return [within((event.clientX - left) / width) * size[0], within((event.clientY - top) / height) * size[1]];
}

/** Lets a box be drawn on the picture; the function gets it, in whole pixels. Arrow keys move, with Shift they resize. */
export function drawBox(name, done) {
  const rubber = element("div", { class: "box rubber" }, element("span", {}, name));
  let box = [0.25 * size[0], 0.25 * size[1], 0.5 * size[0], 0.5 * size[1]].map(Math.round);
  const finish = () => {
    leave();
    done(box);
    showBoxes();
  };
  enter(`Drag a box for ${name}, or move it by arrow keys and resize it with Shift; Enter takes it.`, button("Take it", finish));
  layer.append(placed(rubber, box));
  let from = null;
  layer.onpointerdown = (event) => {
    from = at(event);
    layer.setPointerCapture(event.pointerId);
  };
  layer.onpointermove = (event) => {
    if (from === null) return;
    const to = at(event);
    const [left, right] = [Math.min(from[0], to[0]), Math.max(from[0], to[0])];
    const [top, bottom] = [Math.min(from[1], to[1]), Math.max(from[1], to[1])];
    box = [left, top, right - left, bottom - top].map(Math.round);
    placed(rubber, box);
  };
  layer.onpointerup = () => {
    if (from !== null && box[2] > 0 && box[3] > 0) finish();
    from = null;
  };
  frame.onkeydown = (event) => {
    if (mode === null || !rubber.isConnected) return;
    if (event.key === "Enter") return finish();
    const [x, y] = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }[event.key] ?? [0, 0];
    if (!x && !y) return;
    event.preventDefault();
    const first = event.shiftKey ? 2 : 0;
    box[first] = Math.max(event.shiftKey ? 8 : 0, box[first] + x);
    box[first + 1] = Math.max(event.shiftKey ? 8 : 0, box[first + 1] + y);
    placed(rubber, box);
  };
}

/** Lets a mask be painted on the picture; the function gets the name of its file. */
export function paintMask(label, name, done) {
  const sheet = element("canvas", { width: size[0], height: size[1], class: "mask" });
  const ink = sheet.getContext("2d");
  ink.fillRect(0, 0, ...size);
  ink.lineCap = ink.lineJoin = "round";
  const brush = element("input", { type: "range", min: 2, max: 40, value: 14, "aria-label": "Brush, in hundredths of the height" });
  let erases = false;
  const eraser = button("Erase", () => {
    erases = !erases;
    eraser.setAttribute("aria-pressed", String(erases));
  }, { "aria-pressed": "false" });
  const finish = () =>
    sheet.toBlob(async (blob) => {
      leave();
      done(await upload(`mask-${name || label}.png`.replaceAll(/[^\w.-]+/g, "-"), blob));
    });
  enter(`Paint where ${name || label} is.`, brush, eraser, button("Take it", finish));
  layer.append(sheet);
  let before = null;
  const stroke = (event) => {
    const now = at(event);
    ink.lineWidth = (Number(brush.value) / 100) * Math.min(...size) * 2;
    ink.strokeStyle = erases ? "black" : "white";
    ink.beginPath();
    ink.moveTo(...(before ?? now));
    ink.lineTo(...now);
    ink.stroke();
    before = now;
  };
  layer.onpointerdown = (event) => {
    layer.setPointerCapture(event.pointerId);
    stroke(event);
  };
  layer.onpointermove = (event) => {
    if (before !== null) stroke(event);
  };
  layer.onpointerup = () => {
    before = null;
  };
}
