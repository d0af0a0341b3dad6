"""Vectors instead of pictures through the verbs: trained on, judged, tagged, exported; what needs pixels says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelbeam.runs.run_directory import load_run
from tiny_runs import SMALL, Command


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labels that follow from four numbers; `b` only beside `a`."""
    random = np.random.default_rng(0)
    features = random.normal(size=(80, 4)).astype(np.float32)
    labels = (features[:, :3] > 0).astype(np.int8)
    labels[:, 1] &= labels[:, 0]
    file = tmp_path_factory.mktemp("vectors") / "v.npz"
    split = np.array(["train"] * 60 + ["test"] * 20)
    np.savez(
        file,
        features=features,
        labels=labels,
        names=np.array(["a", "b", "c"]),
        split=split,
        kind=np.array("toy"),
    )
    return file


@pytest.fixture(scope="module")
def run(command: Command, vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "vectors"
    done = command(
        *(
            "train",
            "--data",
            f"vectors:{vectors}#train",
            "--out",
            folder,
            "--epochs",
            3,
            "--batch-size",
            16,
            *SMALL,
        )
    )
    assert done.exit_code == 0, done.output
    return folder


def test_a_run_declares_number_and_kind_of_its_features_in_place_of_an_encoder(run: Path) -> None:
    assert not (run / "encoder.safetensors").exists()
    assert not (run / "preprocess.json").exists()
    told = json.loads((run / "features.json").read_text())
    assert told["num_features"] == 4
    assert told["arguments"]["kind"] == "toy"
    assert load_run(run).encoder.num_features == 4


def test_evaluate_tag_and_suggest_answer_for_rows(
    run: Path, vectors: Path, command: Command, tmp_path: Path
) -> None:
    judged = command("evaluate", run, "--data", f"vectors:{vectors}#test", "--json", "--bootstrap", 20)
    assert judged.exit_code == 0, judged.output
    assert 0 <= json.loads(judged.stdout)["subset_accuracy"] <= 1
    done = command("tag", run, f"vectors:{vectors}#test", "--out", tmp_path / "t.jsonl", "--all-scores")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == [f"v/{row}" for row in range(61, 81)]
    one = command("suggest", run, "v/61", "--vector", f"vectors:{vectors}", "--known", "a", "--json")
    assert {row["label"] for row in json.loads(one.stdout)["suggestions"]} == {"b", "c"}


def test_an_interrupted_job_goes_on_at_the_next_row(
    run: Path, vectors: Path, command: Command, tmp_path: Path
) -> None:
    out = tmp_path / "t.csv"
    assert command("tag", run, f"vectors:{vectors}", "--out", out).exit_code == 0
    assert len(out.read_text().splitlines()) == 81


@pytest.mark.parametrize("beside", ["", "v.xml"])
def test_arff_without_labels_is_tagged_and_not_learned_from(
    run: Path, command: Command, tmp_path: Path, beside: str
) -> None:
    file = tmp_path / "v-new.arff"
    attributes = "".join(f"@attribute f{j} numeric\n" for j in range(4))
    file.write_text(f"@relation new\n{attributes}@data\n1,2,3,4\n-1,0,0,1\n")
    if beside:
        (tmp_path / beside).write_text('<labels><label name="a"/><label name="b"/></labels>')
    done = command("tag", run, f"vectors:{file}", "--out", tmp_path / "t.csv")
    assert done.exit_code == 0, done.output
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 3
    done = command("evaluate", run, "--data", f"vectors:{file}")
    assert done.exit_code == 2
    told = (
        "has no attribute 'a', which v.xml names as a label, nor another"
        if beside
        else "the relation 'new', which"
    )
    assert "holds no labels" in done.output
    assert told in " ".join(done.output.split())


def test_an_export_to_numpy_gives_the_same_answers(
    run: Path, vectors: Path, command: Command, tmp_path: Path
) -> None:
    assert command("export", run, "--to", "numpy", "--out", tmp_path / "exported").exit_code == 0
    first = command("tag", run, f"vectors:{vectors}#test", "--json").stdout
    assert command("tag", tmp_path / "exported", f"vectors:{vectors}#test", "--json").stdout == first


def test_data_verbs_work_on_vectors(vectors: Path, command: Command, tmp_path: Path) -> None:
    seen = command(
        "data", "inspect", f"vectors:{vectors}#train", "--test", f"vectors:{vectors}#test", "--json"
    )
    assert json.loads(seen.stdout)["images"]["vectors"] == {
        "number": 4,
        "dtype": "float32",
        "kind": "toy",
        "constant": 0,
    }
    parts = tmp_path / "parts.npz"
    assert command("data", "split", f"vectors:{vectors}", "--folds", 2, "--out", parts).exit_code == 0
    seen = command(
        "data", "inspect", f"vectors:{parts}#fold0", "--test", f"vectors:{parts}#not-fold0", "--json"
    )
    assert json.loads(seen.stdout)["duplicates"]["exact"] == 0
    again = command("data", "inspect", f"vectors:{parts}#fold0", "--test", f"vectors:{parts}", "--json")
    assert (
        json.loads(again.stdout)["duplicates"]["across_splits"]
        == json.loads(seen.stdout)["data"][0]["images"]
    )


def test_a_report_is_made_without_pictures(
    run: Path, vectors: Path, command: Command, tmp_path: Path
) -> None:
    page = tmp_path / "r.html"
    done = command("report", run, "--data", f"vectors:{vectors}#test", "--out", page, "--bootstrap", 20)
    assert done.exit_code == 0, done.output
    assert "<img" not in page.read_text()
    assert (
        "trained on vectors of 4 numbers"
        in json.loads(page.with_suffix(".json").read_text())["missing"]["attention"]
    )


def test_what_needs_pixels_says_so(run: Path, vectors: Path, command: Command, tmp_path: Path) -> None:
    spec = f"vectors:{vectors}#test"
    (tmp_path / "a.jpg").write_bytes(b"")
    for arguments, message in {
        ("tag", run, tmp_path / "a.jpg"): "trained on vectors of 4 numbers (toy)",
        ("tag", run, spec, "--page", tmp_path / "p.html"): "--page needs pictures",
        ("tag", run, spec, "--out", tmp_path, "--format", "xmp"): "--format xmp needs pictures",
        ("tag", run, spec, "--engine", "onnx"): "--engine needs pictures",
        ("suggest", run, tmp_path / "a.jpg"): "not on pictures",
        ("export", run, "--to", "onnx", "--out", tmp_path / "e"): "no encoder to write as a graph",
        (
            "train",
            "--data",
            spec,
            "--finetune",
            "--out",
            tmp_path / "f",
        ): "training an encoder (--finetune) needs",
        ("train", "--data", spec, "--encoder", "vgg16", "--out", tmp_path / "g"): "which no encoder reads",
    }.items():
        done = command(*arguments)
        assert done.exit_code == 2, arguments
        assert message in " ".join(done.stderr.split()), arguments


def test_vectors_of_another_kind_are_refused(run: Path, command: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", features=np.zeros((2, 5), np.float32))
    np.savez(tmp_path / "other.npz", features=np.zeros((2, 4), np.float32), kind=np.array("clip"))
    for name, message in {"wide": "has 5 features a row", "other": "of the kind 'clip'"}.items():
        done = command("tag", run, f"vectors:{tmp_path / name}.npz")
        assert done.exit_code == 2
        assert message in " ".join(done.stderr.split())
