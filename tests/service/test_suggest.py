"""`POST /v1/suggest`."""

import base64
import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from labelbeam.runs.tagger import Tagger


def tagged(client: TestClient, photograph: Path) -> dict:
    answer = client.post(
        "/v1/tag?features=true", files={"images": (photograph.name, photograph.read_bytes())}
    )
    return answer.json()["predictions"][0]


def test_a_click_by_vector_by_features_or_with_the_image_is_answered_as_suggest_answers(
    client: TestClient, tagger: Tagger, photographs: list[Path]
) -> None:
    photograph, said = photographs[0], {"accepted": ["cow"], "rejected": ["sky"]}
    image = tagged(client, photograph)
    wanted = json.loads(tagger.suggest(photograph, accepted=["cow"], rejected=["sky"], count=4).to_json("a"))
    answers = [
        client.post("/v1/suggest", json={"vector": image["vector"], "count": 4, **said}),
        client.post("/v1/suggest", json={"features": image["features"], "count": 4, **said}),
        client.post(
            "/v1/suggest", files={"image": ("a", photograph.read_bytes())}, data={"count": 4, **said}
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["suggestions"] == wanted["suggestions"]
        assert answer.json()["accepted"] == ["cow"]
    assert answers[2].json()["vector"] == image["vector"]
    assert len(base64.b64decode(image["features"])) == 2 * tagger.run.encoder.num_features


@pytest.mark.parametrize(
    ("question", "status", "words"),
    [
        ({}, 422, "exactly one"),
        ({"vector": "a", "features": "AAAA"}, 422, "exactly one"),
        ({"vector": "0" * 32}, 404, "Send the image again"),
        ({"vector": "../../etc/passwd"}, 404, "not kept"),
        ({"features": "AAA"}, 422, "base64"),
        ({"features": "AAAA"}, 422, "float16"),
        (
            {"features": base64.b64encode(64 * b"\x00").decode(), "accepted": ["cwo"]},
            422,
            "Did you mean 'cow'",
        ),
        ({"features": base64.b64encode(64 * b"\x00").decode(), "count": 0}, 422, "count"),
        ({"features": base64.b64encode(64 * b"\x00").decode(), "mechanism": "magic"}, 422, "magic"),
        ({"features": base64.b64encode(64 * b"\xff").decode()}, 422, "NaN"),
        ({"picture": "a.jpg"}, 422, "picture"),
        ([1], 422, "object"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    client: TestClient, question: object, status: int, words: str
) -> None:
    refused = client.post("/v1/suggest", json=question)
    assert refused.status_code == status
    assert words in refused.json()["error"]


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "JSON"),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 422, "JSON"),
        ({"content": b"a", "headers": {"content-type": "text/plain"}}, 415, "multipart"),
        ({"data": {"accepted": "cow"}, "files": {"x": ("", b"")}}, 422, "holds no image"),
        ({"files": {"image": b"no image"}}, 422, "not an image"),
        ({"files": {"image": b"a"}, "data": {"path": "/etc/passwd"}}, 422, "path"),
        ({"files": {"image": b"a"}, "data": {"count": "many"}}, 422, "count"),
        ({"files": [("image", b"a"), ("image", b"b")]}, 413, "too many files"),
    ],
)
def test_a_body_that_cannot_be_understood_says_why(
    client: TestClient, sent: dict, status: int, words: str
) -> None:
    refused = client.post("/v1/suggest", **sent)
    assert refused.status_code == status, refused.text
    assert words in refused.json()["error"]
