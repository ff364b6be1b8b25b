/* What the studio is asked. */

import { byId } from "/page/dom.js";

/** Asks the studio; throws an Error of its lines where they are for the user, and null where it does not answer. */
export async function ask(what, body = {}) {
  return answered(() =>
    fetch(`/api/${what}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  );
}

export async function about() {
  return answered(() => fetch("/api/about"));
}

/** Brings a picture into the folder; answers its name there. */
export async function upload(name, data) {
  return (await answered(() => fetch(`/api/upload/${encodeURIComponent(name)}`, { method: "PUT", body: data }))).name;
}

async function answered(asks) {
  let answer;
  try {
    answer = await (await asks()).json();
  } catch {
    byId("lost").hidden = false;
    throw new Error("the studio does not answer");
  }
  byId("lost").hidden = true;
  if (answer.errors) throw Object.assign(new Error(answer.errors.join("\n")), { lines: answer.errors });
  return answer;
}
