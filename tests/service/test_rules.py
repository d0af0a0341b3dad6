"""A service with rules: every answer keeps them, and a click against them is told which."""

import json
from collections.abc import Callable
from pathlib import Path

from fastapi.testclient import TestClient

from labelbeam.runs.tagger import Tagger


def test_tags_and_suggestions_keep_the_rules_and_a_click_against_them_is_named(
    finished: Path, client_of: Callable[..., TestClient], photographs: list[Path]
) -> None:
    a, b, *_ = Tagger.load(finished).labels
    tagger = Tagger.load(finished, rules=[f"exactly one of: {a}, {b}", "at most 2 labels"])
    client = client_of(tagger=tagger)
    files = [("images", (one.name, one.read_bytes())) for one in photographs[:8]]
    answer = client.post("/v1/tag", files=files).json()["predictions"]
    assert [json.dumps(one["labels"]) for one in answer] == [
        json.dumps(json.loads(one.to_json())["labels"]) for one in tagger.tag(photographs[:8])
    ]
    for one in answer:
        labels = {label["label"] for label in one["labels"]}
        assert len(labels & {a, b}) == 1
        assert len(labels) <= 2
        assert 0 < one["kept"] <= 1
    question = {"vector": answer[0]["vector"], "accepted": [a], "count": 100}
    scores = client.post("/v1/suggest", json=question).json()["suggestions"]
    assert next(one["score"] for one in scores if one["label"] == b) < 1e-3
    refused = client.post("/v1/suggest", json={**question, "accepted": [a, b]})
    assert refused.status_code == 422
    assert f"exactly one of: {a}, {b}" in refused.text


def test_serving_with_rules_that_contradict_each_other_ends_with_status_2(
    command, finished: Path, tmp_path: Path
) -> None:
    a, *_ = Tagger.load(finished).labels
    file = tmp_path / "rules.txt"
    file.write_text(f"never: {a}\nalways: {a}\n", encoding="utf-8")
    refused = command("serve", finished, "--port", 0, "--rules", file)
    assert refused.exit_code == 2
    assert "line 2" in refused.stderr
