/* The page: what is installed, the recipe's own controls, and what happens after each change. */

import * as canvas from "/page/canvas.js";
import { control, showProblems } from "/page/controls.js";
import { byId, duration, element, marked, quiet, tell } from "/page/dom.js";
import { canUndo, draft, isBlank, onChange, onReplace, remembered, replace, sent, touched, undo } from "/page/draft.js";
import * as history from "/page/history.js";
import { known } from "/page/known.js";
import { offerPlugins, showPlugins } from "/page/plugins.js";
import { about, ask, upload } from "/page/server.js";
import * as start from "/page/start.js";

const FIRST = ["model", "prompt", "size", "steps", "seed", "guidance-scale", "scheduler", "preset", "negative-prompt"];
const recipePanel = document.querySelector("aside");

function showFields() {
  known.lists.replaceChildren();
  const made = (names) => names.map((each) => control(each, [each.name]));
  const first = FIRST.map((name) => known.fields.find((each) => each.name === name)).filter(Boolean);
  byId("fields").replaceChildren(...made(first));
  byId("more-fields").replaceChildren(...made(known.fields.filter((each) => !FIRST.includes(each.name))));
  const careful = byId("careful");
  careful.hidden = !draft.careful && !careful.dataset.asked;
  careful.querySelector("input").checked = !draft.careful;
}

/** Only the answer to the latest question counts. */
let question = 0;
let sizeOfPlan = "";

const check = quiet(250, async () => {
  const mine = ++question;
  if (isBlank()) {
    told([]);
    tell(byId("notes"), []);
    byId("plan").textContent = "Start from a recipe or a picture, or choose a model";
    return;
  }
  try {
    const { problems, notes, yaml } = await ask("check", sent());
    if (mine !== question) return;
    told(problems);
    tell(byId("notes"), notes);
    if (yaml && document.activeElement !== byId("yaml-text")) byId("yaml-text").value = yaml;
    if (problems.length) {
      byId("plan").textContent = problems.length === 1 ? "Something is to mend" : `${problems.length} things are to mend`;
      return;
    }
    const planned = await ask("plan", sent());
    if (mine !== question) return;
    told(planned.problems);
    byId("plan").textContent = planned.plan.steps ? planText(planned.plan) : "Something is to mend";
    sizeOfPlan = draft.recipe.size;
    if (planned.plan.size) canvas.setSize(planned.plan.size);
    showUsed(planned.plan.used ?? {});
  } catch (error) {
    told((error.lines ?? []).map((line) => ({ at: [], line })));
  }
});

function told(problems) {
  tell(byId("problems"), showProblems(recipePanel, problems));
}

function planText(plan) {
  const seconds = plan.seconds === null ? [] : [`about ${duration(plan.seconds * plan.pictures)}`];
  const parts = [plan.size.join("x"), counted(plan["forward-passes"], "pass", "passes"), ...seconds, `${bytes(plan.memory)} of memory`];
  return parts.join(" \u00b7 ");
}

function counted(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

function bytes(number) {
  return number < 1e9 ? `${Math.round(number / 1e6)} MB` : `${(number / 1e9).toFixed(1)} GB`;
}

/** What the model's own defaults make of what the recipe does not say. */
function showUsed(used) {
  for (const [name, now] of Object.entries(used)) {
    const input = document.getElementById(`at-${name}`);
    if (input && "placeholder" in input && typeof now !== "object") input.placeholder = String(now);
  }
}

/** What can be told at once: the size that is written, and what a small model inside is told, for example. */
function showAtOnce() {
  const size = /^(\d+)x(\d+)$/.exec(draft.recipe.size ?? "");
  // Plugins may make another size of it, which the plan tells.
  if (size && draft.recipe.size !== sizeOfPlan) canvas.setSize([Number(size[1]), Number(size[2])]);
  const prompt = document.getElementById("at-prompt");
  if (prompt) prompt.placeholder = known.models[draft.recipe.model]?.prompt ?? "";
  byId("undo").hidden = !canUndo();
  start.show();
}

async function drawNow(count) {
  try {
    const { problems, jobs, group } = await ask("draw", { ...sent(), count });
    if (problems) {
      told(problems);
      recipePanel.querySelector("[aria-invalid]")?.focus();
    } else await history.follow(jobs, group);
  } catch (error) {
    tell(byId("problems"), error.lines ?? [error.message]);
  }
}

/** Only what was opened last counts. */
let opening = 0;

async function open(what) {
  const mine = ++opening;
  try {
    const { recipe, careful } = await ask("open", what);
    if (mine !== opening) return false;
    byId("careful").dataset.asked = careful ? "1" : "";
    replace(recipe, careful);
    tell(byId("yaml-problems"), []);
    tell(byId("problems"), []);
    return true;
  } catch (error) {
    tell(byId("text" in what ? "yaml-problems" : "problems"), error.lines ?? [error.message]);
    return false;
  }
}

function offerStarts() {
  const { recipes, pictures } = history.files();
  const group = (label, names, kind) =>
    names.length ? element("optgroup", { label }, names.map((name) => element("option", { value: JSON.stringify({ [kind]: name }) }, name))) : null;
  const select = byId("start");
  const before = select.value;
  select.replaceChildren(
    element("option", { value: "" }, "Choose a recipe or a picture"),
    ...[
      group("Recipes of this folder", recipes, "file"),
      group("Recipes that come with fusionkit", known.recipes.map((each) => each.name), "recipe"),
      group("Pictures of this folder", pictures.map((each) => each.name), "file"),
    ].filter(Boolean),
  );
  select.value = before;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  byId("folder-pictures").replaceChildren(...pictures.map((each) => element("option", { value: each.name })));
}

function yamlButtons() {
  const said = (text) => {
    byId("yaml-said").textContent = text;
  };
  byId("copy").addEventListener("click", async () => {
    const text = byId("yaml-text");
    try {
      await navigator.clipboard.writeText(text.value);
      said("copied");
    } catch {
      text.select();
      said("press Ctrl-C to copy");
    }
  });
  byId("use").addEventListener("click", async () => said((await open({ text: byId("yaml-text").value })) ? "used" : ""));
  byId("save").addEventListener("click", async () => {
    try {
      const { name } = await ask("save", { ...sent(), name: draft.recipe.name ?? "recipe" });
      said(`saved as ${name}`);
      history.refresh();
    } catch (error) {
      tell(byId("yaml-problems"), error.lines ?? [error.message]);
    }
  });
}

/** Opens a recipe's file, or a picture, which is kept in the folder. */
async function load(file) {
  if (/\.ya?ml$/i.test(file.name)) {
    await open({ text: await file.text() });
    return;
  }
  try {
    await open({ file: await upload(file.name, file) });
    history.refresh();
  } catch (error) {
    tell(byId("problems"), error.lines ?? [error.message]);
  }
}

function loading() {
  const input = byId("load-file");
  byId("load").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file) load(file).finally(() => (input.value = ""));
  });
  document.addEventListener("dragover", (event) => event.dataTransfer.types.includes("Files") && event.preventDefault());
  document.addEventListener("drop", (event) => {
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    load(file);
  });
}

function starts() {
  const select = byId("start");
  const opens = () => {
    const what = select.value ? JSON.parse(select.value) : {};
    byId("start-about").replaceChildren(...marked(start.aboutOf(what.recipe)));
    if (select.value) open(what);
  };
  select.addEventListener("change", opens);
  start.begin((what) => {
    select.value = JSON.stringify(what);
    opens();
  });
  byId("undo").addEventListener("click", undo);
}

async function begin() {
  document.body.append(known.lists, element("datalist", { id: "folder-pictures" }));
  Object.assign(known, await about());
  known.suggestions.model = Object.keys(known.models);
  byId("where").textContent = known.folder;
  canvas.begin();
  history.begin(drawNow);
  offerPlugins();
  yamlButtons();
  loading();
  for (const form of [byId("fields"), byId("more-fields")]) form.addEventListener("submit", (event) => event.preventDefault());
  starts();
  byId("careful").addEventListener("change", (event) => {
    draft.careful = !event.target.checked;
    touched();
  });
  byId("draw").addEventListener("click", () => drawNow(1));
  byId("variants").addEventListener("click", () => drawNow(9));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) drawNow(1);
  });
  document.addEventListener("files", () => {
    offerStarts();
    start.show();
  });
  // What a run takes is known better after one.
  document.addEventListener("drawn", check);
  onReplace(() => {
    showFields();
    showPlugins();
  });
  onChange(() => {
    canvas.showBoxes();
    showAtOnce();
    check();
  });
  await history.refresh();
  offerStarts();
  const before = remembered();
  if (before?.recipe) {
    byId("careful").dataset.asked = before.careful ? "1" : "";
    replace(before.recipe, before.careful);
  } else replace({}, false);
  document.documentElement.dataset.ready = "1";
}

begin();
