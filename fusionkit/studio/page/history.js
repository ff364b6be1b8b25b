/* What is being drawn, what was drawn, and what can be done with a picture. */

import { address, button, byId, duration, element } from "/page/dom.js";
import { draft, replace, restructured } from "/page/draft.js";
import { known } from "/page/known.js";
import { compare, show, showMap } from "/page/canvas.js";
import { addPlugin } from "/page/plugins.js";
import { ask } from "/page/server.js";

const TITLE = "fusionkit studio";

let state = { jobs: [], pictures: [], recipes: [] };
let picked = null;
let group = "";
let comparing = false;
let against = null;
let shownMap = "";
let strength = 0.6;
let draws = async () => {};

const chosen = element("div", { class: "actions chosen" });

/** Puts the tools of a picture on the page. */
export function begin(drawNow) {
  draws = drawNow;
  byId("tools").prepend(chosen);
  byId("cancel").addEventListener("click", async () => {
    const now = open()[0];
    if (now) await ask("cancel", now.group ? { group: now.group } : { id: now.id });
    refresh();
  });
  byId("free").addEventListener("click", () => ask("free").then(refresh));
}

/** Looks at what is being drawn from now on, at once and again and again; a picture that was picked is left. */
export function follow(jobs, ofGroup) {
  picked = against = null;
  group = ofGroup;
  byId("canvas").scrollIntoView({ block: "nearest" });
  return refresh();
}

let timer = 0;
let asked = 0;

/** Asks for the state, and again soon while something is drawn. */
export async function refresh() {
  clearTimeout(timer);
  const mine = ++asked;
  try {
    const found = await ask("state");
    if (mine !== asked) return;
    const ended = (state) => state.jobs.filter((job) => job.state === "done").length;
    const more = ended(found) !== ended(state);
    state = found;
    showState();
    if (more) document.dispatchEvent(new CustomEvent("drawn"));
  } catch {
    // The page says that the studio does not answer.
  }
  if (mine === asked) timer = setTimeout(refresh, open().length ? 400 : 2500);
}

export function files() {
  return state;
}

function open() {
  const found = state.jobs.filter((job) => ["waiting", "drawing"].includes(job.state));
  return found.sort((one, other) => (one.state === "drawing" ? -1 : other.state === "drawing" ? 1 : 0));
}

let last = "";

function showState() {
  showProgress(open());
  showPicture();
  const now = JSON.stringify([state, picked, group, against]);
  if (now === last) return;
  last = now;
  byId("free").hidden = !state["models-loaded"] || open().length > 0;
  keepingFocus(() => {
    byId("jobs").replaceChildren(...state.jobs.filter(({ state: how }) => how === "failed" || how === "cancelled").reverse().slice(0, 5).map(ended));
    byId("pictures").replaceChildren(...variants(), ...state.pictures.map(figure));
    if (state.pictures.length === 0 && open().length === 0) byId("pictures").append(element("li", { class: "help" }, "None yet."));
  });
  document.dispatchEvent(new CustomEvent("files"));
}

/** Lists are made anew while somebody may be in them by keyboard. */
function keepingFocus(does) {
  const key = document.activeElement?.dataset?.key;
  does();
  if (key) document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

function showProgress(jobs) {
  byId("cancel").hidden = jobs.length === 0;
  byId("progress").hidden = jobs.length === 0;
  document.title = jobs.length ? `${Math.round(100 * jobs[0].done)} % \u00b7 ${TITLE}` : TITLE;
  if (jobs.length === 0) return;
  const [now] = jobs;
  const left = now.left ? ` \u00b7 about ${duration(now.left)} left` : "";
  byId("done").value = now.done;
  const waiting = jobs.length > 1 ? `; ${jobs.length - 1} more` : "";
  byId("step").textContent = `${now.step || "starting"}${left}${waiting}`;
}

/** The picture on the canvas: what was picked, or what is being drawn, or the newest. */
function showPicture() {
  const [now] = open();
  const name = picked ?? (now ? before(now) : (ofGroup().find((job) => job.picture)?.picture ?? newestDone() ?? state.pictures[0]?.name ?? null));
  const found = state.pictures.find((each) => each.name === name);
  const second = state.pictures.find((each) => each.name === against);
  compare(found && second && found !== second ? addressOf(second) : null, [name, against]);
  if (found) show(addressOf(found), `The picture ${found.name}`);
  else if (now && now.preview) show(`${address("previews", `${now.id}.png`)}?${now.preview}`, "A preview of what is being drawn");
  else show(null);
  showTools(found ?? null);
}

function addressOf(picture) {
  return `${address("pictures", picture.name)}?${picture.changed}`;
}

/** Which picture is shown until there is a preview: the one of the same group that was drawn before. */
function before(now) {
  return now.preview ? null : (ofGroup().findLast((job) => job.picture)?.picture ?? null);
}

function newestDone() {
  const done = state.jobs.filter((job) => job.state === "done").at(-1);
  return state.pictures.some((each) => each.name === done?.picture) ? done.picture : null;
}

function ofGroup() {
  return group ? state.jobs.filter((job) => job.group === group) : [];
}

let toolsOf = "";

function showTools(picture) {
  const key = picture ? `${picture.name} ${picture.maps}` : "";
  if (key === toolsOf) return;
  toolsOf = key;
  showMap(null);
  chosen.replaceChildren();
  if (picture === null) return;
  const larger = enlarger();
  chosen.append(
    element("p", { class: "name" }, picture.name, facts(picture.name)),
    button("Use its recipe", () => use(picture.name)),
    ...(larger ? [button("Draw it larger", () => drawLarger(picture.name, larger), { title: "At twice the size, and the same" })] : []),
    button("Compare", (event) => compares(picture.name, event.currentTarget), { "aria-pressed": String(comparing), title: "With another picture, which you pick below" }),
    element("a", { class: "button", href: address("pictures", picture.name), download: picture.name }, "Download"),
    button("Remove", () => remove(picture.name), { "data-key": "remove", title: "Into the folder 'removed'" }),
  );
  if (picture.maps.length) chosen.append(maps(picture));
}

/** How a picture was made, in short; it comes a moment later. */
function facts(name) {
  const told = element("small", {});
  ask("picture", { name }).then(
    ({ recipe, seed, seconds, "forward-passes": passes }) => {
      if (recipe === null) told.textContent = " carries no recipe";
      else told.textContent = [` seed ${seed}`, ...(seconds ? [`${seconds.toFixed(1)} s`] : []), ...(passes ? [`${passes} passes`] : [])].join(" \u00b7 ");
    },
    () => {},
  );
  return told;
}

function maps(picture) {
  const select = element("select", { "aria-label": "Map over the picture" }, element("option", { value: "" }, "No map"), picture.maps.map((name) => element("option", { value: name }, name)));
  select.value = picture.maps.includes(shownMap) ? shownMap : "";
  const slider = element("input", { type: "range", min: 0, max: 1, step: 0.05, value: strength, "aria-label": "How strongly the map shows" });
  const lay = () => {
    shownMap = select.value;
    strength = Number(slider.value);
    slider.hidden = shownMap === "";
    showMap(shownMap ? address("maps", picture.name, shownMap) : null, strength);
  };
  select.addEventListener("change", lay);
  slider.addEventListener("input", lay);
  lay();
  return element("span", { class: "pair" }, select, slider);
}

/** The plugin that draws a picture larger and the same, by its options. */
function enlarger() {
  return known.plugins.find(({ fields }) => ["times", "strength"].every((name) => fields.some((each) => each.name === name)));
}

async function use(name) {
  const { recipe, careful } = await ask("open", { file: name });
  replace(recipe, careful);
}

async function drawLarger(name, { name: plugin }) {
  await use(name);
  const before = draft.recipe.plugins.find((entry) => plugin in entry);
  if (before) {
    before[plugin].times = 2 * (before[plugin].times ?? 1);
    restructured();
  } else addPlugin(plugin, { times: 2, strength: 0.6 });
  await draws(1);
}

/** The picture that is shown stays, and the next one that is picked is laid beside it. */
function compares(name, pressed) {
  comparing = !comparing;
  picked = name;
  against = null;
  pressed.setAttribute("aria-pressed", String(comparing));
  showState();
}

function pick(name) {
  if (comparing && name !== picked) against = name;
  else picked = picked === name && !comparing ? null : name;
  showState();
}

/** Puts a picture where removed ones are; the next one takes its place, also for the keyboard. */
async function remove(name) {
  const names = state.pictures.map((each) => each.name);
  const next = names[names.indexOf(name) + 1] ?? names[names.indexOf(name) - 1];
  const by = document.activeElement?.dataset?.key ?? "";
  const said = byId("removed");
  try {
    const { removed } = await ask("remove", { name });
    picked = picked === name ? (next ?? null) : picked;
    against = against === name ? null : against;
    const back = async () => {
      picked = (await ask("restore", { removed })).name;
      said.replaceChildren();
      await refresh();
    };
    said.replaceChildren(`${name} is in the folder 'removed'. `, button("Put it back", back));
  } catch (error) {
    said.replaceChildren(...(error.lines ?? []));
  }
  await refresh();
  const key = by === "remove" ? by : `picture ${next}`;
  document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

/** The pictures that were asked for together, in their places while they are drawn. */
function variants() {
  const jobs = ofGroup();
  if (jobs.length < 2 || !jobs.some((job) => ["waiting", "drawing"].includes(job.state))) return [];
  return jobs
    .filter((job) => !job.picture)
    .map((job) =>
      element(
        "li",
        { class: "waiting" },
        job.preview ? element("img", { src: `${address("previews", `${job.id}.png`)}?${job.preview}`, alt: "" }) : null,
        element("span", {}, `seed ${job.seed}`),
      ),
    );
}

function figure(picture) {
  const src = `${address("thumbnails", picture.name)}?${picture.changed}`;
  return element(
    "li",
    {},
    element(
      "button",
      { type: "button", click: () => pick(picture.name), "aria-pressed": String([picked, against].includes(picture.name)), "data-key": `picture ${picture.name}`, keydown: (event) => event.key === "Delete" && remove(picture.name) },
      element("img", { src, alt: "", loading: "lazy", load: widens }),
      element("span", {}, picture.name),
    ),
  );
}

/** A panorama takes two places. */
function widens({ target }) {
  target.closest("li").classList.toggle("wide", target.naturalWidth > 2.5 * target.naturalHeight);
}

function ended(job) {
  const again = job.kept || job.state === "failed" ? button(job.kept ? "Go on" : "Try again", () => ask("again", { id: job.id }).then(refresh), { "data-key": `again ${job.id}` }) : null;
  const lost = `What was drawn of it, ${Math.round(100 * job.done)} %, is deleted. Forget it?`;
  const forget = button("Forget", () => (!job.kept || confirm(lost)) && ask("forget", { id: job.id }).then(refresh), { "data-key": `forget ${job.id}` });
  const text = job.state === "failed" ? job.lines.join("\n") : `cancelled at ${Math.round(100 * job.done)} %`;
  return element("li", { class: job.state }, element("p", {}, `seed ${job.seed}: ${text}`), element("div", { class: "actions" }, again, forget));
}
