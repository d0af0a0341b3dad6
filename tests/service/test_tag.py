"""`POST /v1/tag`."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from labelbeam.runs.tagger import Tagger


def files_of(*paths: Path) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("images", (path.name, path.read_bytes(), "image/png")) for path in paths]


def test_an_image_gets_the_line_that_tag_writes(
    client: TestClient, tagger: Tagger, photographs: list[Path]
) -> None:
    answer = client.post("/v1/tag", files=files_of(*photographs[:5]))
    assert answer.status_code == 200, answer.text
    expected = [json.loads(one.to_json()) for one in tagger.tag(photographs[:5])]
    for said, wanted, path in zip(answer.json()["predictions"], expected, photographs, strict=False):
        assert len(said.pop("vector")) == 32
        assert said == wanted | {"image": path.name}


def test_every_score_and_the_features_come_when_asked_for(
    client: TestClient, tagger: Tagger, photographs: list[Path]
) -> None:
    from labelbeam.features.extract import extract

    answer = client.post("/v1/tag?all_scores=true&features=true", files=files_of(photographs[0]))
    (said,) = answer.json()["predictions"]
    assert list(said["scores"]) == list(tagger.labels)
    features = np.frombuffer(base64.b64decode(said["features"]), dtype="<f2")
    np.testing.assert_array_equal(features, extract(photographs[:1], tagger.run.encoder).values[0])


def test_the_decision_can_be_chosen(client: TestClient, tagger: Tagger, photographs: list[Path]) -> None:
    answer = client.post("/v1/tag?threshold=0.0", files=files_of(photographs[0]))
    (said,) = answer.json()["predictions"]
    assert len(said["labels"]) == len(tagger.labels)
    answer = client.post("/v1/tag?decide=expected-f1", files=files_of(photographs[0]))
    assert answer.json()["predictions"][0]["decide"] == "expected-f1"


def test_an_image_that_cannot_be_read_has_its_error_and_the_others_their_answers(
    client: TestClient, photographs: list[Path]
) -> None:
    good = photographs[0].read_bytes()
    sent = [("images", ("a", b"")), ("images", ("b", good)), ("images", ("c", good[:200]))]
    a, b, c = client.post("/v1/tag", files=sent).json()["predictions"]
    assert "empty" in a["error"]
    assert "labels" in b
    assert "vector" not in c
    assert "damaged or truncated PNG" in c["error"]


def test_the_same_image_is_encoded_once(client: TestClient, photographs: list[Path]) -> None:
    first, again = (
        client.post("/v1/tag", files=files_of(photographs[1], photographs[1])).json()["predictions"]
        for _ in range(2)
    )
    assert {one["vector"] for one in first + again} == {first[0]["vector"]}
    assert first == again


@pytest.mark.parametrize(
    ("query", "sent", "status", "words"),
    [
        ("", {"data": {"a": "b"}}, 415, "multipart/form-data"),
        ("", {"files": {"a": (None, "b")}}, 422, "no file"),
        ("", {"files": [("images", b"a")] * 33}, 413, "too many files"),
        ("?decide=pth", {"files": {"images": b"a"}}, 422, "Did you mean 'path'"),
        ("?threshold=2", {"files": {"images": b"a"}}, 422, "threshold"),
        ("?decide=path&threshold=0.5", {"files": {"images": b"a"}}, 422, "Leave one of them out"),
        ("?threshold=nan", {"files": {"images": b"a"}}, 422, "threshold"),
    ],
)
def test_a_wrong_request_says_why(
    client: TestClient, query: str, sent: dict, status: int, words: str
) -> None:
    refused = client.post(f"/v1/tag{query}", **sent)
    assert refused.status_code == status, refused.text
    assert words in refused.json()["error"]


def test_a_name_with_a_path_reaches_no_file(
    client: TestClient, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = photographs[0].read_bytes()
    opened = []

    def refused(self: Path, *arguments: object, **options: object) -> None:
        opened.append(self)
        raise AssertionError(f"{self} was touched")

    for method in ("open", "read_bytes", "stat", "exists"):
        monkeypatch.setattr(Path, method, refused)
    monkeypatch.setattr("tempfile.SpooledTemporaryFile", refused)
    name = "../../../../etc/passwd"
    (said,) = client.post("/v1/tag", files={"images": (name, content)}).json()["predictions"]
    assert said["image"] == name
    assert "labels" in said
    assert not opened
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
