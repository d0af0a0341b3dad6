"""The page and the service when something goes wrong in the middle: kills, reloads, cut answers, slow clients."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labelbeam.project.project_file import Project
from labelbeam.project.schema import Change

sys.path.insert(0, str(Path(__file__).parent))

from test_page import Shown, browser, expect, show, shown, start_service, until  # noqa: F401

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not on Windows")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def services() -> Iterator[list[subprocess.Popen]]:
    """Services that are killed with the test."""
    started: list[subprocess.Popen] = []
    yield started
    for service in started:
        service.kill()
        service.wait()


def test_a_page_says_that_its_service_was_killed_and_goes_on_by_itself_when_it_is_back(
    browser,  # noqa: F811
    finished: Path,
    tmp_path: Path,
    photographs: list[Path],
    port: int,
    services: list[subprocess.Popen],
) -> None:
    file = tmp_path / "holiday.lbp"
    services.append(start_service(finished, file, port))
    page = browser.new_context().new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    Shown(page, None).add(photographs[:6])  # type: ignore[arg-type]
    page.keyboard.press("1")
    expect(page.locator("#saved")).to_have_attribute("data-state", "saved")
    services[0].send_signal(signal.SIGKILL)
    services[0].wait()
    page.keyboard.press("Control+a")  # a bulk accept, of which the service hears nothing
    expect(page.locator("#selection")).to_contain_text("6 selected")
    page.keyboard.press("2")
    expect(page.locator("#saved")).to_contain_text("not saved yet: the service does not answer")
    services.append(start_service(finished, file, port))
    expect(page.locator("#saved")).to_have_attribute("data-state", "saved")
    accepted = page.locator(".card [data-state=accepted]").evaluate_all(
        "all => all.map((one) => one.dataset.label)"
    )
    with Project(file) as project:
        decisions = project.decisions()
    assert sorted(decisions) == [1, 2, 3, 4, 5, 6]
    assert sum(map(len, decisions.values())) == 7
    assert sorted(accepted) == sorted(label for said in decisions.values() for label in said)
    # What the page shows works again: suggestions come and the next click is saved.
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    expect(page.locator("#saved")).to_have_attribute("data-state", "saved")
    page.context.close()


def test_a_page_that_is_left_in_the_middle_of_a_bulk_accept_has_all_of_it_when_it_is_back(
    shown: Shown,  # noqa: F811
    photographs: list[Path],
) -> None:
    shown.add(photographs[3:6])
    left = shown.page
    left.route("**/v1/project/decisions", lambda route: None)  # it is under way, and stays so
    left.keyboard.press("Control+a")
    expect(left.locator("#selection")).to_contain_text("6 selected")
    left.keyboard.press("1")
    expect(left.locator("#saved")).to_have_attribute("data-state", "saving")
    assert shown.project.decisions() == {}
    page = shown.page = left.context.new_page()
    left.close(run_before_unload=False)  # or it would ask whether to leave
    page.goto(left.url)
    expect(shown.cards).to_have_count(6)
    for i in range(6):
        expect(shown.cards.nth(i).locator("[data-state=accepted]")).to_have_count(1)
    decisions = shown.saved()
    assert sorted(decisions) == [1, 2, 3, 4, 5, 6]
    assert {value for said in decisions.values() for value in said.values()} == {1}
    assert shown.project.turns() == (1, None), "one step, so that one undo takes all of it back"


def test_an_answer_that_is_cut_off_is_asked_for_again(shown: Shown) -> None:  # noqa: F811
    asked: list = []

    def cut_the_first(route) -> None:
        asked.append(route)
        if len(asked) == 1:
            answer = route.fetch()
            route.fulfill(response=answer, body=answer.text()[:5])

    shown.page.route("**/v1/project/decisions", cut_the_first)
    label = shown.first_label()
    shown.chip(label).click()
    expect(shown.page.locator("#saved")).to_contain_text("not saved yet")
    until(shown.page, lambda: len(asked) == 2)
    asked[1].continue_()
    assert shown.saved() == {1: {label: 1}}
    assert len(asked) == 2
    assert shown.project.turns() == (1, None), "asking again is no second step"


def test_an_undo_whose_answer_is_lost_takes_one_step_back(shown: Shown) -> None:  # noqa: F811
    """The service dies between the commit and the answer."""
    page, asked = shown.page, []

    def lose_the_first(route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fetch()
            route.abort()

    labels = [
        shown.cards.first.locator("button[data-label]").nth(i).get_attribute("data-label") for i in (0, 1)
    ]
    for label in labels:
        shown.chip(label).click()
    shown.saved()
    page.route("**/v1/project/undo", lose_the_first)
    page.keyboard.press("u")
    expect(page.locator("#saved")).to_contain_text("not saved yet")
    until(page, lambda: len(asked) == 2)
    asked[1].continue_()
    expect(shown.chip(labels[1])).to_have_attribute("data-state", "suggested")
    assert shown.saved() == {1: {labels[0]: 1}}
    assert [route.request.post_data_json for route in asked] == [{"step": 2}, {"step": 2}]
    expect(shown.chip(labels[0])).to_have_attribute("data-state", "accepted")
    shown.complaints.clear()  # the browser says of a lost answer that it is lost


def test_an_undo_that_was_not_answered_is_taken_once_over_a_reload_too(shown: Shown) -> None:  # noqa: F811
    page = shown.page
    labels = [
        shown.cards.first.locator("button[data-label]").nth(i).get_attribute("data-label") for i in (0, 1)
    ]
    for label in labels:
        shown.chip(label).click()
    shown.saved()

    def lose(route) -> None:
        route.fetch()
        route.abort()

    page.route("**/v1/project/undo", lose)
    page.keyboard.press("u")
    expect(page.locator("#saved")).to_contain_text("not saved yet")
    page.unroute("**/v1/project/undo")
    page.on("dialog", lambda dialog: dialog.accept())
    left, shown.page = page, page.context.new_page()
    left.close(run_before_unload=False)
    shown.page.goto(left.url)
    expect(shown.cards).to_have_count(3)
    assert shown.saved() == {1: {labels[0]: 1}}
    assert shown.project.turns() == (1, 2)
    shown.complaints.clear()  # as above


def test_another_window_that_went_on_is_not_taken_back(shown: Shown) -> None:  # noqa: F811
    label = shown.first_label()
    shown.chip(label).click()
    shown.saved()
    shown.project.add_labels(["elsewhere"])
    shown.project.decide([Change(2, "elsewhere", 1)])
    shown.page.keyboard.press("u")
    expect(shown.page.locator("#message")).to_contain_text("something else was changed meanwhile")
    expect(shown.chip("elsewhere", 1)).to_have_attribute("data-state", "accepted")
    assert shown.saved() == {1: {label: 1}, 2: {"elsewhere": 1}}
    shown.complaints.clear()  # the refusal
