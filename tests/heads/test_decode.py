"""The decoder that needs NumPy alone against labelbeam's own searches."""

import json
import runpy
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from labelbeam.decoding.search import Search
from labelbeam.heads import decode
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores import TrainedSigmoid
from labelbeam.heads.label_scores_torch import SigmoidHead
from labelbeam.heads.options import LabelModelOptions, SigmoidOptions
from labelbeam.labels.rules import Limit, satisfiable
from labelbeam.predict.answers import SigmoidAnswerer
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.predict.under_rules import RuledSigmoidAnswerer

LABELS, FEATURES = 5, 6


def images(count: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, FEATURES)).astype(np.float16)


def head_of(**options: object) -> TrainedLabelModel:
    torch.manual_seed(1)
    small = LabelModelOptions(**({"embedding_size": 8, "hidden_size": 7} | options))  # type: ignore[arg-type]
    model = CNNRNN(LABELS, FEATURES, small, scaling="l2")
    model.U_l.data *= 4
    head = trained(model)
    assert isinstance(head, TrainedLabelModel)
    return head


def decoder(head: TrainedLabelModel, least: int = 0, most: int = LABELS) -> decode.LabelModelDecoder:
    options = {"scaling": "l2", "min_labels": least, "max_labels": most}
    for name in ("cell", "activation", "allowed"):
        options[name] = getattr(head.options, name)
    return decode.LabelModelDecoder(dict(head.arrays), options)


CASES = [{"cell": cell} for cell in ("lstm", "paper", "paper-gated", "none")] + [
    {"activation": "relu"},
    {"image_hidden_size": 5},
    {"cell_bias": False, "start": "zero"},
    {"allowed": "no-repeat"},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_it_finds_the_certified_path_with_its_log_probability(options) -> None:
    head = head_of(**options)
    answers = LabelModelAnswerer(head, Search(expansions=2000)).answer(images())
    for row, path, log_prob in zip(images(), answers.paths, answers.log_probs, strict=True):
        found = decoder(head).best_first(row)
        assert found == (path, pytest.approx(log_prob, abs=1e-4), True)


@pytest.mark.parametrize("width", [1, 3, 10])
def test_its_beam_finds_the_path_of_the_beam(width) -> None:
    head = head_of()
    answers = LabelModelAnswerer(head, Search(method="beam", beam_width=width)).answer(images())
    for row, path, log_prob in zip(images(), answers.paths, answers.log_probs, strict=True):
        assert decoder(head).beam(row, width) == (path, pytest.approx(log_prob, abs=1e-4), False)


def test_a_forced_number_of_labels_is_kept() -> None:
    head = head_of()
    answers = LabelModelAnswerer(head, Search(min_labels=2, max_labels=3, expansions=2000)).answer(images())
    for row, path in zip(images(), answers.paths, strict=True):
        found, _, exact = decoder(head, 2, 3).best_first(row)
        assert (found, exact) == (path, True)
        assert 2 <= len(decoder(head, 2, 3).beam(row, 4)[0]) <= 3


def test_without_enough_expansions_there_is_a_path_but_no_certificate() -> None:
    path, log_prob, exact = decoder(head_of()).best_first(images()[0], budget=1)
    assert (path, exact) == ((), False)
    assert log_prob < 0


@pytest.mark.parametrize("hidden", [0, 4])
def test_a_sigmoid_heads_set_is_the_one_with_p_of_a_half_or_more(hidden) -> None:
    torch.manual_seed(1)
    options = SigmoidOptions(hidden_size=hidden)
    module = SigmoidHead(LABELS, FEATURES, options, scaling="standardize")
    torch.nn.init.normal_(module.last.weight)
    head = trained(module)
    assert isinstance(head, TrainedSigmoid)
    answers = SigmoidAnswerer(head).answer(images())
    stands_alone = decode.SigmoidDecoder(dict(head.arrays), {"scaling": "standardize"})
    for row, path, log_prob in zip(images(), answers.paths, answers.log_probs, strict=True):
        assert stands_alone.best_first(row) == (path, pytest.approx(log_prob, abs=1e-5), True)


def test_rules_are_kept_as_labelbeam_keeps_them() -> None:
    generator = np.random.default_rng(0)
    torch.manual_seed(1)
    module = SigmoidHead(LABELS, FEATURES, SigmoidOptions(), scaling="standardize")
    torch.nn.init.normal_(module.last.weight)
    sigmoid, model, tried = trained(module), head_of(), 0
    for _ in range(40):
        a, b, c = sorted(generator.permutation(LABELS)[:3].tolist())
        high = int(generator.integers(1, 4))
        limits = (Limit((a, c), (), 1, 1), Limit((b,), (a,), 0, 1), Limit(tuple(range(LABELS)), (), 0, high))
        if not satisfiable(limits):
            continue
        tried += 1
        rules = [asdict(limit) for limit in limits]
        of_model, of_sigmoid = (
            decoder(model),
            decode.SigmoidDecoder(dict(sigmoid.arrays), {"scaling": "standardize"}),
        )
        of_model.rules, of_sigmoid.options["rules"] = rules, rules
        answers = LabelModelAnswerer(model, Search(score="beam"), limits).answer(images())
        for row, path, log_prob in zip(images(), answers.paths, answers.log_probs, strict=True):
            assert of_model.best_first(row) == (path, pytest.approx(log_prob, abs=1e-4), True)
            beamed, _, _ = of_model.beam(row, 3)
            assert not any(limit.broken_by(np.isin(np.arange(LABELS), beamed)[None])[0] for limit in limits)
        answers = RuledSigmoidAnswerer(sigmoid, limits).answer(images())
        for row, path, log_prob in zip(images(), answers.paths, answers.log_probs, strict=True):
            found, nats, _ = of_sigmoid.best_first(row)
            assert (set(found), nats) == (set(path), pytest.approx(log_prob, abs=1e-5))
    assert tried > 20


def test_it_reads_the_arrays_that_safetensors_writes(tmp_path) -> None:
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array(3),
        "c": np.ones(2, np.float16),
        "d": np.array([-1], np.int8),
    }
    save_file(arrays, tmp_path / "some.safetensors", metadata={"head": "x"})
    found = decode.read_arrays(tmp_path / "some.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_it_is_a_file_of_under_280_lines_that_imports_numpy_and_the_standard_library() -> None:
    with open(decode.__file__, encoding="utf-8") as file:  # noqa: PTH123
        lines = file.read().splitlines()
    assert len(lines) < 280
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported == {
        *("argparse", "heapq", "itertools", "json", "math", "numpy", "pathlib", "struct", "sys", "typing")
    }


def test_a_label_that_came_later_has_no_logit_of_its_own_and_changes_no_other() -> None:
    head = head_of(per_label=1.0, nothing="independent")
    arrays = dict(head.arrays) | {"per_label.bias": head.arrays["per_label.bias"].copy()}
    arrays["per_label.bias"][-1] = -np.inf
    later = TrainedLabelModel(arrays, head.options, scaling="l2", num_labels=LABELS)
    answers = LabelModelAnswerer(later, Search(expansions=2000)).answer(images())
    alone = decoder(later)
    alone.options["per_label"] = 1.0
    for row, path, log_prob in zip(images(), answers.paths, answers.log_probs, strict=True):
        assert alone.best_first(row) == (path, pytest.approx(log_prob, abs=1e-4), True)


def said(
    folder: Path, *arguments: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> list:
    monkeypatch.setattr("sys.argv", ["decode.py", *map(str, arguments)])
    runpy.run_path(str(folder / "decode.py"), run_name="__main__")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_beside_an_export_it_prints_a_line_for_each_row_and_says_what_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    head = head_of()
    names = [f"ねこ{i}" for i in range(LABELS)]
    options = {"kind": "label-model", "head": "cnn-rnn", "numbers": FEATURES, "scaling": "l2", "rules": []}
    options |= {"min_labels": 0, "max_labels": LABELS}
    options |= {name: getattr(head.options, name) for name in ("cell", "activation", "allowed")}
    shutil.copy(decode.__file__, tmp_path / "decode.py")
    save_file(dict(head.arrays), tmp_path / "model.safetensors")
    (tmp_path / "labels.json").write_text(json.dumps({"names": names}), encoding="utf-8")
    (tmp_path / "decode.json").write_text(json.dumps(options), encoding="utf-8")
    np.save(tmp_path / "rows.npy", images())
    run = partial(said, tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    lines, beam = run(tmp_path / "rows.npy"), run(tmp_path / "rows.npy", "--beam", 1)
    for row, line, of_beam in zip(images(), lines, beam, strict=True):
        path, nats, exact = decoder(head).best_first(row)
        assert line == {"labels": [names[i] for i in path], "log_prob": round(nats, 6), "exact": exact}
        path, nats, exact = decoder(head).beam(row, 1)
        assert of_beam == {"labels": [names[i] for i in path], "log_prob": round(nats, 6), "exact": exact}
    wrong = {"flat": images()[0], "wide": np.ones((2, FEATURES + 1)), "odd": images() * np.float16(np.nan)}
    for name, rows in wrong.items():
        np.save(tmp_path / f"{name}.npy", rows)
        with pytest.raises(SystemExit, match=f"{name}.npy must hold finite numbers .images {FEATURES}."):
            run(tmp_path / f"{name}.npy")
    with pytest.raises(SystemExit, match="at least 1"):
        run(tmp_path / "rows.npy", "--beam", 0)
    for kind, words in (("sigmoid", "label models only"), ("ranking", "'cnn-rnn' needs labelbeam itself")):
        (tmp_path / "decode.json").write_text(json.dumps(options | {"kind": kind}), encoding="utf-8")
        with pytest.raises(SystemExit, match=words):
            run(tmp_path / "rows.npy", "--beam", 1)
