"""An exported run: loads like any run, needs no PyTorch, says the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.runs.export import export_run
from labelbeam.runs.run_directory import fingerprint, load_run, save_run
from labelbeam.runs.tagger import Tagger

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["accelerate"] = None
from labelbeam.cli.app import main
main()
"""


@pytest.fixture(scope="session")
def onnx(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run as a graph; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "onnx"
    export_run(finished, out, to="onnx")
    return out


@pytest.fixture(scope="session")
def arrays(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run without an encoder; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "numpy"
    export_run(finished, out, to="numpy")
    return out


def without_torch(*arguments: object, cache: Path) -> subprocess.CompletedProcess[str]:
    """`labelbeam ARGUMENTS…` in a process of its own that cannot import torch."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)],
        env={**os.environ, "LABELBEAM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


def compared(ours: str, theirs: str) -> None:
    """Hold two outputs of `tag --all-scores` against each other: same search, scores to 1e-4."""
    lines = [[json.loads(line) for line in text.splitlines()] for text in (ours, theirs)]
    for one, other in zip(*lines, strict=True):
        assert (one["path"], one["exact"], one["calibrated"]) == (
            other["path"],
            other["exact"],
            other["calibrated"],
        )
        assert one["log_prob"] == pytest.approx(other["log_prob"], abs=1e-4)
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)
        for said, again in zip(one["labels"], other["labels"], strict=True):
            assert said["label"] == again["label"]
            for part in ("low", "high", "stderr"):  # the sampled parts come from the same seed
                assert said[part] == pytest.approx(again[part], abs=1e-4)


def test_without_pytorch_real_photographs_are_tagged_as_with_it(
    finished, onnx, command, labelbeam_data, own_cache
) -> None:
    photographs = sorted((labelbeam_data / "demo").iterdir())
    expected = command("tag", finished, *photographs, "--all-scores", "--json")
    assert expected.exit_code == 0, expected.output
    done = without_torch("tag", onnx, *photographs, "--all-scores", "--json", cache=own_cache)
    assert done.returncode == 0, done.stderr
    compared(done.stdout, expected.stdout)


def test_without_pytorch_a_run_is_evaluated_and_labels_are_suggested(
    finished, onnx, drawn, command, own_cache, tmp_path
) -> None:
    asked = ("--data", f"csv:{drawn / 'tags.csv'}#test", "--bootstrap", 0, "--json")
    expected = json.loads(command("evaluate", finished, *asked).stdout)
    done = without_torch("evaluate", onnx, *asked, cache=tmp_path / "another")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name in ("mAP_area", "OF1", "subset_accuracy", "log_likelihood"):
        assert found[name] == pytest.approx(expected[name], abs=1e-4), name
    picture = sorted(drawn.glob("*.png"))[0]
    for mechanism in ("likelihood-weighting", "any-subset"):
        words = (picture, "--mechanism", mechanism, "--json")
        suggested = without_torch("suggest", onnx, *words, cache=own_cache)
        assert suggested.returncode == 0, suggested.stderr
        ours, theirs = (
            {one["label"]: one["score"] for one in json.loads(text)["suggestions"]}
            for text in (suggested.stdout, command("suggest", finished, *words).stdout)
        )
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_without_pytorch_the_original_run_says_what_to_install(finished, drawn, own_cache) -> None:
    done = without_torch("tag", finished, sorted(drawn.glob("*.png"))[0], cache=own_cache)
    assert done.returncode == 2
    assert "pip install 'labelbeam[torch]'" in done.stderr
    assert "labelbeam export RUN --to onnx" in done.stderr


@pytest.mark.parametrize("beam", [None, 4])
def test_the_decoder_beside_it_stands_alone_and_finds_the_same_paths(
    arrays, finished, drawn, tmp_path, beam
) -> None:
    pictures = sorted(drawn.glob("*.png"))[:12]
    run = load_run(finished)
    features = extract(pictures, run.encoder).values
    np.save(tmp_path / "features.npy", features)
    moved = shutil.copytree(arrays, tmp_path / "moved")
    options = [] if beam is None else ["--beam", str(beam)]
    code = "import sys; sys.modules['labelbeam'] = sys.modules['safetensors'] = sys.modules['torch'] = None\n"
    code += "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, moved / "decode.py", tmp_path / "features.npy", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = Tagger.load(finished).answer(features)
    for line, path, log_prob, exact in zip(
        done.stdout.splitlines(), answers.paths, answers.log_probs, answers.exact, strict=True
    ):
        told = json.loads(line)
        if beam is None and exact:
            assert told["labels"] == [run.vocabulary.names[i] for i in path]
            assert (told["log_prob"], told["exact"]) == (pytest.approx(log_prob, abs=1e-4), True)
        else:
            assert told["log_prob"] <= log_prob + 1e-4
    assert answers.exact.any()


def test_the_decoder_refuses_features_of_another_encoder(arrays, tmp_path) -> None:
    np.save(tmp_path / "features.npy", np.zeros((2, 7), np.float32))
    done = subprocess.run(
        [sys.executable, arrays / "decode.py", tmp_path / "features.npy"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "must hold finite numbers [images 32], it holds (2, 7)" in done.stderr


def test_a_run_exported_to_numpy_tags_features_and_says_what_is_missing_for_pictures(
    arrays, finished, drawn
) -> None:
    tagger, whole = Tagger.load(arrays), Tagger.load(finished)
    picture = sorted(drawn.glob("*.png"))[0]
    vector = extract([picture], whole.run.encoder).values[0]
    (ours,), (theirs,) = (list(one.tag_features([("a", vector)])) for one in (tagger, whole))
    assert ours == theirs
    assert tagger.suggest(vector) == whole.suggest(vector)
    with pytest.raises(InputError, match=r"exported to NumPy.*cannot read pictures.*32 numbers.*--to onnx"):
        list(tagger.tag([picture]))


def test_an_exported_run_is_whole_and_keeps_what_the_run_has(onnx, finished) -> None:
    assert {file.name for file in onnx.iterdir()} == {
        *("model.safetensors", "suggester.safetensors", "suggester.json", "config.yaml", "labels.json"),
        *("preprocess.json", "metrics.json", "versions.json", "encoder.onnx", "encoder.json", "export.json"),
        *("decode.py", "decode.json"),
        *([] if not (finished / "calibration.json").exists() else ["calibration.json"]),
    }
    ours, theirs = load_run(onnx), load_run(finished)
    assert (ours.config, ours.vocabulary, ours.counts) == (theirs.config, theirs.vocabulary, theirs.counts)
    assert ours.encoder.identity == theirs.encoder.identity
    assert fingerprint(onnx) not in (fingerprint(finished), "")


def test_features_are_extracted_as_with_pytorch_and_found_again_in_its_cache(onnx, finished, drawn) -> None:
    pictures = sorted(drawn.glob("*.png"))[:5]
    ours, theirs = (extract(pictures, load_run(run).encoder).values for run in (onnx, finished))
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)


def test_openvino_runs_the_same_graph(onnx, finished, drawn, tmp_path) -> None:
    pytest.importorskip("openvino")
    copied = shutil.copytree(onnx, tmp_path / "openvino")
    told = json.loads((copied / "export.json").read_text())
    (copied / "export.json").write_text(json.dumps(told | {"to": "openvino"}))
    pictures = sorted(drawn.glob("*.png"))[:5]
    run = load_run(copied)
    assert run.encoder.engine == "openvino"  # type: ignore[attr-defined]
    theirs = extract(pictures, load_run(finished).encoder).values
    np.testing.assert_allclose(extract(pictures, run.encoder).values, theirs, rtol=2e-3, atol=1e-3)


def test_int8_is_calibrated_on_photographs_and_rounds_the_features(finished, drawn, tmp_path) -> None:
    pytest.importorskip("onnx")
    pictures = sorted(drawn.glob("*.png"))
    run = export_run(finished, tmp_path / "int8", to="onnx", precision="int8", calibrate=[*pictures[:20]])
    assert run.encoder.precision.startswith("int8")
    exact = extract(pictures[20:40], load_run(finished).encoder).values.astype(np.float32)
    rounded = extract(pictures[20:40], run.encoder).values.astype(np.float32)
    assert 0 < np.abs(rounded - exact).mean() < 0.1 * np.abs(exact).mean()


def test_what_fails_leaves_nothing_behind(finished, tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelbeam.runs.export.shutil.copyfile", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\).*Make room"):
        export_run(finished, tmp_path / "out", to="numpy")
    assert not list(tmp_path.iterdir())


WRONG = {
    "a target": (lambda f, e, o: export_run(f, o, to="onix"), ["'onix'", "onnx"]),
    "a precision": (lambda f, e, o: export_run(f, o, to="onnx", precision="int4"), ["'int4'", "int8"]),
    "int8 without photographs": (
        lambda f, e, o: export_run(f, o, to="onnx", precision="int8"),
        ["--calibrate SPEC"],
    ),
    "photographs without int8": (
        lambda f, e, o: export_run(f, o, to="onnx", calibrate=[Path("a.jpg")]),
        ["needs none"],
    ),
    "int8 of no graph": (
        lambda f, e, o: export_run(f, o, to="numpy", precision="int8", calibrate=[Path("a.jpg")]),
        ["--to numpy leaves out"],
    ),
    "an exported run": (lambda f, e, o: export_run(e, o, to="onnx"), ["was exported already"]),
    "no run": (lambda f, e, o: export_run(o, o, to="onnx"), ["is not a run directory"]),
    "a folder that is there": (lambda f, e, o: export_run(f, f, to="numpy"), ["is there already"]),
    "saving it as a run": (
        lambda f, e, o: save_run(load_run(e), e, opening=[]),
        ["cannot be saved as a run again"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_exported_is_reported(name, finished, arrays, tmp_path) -> None:
    act, words = WRONG[name]
    with pytest.raises(InputError) as told:
        act(finished, arrays, tmp_path / "out")
    assert all(word in str(told.value) for word in words), told.value


SPOILED = {
    "another target": ("export.json", '{"to": "nmpy"}', ["target of an export", "numpy"]),
    "no JSON": ("export.json", "{", ["export.json is not readable JSON"]),
    "a list": ("export.json", "[]", ["must hold an object"]),
    "no description": ("encoder.json", "{}", ["encoder.json is damaged", "Export the run again"]),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_export_is_refused_in_words(name, arrays, tmp_path) -> None:
    file, text, words = SPOILED[name]
    copied = shutil.copytree(arrays, tmp_path / "copied")
    (copied / file).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as told:
        load_run(copied)
    assert all(word in str(told.value) for word in words), told.value


def test_explaining_an_exported_run_is_refused(onnx, drawn) -> None:
    from labelbeam.explain.explained_run import explain

    with pytest.raises(InputError, match=r"exported run cannot be explained.*Give the original"):
        explain(load_run(onnx), sorted(drawn.glob("*.png"))[0])
