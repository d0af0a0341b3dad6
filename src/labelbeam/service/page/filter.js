// Which photographs are shown: by label and by what is decided of it. With a label they stand in falling score, near
// duplicates stacked. What is shown stays while one decides; choosing again looks anew.

import { judge, scoresOf, several } from "./bulk.js";
import { post } from "./server.js";
import { store } from "./store.js";
import { matches } from "./typing.js";

const bar = document.getElementById("filter");
const wanted = document.getElementById("by-label");
const state = document.getElementById("by-state");
const told = document.getElementById("shown");
const names = document.getElementById("label-names");
const UNSURE = [0.3, 0.7];
const TOGETHER = 64;
let asked = 0;

const unsure = (score) => score >= UNSURE[0] && score <= UNSURE[1];

// Whether a photograph is shown; row: its scores by label.
function fits(photo, label, row) {
  const values = label ? (photo.decided.has(label) ? [photo.decided.get(label)] : []) : [...photo.decided.values()];
  switch (state.value) {
    case "open":
      return label ? !values.length : !values.length && !photo.complete;
    case "decided":
      return values.length > 0 || (!label && photo.complete);
    case "accepted":
      return values.includes(1);
    case "rejected":
      return values.includes(0);
    case "complete":
      return photo.complete;
    case "person":
      return !store.safe.has(photo.id);
    case "nobody":
      return store.safe.has(photo.id);
    case "unsure":
      return Object.entries(row ?? {}).some(([name, score]) => (!label || name === label) && !photo.decided.has(name) && unsure(score));
    default:
      return true;
  }
}

async function stacked(ids, far) {
  for (let at = 0; ids.length > TOGETHER && at < ids.length; at += TOGETHER) {
    if (far(at, ids.length) === false) return null;
    await post("/stacks", { photographs: ids.slice(at, at + TOGETHER) }); // their fingerprints, which it remembers
  }
  return (await post("/stacks", { photographs: ids })).stacks;
}

async function apply() {
  const mine = (asked += 1);
  const far = (at, of) => {
    if (mine !== asked) return false;
    told.textContent = `looking: ${at} of ${of} …`;
  };
  const text = wanted.value.trim();
  const label = text ? (matches(text, store.labels.map((one) => one.name), new Map())[0] ?? null) : "";
  if (label === null) {
    wanted.setAttribute("aria-invalid", "true");
    return (told.textContent = `no label is like “${text}”`);
  }
  wanted.removeAttribute("aria-invalid");
  wanted.value = label;
  const all = store.places.filter((id) => store.photos.has(id));
  const known = store.labels.find((one) => one.name === label)?.known;
  let rows = new Map();
  try {
    if (promising() && !(await judge(all, far))) return;
    if (label ? known : state.value === "unsure") {
      const found = await scoresOf(all, label || null, far);
      if (!found) return;
      rows = found.scores;
    }
    let ids = all.filter((id) => fits(store.photos.get(id), label, rows.get(id)));
    const stacks = new Map();
    const score = new Map([...rows].map(([id, row]) => [id, row[label]]));
    if (label) {
      const value = (id) => score.get(id) ?? store.photos.get(id).decided.get(label) ?? -1;
      ids.sort((a, b) => value(b) - value(a));
      const groups = known ? await stacked(ids, far) : [];
      if (!groups || mine !== asked) return;
      for (const [head, ...rest] of groups) {
        stacks.set(head, [head, ...rest]);
        const below = new Set(rest);
        ids = ids.filter((id) => !below.has(id));
      }
    }
    if (mine !== asked) return;
    store.look({ label, ids: label || state.value !== "all" ? ids : null, scores: score, stacks });
    count();
    if (label && !known) told.textContent += "; the model does not know this label, so they are in no order";
  } catch (error) {
    told.textContent = "";
    store.emit("message", error.message);
  }
}

const promising = () => state.value === "person" || state.value === "nobody";

// Where a promise stands, the page opens with the photographs that a person must look at.
export async function openWithPeople() {
  const promised = document.getElementById("promised");
  promised.textContent = store.promised.join(" ");
  promised.hidden = !store.promised.length;
  if (store.unseen === null) return;
  for (const name of ["person", "nobody"]) state.querySelector(`[value=${name}]`).hidden = false;
  state.value = "person";
  if (!store.photos.size) return;
  await apply();
  if (store.order.length || state.value !== "person") return;
  state.value = "nobody"; // better than an empty page
  apply();
}

function count() {
  bar.hidden = !store.photos.size;
  const off = store.shown === null;
  document.getElementById("show-all").hidden = off;
  if (off) return (told.textContent = "");
  const below = [...store.stacks.values()].reduce((sum, stack) => sum + stack.length - 1, 0);
  told.textContent = `${several(store.order.length, "photograph", "photographs")} shown of ${store.photos.size}${below ? `, ${below} stacked below others that look the same` : ""}`;
  if (promising()) told.textContent += `; ${several([...store.safe.keys()].filter((id) => store.photos.has(id)).length, "needs", "need")} nobody`;
}

function labels() {
  names.replaceChildren(
    ...store.labels.map(({ name }) => {
      const option = document.createElement("option");
      option.value = name;
      return option;
    }),
  );
}

export function showAll() {
  asked += 1;
  wanted.value = "";
  state.value = "all";
  store.look({ label: "", ids: null, scores: new Map(), stacks: new Map() });
  count();
}

wanted.addEventListener("focus", labels);
wanted.addEventListener("change", apply);
wanted.addEventListener("keydown", (event) => {
  if (event.key === "Enter") wanted.blur(); // which is a change where the text is another
  else if (event.key === "Escape") showAll();
});
state.addEventListener("change", () => {
  state.blur();
  apply();
});
document.getElementById("show-all").addEventListener("click", showAll);
store.on("order", count);

export function search() {
  wanted.focus();
  wanted.select();
}
