// Photographs into the project: dropped, picked, or a whole folder; sent some at a time.

import { Problem, ask } from "./server.js";
import { element } from "./chips.js";
import { store } from "./store.js";

const TOGETHER = 8;
const BYTES = 24_000_000;
const AT_ONCE = 1; // in their order
const IMAGE = /\.(jpe?g|jpe|jfif|png|gif|webp|avif|heic|heif|hif|bmp|tiff?|jp2)$/i;

const bar = document.getElementById("adding");
const drop = document.getElementById("drop");
const problems = document.getElementById("problems");
let queue = [];
let under = 0;
let done = 0;
let all = 0;
let failed = [];

const looksLikeImage = (file) => file.type.startsWith("image/") || IMAGE.test(file.name);

export const busy = () => under > 0 || queue.length > 0;

function add(entries) {
  const images = entries.filter(({ file }) => looksLikeImage(file));
  if (!images.length && entries.length) store.emit("message", "No photograph is among these files.");
  queue.push(...images);
  all += images.length;
  tell();
  run();
}

function group() {
  const taken = [];
  let bytes = 0;
  while (queue.length && taken.length < TOGETHER && (!taken.length || bytes + queue[0].file.size <= BYTES)) {
    bytes += queue[0].file.size;
    taken.push(queue.shift());
  }
  return taken;
}

function run() {
  while (under < AT_ONCE && queue.length) {
    const taken = group();
    under += 1;
    send(taken).finally(() => {
      under -= 1;
      done += taken.length;
      tell();
      if (busy()) run();
      else end();
    });
  }
}

async function send(taken) {
  await store.loaded; // what was asked before would be shown in place of what is added
  const form = new FormData();
  for (const { file, name } of taken) {
    form.append("photograph", file, "photograph");
    form.append("name", name);
  }
  try {
    const added = await ask("/photographs", { method: "POST", body: form });
    const { photographs } = added;
    store.turns(added);
    failed.push(...photographs.filter((one) => one.error));
    store.put(photographs.filter((one) => !one.error));
    store.emit("order");
  } catch (error) {
    if (taken.length > 1 && error instanceof Problem && error.status === 413) {
      for (const one of taken) await send([one]); // too large together
      return;
    }
    failed.push(...taken.map(({ name }) => ({ name, error: error.message })));
  }
}

function tell() {
  bar.hidden = !busy();
  bar.querySelector("span").textContent = `Adding photographs: ${done} of ${all}`;
  const progress = bar.querySelector("progress");
  progress.max = all;
  progress.value = done;
}

function end() {
  store.emit("told", `${done - failed.length} photographs added.`);
  if (failed.length) {
    const items = failed.map(({ name, error }) => {
      const item = element("li");
      const text = element("bdi", "", name);
      item.append(text, element("p", "quiet", error));
      return item;
    });
    problems.querySelector("h2").textContent = `Not added: ${failed.length} of ${all}`;
    problems.querySelector("ul").replaceChildren(...items);
    problems.showModal();
  }
  done = all = 0;
  failed = [];
  tell();
}

const named = (files) => [...files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((found) => entry.file(found, () => found(null)));
    return file ? [{ file, name: entry.fullPath.replace(/^\//, "") }] : [];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // A reader gives a hundred entries at a time, and none at the end.
    const some = await new Promise((read) => reader.readEntries(read, () => read([])));
    if (!some.length) break;
    for (const one of some.sort((a, b) => (a.name < b.name ? -1 : 1))) found.push(...(await walk(one)));
  }
  return found;
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return add(named(transfer.files));
  const found = [];
  for (const entry of entries) found.push(...(await walk(entry)));
  add(found);
}

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

window.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  drop.hidden = false;
});
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.hidden = true;
});
window.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  drop.hidden = true;
  dropped(event.dataTransfer);
});
window.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) add(named(event.clipboardData.files));
});

const files = document.getElementById("files");
const folder = document.getElementById("folder");
for (const input of [files, folder])
  input.addEventListener("change", () => {
    add(named(input.files).sort((a, b) => (a.name < b.name ? -1 : 1)));
    input.value = "";
  });
export const pickFiles = () => files.click();
export const pickFolder = () => folder.click();
window.addEventListener("beforeunload", (event) => {
  if (busy()) event.preventDefault();
});
