// Typing a label: known ones are found by how they start, in any script; any other text becomes a new label.

import { element, labelText, set } from "./chips.js";
import { addLabel } from "./saving.js";
import { store } from "./store.js";

const box = document.getElementById("typing");
const input = document.getElementById("typed");
const list = document.getElementById("found");
const renaming = document.getElementById("rename-open");
const MOST = 8;
let options = [];
let at = 0;
let back = null;

const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLocaleLowerCase();
export const exact = (text) => text.normalize("NFC").trim();

function rank(name, wanted) {
  const text = folded(name);
  if (text === wanted) return 0;
  if (text.startsWith(wanted)) return 1;
  if (text.split(/[\s_-]+/u).some((word) => word.startsWith(wanted))) return 2;
  return text.includes(wanted) ? 3 : 9;
}

export function matches(text, names, scores) {
  const wanted = folded(text.trim());
  return names
    .map((name, i) => ({ name, i, rank: wanted ? rank(name, wanted) : 1 }))
    .filter((one) => one.rank < 9)
    .sort((a, b) => a.rank - b.rank || (scores.get(b.name) ?? 0) - (scores.get(a.name) ?? 0) || a.i - b.i)
    .slice(0, MOST)
    .map((one) => one.name);
}

function draw() {
  const text = exact(input.value);
  const scores = new Map((store.photo?.suggestions ?? []).map((one) => [one.label, one.score]));
  const names = store.labels.map((one) => one.name);
  options = matches(text, names, scores).map((name) => ({ name, isNew: false }));
  // A text that no label starts with is a label of its own: it comes before those that have it inside.
  const begun = options.filter(({ name }) => rank(name, folded(text)) < 2).length;
  if (text && !names.includes(text)) options.splice(begun, 0, { name: text, isNew: true });
  at = Math.min(at, Math.max(0, options.length - 1));
  list.replaceChildren(...options.map(option));
  if (options.length) input.setAttribute("aria-activedescendant", `found-${at}`);
  else input.removeAttribute("aria-activedescendant");
}

function option({ name, isNew }, i) {
  const made = element("li", isNew ? "new" : "");
  made.id = `found-${i}`;
  made.role = "option";
  made.setAttribute("aria-selected", String(i === at));
  if (isNew) made.append("Add ", labelText(name), element("small", "", "a new label, which the model does not know yet"));
  else {
    made.append(labelText(name));
    const value = store.photo?.decided.get(name);
    if (value !== undefined) made.append(element("small", "", value === 1 ? "accepted" : "rejected"));
    else if (!store.labels.find((one) => one.name === name)?.known) made.append(element("small", "", "yours"));
  }
  made.addEventListener("pointerdown", (event) => event.preventDefault());
  made.addEventListener("click", (event) => choose(i, event.shiftKey ? 0 : 1));
  return made;
}

async function choose(i, value) {
  const chosen = options[i];
  if (!chosen || store.current === null) return;
  const image = store.current;
  input.value = "";
  at = 0;
  let { name } = chosen;
  if (chosen.isNew) {
    try {
      const added = await addLabel(name);
      ({ name } = added);
      if (!store.labels.some((one) => one.name === name)) store.labels.push({ name, known: added.known });
      store.turns(added);
    } catch (error) {
      store.emit("message", error.message);
      input.value = chosen.name;
      return draw();
    }
  }
  set(image, name, value);
  draw();
}

export function open() {
  if (store.current === null) return;
  back = document.activeElement;
  box.hidden = false;
  renaming.hidden = store.labels.every((one) => one.known);
  input.value = "";
  at = 0;
  draw();
  input.focus();
}

export function close() {
  if (box.hidden) return;
  input.blur(); // hidden, it would keep the focus until the next frame, and with it the next key
  box.hidden = true;
  back?.focus?.({ preventScroll: true });
}

input.addEventListener("input", () => {
  at = 0;
  draw();
});
input.addEventListener("keydown", (event) => {
  if (event.isComposing) return; // Enter belongs to the input method
  event.stopPropagation();
  if (event.key === "Escape") close();
  else if (event.key === "ArrowDown") at = Math.min(at + 1, options.length - 1);
  else if (event.key === "ArrowUp") at = Math.max(at - 1, 0);
  else if (event.key === "Enter") {
    const itself = options.findIndex((one) => one.name === exact(input.value));
    return choose(event.ctrlKey && itself >= 0 ? itself : at, event.shiftKey ? 0 : 1);
  }
  else return;
  event.preventDefault();
  if (!box.hidden) draw();
});
document.addEventListener("pointerdown", (event) => {
  if (!box.hidden && !box.contains(event.target)) close();
});
