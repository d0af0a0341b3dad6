"""Headers of every response, and labels that look like markup."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.runs.tagger import Tagger


@pytest.mark.parametrize("path", ["/healthz", "/v1/labels", "/v1/neighbors", "/nowhere", "/openapi.json"])
def test_every_response_says_what_a_browser_may_do(client: TestClient, path: str) -> None:
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


def test_a_refusal_in_front_of_the_application_has_them_too(client: TestClient) -> None:
    refused = client.post("/v1/tag", headers={"Origin": "https://evil.example"})
    assert refused.headers["x-content-type-options"] == "nosniff"


def test_a_label_that_is_a_script_comes_as_a_text_in_json(
    tagger: Tagger, photographs: list[Path], client_of: Callable[..., TestClient]
) -> None:
    evil = "<script>alert(1)</script>"
    names = (evil, *tagger.run.vocabulary.names[1:])
    run = replace(tagger.run, vocabulary=Vocabulary(names))
    client = client_of(tagger=Tagger(run))
    assert client.get("/v1/labels").json()["labels"][0]["label"] == evil
    tagged = client.post("/v1/tag?all_scores=true", files={"images": photographs[0].read_bytes()})
    assert evil in tagged.json()["predictions"][0]["scores"]
    unknown = client.get("/v1/neighbors", params={"label": evil + "?"})
    for answer in (tagged, unknown):
        assert answer.headers["content-type"] == "application/json"
    assert unknown.status_code == 422


def test_a_defect_tells_the_client_nothing_of_the_inside(
    client_of: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Tagger, features: object, **options: object) -> None:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(Tagger, "suggest", broken)
    answer = client_of(raising=False).post("/v1/suggest", json={"features": "AAA="})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
