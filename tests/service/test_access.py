"""The key, the rate, other web sites."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from labelbeam.errors import InputError
from labelbeam.service.access import MOST_CLIENTS, Rates, Session
from labelbeam.service.admission import Limits
from labelbeam.service.server import LOOPBACK

KEY = "correct-horse-battery-staple"


def test_without_the_key_only_health_is_told(client_of: Callable[..., TestClient]) -> None:
    client = client_of(api_key=KEY)
    assert client.get("/healthz").status_code == 200
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": KEY},
        {"X-API-Key": KEY + "x"},
        {"Cookie": "labelbeam_session=" + "0" * 128},
        {"Cookie": "a=(,;labelbeam_session"},
    ):
        for path in ("/v1/labels", "/openapi.json", "/v1/project", "/nowhere"):
            refused = client.get(path, headers=headers)
            assert refused.status_code == 401, path
            assert refused.headers["www-authenticate"] == "Bearer"
            assert KEY not in refused.text
    for headers in ({"Authorization": f"bearer {KEY}"}, {"X-API-Key": KEY}):
        assert client.get("/v1/labels", headers=headers).status_code == 200


def test_a_browser_shows_the_key_once_and_then_a_cookie_that_scripts_cannot_read(
    client_of: Callable[..., TestClient],
) -> None:
    client = client_of(api_key=KEY)
    assert client.post("/v1/session").status_code == 401
    signed_in = client.post("/v1/session", headers={"Authorization": f"Bearer {KEY}"})
    assert signed_in.status_code == 204
    cookie = signed_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert KEY not in cookie
    assert client.get("/v1/labels").status_code == 200


def test_no_part_of_the_key_and_nothing_longer_is_admitted() -> None:
    session = Session(KEY)
    almost = {KEY[:n] for n in range(len(KEY))} | {KEY[n:] for n in range(1, len(KEY))}
    almost |= {KEY + "x", KEY + KEY, KEY.upper(), KEY.replace("-", "_"), "x" + KEY}
    for one in almost:
        assert not session.admits({b"authorization": b"Bearer " + one.encode()}), one
        assert not session.admits({b"x-api-key": one.encode()}), one
    assert session.admits({b"authorization": b"Bearer " + KEY.encode()})
    assert session.admits({b"x-api-key": KEY.encode()})
    assert not session.admits({})
    assert not session.admits({b"authorization": b"Basic " + KEY.encode()})


def test_the_cookie_hangs_on_a_secret_that_ends_with_the_service() -> None:
    one, other = Session(KEY), Session(KEY)
    assert one.cookie != other.cookie, "who has the key cannot make the cookie"
    for session, admitted in ((one, True), (other, False)):
        assert session.admits({b"cookie": f"a=b; labelbeam_session={one.cookie}".encode()}) == admitted
    for n in (0, 1, 64, 127):
        assert not one.admits({b"cookie": f"labelbeam_session={one.cookie[:n]}".encode()})


@pytest.mark.parametrize("key", ["short", "with a space in it", "schlüssel-schlüssel", "a" * 20 + "\n"])
def test_a_key_that_is_weak_or_that_no_header_carries_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="16 or more printable ASCII"):
        Session(key)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_web_site_cannot_ask_in_a_person_s_name(client: TestClient, headers: dict[str, str]) -> None:
    refused = client.post("/v1/tag", headers=headers, files={"images": b"a"})
    assert refused.status_code == 403
    assert "another web site" in refused.json()["error"]


def test_the_service_s_own_page_may_ask(client: TestClient) -> None:
    own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/tag", headers=own, files={"images": b"a"}).status_code == 200


def test_a_foreign_name_for_this_machine_is_refused(client_of: Callable[..., TestClient]) -> None:
    client = client_of(hosts=LOOPBACK)
    for host in ("rebound.example", "rebound.example:8000", "127.0.0.1.example", "", "[::2]"):
        assert client.get("/v1/labels", headers={"Host": host}).status_code == 403, host
    for host in ("127.0.0.1", "localhost:8000", "LocalHost", "[::1]:8000"):
        assert client.get("/v1/labels", headers={"Host": host}).status_code == 200, host


def test_a_client_that_asks_too_often_is_told_when_to_come_again(
    client_of: Callable[..., TestClient],
) -> None:
    client = client_of(limits=Limits(rate=0.5))
    assert client.get("/v1/labels").status_code == 200
    refused = client.get("/v1/labels")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert client.get("/healthz").status_code == 200


def test_a_rate_is_each_client_s_own_and_fills_up_again() -> None:
    rates = Rates(2.0)
    assert [rates.wait("a", now=0.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert rates.wait("b", now=0.0) == 0
    assert rates.wait("a", now=0.5) == 0
    assert rates.wait("a", now=0.5) == 0.5
    assert [rates.wait("a", now=100.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]


def test_clients_without_number_take_memory_with_a_bound() -> None:
    rates = Rates(1.0)
    for i in range(MOST_CLIENTS + 100):
        rates.wait(str(i), now=0.0)
    assert len(rates._clients) == MOST_CLIENTS
