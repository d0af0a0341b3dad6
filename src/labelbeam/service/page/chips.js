// A label as a button: suggested, accepted or rejected. Whatever a label is called stays text.

import { LIKELY, after, store, unfolded } from "./store.js";
import { decide } from "./saving.js";

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export function labelText(label) {
  const text = element("bdi", "label", label);
  text.dir = "auto";
  return text;
}

export const percent = (score) => (score >= 0.995 ? "1.0" : score < 0.005 ? "0" : score.toFixed(2).replace(/^0/, ""));

export const change = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

export function because(one) {
  if (!one?.because) return "";
  const { label, value, change: by } = one.because;
  return `${change(by)} since ${value === 0 ? "not " : ""}${label}`;
}

// What a photograph's chips are, in their order: [label, its suggestion, its digit].
export function listed(photo) {
  if (store.label) {
    const score = store.scores.get(photo.id);
    return [{ label: store.label, suggestion: score === undefined ? null : { label: store.label, score }, digit: 1 }];
  }
  const score = new Map((photo.suggestions ?? []).map((one) => [one.label, one]));
  const inSlot = new Set(photo.slots);
  const before = [...photo.decided.keys()].filter((label) => !inSlot.has(label));
  return [
    ...before.map((label) => ({ label, suggestion: null, digit: 0 })),
    ...unfolded(photo).map((label, i) => ({ label, suggestion: score.get(label) ?? null, digit: i + 1 })),
  ];
}

// The button that unfolds what is below the floor; none where nothing is.
export function moreButton(photo) {
  const folded = store.label ? 0 : photo.slots.length - unfolded(photo).length;
  if (!folded) return [];
  const button = element("button", "more", `more (${folded})`);
  button.type = "button";
  button.dataset.do = "more";
  button.title = "Less likely labels (m)";
  return [button];
}

export function unfold(photo) {
  if (!photo || photo.more) return;
  photo.more = true;
  store.emit("photo", photo.id);
}

export const likely = (photo) =>
  (photo.suggestions ?? []).filter((one) => one.score >= LIKELY && !photo.decided.has(one.label)).map((one) => one.label);

function spoken(photo, label, suggestion) {
  const value = photo.decided.get(label);
  if (value === 1) return `${label}, accepted; press to reject`;
  if (value === 0) return `${label}, rejected; press to clear`;
  const why = because(suggestion);
  return `${label}, suggested, score ${suggestion ? suggestion.score.toFixed(2) : "unknown"}${why ? `, ${why}` : ""}; press to accept`;
}

export function chip(photo, { label, suggestion, digit }) {
  const value = photo.decided.get(label);
  const button = element("button", "chip");
  button.type = "button";
  button.dataset.label = label;
  button.dataset.state = value === 1 ? "accepted" : value === 0 ? "rejected" : "suggested";
  button.setAttribute("aria-label", spoken(photo, label, suggestion));
  if (digit) button.append(element("kbd", "digit", String(digit)));
  button.append(labelText(label));
  if (value === undefined && suggestion) {
    button.classList.toggle("likely", suggestion.score >= LIKELY);
    button.style.setProperty("--score", suggestion.score);
    button.append(element("span", "score", percent(suggestion.score)));
    if (suggestion.because) {
      button.title = because(suggestion);
      const moved = element("span", `moved ${suggestion.because.change < 0 ? "down" : "up"}`, suggestion.because.change < 0 ? "▾" : "▴");
      button.append(moved);
    }
  }
  return button;
}

// Put new children in place of the old, and the focus on the label that had it.
export function replace(container, children) {
  const focused = container.contains(document.activeElement) ? document.activeElement.closest("[data-label]") : null;
  container.replaceChildren(...children);
  if (!focused) return;
  const again = [...container.querySelectorAll("button[data-label]")].find((one) => one.dataset.label === focused.dataset.label);
  again?.focus({ preventScroll: true });
}

// A chip that is drawn anew while it is pressed, since suggestions have come, gets no click: the new one is clicked.
let pressed = null;
addEventListener("pointerdown", (event) => (pressed = event.button ? null : event.target.closest("button[data-label]")), true);
addEventListener("pointerup", (event) => {
  const label = pressed && !pressed.isConnected ? pressed.dataset.label : null;
  pressed = null;
  if (label === null) return;
  const around = event.target.closest?.(".card, #photo");
  [...(around?.querySelectorAll("button[data-label]") ?? [])].find((one) => one.dataset.label === label)?.click();
});

// Decide a label of a photograph, and of all that are selected with it.
export function set(id, label, value) {
  const together = store.together(id);
  decide(together.map((image) => ({ image, label, value })));
  const done = value === 1 ? "accepted" : value === 0 ? "rejected" : "cleared";
  store.emit("told", `${label} ${done}${together.length > 1 ? ` on ${together.length} photographs` : ""}.`);
}

export function cycle(id, label) {
  set(id, label, after(store.photos.get(id).decided.get(label) ?? null));
}
