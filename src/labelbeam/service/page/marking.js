// What is done to photographs as a whole: nothing else is on them, or they leave the project.

import { complete, remove } from "./saving.js";
import { store } from "./store.js";

const several = (ids, one) => (ids.length > 1 ? `${ids.length} photographs` : one);

// Say of photographs that nothing else is on them; if that is said of all, take it back.
export function nothingElse(ids) {
  if (!ids.length) return false;
  const value = !ids.every((id) => store.photos.get(id).complete);
  complete(ids, value);
  store.emit("told", value ? `Nothing else is on ${several(ids, "it")}.` : `Something else may be on ${several(ids, "it")}.`);
  return value;
}

export function takeOut(ids) {
  if (!ids.length) return;
  remove(ids);
  const files = ids.length > 1 ? "Their files stay" : "Its file stays";
  store.emit("notice", `${several(ids, "The photograph")} left the project. ${files}; undo brings ${ids.length > 1 ? "them" : "it"} back.`);
}
