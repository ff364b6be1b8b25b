/* Controls of values, by what the studio says of their schemas. */

import { button, element, marked } from "/page/dom.js";
import { restructured, set, value } from "/page/draft.js";
import { drawBox, paintMask } from "/page/canvas.js";
import { upload } from "/page/server.js";
import { known } from "/page/known.js";

const MAKERS = { switch: toggle, integer: number, number, choice, text, word: text, path, numbers, list, mapping, group, either, yaml };

// How one of several ways to give a value is called.
const WAYS = { choice: "by name", group: "options", integer: "number", list: "several", mapping: "by name", numbers: "numbers", path: "file", switch: "yes or no", word: "text", yaml: "YAML" };

/** The control of a value, with its label, its help and a place for what is wrong with it. */
export function control(spec, at, label = spec.name) {
  return MAKERS[spec.kind](spec, at, label);
}

/** Shows what is wrong at the controls that have it, and answers the lines for which there is none. */
export function showProblems(root, problems) {
  for (const each of root.querySelectorAll("[data-wrong]")) {
    each.removeAttribute("data-wrong");
    each.querySelector(":scope > .wrong").replaceChildren();
    for (const input of each.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  }
  for (const each of root.querySelectorAll("[data-wrong-inside]")) each.removeAttribute("data-wrong-inside");
  return problems.filter(({ at, line }) => !shown(root, at, line)).map(({ line }) => line);
}

function shown(root, at, line) {
  for (let length = at.length; length > 0; length--) {
    const field = root.querySelector(`[data-at="${CSS.escape(JSON.stringify(at.slice(0, length)))}"]`);
    if (!field) continue;
    field.setAttribute("data-wrong", "");
    field.querySelector(":scope > .wrong").append(element("p", {}, line));
    const input = document.getElementById(idOf(at.slice(0, length))) ?? field.querySelector("input, select, textarea");
    input?.setAttribute("aria-invalid", "true");
    for (let each = field.parentElement; each && each !== root; each = each.parentElement)
      if (each.matches("details")) each.setAttribute("data-wrong-inside", "");
    return true;
  }
  return false;
}

function idOf(at) {
  return `at-${at.join(".")}`;
}

function frame(spec, at, label, inner, { tag = "div", beside = null } = {}) {
  const id = idOf(at);
  const wrong = element("div", { class: "wrong", id: `${id}-wrong` });
  const help = spec.help ? element("p", { class: "help", id: `${id}-help` }, marked(spec.help)) : null;
  const title =
    tag === "fieldset"
      ? element("legend", {}, label)
      : element("label", { for: id }, label, spec.required ? element("small", {}, " needed") : null);
  return element(tag, { class: `field ${spec.kind}`, "data-at": JSON.stringify(at) }, beside ? element("div", { class: "titled" }, title, beside) : title, inner, wrong, help);
}

function described(spec, at) {
  const id = idOf(at);
  return { id, "aria-describedby": `${id}-wrong${spec.help ? ` ${id}-help` : ""}` };
}

function placeholder(spec) {
  if (spec.default !== undefined && spec.default !== null && typeof spec.default !== "object") return String(spec.default);
  return spec.example ?? "";
}

function toggle(spec, at, label) {
  const input = element("input", { type: "checkbox", ...described(spec, at) });
  input.checked = value(at) ?? spec.default ?? false;
  input.addEventListener("change", () => set(at, input.checked === (spec.default ?? false) && !spec.required ? undefined : input.checked));
  const wrong = element("div", { class: "wrong", id: `${idOf(at)}-wrong` });
  const help = spec.help ? element("small", { id: `${idOf(at)}-help` }, marked(spec.help)) : null;
  return element(
    "div",
    { class: "field", "data-at": JSON.stringify(at) },
    element("label", { class: "switch" }, input, element("span", {}, label, help)),
    wrong,
  );
}

function number(spec, at, label) {
  const whole = spec.kind === "integer";
  const input = element("input", {
    type: "number",
    step: whole ? 1 : "any",
    min: spec.minimum ?? spec.above,
    max: spec.maximum ?? spec.below,
    placeholder: placeholder(spec),
    ...described(spec, at),
  });
  input.value = value(at) ?? "";
  const take = () => set(at, input.value === "" ? undefined : Number(input.value));
  input.addEventListener("input", take);
  const low = spec.minimum ?? spec.above;
  const high = spec.maximum ?? spec.below;
  if (whole || low === undefined || high === undefined || high - low > 100) return frame(spec, at, label, input);
  const slider = element("input", { type: "range", min: low, max: high, step: (high - low) / 100, "aria-label": `${label}, as a slider` });
  const follow = () => {
    slider.value = input.value === "" ? (spec.default ?? low) : input.value;
  };
  slider.addEventListener("input", () => {
    input.value = String(Number(Number(slider.value).toPrecision(3)));
    take();
  });
  input.addEventListener("input", follow);
  follow();
  return frame(spec, at, label, element("div", { class: "pair" }, slider, input));
}

function choice(spec, at, label) {
  const select = element("select", described(spec, at));
  if (!spec.required) select.append(element("option", { value: "" }, spec.default === undefined || spec.default === null ? "" : String(spec.default)));
  for (const each of spec.choices)
    if (spec.required || each !== spec.default) select.append(element("option", { value: JSON.stringify(each) }, String(each)));
  const now = value(at);
  select.value = now === undefined || (now === spec.default && !spec.required) ? "" : JSON.stringify(now);
  select.addEventListener("change", () => set(at, select.value === "" ? undefined : JSON.parse(select.value)));
  return frame(spec, at, label, select);
}

/** A text; a word may be a number or a switch as well. */
function text(spec, at, label) {
  const isWord = spec.kind === "word";
  const long = !isWord && !spec.example && /prompt|text|adds/.test(at.at(-1));
  const input = element(long ? "textarea" : "input", { rows: long ? 2 : null, placeholder: placeholder(spec), ...described(spec, at) });
  const suggested = spec.choices?.length ? spec.choices : (known.suggestions[at.join(".")] ?? []);
  if (suggested.length) {
    const list = element("datalist", { id: `${idOf(at)}-list` }, suggested.map((each) => element("option", { value: each })));
    input.setAttribute("list", list.id);
    input.after(list);
    known.lists.append(list);
  }
  const now = value(at);
  input.value = now === undefined || now === null ? "" : String(now);
  input.addEventListener("input", () => {
    const given = input.value;
    if (given === "") set(at, undefined);
    else set(at, isWord ? wordOf(given) : given);
  });
  return frame(spec, at, label, input);
}

function wordOf(given) {
  const trimmed = given.trim();
  if (trimmed === "true" || trimmed === "false") return trimmed === "true";
  return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

/** A file: of the folder by its name, brought, or, where it is a mask, painted. */
function path(spec, at, label) {
  const input = element("input", { list: "folder-pictures", placeholder: placeholder(spec), ...described(spec, at) });
  input.value = value(at) ?? "";
  const take = (name) => {
    input.value = name;
    set(at, name === "" ? undefined : name);
  };
  input.addEventListener("input", () => take(input.value));
  const file = element("input", { type: "file", accept: ".png,.jpg,.jpeg,.webp", hidden: true, "aria-label": `File for ${label}` });
  file.addEventListener("change", async () => {
    if (file.files[0]) take(await upload(file.files[0].name, file.files[0]));
  });
  const buttons = [button("Bring a file", () => file.click())];
  if (/mask/.test([...at].reverse().join(" ").split(" ")[0]) || at.at(-1) === "mask")
    buttons.push(button("Paint", () => paintMask(label, at.at(-2), take)));
  return frame(spec, at, label, [input, file, element("div", { class: "actions" }, buttons)]);
}

/** So many numbers; four of them are a box that can be drawn. */
function numbers(spec, at, label) {
  const names = spec.count === 4 ? ["left", "top", "width", "height"] : Array.from({ length: spec.count }, (_, index) => String(index + 1));
  const inputs = names.map((name, index) =>
    element("input", {
      type: "number",
      step: "any",
      "aria-label": `${label}, ${name}`,
      placeholder: spec.count === 4 ? name : (spec.default?.[index] ?? ""),
      id: index === 0 ? idOf(at) : null,
      "aria-describedby": `${idOf(at)}-wrong`,
    }),
  );
  const show = (given) => inputs.forEach((input, index) => (input.value = given?.[index] ?? ""));
  show(value(at));
  const take = () => {
    const given = inputs.map((input) => input.value);
    set(at, given.every((each) => each === "") ? undefined : given.map((each) => (each === "" ? null : Number(each))));
  };
  for (const input of inputs) input.addEventListener("input", take);
  const draws =
    spec.count === 4
      ? button("Draw on the picture", () =>
          drawBox(label, (box) => {
            show(box);
            set(at, box);
          }),
        )
      : null;
  return frame(spec, at, label, [element("div", { class: "row" }, inputs), draws], { tag: "fieldset" });
}

function list(spec, at, label) {
  const now = value(at) ?? [];
  const items = now.map((_, index) =>
    element(
      "div",
      { class: "item" },
      control(spec.item, [...at, index], `${label} ${index + 1}`),
      button("Remove", () => {
        now.splice(index, 1);
        set(at, now.length ? now : undefined);
        restructured();
      }, { "aria-label": `Remove ${label} ${index + 1}` }),
    ),
  );
  const add = button("Add", () => {
    set(at, [...now, empty(spec.item)]);
    restructured();
  }, { "aria-label": `Add to ${label}`, id: idOf(at) });
  return frame(spec, at, label, [items, add], { tag: "fieldset" });
}

function mapping(spec, at, label) {
  const now = value(at) ?? {};
  const items = Object.keys(now).map((name) =>
    element(
      "div",
      { class: "item" },
      control(spec.item, [...at, name], name),
      button("Remove", () => {
        const { [name]: _, ...others } = now;
        set(at, Object.keys(others).length ? others : undefined);
        restructured();
      }, { "aria-label": `Remove ${name}` }),
    ),
  );
  const input = element("input", { placeholder: "name", id: idOf(at), "aria-label": `A name for a new entry of ${label}` });
  const take = () => {
    const name = input.value.trim();
    if (!name || name in now) return;
    set([...at, name], empty(spec.item));
    restructured();
    const box = spec.item.fields?.find((each) => each.kind === "numbers" && each.count === 4 && each.required);
    if (box)
      drawBox(name, (drawn) => {
        set([...at, name, box.name], drawn);
        restructured();
      });
  };
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    take();
  });
  return frame(spec, at, label, [items, element("div", { class: "pair" }, input, button("Add", take, { "aria-label": `Add to ${label}` }))], {
    tag: "fieldset",
  });
}

function group(spec, at, label) {
  const inner = spec.fields.map((each) => control(each, [...at, each.name]));
  return frame(spec, at, label, inner, { tag: "fieldset" });
}

/** One of several ways to say a value. */
function either(spec, at, label) {
  const now = value(at);
  let chosen = Math.max(0, spec.ways.findIndex((way) => fits(way, now)));
  const holder = element("div", { class: "way" });
  const show = () => holder.replaceChildren(bare(control({ ...spec.ways[chosen], default: spec.default, help: "" }, at, label)));
  const select = element("select", { "aria-label": `How ${label} is given` }, spec.ways.map((way, index) => element("option", { value: index, title: way.label }, WAYS[way.kind] ?? way.kind)));
  select.value = chosen;
  select.addEventListener("change", () => {
    chosen = Number(select.value);
    set(at, undefined);
    show();
  });
  show();
  return frame(spec, at, label, holder, { beside: select });
}

/** A control in another one of the same place: only the outer one is told what is wrong. */
function bare(field) {
  field.removeAttribute("data-at");
  field.querySelector(":scope > label, :scope > legend, :scope > .titled")?.classList.add("unseen");
  field.querySelector(":scope > .wrong")?.remove();
  return field;
}

function fits(way, now) {
  if (now === undefined) return true;
  if (Array.isArray(now)) return ["list", "numbers"].includes(way.kind);
  if (now !== null && typeof now === "object") return ["group", "mapping", "yaml"].includes(way.kind);
  if (typeof now === "number") return ["number", "integer", "word"].includes(way.kind);
  return ["text", "path", "choice", "word"].includes(way.kind);
}

/** Whatever has no control of its own, as YAML. */
function yaml(spec, at, label) {
  const input = element("textarea", { rows: 2, spellcheck: "false", placeholder: spec.example ?? "", ...described(spec, at) });
  const now = value(at);
  input.value = now === undefined ? "" : typeof now === "object" && now?.$yaml !== undefined ? now.$yaml : JSON.stringify(now);
  input.addEventListener("input", () => set(at, input.value.trim() === "" ? undefined : { $yaml: input.value }));
  return frame(spec, at, label, input);
}

function empty(spec) {
  if (["group", "mapping"].includes(spec.kind)) return {};
  if (["list", "numbers"].includes(spec.kind)) return [];
  if (spec.kind === "either") return empty(spec.ways[0]);
  if (["integer", "number"].includes(spec.kind)) return spec.default ?? spec.minimum ?? 1;
  return spec.default ?? "";
}
