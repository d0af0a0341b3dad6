// A small menu under a button.

import { element } from "./chips.js";

const menu = document.getElementById("menu");
let owner = null;

export function openMenu(button, items) {
  if (owner === button) return closeMenu();
  closeMenu();
  owner = button;
  owner.setAttribute("aria-expanded", "true");
  menu.replaceChildren(
    ...items.map(({ text, note, act }) => {
      const item = element("button", "", text);
      item.role = "menuitem";
      item.type = "button";
      if (note) item.append(element("small", "", note));
      item.addEventListener("click", () => {
        closeMenu();
        act();
      });
      return item;
    }),
  );
  menu.hidden = false;
  const place = button.getBoundingClientRect();
  const left = Math.max(8, Math.min(place.left, window.innerWidth - menu.offsetWidth - 8));
  menu.style.setProperty("left", `${left}px`);
  menu.style.setProperty("top", `${place.bottom + 6}px`);
  menu.style.setProperty("max-height", `${window.innerHeight - place.bottom - 14}px`);
  menu.scrollTop = 0;
  menu.firstElementChild?.focus();
}

export function closeMenu() {
  if (!owner) return;
  menu.hidden = true;
  owner.setAttribute("aria-expanded", "false");
  owner = null;
}

menu.addEventListener("keydown", (event) => {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
  else if (event.key === "ArrowUp") items[(at + items.length - 1) % items.length].focus();
  else if (event.key === "Escape") {
    const button = owner;
    closeMenu();
    button.focus();
  } else return;
  event.preventDefault();
  event.stopPropagation();
});
document.addEventListener("pointerdown", (event) => {
  if (owner && !menu.contains(event.target) && !owner.contains(event.target)) closeMenu();
});
