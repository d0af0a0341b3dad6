// What the page knows: photographs, labels, where the person is. Changes are announced; nothing here draws or asks.

const SLOTS = 9;
export const LIKELY = 0.5;

class Store extends EventTarget {
  id = "";
  name = "";
  saved = false;
  labels = [];
  photos = new Map();
  order = [];
  current = null;
  selected = new Set();
  large = false;
  undo = 0;
  redo = 0;
  attention = false;
  tree = false;
  formats = [];
  mechanisms = [];
  mechanism = ""; // empty: what the run does by itself

  emit(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  on(kinds, act) {
    for (const kind of kinds.split(" ")) this.addEventListener(kind, (event) => act(event.detail));
  }

  start(state) {
    const { photographs, ...rest } = state;
    Object.assign(this, rest);
    this.photos.clear();
    this.order = [];
    this.put(photographs);
    if (!this.photos.has(this.current)) this.current = this.order[0] ?? null;
    this.emit("order");
    this.emit("steps");
  }

  put(photographs) {
    for (const one of photographs) {
      const decided = new Map(Object.entries(one.decided));
      const known = this.photos.get(one.id);
      if (known) {
        known.decided = decided;
        continue;
      }
      this.photos.set(one.id, { ...one, decided, suggestions: null, slots: [], note: "", version: 0 });
      this.order.push(one.id);
    }
    this.current ??= this.order[0] ?? null;
  }

  get photo() {
    return this.photos.get(this.current);
  }

  // Photographs that a decision on one of them goes to: all selected ones if it is among them.
  together(id) {
    return this.selected.size > 1 && this.selected.has(id) ? this.order.filter((one) => this.selected.has(one)) : [id];
  }

  go(id) {
    if (id === this.current || !this.photos.has(id)) return;
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
    for (const photo of this.photos.values()) Object.assign(photo, { suggestions: null, slots: [] });
    this.emit("order");
    for (const id of this.order) this.emit("photo", id);
  }

  change(changes) {
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
    if (touched.size) this.emit("decided", [...touched]);
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

export const after = (value) => (value === 1 ? 0 : value === 0 ? null : 1);

export const store = new Store();
