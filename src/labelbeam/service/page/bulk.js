// What is done to many photographs at once. The service scores them some at a time; what is decided is one step.

import { likely } from "./chips.js";
import { decide } from "./saving.js";
import { post } from "./server.js";
import { LIKELY, store } from "./store.js";

const TOGETHER = 64;

export const several = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
const photographs = (count) => several(count, "photograph", "photographs");

// Scores of photographs, by their numbers; of one label or of all that matter. How far it is, is told on the way.
export async function scoresOf(ids, label, far = () => {}) {
  const scores = new Map();
  let unreadable = 0;
  for (let at = 0; at < ids.length; at += TOGETHER) {
    if (far(at, ids.length) === false) return null;
    const found = await post("/scores", { photographs: ids.slice(at, at + TOGETHER), label });
    for (const [id, row] of Object.entries(found.scores)) scores.set(Number(id), row);
    unreadable += found.unreadable.length;
  }
  return { scores, unreadable };
}

// Learn which photographs need nobody, as far as it is not known; false where somebody does not want to know any more.
export async function judge(ids, far = () => {}) {
  const open = ids.filter((id) => !store.judged.has(id));
  for (let at = 0; at < open.length; at += TOGETHER) {
    if (far(at, open.length) === false) return false;
    const some = open.slice(at, at + TOGETHER);
    const { decided } = await post("/unseen", { photographs: some });
    for (const [id, labels] of Object.entries(decided)) store.safe.set(Number(id), labels);
    for (const id of some) store.judged.add(id);
  }
  return true;
}

// Accept what is likely on photographs, those too whose cards were never in sight; where nobody needs to look, what is decided.
export async function acceptLikely(ids) {
  const unseen = ids.filter((id) => store.photos.get(id)?.suggestions == null && !store.safe.has(id));
  const loud = ids.length > 1;
  let found = { scores: new Map(), unreadable: 0 };
  if (unseen.length)
    try {
      found = await scoresOf(unseen, null, (at, of) => {
        if (of > TOGETHER) store.emit("notice", `Looking at photographs: ${at} of ${of} …`);
      });
    } catch (error) {
      return store.emit("message", `Nothing was accepted: ${error.message}`);
    }
  const changes = ids.flatMap((image) => {
    const photo = store.photos.get(image);
    if (!photo) return [];
    const row = found.scores.get(image);
    const safe = store.safe.get(image)?.filter((label) => !photo.decided.has(label));
    const labels = safe ?? (row ? Object.keys(row).filter((label) => row[label] >= LIKELY && !photo.decided.has(label)) : likely(photo));
    return labels.map((label) => ({ image, label, value: 1 }));
  });
  decide(changes);
  const on = new Set(changes.map((one) => one.image)).size;
  const told = [`${several(changes.length, "label", "labels")} accepted on ${photographs(on)}`];
  if (ids.length - on - found.unreadable > 0 && loud) told.push(`on ${ids.length - on - found.unreadable} nothing more is likely (${LIKELY} or more)`);
  if (found.unreadable) told.push(`${found.unreadable} could not be read`);
  store.emit(loud ? "notice" : "told", `${told.join("; ")}.${changes.length && loud ? " One undo takes it back." : ""}`);
}

// In the view of a label: decide it on a run of photographs, with those stacked below them, where nobody did.
function decideRun(ids, value) {
  const { label } = store;
  const all = ids.flatMap((id) => store.stacks.get(id) ?? [id]);
  const open = all.filter((id) => !store.photos.get(id).decided.has(label));
  decide(open.map((image) => ({ image, label, value })));
  const before = all.length - open.length;
  store.emit(
    "notice",
    `${label} ${value ? "accepted" : "rejected"} on ${photographs(open.length)}${before ? `; ${before} were decided before and stay` : ""}.${open.length ? " One undo takes it back." : ""}`,
  );
}

const place = (id) => store.order.indexOf(id);
export const acceptDownTo = (id) => store.label && decideRun(store.order.slice(0, place(id) + 1), 1);
export const rejectBelow = (id) => store.label && decideRun(store.order.slice(place(id) + 1), 0);
