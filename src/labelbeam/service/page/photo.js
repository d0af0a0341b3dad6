// One photograph, large: every suggestion with its score and its reason, what speaks for a label, the search's tree.

import { because, chip, cycle, element, labelText, listed, moreButton, percent, replace, unfold } from "./chips.js";
import { attention, picture, showPicture, tree } from "./server.js";
import { nothingElse, takeOut } from "./marking.js";
import { LIKELY, store } from "./store.js";
import { open as type } from "./typing.js";
import { want } from "./suggesting.js";

const section = document.getElementById("photo");
let shown = null; // label whose attention is shown
let drawn = null; // id of the photograph that is drawn

function button(text, title, act, className = "") {
  const made = element("button", className, text);
  made.type = "button";
  made.title = title;
  made.setAttribute("aria-label", title);
  made.addEventListener("click", act);
  return made;
}

function build(photo) {
  const figure = element("figure");
  const image = element("img");
  showPicture(image, picture(photo, 1600));
  image.alt = photo.name;
  const caption = element("figcaption");
  figure.append(
    image,
    button("‹", "Previous photograph (k)", () => store.step(-1), "turn back"),
    button("›", "Next photograph (j)", () => store.step(1), "turn on"),
    caption,
  );
  const aside = element("aside");
  const head = element("header");
  const name = element("h2", "", photo.name.split("/").pop());
  name.dir = "auto";
  name.title = photo.name;
  head.append(name, button("×", "Back to all photographs (Space)", () => store.show(false), "close"));
  const add = button("Add a label …", "Add a label (/)", () => type(), "wide");
  add.append(element("kbd", "", "/"));
  aside.append(head, element("div", "chips decided"), element("ol", "rows"), element("p", "note"), add);
  const nothing = button("", "Nothing else is on it: whatever is not accepted is absent (d)", () => nothingElse(store.together(photo.id)), "wide nothing");
  nothing.append(element("span", "", "Nothing else is on it"), element("kbd", "", "d"));
  aside.append(nothing);
  if (store.tree) aside.append(treeDetails(photo));
  if (store.mechanisms.length > 1) aside.append(mechanismChoice());
  aside.append(button("Remove from the project", "Remove from the project; the file stays (Delete)", () => takeOut(store.together(photo.id)), "link"));
  section.replaceChildren(figure, aside);
  drawn = photo.id;
}

const MECHANISMS = { "any-subset": "by a head of its own, fast", "likelihood-weighting": "by searching label sets, slower" };

function mechanismChoice() {
  const label = element("label", "mechanism", "Suggestions ");
  const select = element("select");
  for (const name of store.mechanisms) {
    const option = element("option", "", MECHANISMS[name] ?? name);
    option.value = name;
    option.selected = name === (store.mechanism || store.mechanisms[0]);
    select.append(option);
  }
  select.addEventListener("change", () => {
    select.blur();
    store.suggestBy(select.value);
  });
  label.append(select);
  return label;
}

function treeDetails(photo) {
  const details = element("details", "tree");
  details.append(element("summary", "", "How the model searched"));
  details.append(element("p", "quiet", "Sets of labels that were considered, with their probabilities; from the picture alone."));
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("img")) return;
    const box = element("div", "scroll");
    box.tabIndex = 0;
    const image = element("img");
    image.alt = "Tree of the search";
    image.src = tree(photo);
    box.append(image);
    details.append(box);
  });
  return details;
}

function row(photo, { label, suggestion, digit }) {
  const made = element("li", "row");
  made.dataset.label = label;
  const value = photo.decided.get(label);
  const main = element("button", "main");
  main.type = "button";
  main.dataset.label = label;
  main.dataset.state = value === 1 ? "accepted" : value === 0 ? "rejected" : "suggested";
  main.append(element("kbd", "digit", String(digit)), labelText(label));
  const score = suggestion?.score;
  const why = value === undefined ? because(suggestion) : "";
  if (why) {
    const hint = element("span", `because ${suggestion.because.change < 0 ? "down" : "up"}`);
    hint.append(element("bdi", "", why));
    main.append(hint);
  }
  if (score !== undefined && value === undefined) {
    main.style.setProperty("--score", score);
    main.classList.toggle("likely", score >= LIKELY);
    main.append(element("span", "score", percent(score)));
  } else main.append(element("span", "score", value === 1 ? "✓" : value === 0 ? "✗" : ""));
  const said = value === 1 ? "accepted; press to reject" : value === 0 ? "rejected; press to clear" : "press to accept";
  main.setAttribute("aria-label", `${label}, ${score !== undefined && value === undefined ? `score ${score.toFixed(2)}, ` : ""}${why ? `${why}, ` : ""}${said}`);
  made.append(main);
  if (store.attention && known(label)) {
    const eye = button("", `What speaks for ${label} in the picture`, () => look(shown === label ? null : label), "eye");
    eye.setAttribute("aria-pressed", String(shown === label));
    made.append(eye);
  }
  return made;
}

const known = (label) => store.labels.find((one) => one.name === label)?.known;

function draw() {
  const photo = store.photo;
  if (!store.large || !photo) return;
  if (drawn !== photo.id) {
    shown = null;
    build(photo);
  }
  const chips = listed(photo);
  replace(section.querySelector(".decided"), chips.filter((one) => !one.digit).map((one) => chip(photo, one)));
  const rows = chips.filter((one) => one.digit).map((one) => row(photo, one));
  if (moreButton(photo).length) {
    const more = element("li");
    more.append(...moreButton(photo));
    rows.push(more);
  }
  if (photo.suggestions === null) rows.push(element("li", "waiting", "looking …"));
  replace(section.querySelector(".rows"), rows);
  section.querySelector(".note").textContent = photo.note;
  section.querySelector(".nothing").setAttribute("aria-pressed", String(photo.complete));
  section.classList.toggle("complete", photo.complete);
  if (photo.suggestions === null) want(photo.id);
}

function look(label) {
  shown = label;
  const photo = store.photo;
  const image = section.querySelector("figure img");
  const caption = section.querySelector("figcaption");
  if (label === null) showPicture(image, picture(photo, 1600));
  image.alt = label === null ? photo.name : `${photo.name}: what speaks for ${label}`;
  caption.replaceChildren();
  if (label !== null) {
    const legend = element("span", "legend");
    legend.append(element("i", "for"), " for ", labelText(label), " ", element("i", "against"), store.own_map ? " against, as the model itself adds it up" : " against");
    caption.append(legend);
  }
  if (label !== null) {
    image.onerror = () => {
      store.emit("message", "There is no map for this label.");
      look(null);
    };
    image.src = attention(photo, label);
  }
  draw();
}

// The next label's attention, then none: for the keyboard.
export function lookOn() {
  if (!store.attention || !store.large) return;
  const labels = listed(store.photo).map((one) => one.label).filter(known);
  look(labels[labels.indexOf(shown) + 1] ?? null);
}

store.on("photo", (id) => id === store.current && draw());
store.on("current", draw);
store.on("view", () => {
  section.hidden = !store.large;
  document.body.classList.toggle("large", store.large);
  if (!store.large) {
    drawn = null;
    return section.replaceChildren();
  }
  draw();
  section.tabIndex = -1;
  section.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
section.addEventListener("click", (event) => {
  if (event.target.closest("[data-do=more]")) return unfold(store.photo);
  const target = event.target.closest("button[data-label]");
  if (!target) return;
  cycle(store.current, target.dataset.label);
  if (event.detail) section.focus({ preventScroll: true });
});
