// All photographs as cards: picture, what is decided, what is suggested.

import { because, chip, cycle, element, labelText, listed, moreButton, replace, unfold } from "./chips.js";
import { acceptDownTo, rejectBelow } from "./bulk.js";
import { nothingElse } from "./marking.js";
import { picture, showPicture } from "./server.js";
import { store } from "./store.js";
import { want } from "./suggesting.js";

const wall = document.getElementById("wall");
const cards = new Map();
const near = new Set(); // cards in sight, or soon

const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      const photo = store.photos.get(Number(target.dataset.id));
      if (!photo) continue;
      if (isIntersecting) near.add(photo.id);
      else near.delete(photo.id);
      if (isIntersecting && photo.suggestions === null) want(photo.id);
    }
  },
  { rootMargin: "300px" },
);

function card(photo) {
  const made = element("li", "card");
  made.dataset.id = photo.id;
  made.tabIndex = -1;
  const frame = element("div", "frame");
  const image = element("img");
  image.alt = photo.name;
  image.loading = "lazy";
  showPicture(image, picture(photo, 480));
  image.decoding = "async";
  image.draggable = false;
  const mark = element("button", "mark");
  mark.type = "button";
  mark.tabIndex = -1;
  mark.setAttribute("aria-label", `Select ${photo.name}`);
  const name = element("p", "name", photo.name.split("/").pop());
  name.dir = "auto";
  name.title = photo.name;
  frame.append(image, mark);
  const foot = element("div", "foot");
  foot.append(element("div", "chips"));
  made.append(frame, name, foot);
  seen.observe(made);
  return made;
}

// The suggestion that a decision moved most, in words.
function most(photo) {
  const moved = (photo.suggestions ?? []).filter((one) => one.because && !photo.decided.has(one.label));
  if (!moved.length) return [];
  const one = moved.reduce((a, b) => (Math.abs(b.because.change) > Math.abs(a.because.change) ? b : a));
  const line = element("p", `hint ${one.because.change < 0 ? "down" : "up"}`);
  line.append(labelText(one.label), " ", element("bdi", "", because(one)));
  return [line];
}

// For the mouse, on the card that one looks at; on the others a complete photograph just shows as such.
function nothingButton(photo) {
  const made = element("button", "nothing", "Nothing else is on it");
  made.type = "button";
  made.dataset.do = "complete";
  made.title = "Whatever is not accepted is not on it (d)";
  made.setAttribute("aria-pressed", String(photo.complete));
  made.append(element("kbd", "", "d"));
  return made;
}

// In the view of a label: everything from the top down to this photograph, or what is below it.
function runButtons() {
  return [
    ["down", "Accept down to here", "Accept it on this photograph and on all before it (Shift Enter)"],
    ["below", "Reject below", "Reject it on all photographs after this one (Shift Delete)"],
  ].map(([what, text, title]) => {
    const made = element("button", "run", text);
    Object.assign(made, { type: "button", title });
    made.dataset.do = what;
    return made;
  });
}

// The mark of a stack, which unfolds it and folds it again.
function stack(made, id) {
  const folded = store.stacks.get(id)?.length ?? 0;
  const count = folded || (store.spread.get(id)?.length ?? 0);
  made.classList.toggle("stack", folded > 1);
  made.querySelector(".alike")?.remove();
  if (count < 2) return;
  const badge = element("button", "alike", folded ? `${count} alike` : `fold ${count}`);
  Object.assign(badge, { type: "button", tabIndex: -1 });
  badge.dataset.do = "stack";
  badge.setAttribute("aria-expanded", String(!folded));
  badge.title = folded
    ? "Photographs that look the same; what is decided here is decided of all of them. Click to see and decide them one by one (s)"
    : "Put those that look the same together again (s)";
  made.querySelector(".frame").append(badge);
}

function draw(id) {
  const photo = store.photos.get(id);
  const made = cards.get(id);
  if (!made) return;
  const chips = listed(photo);
  const children = chips.map((one) => chip(photo, id === store.current ? one : { ...one, digit: 0 }));
  if (!store.label && photo.suggestions === null && near.has(id)) want(id);
  if (!store.label && photo.suggestions === null) children.push(element("span", "waiting", "looking …"));
  if (photo.note && id === store.current && !photo.suggestions?.length) children.push(element("p", "note", photo.note));
  if (id === store.current) children.push(...moreButton(photo), ...(store.label ? runButtons() : [...most(photo), nothingButton(photo)]));
  stack(made, id);
  replace(made.querySelector(".chips"), children);
  made.classList.toggle("complete", photo.complete);
}

let marked = null; // the card that is marked as the current one

function mark() {
  const made = cards.get(store.current) ?? null;
  if (marked === made) return;
  marked?.setAttribute("aria-current", "false");
  if (marked) marked.tabIndex = -1;
  made?.setAttribute("aria-current", "true");
  if (made) made.tabIndex = 0;
  marked = made;
}

function markSelected() {
  for (const [id, made] of cards) {
    const selected = store.selected.has(id);
    if (made.classList.contains("selected") !== selected) made.classList.toggle("selected", selected);
  }
}

export function reveal({ focus = true } = {}) {
  const made = cards.get(store.current);
  if (!made || store.large) return;
  if (focus) made.focus({ preventScroll: true });
  made.scrollIntoView({ block: "nearest" });
}

// How many cards stand beside each other.
export function columns() {
  const first = wall.firstElementChild;
  if (!first) return 1;
  let count = 0;
  for (const one of wall.children) {
    if (one.offsetTop !== first.offsetTop) break;
    count += 1;
  }
  return count;
}

store.on("order", () => {
  for (const id of [...cards.keys()]) {
    if (store.photos.has(id)) continue;
    seen.unobserve(cards.get(id));
    cards.delete(id);
    near.delete(id);
  }
  const all = store.order.map((id) => {
    if (!cards.has(id)) {
      cards.set(id, card(store.photos.get(id)));
      draw(id);
    }
    return cards.get(id);
  });
  const shown = [...wall.children];
  wall.classList.toggle("by-label", store.label !== "");
  if (shown.every((one, i) => one === all[i])) wall.append(...all.slice(shown.length));
  else wall.replaceChildren(...all);
  mark();
});
store.on("photo", draw);
store.on("current", (before) => {
  if (cards.has(before)) draw(before);
  draw(store.current);
  mark();
  reveal();
});
store.on("selection", markSelected);
store.on("view", () => {
  wall.hidden = store.large || !store.order.length;
  if (!store.large) reveal();
});

function range(to) {
  const ends = [store.order.indexOf(store.current), store.order.indexOf(to)].sort((a, b) => a - b);
  return store.order.slice(ends[0], ends[1] + 1);
}

wall.addEventListener("click", (event) => {
  const made = event.target.closest(".card");
  if (!made) return;
  const id = Number(made.dataset.id);
  const label = event.target.closest("button[data-label]")?.dataset.label;
  if (label !== undefined) {
    cycle(id, label);
    if (!store.selected.size) store.go(id);
    if (event.detail) made.focus({ preventScroll: true }); // so that Enter means the photograph again
    return;
  }
  const what = event.target.closest("[data-do]")?.dataset.do;
  if (what === "stack") {
    store.unstack(id);
    return made.focus({ preventScroll: true });
  }
  if (what === "more") unfold(store.photos.get(id));
  else if (what === "down") acceptDownTo(id);
  else if (what === "below") rejectBelow(id);
  if (["more", "down", "below"].includes(what)) return made.focus({ preventScroll: true });
  if (what === "complete") {
    nothingElse(store.together(id));
    return made.focus({ preventScroll: true });
  }
  if (event.shiftKey) {
    store.select(new Set([...store.selected, ...range(id)]));
    return store.go(id);
  }
  if (event.target.closest(".mark") || event.ctrlKey || event.metaKey) {
    const selected = new Set(store.selected);
    if (!selected.delete(id)) selected.add(id);
    store.go(id);
    return store.select(selected);
  }
  if (event.target.closest(".frame") && id === store.current && !store.selected.size) return store.show(true);
  store.go(id);
});
wall.addEventListener("dblclick", (event) => {
  if (event.target.closest(".frame") && !event.shiftKey) store.show(true);
});
