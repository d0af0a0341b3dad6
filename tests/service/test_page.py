"""The page in a real browser: a person with a mouse, a person without one, a reload, a crash, a phone."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

import pytest

from labelbeam.project.project_file import Project
from labelbeam.runs.tagger import Tagger
from labelbeam.service import server as app_module
from labelbeam.service.admission import Limits
from labelbeam.service.server import LOOPBACK, bound_socket, create_app, web_server

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs a browser's driver: pip install playwright"
)
expect = playwright.expect
expect.set_options(timeout=60_000)  # of a machine that does other things too

CHROMIUM = Path(os.environ.get("LABELBEAM_CHROMIUM", "/usr/bin/chromium"))
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
SCRIPT = "<script>alert(1)</script>"
SHIP = "سفينة"


@dataclass
class Shown:
    """A page that is shown, its project, and what the browser complained about."""

    page: "playwright.Page"
    project: Project
    complaints: list[str] = field(default_factory=list)

    @property
    def cards(self) -> "playwright.Locator":
        return self.page.locator(".card")

    def add(self, photographs: list[Path]) -> None:
        before = self.cards.count()
        self.page.set_input_files("#files", [str(path) for path in photographs])
        expect(self.cards).to_have_count(before + len(photographs))
        expect(self.cards.first.locator("[data-label]").first).to_be_visible()

    def chip(self, label: str, card: int = 0) -> "playwright.Locator":
        return self.cards.nth(card).locator(f'button[data-label="{label}"]')

    def first_label(self) -> str:
        return self.cards.first.locator("button[data-label]").first.get_attribute("data-label")

    def saved(self) -> dict[int, dict[str, int]]:
        expect(self.page.locator("#saved")).to_have_attribute("data-state", "saved")
        return self.project.decisions()


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium: set LABELBEAM_CHROMIUM (looked at {CHROMIUM})")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(OPTIONS))
        yield opened
        opened.close()


@contextmanager
def served(tagger: Tagger, project: Project, *, port: int = 0, **options: object) -> Iterator[str]:
    with bound_socket("127.0.0.1", port) as listening:
        app = create_app(tagger, hosts=LOOPBACK, project=project, **options)  # type: ignore[arg-type]
        server = web_server(app, drain_seconds=5.0, log="warning")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture
def show(browser, tagger: Tagger, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Show the page of a new project; whatever the browser complains about fails the test."""
    with Project(tmp_path / "holiday.lbp") as project, served(tagger, project) as address:
        opened: list[Shown] = []

        def make(**context: object) -> Shown:
            page = browser.new_context(**context).new_page()
            shown = Shown(page, project)
            page.on("console", lambda one: one.type == "error" and shown.complaints.append(one.text))
            page.on("pageerror", lambda one: shown.complaints.append(str(one)))
            page.on("dialog", lambda one: (shown.complaints.append(one.message), one.dismiss()))
            page.on(
                "request",
                lambda one: (
                    one.url.startswith((address, "blob:", "data:"))
                    or shown.complaints.append(f"asks {one.url}")
                ),
            )
            page.goto(address)
            opened.append(shown)
            return shown

        yield make
        for one in opened:
            one.page.context.close()
            assert one.complaints == []


@pytest.fixture
def shown(show: Callable[..., Shown], photographs: list[Path]) -> Shown:
    """A page with three photographs."""
    made = show(viewport={"width": 1200, "height": 800})
    expect(made.page.get_by_text("Drop photographs here")).to_be_visible()
    made.add(photographs[:3])
    return made


def test_a_click_accepts_another_rejects_a_third_clears_and_each_is_on_the_disk(shown: Shown) -> None:
    label = shown.first_label()
    chip = shown.chip(label)
    assert re.search(r"suggested, score 0\.\d\d|suggested, score 1\.00", chip.get_attribute("aria-label"))
    for state, decisions in (("accepted", {1: {label: 1}}), ("rejected", {1: {label: 0}}), ("suggested", {})):
        chip.click()
        expect(chip).to_have_attribute("data-state", state)
        assert shown.saved() == decisions


def test_photographs_that_are_added_before_the_page_has_its_project_stay(
    show: Callable[..., Shown], photographs: list[Path]
) -> None:
    shown = show()
    held: list[tuple] = []
    shown.page.route("**/v1/project", lambda route: held.append((route, route.fetch())))
    shown.page.reload()
    until(shown.page, lambda: bool(held))
    shown.page.set_input_files("#files", [str(path) for path in photographs[:2]])
    shown.page.wait_for_timeout(300)  # in which they could be added
    for route, answer in held:
        route.fulfill(response=answer)
    expect(shown.cards).to_have_count(2)
    shown.page.wait_for_timeout(100)
    expect(shown.cards).to_have_count(2)


def test_dropped_photographs_show_their_tags(show: Callable[..., Shown], photographs: list[Path]) -> None:
    shown = show()
    content = list(photographs[0].read_bytes())
    shown.page.evaluate(
        """(content) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], "<b>dropped.png", { type: "image/png" }));
            transfer.items.add(new File(["no image"], "notes.txt", { type: "text/plain" }));
            transfer.items.add(new File(["no image"], "broken.jpg", { type: "image/jpeg" }));
            const options = { dataTransfer: transfer, cancelable: true, bubbles: true };
            for (const kind of ["dragover", "drop"]) window.dispatchEvent(new DragEvent(kind, options));
        }""",
        content,
    )
    expect(shown.cards).to_have_count(1)
    expect(shown.page.locator("#problems")).to_contain_text("broken.jpg")
    expect(shown.page.locator("#problems")).to_contain_text("not an image")
    shown.page.keyboard.press("Escape")
    assert [one.name for one in shown.project.photographs()] == ["<b>dropped.png"]
    expect(shown.cards.first).to_contain_text("<b>dropped.png")
    expect(shown.cards.first.locator("[data-label] .score").first).to_be_visible()


def test_every_click_updates_the_other_suggestions_with_a_reason(shown: Shown) -> None:
    page = shown.page
    page.keyboard.press("Space")
    expect(page.locator("#photo .row").first).to_be_visible()
    page.locator(".mechanism select").select_option("likelihood-weighting")
    rows = page.locator("#photo .row")
    expect(rows).not_to_have_count(0)
    label = rows.first.get_attribute("data-label")
    rows.first.locator(".main").click()
    expect(page.locator("#photo .because").first).to_contain_text(re.compile(rf"[+−]0\.\d\d since {label}"))


def test_a_dozen_photographs_are_labelled_without_the_mouse(
    show: Callable[..., Shown], photographs: list[Path]
) -> None:
    shown = show()
    shown.add(photographs[:12])
    keyboard = shown.page.keyboard
    for i in range(12):
        card = shown.cards.nth(i)
        expect(card).to_have_attribute("aria-current", "true")
        expect(card.locator("kbd.digit").first).to_be_visible()
        keyboard.press("1")
        keyboard.press("Shift+Digit2")
        keyboard.press("j")
    decisions = shown.saved()
    assert sorted(decisions) == list(range(1, 13))
    assert all(sorted(said.values()) == [0, 1] for said in decisions.values())
    keyboard.press("2")  # rejected before, cleared now
    assert list(shown.saved()[12].values()) == [1]
    keyboard.press("1")
    assert list(shown.saved()[12].values()) == [0]


def test_enter_accepts_what_is_likely_and_goes_on(shown: Shown) -> None:
    expected = {}
    for i in range(3):
        shown.cards.nth(i).scroll_into_view_if_needed()
        expect(shown.cards.nth(i).locator("[data-label]").first).to_be_visible()
        likely = (
            shown.cards.nth(i)
            .locator(".chip.likely")
            .evaluate_all("all => all.map(one => one.dataset.label)")
        )
        if likely:
            expected[i + 1] = dict.fromkeys(likely, 1)
    for _ in range(3):
        shown.page.keyboard.press("Enter")
    assert {image: dict(said) for image, said in shown.saved().items()} == expected


def test_typing_finds_labels_and_adds_new_ones_in_any_script(shown: Shown, tagger: Tagger) -> None:
    page, known = shown.page, tagger.labels[0]
    page.keyboard.press("/")
    page.keyboard.type(known[:3].upper())
    expect(page.get_by_role("option", name=known, exact=False).first).to_be_visible()
    page.keyboard.press("Control+a")
    page.keyboard.type(known)
    expect(page.locator("#found [aria-selected=true]")).to_contain_text(known)
    page.keyboard.press("Enter")
    for new in (SCRIPT, SHIP):
        page.keyboard.type(new)
        expect(page.locator("#found [aria-selected=true]")).to_contain_text("a new label")
        page.keyboard.press("Enter")
        expect(shown.chip(new)).to_have_attribute("data-state", "accepted")
    page.keyboard.press("Escape")
    assert shown.saved() == {1: {known: 1, SCRIPT: 1, SHIP: 1}}
    assert shown.chip(SCRIPT).locator(".label").inner_text() == SCRIPT
    assert page.locator("script").count() == 1
    direction = shown.chip(SHIP).locator(".label").evaluate("one => getComputedStyle(one).direction")
    assert direction == "rtl"


def test_the_slash_of_a_german_keyboard_is_no_seven(shown: Shown) -> None:
    shown.page.evaluate(
        """() => document.body.dispatchEvent(
            new KeyboardEvent("keydown", { key: "/", code: "Digit7", shiftKey: true, bubbles: true }))"""
    )
    expect(shown.page.locator("#typing")).to_be_visible()
    assert shown.saved() == {}


def test_a_selection_is_labelled_at_once_and_taken_back_at_once(shown: Shown) -> None:
    keyboard = shown.page.keyboard
    expect(shown.cards.first.locator("kbd.digit").first).to_be_visible()
    keyboard.press("Shift+ArrowRight")
    keyboard.press("Shift+ArrowRight")
    expect(shown.page.locator("#selection")).to_contain_text("3 selected")
    keyboard.press("Shift+ArrowLeft")
    expect(shown.page.locator("#selection")).to_contain_text("2 selected")
    keyboard.press("/")
    keyboard.type("seaside")
    expect(shown.page.locator("#found [aria-selected=true]")).to_contain_text("a new label")
    keyboard.press("Enter")
    expect(shown.chip("seaside")).to_have_attribute("data-state", "accepted")
    keyboard.press("Escape")
    assert shown.saved() == {1: {"seaside": 1}, 2: {"seaside": 1}}
    keyboard.press("u")
    expect(shown.chip("seaside")).to_have_count(0)
    assert shown.saved() == {}
    keyboard.press("Shift+U")
    expect(shown.chip("seaside")).to_have_count(1)
    assert shown.saved() == {1: {"seaside": 1}, 2: {"seaside": 1}}
    keyboard.press("Escape")
    expect(shown.page.locator("#selection")).to_be_hidden()


def test_nothing_else_is_on_it_takes_one_key_and_moves_on(shown: Shown, tagger: Tagger) -> None:
    page = shown.page
    expect(shown.cards.first.locator("kbd.digit").first).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("d")
    expect(shown.cards.first).to_have_class(re.compile("complete"))
    expect(shown.cards.nth(1)).to_have_attribute("aria-current", "true")
    expect(page.locator("#progress")).to_have_text("1 of 3 decided")
    (said,) = shown.saved().values()
    assert shown.project.known() == {1: said}, "of labels that are decided nowhere nothing is said"
    page.keyboard.press("d")
    expect(page.locator("#progress")).to_have_text("2 of 3 decided")
    shown.saved()
    assert shown.project.known() == {1: said, 2: dict.fromkeys(said, 0)}
    page.reload()
    expect(shown.cards.nth(1)).to_have_class(re.compile("complete"))
    shown.cards.nth(1).locator(".frame").click()
    again = shown.cards.nth(1).get_by_role("button", name="Nothing else is on it")
    expect(again).to_have_attribute("aria-pressed", "true")
    again.click()
    expect(again).to_have_attribute("aria-pressed", "false")
    shown.saved()
    assert list(shown.project.known()) == [1]
    page.keyboard.press("Control+a")
    page.locator("#selection [data-do=complete]").click()
    expect(page.locator(".card.complete")).to_have_count(3)
    page.keyboard.press("u")
    expect(page.locator(".card.complete")).to_have_count(1)


def test_photographs_leave_the_project_and_undo_brings_them_back_to_their_places(shown: Shown) -> None:
    page = shown.page
    label = shown.first_label()
    shown.chip(label).click()
    names = page.locator(".card .name").all_inner_texts()
    page.keyboard.press("Delete")
    expect(shown.cards).to_have_count(2)
    expect(page.locator("#message")).to_contain_text("Its file stays; undo brings it back")
    expect(shown.cards.first).to_have_attribute("aria-current", "true")
    assert shown.saved() == {}
    assert len(list(shown.project.images.iterdir())) == 3
    page.keyboard.press("Space")  # large, the next one, from there
    page.get_by_role("button", name="Remove from the project").click()
    expect(page.locator("#photo h2")).to_have_text(names[2])
    page.keyboard.press("Delete")
    expect(page.get_by_text("Drop photographs here")).to_be_visible()
    for count in (1, 2, 3):
        page.locator("#undo").click()
        expect(shown.cards).to_have_count(count)
    assert page.locator(".card .name").all_inner_texts() == names
    expect(shown.chip(label)).to_have_attribute("data-state", "accepted")
    assert shown.saved() == {1: {label: 1}}


def test_a_label_of_ones_own_is_renamed_everywhere_by_keyboard(shown: Shown, tagger: Tagger) -> None:
    page, keyboard = shown.page, shown.page.keyboard
    keyboard.press("r")
    expect(page.locator("#message")).to_contain_text("Only labels that you added can be renamed")
    keyboard.press("Control+a")
    keyboard.press("/")
    keyboard.type(SCRIPT)
    expect(page.locator("#found [aria-selected=true]")).to_contain_text("a new label")
    keyboard.press("Enter")
    expect(shown.chip(SCRIPT, 2)).to_have_attribute("data-state", "accepted")
    keyboard.press("Escape")
    keyboard.press("Escape")
    keyboard.press("r")
    expect(page.locator("#rename-label option")).to_have_text([SCRIPT])
    expect(page.locator("#rename-note")).to_have_text("Decided on 3 photographs.")
    keyboard.type(SHIP)
    keyboard.press("Enter")
    for i in range(3):
        expect(shown.chip(SHIP, i)).to_have_attribute("data-state", "accepted")
    expect(page.locator(f'[data-label="{SCRIPT}"]')).to_have_count(0)
    assert shown.saved() == {image: {SHIP: 1} for image in (1, 2, 3)}
    keyboard.press("r")
    keyboard.type(tagger.labels[0])
    expect(page.locator("#rename-note")).to_contain_text("the two become one")
    keyboard.press("Enter")
    expect(shown.chip(tagger.labels[0], 1)).to_have_attribute("data-state", "accepted")
    keyboard.press("u")
    expect(shown.chip(SHIP, 1)).to_have_attribute("data-state", "accepted")
    keyboard.press("u")
    expect(shown.chip(SCRIPT, 1)).to_have_attribute("data-state", "accepted")
    assert shown.saved() == {image: {SCRIPT: 1} for image in (1, 2, 3)}


def test_a_range_is_selected_with_shift_click(shown: Shown) -> None:
    shown.cards.nth(0).locator(".frame").click(modifiers=["Control"])
    shown.cards.nth(2).locator(".frame").click(modifiers=["Shift"])
    expect(shown.page.locator("#selection")).to_contain_text("3 selected")


def test_a_reload_shows_the_same_and_undo_still_works(shown: Shown) -> None:
    label = shown.first_label()
    shown.chip(label).click()
    shown.saved()
    shown.page.reload()
    expect(shown.chip(label)).to_have_attribute("data-state", "accepted")
    expect(shown.cards).to_have_count(3)
    shown.page.keyboard.press("Control+z")
    expect(shown.page.locator("#undo")).to_be_disabled()
    assert shown.saved() == {}


def test_attention_and_the_search_are_drawn(shown: Shown) -> None:
    page = shown.page
    page.keyboard.press("Space")
    image = page.locator("#photo figure img")
    expect(page.locator(".eye").first).to_be_visible()
    page.keyboard.press("a")
    expect(page.locator(".legend")).to_contain_text("for")
    page.locator("details.tree summary").click()
    for one in (image, page.locator("details.tree img")):
        expect(one).to_be_visible()
        until(page, lambda one=one: one.evaluate("one => one.complete && one.naturalWidth > 0"))
    page.keyboard.press("Escape")
    expect(shown.cards.first).to_be_visible()


def test_help_export_and_order_are_reached_by_keyboard(shown: Shown) -> None:
    page = shown.page
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("1")
    shown.saved()
    page.locator("#export").focus()
    page.keyboard.press("Enter")
    with page.expect_download() as found:
        page.keyboard.press("Enter")
    assert found.value.suggested_filename == "labels-xmp.zip"
    page.locator("#order").select_option("uncertain")
    expect(shown.cards.first).to_have_attribute("aria-current", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_has_enough_contrast(
    show: Callable[..., Shown], photographs: list[Path], scheme: str
) -> None:
    shown = show(viewport={"width": 360, "height": 700}, color_scheme=scheme, has_touch=True)
    shown.add(photographs[:2])
    page = shown.page
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0
    shown.cards.first.locator(".frame").click()
    expect(page.locator("#photo .row").first).to_be_visible()
    assert page.evaluate(wide) == 0
    assert contrast(page, "body", "body") >= 7
    page.locator("#photo .main").first.click()
    accepted = page.locator("#photo [data-state=accepted]")
    expect(accepted).to_be_visible()
    chosen = "#photo [data-state=accepted]"
    until(page, lambda: contrast(page, chosen, chosen) >= 4.5)  # the colour fades in
    assert contrast(page, "#progress", "body") >= 4.5


def until(page: "playwright.Page", done: Callable[[], bool]) -> None:
    """Wait for something that the driver has no word for; its own way is `eval`, which the page forbids."""
    last = time.monotonic() + 60
    while time.monotonic() < last:
        if done():
            return
        page.wait_for_timeout(50)  # unlike `sleep` it lets routes and messages through
    pytest.fail("it does not come")


def contrast(page: "playwright.Page", text: str, ground: str) -> float:
    """Return WCAG's contrast ratio of a text's colour with a background; 1 of what was just drawn anew."""
    colour = "one => (getComputedStyle(one)[%r].match(/[\\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number)"
    light = []
    for selector, name in ((text, "color"), (ground, "backgroundColor")):
        rgb = [one / 255 for one in page.locator(selector).first.evaluate(colour % name)]
        linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in rgb]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_everything_has_a_name_for_those_who_cannot_see_it(shown: Shown) -> None:
    nameless = """() => [...document.querySelectorAll("button, input, select, img, a, dialog")]
        .filter((one) => !(one.hidden || one.getAttribute("aria-label") || one.getAttribute("aria-labelledby")
            || one.textContent.trim() || one.hasAttribute("alt") || one.labels?.length))
        .map((one) => one.outerHTML)"""
    assert shown.page.evaluate(nameless) == []
    shown.page.keyboard.press("Space")
    expect(shown.page.locator("#photo .row").first).to_be_visible()
    assert shown.page.evaluate(nameless) == []
    shown.page.keyboard.press("Tab")
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    assert shown.page.evaluate(outline) == "solid"


def test_a_key_is_asked_for_once(browser, tagger: Tagger, tmp_path: Path, photographs: list[Path]) -> None:
    key = "a-long-enough-key-for-a-test"
    with Project(tmp_path / "a.lbp") as project, served(tagger, project, api_key=key) as address:
        page = browser.new_context().new_page()
        page.goto(address)
        page.get_by_label("Key", exact=True).fill(key)
        page.keyboard.press("Enter")
        expect(page.get_by_text("Drop photographs here")).to_be_visible()
        page.set_input_files("#files", str(photographs[0]))
        expect(page.locator(".card [data-label]").first).to_be_visible()
        assert page.locator(".card img").evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
        page.context.close()


def test_a_busy_service_is_waited_for(
    browser, tagger: Tagger, tmp_path: Path, photographs: list[Path]
) -> None:
    with (
        Project(tmp_path / "a.lbp") as project,
        served(tagger, project, limits=Limits(rate=4.0)) as address,
    ):
        page = browser.new_context().new_page()
        page.goto(address)
        page.set_input_files("#files", [str(path) for path in photographs[:6]])
        expect(page.locator(".card")).to_have_count(6)
        expect(page.locator(".card").nth(5).locator("[data-label]").first).to_be_visible()
        for i in range(6):
            picture = page.locator(".card img").nth(i)
            picture.scroll_into_view_if_needed()
            until(page, lambda picture=picture: picture.evaluate("one => one.naturalWidth") > 0)
        page.context.close()


def start_service(run: Path, project: Path, port: int) -> subprocess.Popen:
    script = "import sys, typer; from labelbeam.cli.serve import serve; typer.run(serve)"
    arguments = [str(run), "--project", str(project), "--port", str(port)]
    service = subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE)
    last = time.monotonic() + 240
    while time.monotonic() < last:
        try:
            urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return service
        except OSError:
            assert service.poll() is None, service.stderr.read()  # type: ignore[union-attr]
            time.sleep(0.1)
    raise AssertionError("the service does not start")


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not on Windows")
def test_no_click_is_lost_when_the_service_is_killed(
    browser, finished: Path, tmp_path: Path, photographs: list[Path]
) -> None:
    file = tmp_path / "holiday.lbp"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = start_service(finished, file, port)
    page = browser.new_context().new_page()
    shown = Shown(page, None)  # type: ignore[arg-type]
    page.goto(f"http://127.0.0.1:{port}/")
    shown.add(photographs[:2])
    page.keyboard.press("1")
    expect(page.locator("#saved")).to_have_attribute("data-state", "saved")
    service.send_signal(signal.SIGKILL)
    service.wait()
    page.keyboard.press("2")
    page.keyboard.press("3")
    expect(page.locator("#saved")).to_contain_text("not saved yet")
    clicked = page.locator(".card").first.locator("[data-state=accepted]")
    labels = set(clicked.evaluate_all("all => all.map((one) => one.dataset.label)"))
    assert len(labels) == 3
    service = start_service(finished, file, port)
    try:
        page.goto(f"http://127.0.0.1:{port}/")  # not even a reload loses them
        expect(page.locator(".card")).to_have_count(2)
        expect(page.locator(".card").first.locator("[data-state=accepted]")).to_have_count(3)
        expect(page.locator("#saved")).to_have_attribute("data-state", "saved")
        with Project(file) as project:
            assert project.decisions() == {1: dict.fromkeys(labels, 1)}
    finally:
        service.send_signal(signal.SIGKILL)
        service.wait()
        page.context.close()


def test_accept_what_is_likely_acts_on_cards_that_were_never_in_sight_and_says_what_it_did(
    show: Callable[..., Shown], photographs: list[Path], tagger: Tagger
) -> None:
    shown = show(viewport={"width": 420, "height": 500})
    store = Path(app_module.__file__).with_name("page").joinpath("store.js").read_text(encoding="utf-8")
    lower = store.replace("LIKELY = 0.5", "LIKELY = 0.1")  # the tests' run is never as sure as 0.5
    shown.page.route(
        "**/page/store.js", lambda route: route.fulfill(body=lower, content_type="text/javascript")
    )
    shown.page.reload()
    shown.add(photographs[:24])
    assert shown.page.get_by_text("looking …").count() > 0, "every card was in sight"
    shown.page.keyboard.press("Control+a")
    shown.page.get_by_role("button", name="Accept what is likely").click()
    expect(shown.page.locator("#message")).to_contain_text(" labels accepted on 24 photographs")
    accepted = shown.saved()
    said = shown.page.locator("#message").inner_text()
    assert said.startswith(f"{sum(map(len, accepted.values()))} labels")
    assert len(accepted) == 24
    for image, row in accepted.items():
        features = shown.project.features(image, tagger.run.encoder.identity)
        scores = {one.label: one.score for one in tagger.suggest(features, (), (), 99, None)}
        assert set(row.values()) == {1}
        assert all(scores[label] > 0.05 for label in row), "scores are sampled: about 0.1"
        assert {label for label, score in scores.items() if score > 0.2} <= set(row)
    shown.page.keyboard.press("Escape")
    shown.page.keyboard.press("u")
    expect(shown.page.locator("#progress")).to_have_text("0 of 24 decided")
    assert shown.saved() == {}


def test_a_label_is_accepted_down_to_here_and_rejected_below_each_as_one_step(
    show: Callable[..., Shown], photographs: list[Path], tagger: Tagger
) -> None:
    shown, label = show(viewport={"width": 1200, "height": 800}), tagger.labels[0]
    shown.add(photographs[:9])
    shown.page.keyboard.press("f")
    shown.page.keyboard.type(label[:3].upper())
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator("#shown")).to_contain_text("9 photographs shown of 9")
    expect(shown.page.locator("#by-label")).to_have_value(label)
    scores = [float("0" + text) for text in shown.cards.locator(".score").all_inner_texts()]
    assert len(scores) == 9
    assert scores == sorted(scores, reverse=True)
    order = [int(one.get_attribute("data-id")) for one in shown.cards.all()]
    shown.chip(label, 1).click()
    shown.chip(label, 1).click()  # rejected: stays so
    shown.cards.nth(3).locator(".frame").click()
    shown.page.get_by_role("button", name="Accept down to here").click()
    expect(shown.page.locator("#message")).to_contain_text("accepted on 3 photographs; 1 were decided before")
    expected = {image: {label: 1} for image in order[:4]} | {order[1]: {label: 0}}
    assert shown.saved() == expected
    shown.page.get_by_role("button", name="Reject below").click()
    expect(shown.page.locator("#progress")).to_have_text("9 of 9 decided")
    assert shown.saved() == expected | {image: {label: 0} for image in order[4:]}
    shown.page.keyboard.press("u")
    expect(shown.page.locator("#progress")).to_have_text("4 of 9 decided")
    assert shown.saved() == expected
    shown.page.select_option("#by-state", "open")
    expect(shown.cards).to_have_count(5)
    shown.page.select_option("#by-state", "accepted")
    expect(shown.cards).to_have_count(3)
    shown.page.keyboard.press("Escape")
    expect(shown.cards).to_have_count(9)


def test_near_duplicates_are_stacked_and_decided_together(
    show: Callable[..., Shown], photographs: list[Path], tagger: Tagger, tmp_path: Path
) -> None:
    from PIL import Image

    with Image.open(photographs[0]) as image:
        image.convert("RGB").resize((image.width * 2, image.height * 2)).save(
            tmp_path / "again.jpg", quality=95
        )
    shown, label = show(viewport={"width": 1200, "height": 800}), tagger.labels[0]
    shown.add([*photographs[:3], tmp_path / "again.jpg"])
    shown.page.fill("#by-label", label)
    shown.page.keyboard.press("Enter")
    expect(shown.cards).to_have_count(3)
    expect(shown.page.locator(".alike")).to_have_text("2 alike")
    shown.page.locator(".card.stack button[data-label]").click()
    expect(shown.page.locator("#progress")).to_have_text("2 of 4 decided")
    assert shown.saved() == {1: {label: 1}, 4: {label: 1}}
    shown.page.locator(".alike").click()
    expect(shown.cards).to_have_count(4)
    at = [one.get_attribute("data-id") for one in shown.cards.all()]
    assert abs(at.index("4") - at.index("1")) == 1  # side by side, the one that scores higher first
    shown.page.locator('.card[data-id="4"] button[data-label]').click()
    assert shown.saved() == {1: {label: 1}, 4: {label: 0}}
    for one in ("1", "4"):  # folded from either of them
        shown.page.locator(f'.card[data-id="{one}"] button[data-label]').click()
        shown.page.keyboard.press("s")
        expect(shown.cards).to_have_count(3)
        expect(shown.page.locator(".alike")).to_have_text("2 alike")
        shown.page.locator(".alike").click()
        expect(shown.cards).to_have_count(4)


def test_a_new_tag_comes_before_labels_that_only_have_it_inside(shown: Shown) -> None:
    page = shown.page
    for text, first in (("pottedplant", "a new label"), ("plant", "a new label"), ("potted", "pottedplant")):
        page.keyboard.press("/")
        page.keyboard.type(text)
        expect(page.locator("#found [aria-selected=true]")).to_contain_text(first)
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
    assert shown.saved() == {1: {"pottedplant": 1, "plant": 1}}
    page.keyboard.press("/")
    page.keyboard.type("potted")
    page.keyboard.press("Control+Enter")
    expect(shown.chip("potted")).to_have_attribute("data-state", "accepted")


@pytest.mark.parametrize("large", [False, True])
def test_a_chip_that_is_drawn_anew_while_it_is_pressed_is_clicked(shown: Shown, large: bool) -> None:
    """Suggestions arrive whenever they do, also between press and release."""
    label = shown.first_label()
    if large:
        shown.page.keyboard.press("Space")
    chip = shown.page.locator(f'button[data-label="{label}"]:visible').first
    box = chip.bounding_box()
    pressed = chip.element_handle()
    shown.page.mouse.move(box["x"] + 5, box["y"] + 5)
    shown.page.mouse.down()
    shown.page.evaluate("import('/page/store.js').then((page) => page.store.emit('photo', 1))")
    shown.page.wait_for_function("one => !one.isConnected", arg=pressed)
    shown.page.mouse.up()
    expect(chip).to_have_attribute("data-state", "accepted")
    assert shown.saved() == {1: {label: 1}}


def test_what_is_typed_is_not_called_saved_before_the_service_has_the_new_label(shown: Shown) -> None:
    held: list[playwright.Route] = []
    shown.page.route("**/labels", lambda route: held.append(route))
    shown.page.keyboard.press("/")
    shown.page.keyboard.type("seaside")
    shown.page.keyboard.press("Enter")
    expect(shown.page.locator("#saved")).to_have_attribute("data-state", "saving")
    until(shown.page, lambda: bool(held))
    held[0].continue_()
    expect(shown.chip("seaside")).to_have_attribute("data-state", "accepted")
    assert shown.saved() == {1: {"seaside": 1}}


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_active_card_covers_no_neighbour_and_the_export_menu_scrolls(
    show: Callable[..., Shown], photographs: list[Path], width: int
) -> None:
    shown = show(viewport={"width": width, "height": 500})
    shown.add(photographs[:8])
    shown.page.keyboard.press("m")
    expect(shown.cards.first.locator("kbd.digit").nth(5)).to_be_attached()
    boxes = shown.page.locator(".card, .card:first-child .foot .chips")  # all at one moment, as they lie
    active, inside, *others = boxes.evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().toJSON())"
    )
    assert inside["bottom"] <= active["bottom"] + 1
    assert all(one["left"] >= active["right"] or one["top"] >= active["bottom"] for one in others)
    shown.page.click("#export")
    menu = shown.page.locator("#menu")
    box = menu.bounding_box()
    assert box["y"] + box["height"] <= 500
    assert menu.evaluate("one => one.scrollHeight > one.clientHeight")
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_where_a_promise_stands_the_page_opens_with_the_photographs_for_a_person(
    browser, promising: Tagger, tmp_path: Path, photographs: list[Path]
) -> None:
    with Project(tmp_path / "holiday.lbp") as project, served(promising, project) as address:
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        page = context.new_page()
        page.goto(address)
        page.set_input_files("#files", [str(path) for path in photographs[:3]])
        expect(page.locator(".card")).to_have_count(3)
        page.reload()
        expect(page.locator(".card")).to_have_count(1)
        expect(page.locator(".card")).to_contain_text(photographs[0].name)
        expect(page.locator("#shown")).to_contain_text("1 photograph shown of 3; 2 need nobody")
        expect(page.locator("#promised")).to_contain_text("nobody needs to look at images whose set")
        page.locator("#by-state").select_option("nobody")
        expect(page.locator(".card")).to_have_count(2)
        page.keyboard.press("Control+a")
        page.locator('#selection [data-do="likely"]').click()
        said = [{one.label: 1 for one in one.labels} for one in promising.tag(photographs[1:3])]
        expect(page.locator("#message")).to_contain_text("accepted on")
        expect(page.locator("#saved")).to_have_attribute("data-state", "saved")
        assert {i + 2: labels for i, labels in enumerate(said) if labels} == {
            image: labels for image, labels in project.decisions().items() if labels
        }
        for one in project.photographs():
            if one.name == photographs[0].name:
                project.remove([one.id])
        page.reload()
        expect(page.locator(".card")).to_have_count(2)  # nobody is needed: those that need nobody
        expect(page.locator("#by-state")).to_have_value("nobody")
        context.close()
