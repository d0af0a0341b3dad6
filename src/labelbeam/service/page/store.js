// What the page knows: photographs, labels, where the person is. Changes are announced; nothing here draws or asks.

const SLOTS = 9;
export const LIKELY = 0.5;
const FLOOR = 0.1; // suggestions below it are folded away
const LEAST = 3; // but so many are always shown

class Store extends EventTarget {
  id = "";
  name = "";
  saved = false;
  labels = [];
  photos = new Map();
  places = []; // of all photographs in the order of the wall, those too that left and may come back
  order = [];
  shown = null; // photographs that a filter lets through, in their order; null: all
  label = ""; // of the view by label
  scores = new Map(); // of that label, by photograph
  stacks = new Map(); // of that view: a photograph, and those that look the same below it
  spread = new Map(); // stacks that were unfolded: each photograph is decided by itself
  current = null;
  selected = new Set();
  large = false;
  undo = null; // the step that would be taken back
  redo = null;
  attention = false;
  own_map = false; // whether what speaks for a label is what the model itself added up
  tree = false;
  formats = [];
  beside = 0; // photographs that lie where they are, not in the project
  promised = []; // what the run promises, in sentences
  unseen = null; // share of the photographs that need nobody which are right; null: not asked
  safe = new Map(); // photographs that need nobody, with their decided labels
  judged = new Set(); // photographs of which that is known
  mechanisms = [];
  mechanism = ""; // empty: what the run does by itself
  loaded = new Promise((done) => (this.started = done)); // that the service said what it has

  emit(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  on(kinds, act) {
    for (const kind of kinds.split(" ")) this.addEventListener(kind, (event) => act(event.detail));
  }

  // Show what the service has; before: photographs that were shown when it was asked, so that those added since stay.
  start(state, before = []) {
    const { photographs, ...rest } = state;
    Object.assign(this, rest);
    const there = new Set(photographs.map((one) => one.id));
    this.remove(before.filter((id) => !there.has(id)));
    this.put(photographs);
    this.emit("order");
    this.emit("steps");
    this.started();
  }

  put(photographs) {
    for (const one of photographs) {
      const decided = new Map(Object.entries(one.decided));
      const known = this.photos.get(one.id);
      if (!known) this.photos.set(one.id, { ...one, decided, suggestions: null, slots: [], note: "", version: 0 });
      else if (known.complete !== one.complete || !same(known.decided, decided)) {
        Object.assign(known, { decided, complete: one.complete, suggestions: null, slots: [], version: known.version + 1 });
        this.emit("photo", one.id);
      }
    }
    this.shown?.push(...photographs.map((one) => one.id).filter((id) => !this.places.includes(id)));
    this.arrange(this.places.concat(photographs.map((one) => one.id)));
  }

  // Show these photographs only (null: all), with a label: the view of that label.
  look({ label, ids, scores, stacks }) {
    Object.assign(this, { label, scores, stacks, shown: ids, spread: new Map() });
    this.selected = new Set();
    this.arrange([]);
    const before = this.current;
    if (label || !this.order.includes(before)) this.current = this.order[0] ?? null;
    this.emit("order");
    this.emit("selection");
    for (const id of this.order) this.emit("photo", id);
    if (this.current === null) this.show(false);
    else if (this.current !== before) this.emit("current", before);
  }

  // Show the photographs of a stack one by one, or put them back below the first, from whichever of them.
  unstack(of) {
    const folded = this.stacks.has(of);
    const id = folded ? of : [...this.spread.keys()].find((head) => this.spread.get(head).includes(of));
    const [from, to] = folded ? [this.stacks, this.spread] : [this.spread, this.stacks];
    const stack = from.get(id);
    if (!stack || !this.shown) return;
    from.delete(id);
    to.set(id, stack);
    const below = new Set(stack.slice(1));
    this.shown = this.shown.filter((one) => !below.has(one));
    if (folded) this.shown.splice(this.shown.indexOf(id) + 1, 0, ...below);
    else this.go(id);
    this.arrange([]);
    this.emit("order");
    this.select([...this.selected].filter((one) => this.order.includes(one)));
    for (const one of stack) this.emit("photo", one);
  }

  // Which steps undo and redo would turn now, as the service says with everything that changes the project.
  turns({ undo, redo }) {
    Object.assign(this, { undo, redo });
    this.emit("steps");
  }

  // Put photographs in an order; those that are not named stay behind.
  arrange(ids) {
    this.places = [...new Set([...ids, ...this.places])];
    this.order = (this.shown ?? this.places).filter((id) => this.photos.has(id));
    this.current ??= this.order[0] ?? null;
  }

  remove(ids) {
    const gone = ids.filter((id) => this.photos.delete(id));
    if (!gone.length) return;
    const at = this.order.indexOf(this.current);
    const next = this.order.slice(at).find((id) => this.photos.has(id));
    this.arrange([]);
    const before = this.current;
    if (!this.photos.has(before)) this.current = next ?? this.order.at(-1) ?? null;
    this.emit("order");
    this.select([...this.selected].filter((id) => this.photos.has(id)));
    if (this.current === null) this.show(false);
    else if (this.current !== before) this.emit("current", before);
  }

  complete(ids, value) {
    for (const id of ids) {
      const photo = this.photos.get(id);
      if (!photo) continue;
      photo.complete = value;
      this.emit("photo", id);
    }
  }

  get photo() {
    return this.photos.get(this.current);
  }

  // Photographs that a decision on one of them goes to: all selected ones if it is among them.
  together(id) {
    const chosen = this.selected.size > 1 && this.selected.has(id) ? this.order.filter((one) => this.selected.has(one)) : [id];
    return chosen.flatMap((one) => this.stacks.get(one)?.filter((below) => this.photos.has(below)) ?? [one]);
  }

  go(id) {
    if (id === this.current || !this.photos.has(id) || !this.order.includes(id)) return;
    const before = this.current;
    this.current = id;
    this.emit("current", before);
  }

  step(by) {
    const at = this.order.indexOf(this.current) + by;
    this.go(this.order[Math.max(0, Math.min(this.order.length - 1, at))]);
  }

  select(ids) {
    this.selected = new Set(ids);
    this.emit("selection");
  }

  show(large) {
    this.large = large && this.current !== null;
    this.emit("view");
  }

  suggestBy(mechanism) {
    this.mechanism = mechanism;
    for (const photo of this.photos.values()) Object.assign(photo, { suggestions: null, slots: [], version: photo.version + 1 }); // what is under way is the other's
    this.emit("order");
    for (const id of this.order) this.emit("photo", id);
  }

  // Again: it was shown before, and its photographs wait for their suggestions already.
  change(changes, again = false) {
    const touched = new Set();
    for (const { image, label, value } of changes) {
      const photo = this.photos.get(image);
      if (!photo) continue;
      if (value === null) photo.decided.delete(label);
      else photo.decided.set(label, value);
      photo.version += 1;
      touched.add(image);
    }
    for (const id of touched) this.emit("photo", id);
    if (touched.size && !again) this.emit("decided", [...touched]);
  }

  suggest(id, { suggestions, note }) {
    const photo = this.photos.get(id);
    if (!photo) return;
    photo.suggestions = suggestions;
    photo.note = note;
    photo.slots = slots(photo);
    this.emit("photo", id);
  }
}

const same = (a, b) => a.size === b.size && [...a].every(([label, value]) => b.get(label) === value);

// The labels of the digits. One that was decided keeps its digit, so that the same key takes it further; the others
// are the best suggestions, in their order.
function slots(photo) {
  const kept = photo.slots.map((label) => (photo.decided.has(label) ? label : null));
  const used = new Set(kept);
  const open = photo.suggestions.map((one) => one.label).filter((label) => !used.has(label) && !photo.decided.has(label));
  const filled = [];
  for (let i = 0; i < SLOTS; i += 1) {
    const label = kept[i] ?? open.shift();
    if (label !== undefined) filled.push(label);
  }
  return filled;
}

// The labels that are shown with their digits: those below the floor are folded away, unless the person unfolds them.
export function unfolded(photo) {
  if (store.label) return [store.label];
  if (photo.more) return photo.slots;
  const score = new Map((photo.suggestions ?? []).map((one) => [one.label, one.score]));
  const last = photo.slots.findLastIndex((label) => photo.decided.has(label) || score.get(label) >= FLOOR);
  return photo.slots.slice(0, Math.max(LEAST, last + 1));
}

export const after = (value) => (value === 1 ? 0 : value === 0 ? null : 1);

export const store = new Store();
