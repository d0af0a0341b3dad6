// Renaming a label that a person added, everywhere in the project. The model's labels keep their names.

import { close as closeTyping, exact } from "./typing.js";
import { rename } from "./saving.js";
import { store } from "./store.js";

const dialog = document.getElementById("rename");
const label = document.getElementById("rename-label");
const to = document.getElementById("rename-to");
const note = document.getElementById("rename-note");

const own = () => store.labels.filter((one) => !one.known).map((one) => one.name);

export function openRenaming() {
  const names = own();
  if (!names.length) return store.emit("notice", "Only labels that you added can be renamed, and there are none yet.");
  label.replaceChildren(...names.map((name) => new Option(name, name)));
  label.value = names.find((name) => store.photo?.decided.has(name)) ?? names[0];
  start();
  dialog.returnValue = "";
  dialog.showModal();
  to.focus();
  to.select();
}

function start() {
  to.value = label.value;
  tell();
}

function tell() {
  const count = [...store.photos.values()].filter((photo) => photo.decided.has(label.value)).length;
  const other = exact(to.value);
  const there = other !== label.value && store.labels.some((one) => one.name === other);
  note.textContent = there
    ? `There is ${other} already: the two become one.`
    : `Decided on ${count} photograph${count === 1 ? "" : "s"}.`;
}

document.getElementById("rename-open").addEventListener("click", () => {
  closeTyping();
  openRenaming();
});
dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close(""));
label.addEventListener("change", start);
to.addEventListener("input", tell);
dialog.addEventListener("close", () => {
  const name = exact(to.value);
  if (dialog.returnValue === "rename" && name && name !== label.value) rename(label.value, name);
});
