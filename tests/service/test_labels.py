"""`GET /v1/labels`, `/v1/neighbors`, `/healthz` and `/readyz`."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from labelbeam.neighbors.label_space import image_neighbors, label_neighbors
from labelbeam.runs.tagger import Tagger


def test_labels_are_the_run_s_in_its_order_with_their_counts(client: TestClient, tagger: Tagger) -> None:
    told = client.get("/v1/labels").json()
    assert [row["label"] for row in told["labels"]] == list(tagger.labels)
    assert [row["training_images"] for row in told["labels"]] == list(tagger.run.counts)
    assert (told["head"], told["features"]) == ("cnn-rnn", tagger.run.encoder.num_features)


def test_neighbors_of_a_label_are_those_of_the_command(client: TestClient, tagger: Tagger) -> None:
    found = client.get("/v1/neighbors", params={"label": "cow", "count": 3, "measure": "dot"}).json()
    wanted = label_neighbors(tagger.run, ["cow"], count=3, measure="dot")["cow"]
    assert [one["label"] for one in found["neighbors"]] == [one.name for one in wanted]
    assert found["measure"] == "dot"


def test_neighbors_of_an_image_are_those_of_its_vector(
    client: TestClient, tagger: Tagger, photographs: list[Path]
) -> None:
    sent = client.post("/v1/tag", files={"images": photographs[0].read_bytes()}).json()["predictions"][0]
    found = client.get("/v1/neighbors", params={"vector": sent["vector"]}).json()["neighbors"]
    features = next(iter(tagger_features(tagger, photographs[0])))
    wanted = image_neighbors(tagger.run, features).near
    assert [one["label"] for one in found] == [one.name for one in wanted]


def tagger_features(tagger: Tagger, path: Path) -> list:
    from labelbeam.features.extract import extract

    return list(extract([path], tagger.run.encoder).values.astype("float32"))


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 422, "either label or vector"),
        ({"label": "cow", "vector": "a"}, 422, "either label or vector"),
        ({"label": "cwo"}, 422, "Did you mean 'cow'"),
        ({"vector": "gone"}, 404, "Send the image"),
        ({"label": "cow", "count": 0}, 422, "count"),
        ({"label": "cow", "measure": "cosin"}, 422, "cosine"),
    ],
)
def test_a_wrong_question_for_neighbors_says_why(
    client: TestClient, asked: dict, status: int, words: str
) -> None:
    refused = client.get("/v1/neighbors", params=asked)
    assert refused.status_code == status
    assert words in refused.json()["error"]


def test_health_and_readiness(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"state": "alive"}
    ready = client.get("/readyz").json()
    assert ready["state"] == "ready"
    assert {"run", "fingerprint"} <= set(ready)


def test_a_service_that_has_ended_is_alive_but_takes_no_work(client: TestClient) -> None:
    client.__exit__(None, None, None)
    refused = client.get("/readyz")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    refused = client.post("/v1/tag", files={"images": b"a"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    client.__enter__()


def test_unknown_places_and_methods_are_told_in_the_same_form(client: TestClient) -> None:
    assert client.get("/v2").json() == {"error": "Not Found"}
    refused = client.get("/v1/tag")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"
