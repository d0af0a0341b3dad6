"""Ask a running `labelbeam serve` for the tags of photographs, and for suggestions after one is accepted.

    labelbeam serve RUN &
    python examples/client.py http://127.0.0.1:8000 a.jpg b.jpg

Needs nothing but Python. The API key, where the service has one, comes from the variable LABELBEAM_API_KEY.
"""

import json
import os
import secrets
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen


class Client:
    """A running service."""

    def __init__(self, address: str, *, key: str = "") -> None:
        self.address = address.rstrip("/")
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def tag(self, paths: list[Path]) -> list[dict]:
        """Return a prediction for each photograph."""
        boundary = secrets.token_hex(16)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="{i}"\r\n\r\n'.encode()
            + path.read_bytes()
            + b"\r\n"
            for i, path in enumerate(paths)
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        predictions = self._post("/v1/tag", body, f"multipart/form-data; boundary={boundary}")["predictions"]
        return [told | {"image": path.name} for told, path in zip(predictions, paths, strict=True)]

    def suggest(self, vector: str, *, accepted: list[str], rejected: list[str], count: int = 5) -> list[dict]:
        """Return the labels to show next, given what a person said of a photograph that was tagged."""
        question = {"vector": vector, "accepted": accepted, "rejected": rejected, "count": count}
        return self._post("/v1/suggest", json.dumps(question).encode(), "application/json")["suggestions"]

    def _post(self, path: str, body: bytes, kind: str) -> dict:
        request = Request(self.address + path, body, {**self.headers, "Content-Type": kind})
        for attempt in range(10):
            try:
                with urlopen(request, timeout=120) as answer:
                    return json.load(answer)
            except HTTPError as refused:
                # Overloaded, or more often than allowed: the service says when to come again.
                wait = refused.headers.get("Retry-After")
                if wait is None or attempt == 9:
                    raise SystemExit(f"{path}: {json.load(refused)['error']}") from None
                time.sleep(float(wait))
        raise AssertionError


def main() -> None:
    """Tag the photographs of the command line, and accept the best suggestion of each."""
    address, *paths = sys.argv[1:]
    client = Client(address, key=os.environ.get("LABELBEAM_API_KEY", ""))
    for prediction in client.tag([Path(path) for path in paths]):
        if "error" in prediction:
            print(f"{prediction['image']}: {prediction['error']}")
            continue
        print(
            f"{prediction['image']}: {', '.join(one['label'] for one in prediction['labels']) or '(no label)'}"
        )
        best = client.suggest(prediction["vector"], accepted=[], rejected=[], count=1)[0]["label"]
        found = client.suggest(prediction["vector"], accepted=[best], rejected=[])
        shown = ", ".join(f"{one['label']} {one['score']:.2f}" for one in found)
        print(f"  once {best!r} is accepted: {shown}")


if __name__ == "__main__":
    main()
