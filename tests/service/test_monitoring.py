"""What watches over the service: metrics that Prometheus reads, a line per request, the run in every answer."""

import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

LINE = re.compile(r"([a-z_]+)(\{[^}]*\})? ([0-9.e+-]+)")


def values_of(text: str) -> dict[str, float]:
    """Parse the text format as Prometheus describes it: comments, then `name{labels} value`."""
    found = {}
    for line in text.splitlines():
        if not line.startswith(("# HELP ", "# TYPE ")):
            parts = LINE.fullmatch(line)
            assert parts, line
            found[parts[1] + (parts[2] or "")] = float(parts[3])
    return found


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def watched(client_of: Callable[..., TestClient], lines: list[str]) -> TestClient:
    return client_of(run='my "run"', fingerprint="0123456789abcdef", log=lines.append)


def test_requests_are_counted_by_route_and_status_and_timed(watched: TestClient) -> None:
    watched.get("/v1/labels")
    watched.get("/v1/neighbors?label=nowhere")
    watched.get("/v1/neighbors?label=nowhere-else")
    watched.get("/nothing/here/" + "x" * 50)
    answer = watched.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = values_of(answer.text)
    assert values['labelbeam_requests_total{route="/v1/labels",method="GET",status="200"}'] == 1
    assert values['labelbeam_requests_total{route="/v1/neighbors",method="GET",status="422"}'] == 2
    assert values['labelbeam_requests_total{route="other",method="GET",status="404"}'] == 1
    assert values["labelbeam_requests_under_way"] == 1, "this one"
    assert values["labelbeam_images_waiting"] == 0
    buckets = [
        value
        for name, value in values.items()
        if name.startswith("labelbeam_request_seconds_bucket") and "neighbors" in name
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == values['labelbeam_request_seconds_count{route="/v1/neighbors"}'] == 2
    assert 0 < values['labelbeam_request_seconds_sum{route="/v1/neighbors"}'] < 60
    assert r'run="my \"run\"",fingerprint="0123456789abcdef"' in answer.text


def test_prometheus_own_parser_reads_the_metrics(watched: TestClient) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    families = {
        one.name: one.type for one in parser.text_string_to_metric_families(watched.get("/metrics").text)
    }
    assert families["labelbeam_requests"] == "counter"
    assert families["labelbeam_info"] == "gauge"


def test_every_answer_says_its_id_and_the_run_and_a_line_of_the_log_too(
    watched: TestClient, lines: list[str]
) -> None:
    answer = watched.get("/v1/labels?secret=1", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.headers["x-labelbeam-run"] == 'my "run"@0123456789abcdef'
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z GET /v1/labels 200 \d+\.\dms id=abc-1 client=\S+ "
        r'run=my_"run"@0123456789abcdef',
        lines[-1],
    ), lines[-1]
    strange = watched.get("/nowhere", headers={"X-Request-Id": "a b\tc"})
    assert re.fullmatch(r"[0-9a-f]{16}", strange.headers["x-request-id"])
    assert " 404 " in lines[-1]
    watched.get("/a%0Ab%1B[31m")
    assert all(char.isprintable() for char in lines[-1])


def test_readyz_says_which_run_it_is(watched: TestClient) -> None:
    from labelbeam import __version__

    told = watched.get("/readyz").json()
    assert told == {
        "state": "ready",
        "run": 'my "run"',
        "fingerprint": "0123456789abcdef",
        "version": __version__,
    }


def test_metrics_need_the_key_where_there_is_one(client_of: Callable[..., TestClient]) -> None:
    key = "k" * 40
    client = client_of(api_key=key)
    assert client.get("/metrics").status_code == 401
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {key}"})
    assert 'status="401"' in answer.text
