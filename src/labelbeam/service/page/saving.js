// Steps on their way to the disk, one after the other. What the service has not acknowledged is kept in the browser,
// so that neither a reload nor a crash of either side loses a click. Every step may be sent twice: undo and redo say
// which step they mean, and the service turns it once.

import { Problem, Unreachable, ask, post } from "./server.js";
import { store } from "./store.js";

const RETRY = 1500;
let waiting = [];
let running = false;
let stale = false; // the service has more than its answer said
let adding = 0; // new labels that the service does not have yet
let state = "saved";

const place = () => `labelbeam unsaved: ${store.id}`;

function tell(now) {
  state = now;
  store.emit("saving", { state, count: waiting.length });
}

function keep() {
  try {
    if (waiting.length) localStorage.setItem(place(), JSON.stringify(waiting));
    else localStorage.removeItem(place());
  } catch {
    // Private windows may refuse: then only the service keeps it.
  }
}

function add(path, body) {
  waiting.push({ path, body });
  keep();
  run();
}

const turn = { "/undo": () => store.undo, "/redo": () => store.redo };

// What a step does to what is shown, before the service has it.
const shown = {
  "/decisions": ({ changes }, again) => store.change(changes, again),
  "/complete": ({ photographs, complete }) => store.complete(photographs, complete),
  "/remove": ({ photographs }) => store.remove(photographs),
};

async function reload() {
  const before = [...store.photos.keys()];
  store.start(await ask(""), before);
  for (const { path, body } of waiting) shown[path]?.(body, true);
  stale = false;
}

async function send({ path, body }) {
  const done = await post(path, body);
  store.turns(done);
  if (turn[path]) {
    store.change(done.changes);
    if (done.changes.length) store.go(done.changes[0].image);
  }
  stale ||= path === "/rename" || (turn[path] && done.others);
  store.emit("acknowledged", (turn[path] ? done.changes : (body.changes ?? [])).map((one) => one.image));
  store.emit("steps");
}

async function next() {
  if (stale) return reload();
  const entry = waiting[0];
  if (turn[entry.path]) {
    entry.body.step ??= turn[entry.path]();
    keep();
  }
  if (entry.body.step !== null) await send(entry);
  waiting.shift();
  keep();
}

function refuse(error) {
  if (stale) {
    stale = false;
    return store.emit("message", `What the project has now cannot be shown: ${error.message}`);
  }
  const { body } = waiting.shift();
  keep();
  store.emit("message", `Not saved: ${error.message}`);
  store.emit("acknowledged", (body.changes ?? []).map((one) => one.image));
  stale = true;
}

async function run() {
  if (running) return;
  running = true;
  while (waiting.length || stale) {
    if (state === "saved") tell("saving");
    try {
      await next();
      if (state === "offline") tell("saving");
    } catch (error) {
      if (error instanceof Unreachable || (error instanceof Problem && error.status >= 500)) {
        tell("offline");
        await new Promise((done) => setTimeout(done, RETRY));
      } else refuse(error);
    }
  }
  running = false;
  if (!adding) tell("saved");
}

// A label that the project does not have yet: what is typed is not saved before the service has its name.
export async function addLabel(name) {
  adding += 1;
  if (state === "saved") tell("saving");
  try {
    return await post("/labels", { name });
  } finally {
    adding -= 1;
    if (!adding && !running) tell("saved");
  }
}

export function decide(changes) {
  const real = changes.filter(({ image, label, value }) => (store.photos.get(image)?.decided.get(label) ?? null) !== value);
  if (!real.length) return;
  store.change(real);
  add("/decisions", { changes: real });
}

// Whether nothing else is on photographs.
export function complete(ids, value) {
  store.complete(ids, value);
  add("/complete", { photographs: ids, complete: value });
}

export function remove(ids) {
  store.remove(ids);
  add("/remove", { photographs: ids });
}

export const rename = (label, to) => add("/rename", { label, to });
export const undo = () => add("/undo", {});
export const redo = () => add("/redo", {});

// Steps that were not acknowledged before the page was left.
export function restore() {
  let left = [];
  try {
    left = JSON.parse(localStorage.getItem(place()) ?? "[]");
  } catch {
    return localStorage.removeItem(place());
  }
  for (const { path, body } of left) {
    shown[path]?.(body);
    add(path, body);
  }
}

export const unsaved = () => waiting.length + adding;
