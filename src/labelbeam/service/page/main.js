// The page's start: the project's state, and the parts that belong to no single photograph.

import "./wall.js";
import "./photo.js";
import { acceptLikely } from "./bulk.js";
import { openWithPeople } from "./filter.js";
import { nothingElse, takeOut } from "./marking.js";
import { showHelp } from "./keys.js";
import { openMenu } from "./menu.js";
import { open as type } from "./typing.js";
import { pickFiles, pickFolder } from "./adding.js";
import { redo, restore, undo, unsaved } from "./saving.js";
import { ask } from "./server.js";
import { store } from "./store.js";

const find = (id) => document.getElementById(id);

const FORMATS = {
  xmp: ["XMP sidecars", "keywords for darktable, digiKam, Immich"],
  csv: ["CSV", "a table: image, tags, unknown"],
  jsonl: ["JSON Lines", "as labelbeam tag writes it"],
  coco: ["COCO", "with the photographs"],
  voc2007: ["PASCAL VOC 2007", "with the photographs"],
  voc2012: ["PASCAL VOC 2012", "with the photographs"],
  folder: ["A folder per label", "with the photographs"],
  sidecar: ["Text sidecars", "with the photographs"],
  imagefolder: ["Hugging Face imagefolder", "with the photographs"],
  labelstudio: ["Label Studio", "tasks in JSON"],
  cvat: ["CVAT", "annotations in XML"],
  fiftyone: ["FiftyOne", "with the photographs"],
  openimages: ["Open Images", "with the photographs"],
  webdataset: ["WebDataset", "shards with the photographs"],
  mmpretrain: ["MMPretrain", "annotations in JSON"],
  paddle: ["PaddleClas", "a list with its labels"],
  cleanlab: ["cleanlab", "class numbers in JSON"],
  createml: ["Create ML", "annotations in JSON"],
};

async function download(format) {
  const response = await fetch(`/v1/project/export/${format}`);
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    return message(told.error ?? `the export failed (${response.status}).`);
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `labels-${format}.zip`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function message(text, kind = "problem") {
  const box = find("message");
  box.textContent = text;
  box.dataset.kind = kind;
  box.hidden = false;
  clearTimeout(message.timer);
  message.timer = setTimeout(() => (box.hidden = true), 9000);
}

function progress() {
  const done = [...store.photos.values()].filter((photo) => photo.decided.size || photo.complete).length;
  find("progress").textContent = store.photos.size ? `${done} of ${store.photos.size} decided` : "";
  find("progress").title = "photographs with at least one decision, or with nothing else on them";
  find("empty").hidden = store.photos.size > 0;
  find("wall").hidden = !store.photos.size || store.large;
}

store.on("order photo", progress);
store.on("steps", () => {
  find("undo").disabled = !store.undo;
  find("redo").disabled = !store.redo;
});
store.on("saving", ({ state, count }) => {
  const text = { saved: store.saved ? "saved" : "not kept", saving: "saving …", offline: `${count} not saved yet: the service does not answer` };
  find("saved").textContent = text[state];
  find("saved").dataset.state = state;
});
store.on("selection", () => {
  const bar = find("selection");
  bar.hidden = !store.selected.size;
  const count = store.selected.size;
  bar.querySelector("strong").textContent = `${count} selected`;
});
store.on("told", (text) => (find("told").textContent = text));
store.on("message", (text) => message(text));
store.on("notice", (text) => message(text, "notice"));

find("undo").addEventListener("click", undo);
find("redo").addEventListener("click", redo);
find("help").addEventListener("click", showHelp);
find("pick-files").addEventListener("click", pickFiles);
find("pick-folder").addEventListener("click", pickFolder);
find("add").addEventListener("click", () =>
  openMenu(find("add"), [
    { text: "Photographs …", act: pickFiles },
    { text: "A folder …", act: pickFolder },
  ]),
);
find("export").addEventListener("click", () =>
  openMenu(
    find("export"),
    beside().concat(store.formats.filter((format) => format !== "xmp" || !store.beside).map((format) => ({ text: FORMATS[format]?.[0] ?? format, note: FORMATS[format]?.[1], act: () => download(format) }))),
  ),
);

// Photographs of --images get their keywords where they are: a zip would replace ratings and history.
function beside() {
  if (!store.beside) return [];
  const act = async () => {
    try {
      const { written } = await ask("/keywords", { method: "POST" });
      message(`Keywords of ${written} photographs are in the sidecars beside them.`, "notice");
    } catch (error) {
      message(error.message);
    }
  };
  return [{ text: "Keywords beside the photographs", note: "XMP sidecars; only keywords change", act }];
}
find("order").addEventListener("change", async () => {
  try {
    const { photographs } = await ask(`/order?by=${find("order").value}`);
    store.arrange(photographs);
    store.emit("order");
    store.go(store.order[0]);
  } catch (error) {
    message(error.message);
  }
  find("order").blur();
});
find("selection").addEventListener("click", (event) => {
  const { do: what } = event.target.closest("button")?.dataset ?? {};
  const selected = store.order.filter((id) => store.selected.has(id));
  if (what === "likely") acceptLikely(selected);
  else if (what === "complete") nothingElse(selected);
  else if (what === "remove") takeOut(selected);
  else if (what === "type") {
    if (!store.selected.has(store.current)) store.go(selected[0]);
    type();
  } else if (what === "clear") store.select([]);
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved()) event.preventDefault();
});

async function load() {
  const state = await ask("");
  store.start(state);
  find("project").textContent = state.saved ? state.name : "";
  document.title = state.saved ? `${state.name} – labelbeam` : "labelbeam";
  store.emit("saving", { state: "saved", count: 0 });
  openWithPeople();
}

load().then(restore, (error) => message(`The page cannot start: ${error.message}`));
