"""The page's routes: what is acknowledged is in the project, what cannot be is refused with the reason."""

import json
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.photo_metadata.xmp import xmp_keywords
from labelbeam.formats.registry import FORMATS, open_dataset
from labelbeam.project.project_file import Project
from labelbeam.project.schema import Change
from labelbeam.runs.tagger import Tagger
from labelbeam.service.project_export import FILES, export_formats, export_names, exported
from labelbeam.service.project_photographs import add_folder
from labelbeam.service.project_scores import Reasons, suggesting_mechanisms
from labelbeam.suggest import label_entropies, spread_order

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project(tmp_path / "holiday.lbp") as opened:
        yield opened


@pytest.fixture
def page(client_of: Callable[..., TestClient], project: Project) -> TestClient:
    return client_of(project=project)


@pytest.fixture
def filled(page: TestClient, photographs: list[Path]) -> TestClient:
    """A page with three photographs."""
    added = upload(page, photographs[:3])
    assert [one["id"] for one in added] == [1, 2, 3]
    return page


def upload(page: TestClient, files: list[Path], names: list[str] | None = None) -> list[dict]:
    form = [("photograph", (path.name, path.read_bytes())) for path in files]
    done = page.post("/v1/project/photographs", files=form, data={"name": names} if names else None)
    assert done.status_code == 200, done.text
    return done.json()["photographs"]


def decide(page: TestClient, *changes: tuple[int, str, int | None]):
    told = [{"image": image, "label": label, "value": value} for image, label, value in changes]
    return page.post("/v1/project/decisions", json={"changes": told})


def test_the_page_and_its_parts_are_served_and_nothing_else(page: TestClient) -> None:
    index = page.get("/")
    assert index.headers["content-type"].startswith("text/html")
    assert "unsafe" not in index.headers["content-security-policy"]
    for part in ("main.js", "style.css", "icon.svg"):
        assert page.get(f"/page/{part}").status_code == 200
    assert page.get("/page/main.js").headers["content-type"].startswith("text/javascript")
    for escape in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "__init__.py", "/etc/passwd"):
        assert page.get(f"/page/{escape}").status_code == 404


def test_no_part_of_the_page_is_loaded_from_elsewhere_or_written_as_markup(page: TestClient) -> None:
    files = sorted((Path(__file__).parents[2] / "src/labelbeam/service/page").iterdir())
    assert len(files) > 10
    for file in files:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, file.name
        assert "https:" not in text, file.name
        for markup in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert markup not in text, f"{file.name}: {markup}"


def test_photographs_come_back_in_their_order_with_their_names(
    page: TestClient, photographs: list[Path]
) -> None:
    added = upload(page, photographs[:2], ["2019/海.jpg", "../../etc/passwd"])
    assert [one["name"] for one in added] == ["2019/海.jpg", "../../etc/passwd"]
    state = page.get("/v1/project").json()
    assert [one["id"] for one in state["photographs"]] == [1, 2]
    assert state["saved"] is True
    picture = page.get("/v1/project/photographs/1/picture", params={"side": 64})
    assert Image.open(BytesIO(picture.content)).size == (64, 64)


def test_what_is_no_photograph_is_told_and_the_others_are_kept(
    page: TestClient, project: Project, tmp_path: Path, photographs: list[Path]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"<html>not an image</html>")
    first, second = upload(page, [broken, photographs[0]])
    assert "not an image" in first["error"]
    assert second["id"] == 1
    assert len(project.photographs()) == 1


def test_a_decision_is_in_the_file_when_it_is_answered(filled: TestClient, project: Project) -> None:
    label = project.labels()[0]
    done = decide(filled, (1, label, 1), (2, label, 0))
    assert (done.json()["undo"], done.json()["redo"]) == (1, None)
    with Project(project.path) as other:
        assert other.decisions() == {1: {label: 1}, 2: {label: 0}}
    undone = filled.post("/v1/project/undo", json={"step": 1}).json()
    assert {(one["image"], one["value"]) for one in undone["changes"]} == {(1, None), (2, None)}
    assert (undone["undo"], undone["redo"]) == (None, 1)
    filled.post("/v1/project/redo", json={"step": 1})
    assert project.decisions() == {1: {label: 1}, 2: {label: 0}}


def test_a_step_whose_answer_was_lost_is_asked_again_and_turned_once(
    filled: TestClient, project: Project
) -> None:
    """The service dies between the commit and the answer: the page can only ask again."""
    first, second = project.labels()[:2]
    decide(filled, (1, first, 1))
    assert decide(filled, (1, second, 1)).json()["undo"] == 2
    answers = [filled.post("/v1/project/undo", json={"step": 2}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert project.decisions() == {1: {first: 1}}
    answers = [filled.post("/v1/project/redo", json={"step": 2}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert project.decisions() == {1: {first: 1, second: 1}}
    stale = filled.post("/v1/project/undo", json={"step": 1})
    assert stale.status_code == 409
    assert "Load the page again" in stale.json()["error"]
    assert filled.post("/v1/project/undo").status_code == 422


def test_photographs_are_complete_leave_and_come_back(filled: TestClient, project: Project) -> None:
    def state() -> dict[int, bool]:
        return {one["id"]: one["complete"] for one in filled.get("/v1/project").json()["photographs"]}

    label = project.labels()[0]
    decide(filled, (1, label, 1))
    for _ in range(2):
        done = filled.post("/v1/project/complete", json={"photographs": [1, 2]})
        assert done.json()["undo"] == 2
    assert state() == {1: True, 2: True, 3: False}
    for _ in range(2):
        assert filled.post("/v1/project/remove", json={"photographs": [2, 3]}).json()["undo"] == 3
    assert state() == {1: True}
    for gone in ("picture", "suggestions"):
        assert filled.get(f"/v1/project/photographs/2/{gone}").status_code == 404
    undone = filled.post("/v1/project/undo", json={"step": 3}).json()
    assert undone["others"] is True
    assert state() == {1: True, 2: True, 3: False}
    with zipfile.ZipFile(BytesIO(filled.get("/v1/project/export/csv").content)) as archive:
        rows = archive.read("tags.csv").decode().splitlines()
    assert len(rows) == 3, "one that is complete is exported, with nothing on it"
    assert filled.post("/v1/project/remove", json={"photographs": [99]}).status_code == 422


@pytest.mark.parametrize("format_", [name for name in export_formats() if name != "xmp"])
def test_labels_that_hold_what_separates_labels_in_a_cell_come_back_whole_from_every_export(
    format_: str, filled: TestClient, tmp_path: Path
) -> None:
    for name in ("salt; pepper", "red|blue"):
        assert filled.post("/v1/project/labels", json={"name": name}).status_code == 200
    decide(filled, (1, "salt; pepper", 1), (1, "red|blue", 1), (2, "red|blue", 1), (3, "salt; pepper", 0))
    filled.post("/v1/project/complete", json={"photographs": [1, 2, 3]})
    done = filled.get(f"/v1/project/export/{format_}")
    assert done.status_code == 200, done.text
    with zipfile.ZipFile(BytesIO(done.content)) as archive:
        archive.extractall(tmp_path / "out")
    spec = f"{format_}:{tmp_path / 'out' / FILES.get(format_, '')}" + "#all" * format_.startswith("voc")
    found = open_dataset(spec, options=ReadOptions(missing="keep"))
    expected = [[], ["red|blue"], ["red|blue", "salt; pepper"]]
    assert sorted(sorted(names) for names in found.labels_by_image(1)) == expected


def test_own_labels_are_renamed_and_the_models_are_not(filled: TestClient, project: Project) -> None:
    of_model = project.labels()[0]
    filled.post("/v1/project/labels", json={"name": "bote"})
    decide(filled, (1, "bote", 1))
    refused = filled.post("/v1/project/rename", json={"label": of_model, "to": "x"})
    assert refused.status_code == 422
    assert "label of the model" in refused.json()["error"]
    for _ in range(2):
        assert filled.post("/v1/project/rename", json={"label": "bote", "to": "boot"}).json()["undo"] == 2
    assert project.decisions() == {1: {"boot": 1}}
    filled.post("/v1/project/rename", json={"label": "boot", "to": of_model})
    assert project.decisions() == {1: {of_model: 1}}
    assert filled.post("/v1/project/rename", json={"label": "nothing", "to": "x"}).status_code == 422


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([(1, "bote", 1)], "no label 'bote'"),
        ([(9, "circle", 1)], "no photograph 9"),
        ([(1, "circle", 2)], "changes"),
        ([(2**70, "circle", 1)], "changes"),
    ],
)
def test_a_decision_on_nothing_is_refused(filled: TestClient, changes: list, words: str) -> None:
    filled.post("/v1/project/labels", json={"name": "circle"})
    done = decide(filled, *changes)
    assert done.status_code == 422
    assert words in done.json()["error"]


def test_a_label_named_like_markup_is_a_label(filled: TestClient, project: Project) -> None:
    added = filled.post("/v1/project/labels", json={"name": SCRIPT}).json()
    assert added == {"name": SCRIPT, "known": False, "undo": None, "redo": None}
    decide(filled, (1, SCRIPT, 1))
    assert project.decisions() == {1: {SCRIPT: 1}}
    assert filled.get("/v1/project/photographs/1/suggestions").status_code == 200


@pytest.mark.parametrize("name", ["", "a\nb", "<end>", "x" * 300])
def test_a_name_that_no_label_can_have_is_refused(page: TestClient, name: str) -> None:
    assert page.post("/v1/project/labels", json={"name": name}).status_code == 422


def test_suggestions_follow_decisions_and_say_which_one_moved_them(
    tagger: Tagger, filled: TestClient
) -> None:
    def suggestions(mechanism: str) -> dict[str, dict]:
        found = filled.get(
            "/v1/project/photographs/1/suggestions", params={"count": 50, "mechanism": mechanism}
        )
        return {one["label"]: one for one in found.json()["suggestions"]}

    mechanism = "likelihood-weighting"
    before = suggestions(mechanism)
    assert not any("because" in one for one in before.values())
    first, second = list(before)[:2]
    decide(filled, (1, first, 1))
    decide(filled, (1, second, 0))
    after = suggestions(mechanism)
    assert not {first, second} & set(after)
    features = np.asarray(tagger.run.encoder.num_features)
    assert features > 0
    moved = [one for one in after.values() if "because" in one]
    assert moved
    for one in moved:
        assert one["because"]["label"] in (first, second)
        assert one["because"]["value"] == (1 if one["because"]["label"] == first else 0)


def test_a_reason_is_the_difference_that_the_decision_makes(tagger: Tagger) -> None:
    features = np.random.default_rng(0).normal(size=tagger.run.encoder.num_features).astype(np.float32)
    reasons = Reasons(tagger, seconds=60.0)
    a, b = tagger.labels[:2]

    def score(label: str, known: list[str], rejected: list[str]) -> float:
        found = tagger.suggest(features, known, rejected, 100, "likelihood-weighting")
        return next(one.score for one in found if one.label == label)

    found = reasons.suggest(features, {a: 1, b: 0, "unknown elsewhere": 1}, mechanism="likelihood-weighting")
    for one in found.suggestions:
        assert one.score == pytest.approx(score(one.label, [a], [b]))
        change = {a: one.score - score(one.label, [], [b]), b: one.score - score(one.label, [a], [])}
        most = max(change, key=lambda name: abs(change[name]))
        if one.reason is not None:
            assert (one.reason.label, one.reason.change) == (most, pytest.approx(change[most]))
        else:
            assert abs(change[most]) < 0.01


def test_the_mechanisms_start_with_the_runs_own(tagger: Tagger) -> None:
    assert tagger.run.suggester is not None
    assert suggesting_mechanisms(tagger)[0] == tagger.run.suggester.better
    assert len(suggesting_mechanisms(tagger)) == 2


def test_what_is_most_uncertain_comes_first(filled: TestClient, tagger: Tagger, project: Project) -> None:
    def order() -> list[int]:
        return filled.get("/v1/project/order", params={"by": "uncertain"}).json()["photographs"]

    identity = tagger.run.encoder.identity
    features = np.stack([np.asarray(project.features(i, identity)) for i in (1, 2, 3)])
    worth = label_entropies(tagger.answer(features).scores).sum(axis=1)
    found = order()
    assert found == [int(i) + 1 for i in spread_order(worth, features)]
    assert found[0] == int(worth.argmax()) + 1
    decide(filled, *((found[0], label, 0) for label in tagger.labels))  # nothing is left to learn there
    assert order()[-1] == found[0]


def test_photographs_are_shown_as_added_or_in_an_order_of_chance_that_stays(
    filled: TestClient, project: Project
) -> None:
    hashes = {one.hash: one.id for one in project.photographs()}
    chance = filled.get("/v1/project/order").json()["photographs"]
    assert chance == [hashes[one] for one in sorted(hashes)]
    assert filled.get("/v1/project/order", params={"by": "added"}).json()["photographs"] == [1, 2, 3]


def test_pictures_of_attention_and_of_the_search_are_drawn(filled: TestClient, tagger: Tagger) -> None:
    state = filled.get("/v1/project").json()
    assert state["attention"]
    assert not state["own_map"]
    assert state["tree"]
    shown = filled.get("/v1/project/photographs/1/attention", params={"label": tagger.labels[0]})
    assert shown.headers["content-type"] == "image/jpeg"
    whole = filled.get("/v1/project/photographs/1/picture", params={"side": 2048})
    assert Image.open(BytesIO(shown.content)).size == Image.open(BytesIO(whole.content)).size
    tree = filled.get("/v1/project/photographs/1/tree")
    assert tree.text.startswith("<svg")
    assert filled.get("/v1/project/photographs/1/attention", params={"label": "bote"}).status_code == 422
    for gone in ("picture", "tree", "suggestions"):
        assert filled.get(f"/v1/project/photographs/99/{gone}").status_code == 404


def test_a_photograph_that_left_the_disk_is_told_and_the_rest_goes_on(
    client_of: Callable[..., TestClient], project: Project, tmp_path: Path, photographs: list[Path]
) -> None:
    folder = tmp_path / "own"
    (folder / "sub").mkdir(parents=True)
    for i, path in enumerate(photographs[:2]):
        (folder / "sub" / f"{i}.png").write_bytes(path.read_bytes())
    count, _, problems = add_folder(project, folder)
    assert (count, problems) == (2, [])
    page = client_of(project=project)
    assert [one["name"] for one in page.get("/v1/project").json()["photographs"]] == [
        "sub/0.png",
        "sub/1.png",
    ]
    (folder / "sub" / "0.png").unlink()
    assert page.get("/v1/project/photographs/1/suggestions").status_code == 404
    assert page.get("/v1/project/photographs/1/picture").status_code == 404
    assert page.get("/v1/project/photographs/2/suggestions").status_code == 200
    order = page.get("/v1/project/order", params={"by": "uncertain"})
    assert order.json()["photographs"] == [2, 1]


def test_what_was_decided_is_a_data_set_with_unknowns(filled: TestClient, project: Project) -> None:
    a, b, c = project.labels()[:3]
    decide(filled, (1, a, 1), (1, b, 0), (3, b, 1))
    data = open_dataset(f"project:{project.path}")
    assert data.vocabulary.names == (a, b)
    np.testing.assert_array_equal(data.targets, [[1, 0], [-1, 1]])
    assert all(path.is_file() for path in data.paths)
    assert any("1 photographs" in note for note in data.notes)
    assert c not in data.vocabulary.names


def test_a_project_without_a_decision_or_without_a_file_is_named(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing is accepted or rejected yet"):
        open_dataset(f"project:{project.path}")
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(f"project:{tmp_path / 'none.lbp'}")
    assert not (tmp_path / "none.lbp").exists()


def test_sidecars_are_named_like_the_photographs(page: TestClient, photographs: list[Path]) -> None:
    upload(page, photographs[:3], ["2019/海.png", "../../up.png", "2019/海.png"])
    page.post("/v1/project/labels", json={"name": SCRIPT})
    page.post("/v1/project/labels", json={"name": "سفينة"})
    decide(page, (1, SCRIPT, 1), (1, "سفينة", 1), (2, SCRIPT, 0), (3, "سفينة", 1))
    done = page.get("/v1/project/export/xmp")
    assert 'filename="labels-xmp.zip"' in done.headers["content-disposition"]
    with zipfile.ZipFile(BytesIO(done.content)) as archive:
        keywords = {name: xmp_keywords(archive.read(name), name) for name in archive.namelist()}
    assert keywords == {
        "2019/海.png.xmp": [SCRIPT, "سفينة"],
        "up.png.xmp": [],
        "2019/海 (2).png.xmp": ["سفينة"],
    }


def test_every_format_of_photographs_that_is_written_can_be_exported() -> None:
    written = {name for name, one in FORMATS.items() if one.write}
    assert set(export_formats()) == {"xmp", *written} - {"keywords", "vectors"}


@pytest.mark.parametrize("name", export_formats())
def test_an_export_holds_what_was_decided(
    name: str, project: Project, photographs: list[Path], tmp_path: Path
) -> None:
    project.add_labels(["boat", "海"])
    for i, path in enumerate(photographs[:2]):
        project.add_photograph(path.read_bytes(), name=f"trip/{i}.png")
    changes = [Change(1, "boat", 1), Change(1, "海", 0), Change(2, "boat", 0), Change(2, "海", 1)]
    project.decide(changes)
    with exported(project, name) as archive:
        content = archive.read_bytes()
        with zipfile.ZipFile(archive) as zipped:
            assert zipped.testzip() is None
            zipped.extractall(tmp_path / "out")
    assert not archive.exists()
    with exported(project, name) as again:
        assert again.read_bytes() == content
    if name == "xmp":
        return
    if name in FILES:
        (tmp_path / "out" / "trip").mkdir()
        for i, path in enumerate(photographs[:2]):  # where their owner has them
            (tmp_path / "out" / f"trip/{i}.png").write_bytes(path.read_bytes())
        data = open_dataset(f"{name}:{tmp_path / 'out' / FILES[name]}")
    else:
        split = {"voc2007": "#all", "voc2012": "#all", "coco": "#all"}.get(name, "")
        data = open_dataset(f"{name}:{tmp_path / 'out'}{split}")
    assert {data.example(i).present for i in range(2)} == {("boat",), ("海",)}


def test_an_export_of_nothing_or_of_a_format_that_is_not_is_refused(filled: TestClient) -> None:
    assert "nothing is accepted" in filled.get("/v1/project/export/xmp").json()["error"]
    decide(filled, (1, filled.get("/v1/project").json()["labels"][0]["name"], 1))
    refused = filled.get("/v1/project/export/xmpp")
    assert refused.status_code == 422
    assert "Did you mean 'xmp'" in refused.json()["error"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["C:\\photos\\a.jpg"], ["C_/photos/a.jpg"]),
        (["con.jpg", "a/../b.jpg", ".hidden.jpg"], ["_con.jpg", "a/b.jpg", "hidden.jpg"]),
        (["", "...", "/"], ["photograph.jpg", "photograph (2).jpg", "photograph (3).jpg"]),
        (["A.JPEG", "a.jpeg", "a.png"], ["A.JPEG", "a (2).jpeg", "a.png.jpg"]),
        (["\u202egpj.exe", "a\0b\n.jpg"], ["_gpj.exe.jpg", "a_b_.jpg"]),
        (["x" * 300 + ".jpg"], ["x" * 70 + "x" * 6 + ".jpg"]),
    ],
)
def test_names_in_exports_are_harmless_everywhere(names: list[str], expected: list[str]) -> None:
    assert export_names((name, ".jpg") for name in names) == expected


def test_another_web_site_cannot_decide(filled: TestClient) -> None:
    label = filled.get("/v1/project").json()["labels"][0]["name"]
    body = json.dumps({"changes": [{"image": 1, "label": label, "value": 1}]})
    headers = {"Origin": "http://evil.example", "Content-Type": "application/json"}
    assert filled.post("/v1/project/decisions", content=body, headers=headers).status_code == 403


def test_keywords_and_folders_come_in_as_decided_once(
    project: Project, tmp_path: Path, photographs: list[Path]
) -> None:
    from labelbeam.formats.photo_metadata.xmp import new_packet

    folder = tmp_path / "photos"
    for name, path in zip(("boat/a.png", "Unsorted/b.png", "c.png"), photographs, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(path.read_bytes())
    (folder / "boat" / "a.png.xmp").write_bytes(new_packet({"dc:subject": ["Sea", "harbour"]}))
    project.add_labels(["sea"])
    assert add_folder(project, folder, take="both") == (3, 1, [])
    names = {one.id: one.name for one in project.photographs()}
    said = {names[image]: row for image, row in project.decisions().items()}
    assert said == {"boat/a.png": {"sea": 1, "harbour": 1, "boat": 1}}
    (image,) = project.decisions()
    project.decide([Change(image, "sea", 0)])
    assert add_folder(project, folder, take="both") == (3, 0, []), "what was rejected must not come back"
    assert project.decisions()[image]["sea"] == 0
    with pytest.raises(InputError, match="both, folders, keywords, nothing"):
        add_folder(project, folder, take="tags")


def test_scores_of_many_are_those_of_the_cards_and_of_one_label_from_the_picture_alone(
    filled: TestClient, tagger: Tagger
) -> None:
    label = tagger.labels[0]
    decide(filled, (1, label, 1))
    asked = filled.post("/v1/project/scores", json={"photographs": [1, 2, 99]}).json()
    assert set(asked["scores"]) == {"1", "2"}
    assert label not in asked["scores"]["1"]
    for image in (1, 2):
        cards = filled.get(f"/v1/project/photographs/{image}/suggestions?count=99").json()["suggestions"]
        found = asked["scores"][str(image)]
        for one in cards:  # scores are sampled
            assert found.get(one["label"], 0.05) == pytest.approx(max(one["score"], 0.05), abs=0.06)
    alone = filled.post("/v1/project/scores", json={"photographs": [1], "label": label}).json()
    filled.post("/v1/project/decisions", json={"changes": [{"image": 1, "label": label, "value": None}]})
    assert filled.post("/v1/project/scores", json={"photographs": [1], "label": label}).json() == alone
    assert filled.post("/v1/project/scores", json={"photographs": [1], "label": "nothing"}).status_code == 422


def test_where_a_promise_stands_the_page_learns_which_photographs_need_nobody(
    promising: Tagger, client_of: Callable[..., TestClient], project: Project, photographs: list[Path]
) -> None:
    page = client_of(tagger=promising, project=project)
    upload(page, photographs[:3])
    state = page.get("/v1/project").json()
    assert state["unseen"] == 0.8
    assert "promised: nobody needs to look at images" in state["promised"][0]
    found = page.post("/v1/project/unseen", json={"photographs": [1, 2, 3, 99]}).json()
    said = [sorted(one.label for one in one.labels) for one in promising.tag(photographs[:3])]
    assert {int(image): sorted(labels) for image, labels in found["decided"].items()} == {
        2: said[1],
        3: said[2],
    }
    assert found["unreadable"] == []


def test_where_no_promise_stands_it_says_how_to_get_one(filled: TestClient) -> None:
    assert filled.get("/v1/project").json()["unseen"] is None
    refused = filled.post("/v1/project/unseen", json={"photographs": [1]})
    assert refused.status_code == 422
    assert "--unseen 0.95" in refused.text
