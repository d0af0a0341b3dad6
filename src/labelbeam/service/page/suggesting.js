// Suggestions from the service: for the photograph that the person looks at first, then for those in sight.

import { Problem, Unreachable, ask } from "./server.js";
import { store } from "./store.js";

const AT_ONCE = 2;
const COUNT = 14;
const wanted = new Set();
const unsettled = new Map();
let under = 0;

const mechanism = () => (store.mechanism ? `&mechanism=${store.mechanism}` : "");

export function want(id) {
  wanted.add(id);
  run();
}

function next() {
  if (wanted.has(store.current)) return store.current;
  return wanted.values().next().value;
}

async function run() {
  while (under < AT_ONCE && wanted.size) {
    const id = next();
    wanted.delete(id);
    under += 1;
    fetchOne(id).finally(() => {
      under -= 1;
      run();
    });
  }
}

async function fetchOne(id) {
  const photo = store.photos.get(id);
  if (!photo) return;
  const { version } = photo;
  try {
    const found = await ask(`/photographs/${id}/suggestions?count=${COUNT}${mechanism()}`);
    if (photo.version === version && !unsettled.get(id)) store.suggest(id, found);
  } catch (error) {
    if (error instanceof Problem) store.suggest(id, { suggestions: [], note: error.message });
    else if (error instanceof Unreachable) setTimeout(() => want(id), 2000);
    else throw error;
  }
}

// A decision is followed when the service has it; until then its photograph keeps what it shows.
store.on("decided", (ids) => ids.forEach((id) => unsettled.set(id, (unsettled.get(id) ?? 0) + 1)));
store.on("acknowledged", (ids) => settle(new Set(ids)));

function settle(ids) {
  for (const id of ids) {
    unsettled.set(id, Math.max(0, (unsettled.get(id) ?? 0) - 1));
    if (!unsettled.get(id)) want(id);
  }
}
