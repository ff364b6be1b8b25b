/* What the studio is asked. */

import { byId } from "/page/dom.js";

const LOST = "The studio does not answer. It goes on when it is started again.";
const CLOSED = "This page may not ask the studio any more: open the address that the terminal shows.";

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
  const lost = byId("lost");
  let answer;
  try {
    lost.textContent = LOST;
    const response = await asks();
    if (response.status === 403) lost.textContent = CLOSED;
    answer = await response.json();
  } catch {
    lost.hidden = false;
    throw new Error("the studio does not answer");
  }
  lost.hidden = true;
  if (answer.errors) throw Object.assign(new Error(answer.errors.join("\n")), { lines: answer.errors });
  return answer;
}
