"""`import labelbeam` is the one door: its names, what they do with good and bad values, and no other one."""

import ast
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import labelbeam as lb

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = ("labelbeam.sklearn",)
"""Modules beside the front door that programs may import."""


# --- the names


def test_every_public_name_is_there_documented_and_of_the_module_that_type_checkers_see() -> None:
    tree = ast.parse((ROOT / "src" / "labelbeam" / "__init__.py").read_text(encoding="utf-8"))
    told = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("labelbeam.")
        for alias in node.names
        if alias.asname == alias.name  # so that it is exported
    }
    assert {*told, "__version__"} == set(lb.__all__)
    for name, module in told.items():
        found = getattr(lb, name)
        assert found is getattr(sys.modules[module], name)
        assert (found.__doc__ or "").strip(), name
    assert set(lb.__all__) <= set(dir(lb))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Taggr'"):
        _ = lb.Taggr


def test_no_public_name_is_also_that_of_a_module() -> None:
    modules = {path.stem for path in (ROOT / "src" / "labelbeam").iterdir()}
    assert modules.isdisjoint(lb.__all__)


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, labelbeam; print({'numpy', 'torch', 'PIL'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def imported(text: str) -> list[str]:
    """Modules of labelbeam that a piece of Python imports, as a script or as a doctest."""
    found = re.findall(r"^\s*(?:>>> )?(?:from|import) (labelbeam[\w.]*)", text, flags=re.MULTILINE)
    return [name for name in found if name != "labelbeam" and name not in OTHERS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_imports_from_the_front_door_only(page: Path) -> None:
    assert imported(page.read_text(encoding="utf-8")) == []


def code_of(file: Path) -> str:
    """Return the Python of a script or of a notebook's cells."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


EXAMPLES = [path for path in sorted((ROOT / "examples").rglob("*")) if path.suffix in (".py", ".ipynb")]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_or_notebook_imports_from_the_front_door_only(example: Path) -> None:
    assert imported(code_of(example)) == []


def test_another_door_would_be_seen(tmp_path: Path) -> None:
    cells = [
        {"cell_type": kind, "source": ["x = 1\n", f"import labelbeam.{kind}"]} for kind in ("code", "raw")
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert imported(code_of(tmp_path / "a.ipynb")) == ["labelbeam.code"]
    assert imported("import labelbeam as lb\n>>> from labelbeam.runs.tagger import Tagger\n") == [
        "labelbeam.runs.tagger"
    ]


# --- the model in one's own loop, and its searches


def data(images: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    features = torch.randn(images, 8)
    return features, (features[:, :4] > 0.3).to(torch.int8)


def taught(**options) -> lb.CNNRNN:
    features, targets = data()
    torch.manual_seed(1)
    model = lb.CNNRNN(4, 8, lb.LabelModelOptions(hidden_size=16, embedding_size=8), **options)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        loss = model(features, targets).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


def test_a_model_learns_in_a_loop_and_its_searches_find_the_sets() -> None:
    features, targets = data()
    search = lb.decode(taught())
    best = search.exact(features)
    sets = [tuple(np.flatnonzero(row).tolist()) for row in targets.numpy()]
    assert best.exact.all()
    assert np.mean([path == one for path, one in zip(best.paths, sets, strict=True)]) > 0.8
    assert search.beam(features, width=4).paths == best.paths
    found = search.marginals(features)
    assert ((found.low <= found.score) & (found.score <= found.high)).all()
    assert np.abs(search.sample(features).marginals() - found.score).max() < 0.05
    assert repr(search).startswith("Decoder(4 labels, canonical, additive, ")


def test_the_loss_is_minus_the_log_probability_of_the_set_with_or_without_an_order() -> None:
    features, targets = data()
    for model in (taught(), taught(order=[2, 0, 3, 1])):
        nats = model.eval()(features, targets).detach().numpy()
        np.testing.assert_allclose(-nats, lb.decode(model).log_prob(features, targets), atol=1e-4)


def test_a_model_with_an_order_says_what_one_with_sorted_columns_says() -> None:
    features, targets = data()
    order = lb.order_labels(targets.numpy())
    torch.manual_seed(3)
    ordered = lb.CNNRNN(4, 8, order=order)
    torch.manual_seed(3)
    plain = lb.CNNRNN(4, 8)
    columns = torch.from_numpy(order)
    assert torch.equal(ordered(features, targets), plain(features, targets[:, columns]))
    ours, theirs = lb.decode(ordered), lb.decode(plain)
    np.testing.assert_array_equal(ours.marginals(features).score[:, order], theirs.marginals(features).score)
    paths = [tuple(int(order[label]) for label in path) for path in theirs.exact(features).paths]
    assert ours.exact(features).paths == paths
    assert ours.marginals(features).paths.paths == paths
    np.testing.assert_array_equal(
        ours.given(features, [int(order[0])], [int(order[2])]).score[:, order],
        theirs.given(features, [0], [2]).score,
    )
    np.testing.assert_array_equal(ours.sample(features, 5).sets[:, :, order], theirs.sample(features, 5).sets)


def test_an_order_is_kept_with_the_weights_and_never_dropped_in_silence() -> None:
    ordered = lb.CNNRNN(3, 4, order=[2, 0, 1])
    with pytest.raises(RuntimeError, match="order"):
        lb.CNNRNN(3, 4).load_state_dict(ordered.state_dict())


def test_unknown_labels_leave_the_loss_of_both_models() -> None:
    features, targets = data()
    unknown = targets.clone()
    unknown[:, 3] = -1
    for model in (taught().eval(), lb.SigmoidHead(num_labels=4, num_features=8)):
        assert model(features, unknown).shape == (64,)
        absent = targets[:, 3] == 0  # what is known to be absent costs nats, what is unknown does not
        assert (model(features, unknown)[absent] <= model(features, targets)[absent] + 1e-5).all()
        assert torch.equal(model(features, unknown.float()), model(features, unknown.long()))


def test_evidence_is_given_for_all_images_or_for_each() -> None:
    features, _ = data(3)
    search = lb.decode(taught())
    alike = search.given(features, [0], [1])
    each = search.given(features, [[0], [0], []], [[1], [1], []])
    np.testing.assert_array_equal(each.score[:2], alike.score[:2])
    assert alike.score[:, 0].tolist() == [1, 1, 1]
    assert alike.score[:, 1].tolist() == [0, 0, 0]
    assert each.score[2, 0] not in (0, 1)


def test_arrays_and_tensors_of_any_kind_give_the_same_answers() -> None:
    features, _ = data(5)
    search = lb.decode(taught())
    expected = search.marginals(features).score
    for same in (features.numpy(), features.double(), features.requires_grad_()):
        np.testing.assert_allclose(search.marginals(same).score, expected, atol=1e-6)


def test_the_length_of_sets_can_be_set() -> None:
    features, _ = data(6)
    search = lb.decode(taught(), min_labels=2, max_labels=2)
    assert {len(path) for path in search.exact(features).paths} == {2}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: lb.CNNRNN(num_labels=0, num_features=3), ["num_labels must be a whole number", "given 0"]),
        (lambda: lb.CNNRNN(2, 3, order=[0, 0]), ["each of the 2 columns", "once"]),
        (lambda: lb.CNNRNN(2, 3, shuffle=True), ["canonical", "no-repeat"]),
        (lambda: lb.CNNRNN(2, 3, scaling="l3"), ["unknown feature scaling 'l3'", "l2"]),
        (lambda: lb.CNNRNN(2, 3)(torch.zeros(1, 4), torch.zeros(1, 2)), ["features [batch 3]", "[1, 4]"]),
        (lambda: lb.decode(lb.SigmoidHead(2, 3)), ["the head 'sigmoid'", "nothing to search", "CNNRNN"]),
        (lambda: lb.decode(3), ["'int'", "labelbeam.CNNRNN"]),
        (lambda: lb.decode(taught()).exact(np.zeros(8)), ["[images 8]", "[8]"]),
        (lambda: lb.decode(taught()).exact(np.full((1, 8), np.nan)), ["NaN"]),
        (lambda: lb.decode(taught()).given(np.zeros((1, 8)), [7]), ["0 to 3", "given 7"]),
        (lambda: lb.decode(taught()).given(np.zeros((1, 8)), ["cat"]), ["unknown label 'cat'"]),
        (lambda: lb.decode(taught()).given(np.zeros((1, 8)), [1], [1]), ["both accepted and rejected"]),
        (lambda: lb.decode(taught()).beam(np.zeros((1, 8)), width=0), ["at least 1"]),
        (lambda: lb.open_dataset("csv:a.csv", mising="keep"), ["Did you mean 'missing'"]),
        (lambda: lb.load("nowhere"), ["nowhere", "no such folder"]),
        (lambda: lb.train("csv:nowhere.csv"), ["nowhere.csv"]),
        (lambda: lb.score([[1, 2]], [[0.5, 0.1]]), ["1 (present), 0 (absent) or -1"]),
        (lambda: lb.score([[1, 0]], [[0.5]]), ["shape"]),
        (lambda: lb.score([[1, 0]], [[1, 0]]), ["sets or scores", "Sets()"]),
        (lambda: lb.score([[1, 0]], [[0.5, 0.1]], lb.Sets()), ["booleans"]),
        (lambda: lb.score([[1, 0]], [[True, False]], lb.ExactK(1)), ["needs scores"]),
        (lambda: lb.ExactK(0), ["at least 1"]),
    ],
)
def test_what_is_wrong_is_an_input_error_that_says_what_to_do(wrong, words) -> None:
    with pytest.raises(lb.InputError) as refused:
        wrong()
    assert [word for word in words if word not in str(refused.value)] == []


def test_a_value_of_another_kind_is_an_input_error_too() -> None:
    # Types are checked while tests run, so this is asked in an interpreter of its own.
    code = """
import torch
import labelbeam as lb
head = lb.SigmoidHead(2, 3)
calls = [lb.open_dataset, lb.load, lb.train, lambda x: lb.score([[1, 0]], [[0.5, 0.1]], x)]
calls += [lambda x: head(torch.zeros(1, 3), torch.zeros(x, 2))]
calls += [lambda x: head(torch.zeros(x, 3), torch.full((x, 2), 0.3))]
for call in calls:
    try:
        call(3)
    except lb.InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [
        "a data set is named FORMAT:PATH#SPLIT",
        "a run is the path of its folder",
        "a data set is named FORMAT:PATH#SPLIT",
        "a protocol is ExactK(k)",
        "there are features of 1 images and targets of 3.",
        "targets must be 1 (present)",
    ]


# --- from a data set to a run


@pytest.fixture(scope="module")
def run(drawn, encoder_file) -> lb.Run:
    return lb.train(
        f"csv:{drawn / 'tags.csv'}#train",
        weights=encoder_file,
        settings={"recipe.epochs": 2, "recipe.batch_size": 16, "label_model.hidden_size": 16},
    )


def test_a_run_is_trained_saved_loaded_and_says_the_same(run, drawn, tmp_path) -> None:
    run.save(tmp_path / "run")
    again = lb.load(tmp_path / "run")
    image = sorted(drawn.glob("*.png"))[0]
    assert [one.to_json() for one in again.tag(image)] == [one.to_json() for one in run.tag(image)]
    assert again.metrics["OF1"] == run.metrics["OF1"]
    assert [row["epoch"] for row in again.history] == [1, 2]
    assert (tmp_path / "run" / "log.csv").is_file()
    assert repr(again) == repr(run)
    assert re.fullmatch(r"Run\(cnn-rnn, \d+ labels, encoder tiny, trained on 'csv:.*#train'\)", repr(run))
    assert repr(run.tagger).startswith("Tagger(cnn-rnn, ")
    with pytest.raises(lb.InputError, match="holds a run"):
        run.save(tmp_path / "run")
    run.save(tmp_path / "run", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(lb.InputError, match="not a run"):
        run.save(tmp_path / "other", overwrite=True)


def test_evaluating_a_run_is_what_the_command_does(run, drawn, command, tmp_path) -> None:
    import json

    run.save(tmp_path / "run")
    spec = f"csv:{drawn / 'tags.csv'}#test"
    for protocol, option in (
        (None, ()),
        (lb.ExactK(2), ("--k", 2)),
        (lb.Threshold(0.3), ("--threshold", 0.3)),
    ):
        done = command("evaluate", tmp_path / "run", "--data", spec, "--bootstrap", 0, "--json", *option)
        told = json.loads(done.stdout)
        found = lb.evaluate(run, lb.open_dataset(spec), protocol)
        assert found.values == {name: told[name] for name in found.values}
    assert lb.evaluate(tmp_path / "run", spec).values == lb.evaluate(run.tagger, spec).values


def test_a_run_is_searched_by_the_names_of_its_labels(run) -> None:
    search = lb.decode(run)
    features = np.zeros((1, run.encoder.num_features))
    assert search.given(features, [run.labels[2]]).score[0, 2] == 1


def test_training_refuses_what_the_head_cannot_use(drawn) -> None:
    with pytest.raises(lb.InputError, match="the head 'sigmoid' has no label_model"):
        lb.train(f"csv:{drawn / 'tags.csv'}#train", head="sigmoid", settings={"label_model.cell": "paper"})


# --- what an image is


def as_bytes(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_one_photograph_is_one_and_a_list_is_many(run, drawn) -> None:
    image = sorted(drawn.glob("*.png"))[0]
    assert [one.image for one in run.tag(str(image))] == [str(image)]
    assert [one.image for one in run.tag(image)] == [str(image)]
    assert len(list(run.tag([image, str(image)]))) == 2
    assert len(list(run.tag(path for path in [image, image]))) == 2
    assert list(run.tag([])) == []


def test_pil_images_bytes_and_arrays_are_images(run, drawn) -> None:
    path = sorted(drawn.glob("*.png"))[0]
    opened = Image.open(path)
    pixels = np.asarray(opened.convert("RGB"))
    expected = next(iter(run.tag(path))).labels
    given = [opened, path.read_bytes(), pixels, bytearray(path.read_bytes())]
    for one in given:
        assert next(iter(run.tag(one))).labels == expected
    found = list(run.tag([path, *given]))
    assert [one.labels for one in found] == [expected] * 5
    assert [one.image for one in found] == [str(path), str(path), "image 2", "image 3", "image 4"]
    assert [one.labels for one in run.tag(np.stack([pixels, pixels]))] == [expected] * 2
    assert run.suggest(pixels).labels == run.suggest(path).labels == run.suggest(opened).labels


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA", "CMYK", "I;16"])
def test_a_pil_image_of_any_mode_is_taken_as_its_file_would_be(mode, run, drawn) -> None:
    grey = Image.open(sorted(drawn.glob("*.png"))[0]).convert("L")
    picture = (
        Image.fromarray(np.asarray(grey).astype(np.uint16) << 8) if mode == "I;16" else grey.convert(mode)
    )
    scores = next(iter(run.tag(picture, all_scores=True))).scores
    file = grey if mode == "CMYK" else picture
    expected = next(iter(run.tag(as_bytes(file), all_scores=True))).scores
    assert scores == pytest.approx(expected, abs=0.02)


def test_a_pil_image_is_turned_as_its_mark_says(run, drawn) -> None:
    upright = Image.open(sorted(drawn.glob("*.png"))[0]).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    marked = Image.open(io.BytesIO(file.getvalue()))
    assert next(iter(run.tag(marked))).labels == next(iter(run.tag(upright))).labels


def test_an_image_that_cannot_be_read_is_its_own_fault_and_the_others_go_on(run, drawn) -> None:
    image = sorted(drawn.glob("*.png"))[0]
    found = list(run.tag([image, b"no image", "nowhere.jpg", image]))
    assert [bool(one.error) for one in found] == [False, True, True, False]
    assert found[1].image == "image 1"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "given int"),
        (None, "given None"),
        ([5], "image 0 must be a path"),
        (np.zeros((4, 4, 3)), "float64 [4, 4, 3]"),
        (np.zeros(7, np.float32), "float32 [7]"),
        ([np.zeros((4, 4, 2), np.uint8)], "uint8 [4, 4, 2]"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (Image.new("F", (4, 4)), "mode 'F'"),
    ],
)
def test_what_is_no_image_is_refused_with_words(given, words, run) -> None:
    with pytest.raises(lb.InputError) as refused:
        list(run.tag(given))
    assert words in str(refused.value)


def test_something_that_is_no_image_is_refused_at_once_not_when_the_first_prediction_is_asked_for(
    run,
) -> None:
    with pytest.raises(lb.InputError):
        run.tag(5)


# --- scores


def test_scoring_arrays_is_what_scoring_files_gives(tmp_path) -> None:
    import json

    rng = np.random.default_rng(0)
    truth, scores = rng.integers(-1, 2, size=(30, 3)), rng.random((30, 3))
    names = ["b", "a", "c"]
    with (tmp_path / "truth.jsonl").open("w") as t, (tmp_path / "pred.jsonl").open("w") as p:
        for i, (row, line) in enumerate(zip(truth, scores, strict=True)):
            labels = [name for name, value in zip(names, row, strict=True) if value == 1]
            unknown = [name for name, value in zip(names, row, strict=True) if value == -1]
            t.write(json.dumps({"image": str(i), "labels": labels, "unknown": unknown}) + "\n")
            p.write(
                json.dumps({"image": str(i), "scores": dict(zip(names, line.tolist(), strict=True))}) + "\n"
            )
    for protocol in (lb.ExactK(2), lb.Threshold(0.5), None):
        by_array = lb.score(truth, torch.from_numpy(scores), protocol, labels=names)
        by_file = lb.score(tmp_path / "truth.jsonl", str(tmp_path / "pred.jsonl"), protocol)
        assert by_array.values == pytest.approx(by_file.values)


def test_equal_scores_without_names_go_by_column() -> None:
    truth = np.zeros((1, 11), dtype=int)
    truth[0, 2] = 1
    scores = np.zeros((1, 11))
    scores[0, [2, 10]] = 0.5
    assert lb.score(truth, scores, lb.ExactK(1))["OF1"] == 1.0


# --- rules


def test_a_decoder_keeps_rules_written_with_columns_whatever_the_models_order() -> None:
    torch.manual_seed(0)
    model = lb.CNNRNN(num_labels=5, num_features=4)
    features = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    lines = ["exactly one of: 1, 3", "3 -> 0", "at most 2 labels"]
    search = lb.decode(model, rules=lines)

    def keeps(columns) -> bool:
        has = set(columns)
        return len(has & {1, 3}) == 1 and (3 not in has or 0 in has) and len(has) <= 2

    assert all(keeps(path) for path in search.exact(features).paths)
    assert all(keeps(path) for path in search.beam(features).paths)
    assert not all(keeps(path) for path in lb.decode(model).exact(features).paths)
    scores = search.marginals(features).score
    np.testing.assert_allclose(scores[:, 1] + scores[:, 3], 1, atol=1e-3)
    with pytest.raises(lb.InputError, match=r"(?s)image 0: .*accepted: 1\n  accepted: 3\n"):
        search.given(features, accepted=[1, 3])
    with pytest.raises(lb.InputError, match="unknown label '7'"):
        lb.decode(model, rules=["never: 7"])


def test_a_loaded_run_keeps_rules() -> None:
    folder = ROOT / "tests" / "frozen" / "exported"
    names = lb.load(folder).labels
    run = lb.load(folder, rules=[f"exactly one of: {names[2]}, {names[3]}", "at most 2 labels"])
    features = np.random.default_rng(0).standard_normal((20, run.encoder.num_features)).astype(np.float32)
    for path in run.tagger.answer(features).paths:
        assert len({2, 3} & set(path)) == 1
        assert len(path) <= 2
