// Decisions on their way to the disk, one after the other. What the service has not acknowledged is kept in the
// browser, so that neither a reload nor a crash of either side loses a click.

import { Problem, Unreachable, post } from "./server.js";
import { store } from "./store.js";

const RETRY = 1500;
let waiting = [];
let running = false;
let state = "saved";

const place = () => `labelbeam waiting: ${store.id}`;

function tell(now) {
  state = now;
  store.emit("saving", { state, count: waiting.length });
}

function keep() {
  const changes = waiting.filter((one) => one.changes);
  try {
    if (changes.length) localStorage.setItem(place(), JSON.stringify(changes));
    else localStorage.removeItem(place());
  } catch {
    // Private windows may refuse: then only the service keeps it.
  }
}

function add(entry) {
  waiting.push(entry);
  keep();
  run();
}

async function run() {
  if (running) return;
  running = true;
  while (waiting.length) {
    if (state === "saved") tell("saving");
    const entry = waiting[0];
    try {
      const done = entry.changes ? await post("/decisions", { changes: entry.changes }) : await post(entry.path);
      if (!entry.changes) {
        store.change(done.changes);
        store.emit("acknowledged", done.changes.map((one) => one.image));
        if (done.changes.length) store.go(done.changes[0].image);
      } else store.emit("acknowledged", entry.changes.map((one) => one.image));
      Object.assign(store, { undo: done.undo, redo: done.redo });
      store.emit("steps");
      waiting.shift();
      keep();
      if (state === "offline") tell("saving");
    } catch (error) {
      if (error instanceof Unreachable || (error instanceof Problem && error.status >= 500)) {
        tell("offline");
        await new Promise((done) => setTimeout(done, RETRY));
        continue;
      }
      waiting.shift();
      keep();
      store.emit("message", `Not saved: ${error.message}`);
      store.emit("acknowledged", (entry.changes ?? []).map((one) => one.image));
      store.emit("refused");
    }
  }
  running = false;
  tell("saved");
}

export function decide(changes) {
  const real = changes.filter(({ image, label, value }) => (store.photos.get(image)?.decided.get(label) ?? null) !== value);
  if (!real.length) return;
  store.change(real);
  add({ changes: real });
}

export const undo = () => add({ path: "/undo" });
export const redo = () => add({ path: "/redo" });

// Clicks that were not acknowledged before the page was left.
export function restore() {
  try {
    for (const entry of JSON.parse(localStorage.getItem(place()) ?? "[]")) decide(entry.changes);
  } catch {
    localStorage.removeItem(place());
  }
}

export const unsaved = () => waiting.length;
