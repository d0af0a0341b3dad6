// Asking the service. A busy service is asked again when it says; a refused key is asked of the person.

export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Unreachable extends Error {}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

export async function ask(path, options = {}) {
  for (let tries = 0; ; tries += 1) {
    const response = await reach(`/v1/project${path}`, options);
    if (response.ok) return whole(response);
    if ((response.status === 429 || response.status === 503) && tries < 20) {
      await pause(Number(response.headers.get("Retry-After")) || 1);
      continue;
    }
    if (response.status === 401 && (await askKey())) continue;
    const told = await response.json().catch(() => ({}));
    throw new Problem(response.status, told.error ?? `the service answered ${response.status}.`);
  }
}

// A service that ends in the middle of its answer did not answer.
async function whole(response) {
  try {
    return await response.json();
  } catch {
    throw new Unreachable("the answer of the service was cut off.");
  }
}

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });

async function reach(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error instanceof TypeError) throw new Unreachable("the service cannot be reached.");
    throw error;
  }
}

let asking = null;

function askKey() {
  asking ??= new Promise((done) => {
    const dialog = document.getElementById("key");
    const text = document.getElementById("key-text");
    dialog.addEventListener(
      "close",
      async () => {
        const key = text.value;
        text.value = "";
        asking = null;
        if (!key) return done(false);
        const headers = { Authorization: `Bearer ${key}` };
        const response = await reach("/v1/session", { method: "POST", headers }).catch(() => null);
        done(response !== null && response.status !== 404);
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

export const picture = (photo, side) => `/v1/project/photographs/${photo.id}/picture?side=${side}&of=${photo.hash}`;
export const attention = (photo, label) =>
  `/v1/project/photographs/${photo.id}/attention?label=${encodeURIComponent(label)}`;
export const tree = (photo) => `/v1/project/photographs/${photo.id}/tree`;

// Show a picture; one that a busy service refuses is asked for again.
export function showPicture(image, address) {
  let tries = 0;
  image.onerror = () => {
    tries += 1;
    if (tries < 20 && image.dataset.address === address) setTimeout(() => (image.src = `${address}&again=${tries}`), 1500);
  };
  image.dataset.address = address;
  image.src = address;
}
