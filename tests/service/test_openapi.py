"""The service held against its own description, over a real connection: no request makes it fail."""

import re

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance


def test_no_request_makes_the_service_fail_and_answers_are_as_described(address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    asked = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=10,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answers(case: schemathesis.Case) -> None:
            case.call_and_validate(
                checks=[not_a_server_error, status_code_conformance, response_schema_conformance]
            )
            asked.add(case.operation.path)

        answers()
    assert {"/v1/tag", "/v1/suggest", "/v1/neighbors", "/v1/labels"} <= asked


def test_the_description_has_examples_and_names_every_refusal(address: str) -> None:
    told = httpx.get(f"{address}/openapi.json").json()
    assert {"/v1/tag", "/v1/suggest", "/v1/labels", "/v1/neighbors", "/healthz", "/readyz"} <= set(
        told["paths"]
    )
    for name in ("TaggedImage", "SuggestAnswer", "Refused"):
        assert told["components"]["schemas"][name]["examples"], name
    asked = told["paths"]["/v1/suggest"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert asked["examples"]
    assert {"401", "413", "422", "429", "503"} <= set(told["paths"]["/v1/tag"]["post"]["responses"])


def test_the_description_loads_nothing_from_elsewhere(address: str) -> None:
    told = httpx.get(f"{address}/openapi.json").text
    assert not re.findall(r"https?://", told)
    assert httpx.get(f"{address}/docs").status_code == 404
