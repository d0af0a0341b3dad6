// The keyboard: everything that the mouse does.

import { acceptDownTo, acceptLikely, rejectBelow } from "./bulk.js";
import { set, unfold } from "./chips.js";
import { search, showAll } from "./filter.js";
import { after, store, unfolded } from "./store.js";
import { columns } from "./wall.js";
import { lookOn } from "./photo.js";
import { open as type } from "./typing.js";
import { nothingElse, takeOut } from "./marking.js";
import { openRenaming } from "./renaming.js";
import { pickFiles } from "./adding.js";
import { redo, undo } from "./saving.js";

const help = document.getElementById("keys");

export function showHelp() {
  if (help.open) return;
  help.showModal();
  help.scrollTop = 0; // the button at its end has the focus
}

function digit(event) {
  const number = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1] ?? /^[1-9]$/.exec(event.key)?.[0];
  return number ? Number(number) : 0;
}

function slot(number, reject) {
  const photo = store.photo;
  const label = photo && unfolded(photo)[number - 1];
  if (label === undefined) return;
  const value = photo.decided.get(label) ?? null;
  set(photo.id, label, reject ? (value === 0 ? null : 0) : after(value));
}

function move(by, extend) {
  const before = store.current;
  store.step(by);
  if (!extend) return;
  const at = store.order.indexOf(before);
  const to = store.order.indexOf(store.current);
  const range = store.order.slice(Math.min(at, to), Math.max(at, to) + 1);
  const back = store.selected.has(store.current) && store.selected.has(before) && at !== to;
  const selected = new Set([...store.selected, ...range]);
  if (back) selected.delete(before);
  store.select(selected);
}

export function acceptAndGo() {
  if (store.current === null) return;
  if (store.label) set(store.current, store.label, 1);
  else acceptLikely(store.together(store.current));
  store.step(1);
}

function completeAndGo() {
  if (store.current !== null && nothingElse(store.together(store.current))) store.step(1);
}

function takeOutCurrent(event) {
  if (store.current === null) return;
  if (event.shiftKey && store.label) rejectBelow(store.current);
  else takeOut(store.together(store.current));
}

const command = {
  j: () => move(1),
  k: () => move(-1),
  u: undo,
  U: redo,
  x: () => {
    const selected = new Set(store.selected);
    if (!selected.delete(store.current)) selected.add(store.current);
    store.select(selected);
  },
  a: lookOn,
  f: search,
  m: () => unfold(store.photo),
  d: completeAndGo,
  r: openRenaming,
  s: () => store.unstack(store.current),
  Delete: takeOutCurrent,
  Backspace: takeOutCurrent,
  o: pickFiles,
  "/": type,
  t: type,
  "?": showHelp,
  " ": () => store.show(!store.large),
  Enter: (event) => (event.shiftKey && store.label ? acceptDownTo(store.current) : acceptAndGo()),
  Home: () => store.go(store.order[0]),
  End: () => store.go(store.order.at(-1)),
  Escape: () => (store.selected.size ? store.select([]) : store.large ? store.show(false) : store.shown && showAll()),
};

const controlled = {
  z: (event) => (event.shiftKey ? redo() : undo()),
  y: redo,
  a: () => store.select(store.order),
};

function arrow(event) {
  const row = store.large ? 1 : columns();
  const rtl = document.dir === "rtl" ? -1 : 1;
  return { ArrowRight: rtl, ArrowLeft: -rtl, ArrowDown: row, ArrowUp: -row }[event.key];
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.altKey || document.querySelector("dialog[open]")) return;
  const { target } = event;
  if (target.matches("input, select, textarea, [role=menuitem]")) return;
  const onButton = target.closest("button, summary, a");
  if (onButton && (event.key === "Enter" || event.key === " ")) return; // it means the button
  if (!store.photos.size && !["?", "o"].includes(event.key)) return;
  const act = () => {
    if (event.ctrlKey || event.metaKey) return controlled[event.key.toLowerCase()];
    const by = arrow(event);
    if (by !== undefined) return () => move(by, event.shiftKey);
    if (command[event.key]) return command[event.key]; // first: on German keyboards / is on the 7
    const number = digit(event);
    return number ? () => slot(number, event.shiftKey) : undefined;
  };
  const found = act();
  if (!found) return;
  event.preventDefault();
  found(event);
});
