"""The empty set's own probability: exact in every search, in training as in answering, and what is said of it."""

import itertools
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.best_first import best_paths
from labelbeam.decoding.evidence import conditional_marginals
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.search import Search
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.encoder import EncoderConfig, given_features
from labelbeam.errors import InputError
from labelbeam.heads import decode
from labelbeam.heads.arrays_torch import arrays_of, trained
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.heads.new_label import label_model_with
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.runs.choices import with_estimate
from labelbeam.runs.config import RunConfig
from labelbeam.runs.recipe import empty_sets
from labelbeam.runs.run_directory import Run
from labelbeam.runs.tagger import LEAST_IMAGES, Tagger, nothing_as_seen
from tiny_runs import SMALL

LABELS, FEATURES, HIDDEN = 5, 6, 7
SETS = np.array(list(itertools.product((0, 1), repeat=LABELS)), dtype=np.int8)
EITHER = pytest.mark.parametrize("activation", ["identity", "relu"])
ROW = pytest.mark.parametrize("per_label", [0.0, 0.5])


def model(activation: str = "identity", allowed: str = "canonical", per_label: float = 0.0) -> CNNRNN:
    torch.manual_seed(0)
    options = LabelModelOptions(
        embedding_size=4,
        hidden_size=8,
        activation=activation,
        allowed=allowed,
        image_hidden_size=HIDDEN,
        nothing="independent",
        per_label=per_label,
    )
    made = CNNRNN(LABELS, FEATURES, options, scaling="none")
    made.start_from(torch.randint(0, 2, (20, LABELS)).to(torch.int8))
    torch.nn.init.normal_(made.per_label.weight)
    return made.eval()


def images() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((6, FEATURES)).astype(np.float32)


def all_sets(head: TrainedLabelModel, *, nothing: float | None = None) -> np.ndarray:
    """Return the log-probability of every set, float64 [images sets]."""
    answerer = LabelModelAnswerer(head, Search(nothing=nothing))
    return np.array([answerer.set_log_prob(np.repeat(x[None], len(SETS), axis=0), SETS) for x in images()])


def absences(made: CNNRNN) -> np.ndarray:
    logits = made.per_label(made.before_U_I(torch.from_numpy(images())))
    return torch.sigmoid(-logits).prod(dim=1).detach().numpy()


@EITHER
@ROW
@pytest.mark.parametrize("allowed", ["canonical", "no-repeat"])
def test_the_empty_set_has_the_product_of_the_absences_at_their_share_and_all_sets_sum_to_one(
    activation, allowed, per_label
):
    made = model(activation, allowed, per_label)
    share = torch.sigmoid(made.nothing_base).item()  # as many as independent labels would leave empty
    probs = np.exp(all_sets(trained(made), nothing=share))
    np.testing.assert_allclose(probs[:, 0], absences(made), rtol=1e-4)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-5)


@EITHER
@ROW
def test_training_and_answering_agree_on_every_set(activation, per_label):
    made = model(activation, per_label=per_label)
    for x, said in zip(images(), all_sets(trained(made)), strict=True):
        nats = made(torch.from_numpy(x).repeat(len(SETS), 1), torch.from_numpy(SETS))
        np.testing.assert_allclose(-nats.detach().numpy(), said, atol=1e-5)


@EITHER
@ROW
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_searches_marginals_and_evidence_are_those_of_the_enumerated_sets(activation, backend, per_label):
    if backend == "numba" and (activation == "relu" or not _numba()):
        pytest.skip("Numba does additive models only")
    head = trained(model(activation, per_label=per_label))
    rows, log_probs, trie = head.image_rows(images()), all_sets(head), PrefixTrie(head)
    best = best_paths(trie, rows, budget=500, backend=backend)
    assert best.exact.all()
    np.testing.assert_allclose(best.log_probs, log_probs.max(axis=1), atol=1e-5)
    for end in ("always", "competes"):
        beam = beam_search(trie, rows, Search(beam_width=8, end=end), backend=backend)
        np.testing.assert_allclose(beam.log_probs[:, 0], log_probs.max(axis=1), atol=1e-5)
    probs = np.exp(log_probs)
    wanted = probs @ SETS
    whole = label_marginals(trie, rows, expansions=500, samples=0, backend=backend)
    np.testing.assert_allclose(whole.score, wanted, atol=1e-5)
    some = label_marginals(trie, rows, expansions=2, samples=0, backend=backend)
    assert (some.low <= wanted + 1e-6).all()
    assert (wanted <= some.high + 1e-6).all()
    known = np.full(wanted.shape, -1, dtype=np.int8)
    known[:, 1], known[3:, 2] = 0, 1
    agree = probs * np.stack([((one < 0) | (one == SETS)).all(axis=1) for one in known])
    found = conditional_marginals(trie, rows, known, expansions=500)
    np.testing.assert_allclose(found.score, agree @ SETS / agree.sum(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(found.evidence, agree.sum(axis=1), atol=1e-5)


@EITHER
@ROW
def test_the_exported_decoder_finds_the_same_sets(activation, per_label):
    made = model(activation, per_label=per_label)
    for nothing in (None, 0.9):
        head = trained(made)
        options = {
            "cell": "lstm", "activation": activation, "allowed": "canonical", "scaling": "l2",
            "min_labels": 0, "max_labels": LABELS, "nothing": nothing, "per_label": per_label,
        }  # fmt: skip
        decoder = decode.LabelModelDecoder(arrays_of(made), options)
        head.scaling = type(head.scaling)("l2", head.scaling.mean, head.scaling.deviation)
        said = LabelModelAnswerer(head, Search(nothing=nothing)).answer(images())
        for x, path, log_prob in zip(images(), said.paths, said.log_probs, strict=True):
            found, nats, exact = decoder.best_first(x)
            assert (found, exact) == (tuple(path), True)
            assert nats == pytest.approx(log_prob, abs=1e-5)
            assert decoder.beam(x, 8)[1] == pytest.approx(log_prob, abs=1e-5)


def test_a_given_share_shifts_the_odds_of_the_empty_set_and_leaves_the_others_as_they_were_to_each_other():
    head = trained(model())
    before, after = all_sets(head), all_sets(head, nothing=0.2)
    odds = [one[:, 0] - np.log(-np.expm1(one[:, 0])) for one in (before, after)]
    np.testing.assert_allclose(odds[1] - odds[0], math.log(0.25) - head.nothing.trained_share, atol=1e-5)
    np.testing.assert_allclose(np.diff(before[:, 1:]), np.diff(after[:, 1:]), atol=1e-5)


def test_the_base_is_the_chance_that_independent_labels_of_these_frequencies_leave_an_image_empty():
    made = model()
    targets = np.zeros((99, LABELS), dtype=np.int8)
    targets[:49, 0] = 1
    made.start_from(torch.from_numpy(targets))
    share = 1 - (np.array([49, 0, 0, 0, 0]) + 0.5) / 100
    assert torch.sigmoid(made.nothing_share).item() == pytest.approx((50 + 1) / (99 + 2))
    assert made.nothing_base.item() == pytest.approx(math.log(share.prod() / (1 - share.prod())), abs=1e-5)


def test_a_share_for_a_model_that_learned_from_empty_images_is_an_error_that_says_why():
    taught = trained(CNNRNN(LABELS, FEATURES, LabelModelOptions(hidden_size=4)))
    with pytest.raises(InputError, match=r"nothing to shift.*label_model.nothing=independent"):
        LabelModelAnswerer(taught, Search(nothing=0.2))


def test_the_share_that_is_found_is_the_one_by_which_the_images_own_probabilities_add_up_to_it():
    head = trained(model())
    z = head.per_label_logits(images())
    share = head.share_of_nothing(images())
    p = 1 / (1 + np.exp(-head.with_prior(share).nothing.log_odds(z)))
    assert share == pytest.approx((p.sum() + 1) / (len(p) + 2), abs=1e-6)


def test_the_share_is_found_again_where_the_evidence_of_each_image_is_what_the_model_believes():
    head = trained(model())
    z = np.random.default_rng(0).normal(-1.5, 1.5, size=(4000, LABELS))
    p = np.exp(
        -np.logaddexp(0, z).sum(axis=1)
    )  # of an image that is empty as often as independent labels leave it
    base = 1 / (1 + math.exp(-head.nothing.base))
    head = replace(head.nothing, base=math.log(p.mean() / (1 - p.mean())))
    empty = np.random.default_rng(1).random(len(p)) < p
    for wanted in (0.02, 0.3, 0.7):
        some = np.concatenate((np.flatnonzero(empty)[: int(3000 * wanted)], np.flatnonzero(~empty)))
        shown = len(np.flatnonzero(empty)[: int(3000 * wanted)]) / len(some)
        assert head.share_in(z[some]) == pytest.approx(shown, abs=0.03)
    assert base > 0


@ROW
def test_a_label_that_comes_later_competes_with_end_and_leaves_the_old_odds_of_nothing(per_label):
    made = model(per_label=per_label)
    head = trained(made)
    weights = np.zeros(4 + HIDDEN)
    weights[0] = -1e-6  # hardly ever said, so that the others are as they were
    arrays = label_model_with(head, weights)
    arrays["U_l"][LABELS, :4] *= 0
    grown = TrainedLabelModel(
        arrays,
        LabelModelOptions(
            embedding_size=5,
            hidden_size=8,
            image_hidden_size=HIDDEN,
            nothing="independent",
            per_label=per_label,
        ),
        scaling="none",
        num_labels=LABELS + 1,
    )
    wider = np.pad(SETS, ((0, 0), (0, 1)))
    answerer = LabelModelAnswerer(grown, Search())
    for x, old in zip(images(), all_sets(head), strict=True):
        new = answerer.set_log_prob(np.repeat(x[None], len(SETS), axis=0), wider)
        # At the first step END keeps its odds against each old label.
        root = head.combine(head.start()[1], head.image_rows(x[None]))[0]
        more = grown.combine(grown.start()[1], grown.image_rows(x[None]))[0]
        np.testing.assert_allclose(more[-1] - more[:LABELS], root[-1] - root[:LABELS], atol=1e-4)
        assert (new < old).all()


@EITHER
@pytest.mark.parametrize("nothing", ["taught", "independent"])
def test_with_nothing_else_in_the_scores_sets_have_the_probability_of_independent_labels(activation, nothing):
    made = model(activation, per_label=0.5)
    made.options = replace(made.options, nothing=nothing)
    torch.nn.init.zeros_(made.U_l)
    z = made.per_label(made.before_U_I(torch.from_numpy(images()))).detach().numpy().astype(np.float64)
    alone = -(np.logaddexp(0, -z) @ SETS.T) - np.logaddexp(0, z) @ (1 - SETS).T
    arrays = arrays_of(made)
    if nothing == "taught":
        arrays = {name: array for name, array in arrays.items() if not name.startswith("nothing")}
    head = TrainedLabelModel(arrays, made.options, scaling="none", num_labels=LABELS)
    share = torch.sigmoid(made.nothing_base).item() if nothing == "independent" else None
    np.testing.assert_allclose(all_sets(head, nothing=share), alone, atol=1e-4)
    np.testing.assert_allclose(head.per_label_logits(images()), z, atol=1e-5)


def test_a_run_from_before_the_labels_own_logits_had_a_name_answers_as_it_did():
    made = model()
    old = {name.replace("per_label.", "nothing."): array for name, array in arrays_of(made).items()}
    head = TrainedLabelModel(old, made.options, scaling="none", num_labels=LABELS)
    np.testing.assert_array_equal(all_sets(head), all_sets(trained(made)))


def test_only_training_images_that_show_something_make_the_empty_set_a_number_of_its_own():
    shown = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.int8)
    assert empty_sets(RunConfig(), shown) == {"label_model": {"nothing": "independent"}}
    assert empty_sets(RunConfig(), np.vstack((shown, [[0, 0]])).astype(np.int8)) == {}
    assert empty_sets(RunConfig(head="sigmoid"), shown) == {}


def _numba() -> bool:
    from labelbeam.decoding.search import has_numba

    return has_numba()


def test_train_says_it_and_evaluate_shifts_it(command, tmp_path):
    features = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    labels = (features[:, :3] > 0).astype(np.int8)
    labels[labels.sum(axis=1) == 0, 0] = 1
    np.savez(tmp_path / "v.npz", features=features, labels=labels, names=np.array(["a", "b", "c"]))
    spec, run = f"vectors:{tmp_path / 'v.npz'}", tmp_path / "run"
    small = (*SMALL, "--set", "suggester=false")
    done = command("train", "--data", spec, "--out", run, "--epochs", 8, *small)
    assert done.exit_code == 0, done.output
    assert "no training image shows none of the labels" in done.stderr
    sizes = []
    for share in (0.01, 0.99):
        judged = command("evaluate", run, "--data", spec, "--nothing", share, "--json", "--bootstrap", 0)
        assert judged.exit_code == 0, judged.output
        sizes.append(json.loads(judged.stdout)["mean_labels_predicted"])
    assert sizes[0] > sizes[1]
    found = command("evaluate", run, "--data", spec, "--nothing", "estimate", "--json", "--bootstrap", 0)
    assert found.exit_code == 0, found.output
    found = json.loads(found.stdout)
    assert 0 < found["search"]["nothing"] < 0.99
    assert sizes[1] < found["mean_labels_predicted"]
    tagged = command("tag", run, spec, "--nothing", "estimate", "--json")
    assert tagged.exit_code == 0, tagged.output
    assert "by 60 of the images" in tagged.stderr
    wrong = command("evaluate", run, "--data", spec, "--nothing", "few")
    assert wrong.exit_code == 2
    assert "a number such as 0.2; estimate: as the images say; or train" in " ".join(wrong.stderr.split())
    taught = ("--set", "label_model.nothing=taught", "--nothing", 0.2)
    refused = command("train", "--data", spec, "--out", tmp_path / "no", "--epochs", 2, *small, *taught)
    assert refused.exit_code == 2
    assert "nothing to shift" in refused.stderr


def test_tag_refuses_to_find_it_from_names_that_come_once(train, command, tmp_path):
    run = train(tmp_path / "run", "--set", "label_model.nothing=independent", "--set", "suggester=false")
    refused = command("tag", run, "-", "--nothing", "estimate", input="a.png\n")
    assert refused.exit_code == 2
    assert "from many images" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(("sure", "may"), [(6.0, True), (0.1, False)])
def test_a_run_looks_for_the_share_if_it_takes_hardly_a_validation_image_for_an_empty_one(
    sure, may, monkeypatch
):
    made, names = model(), Vocabulary(tuple("abcde"))
    encoder = build_encoder(EncoderConfig("tiny", size=32))
    run = Run(RunConfig(label_model=made.options), names, (1,) * LABELS, encoder, trained(made))
    targets = np.eye(LABELS, dtype=np.int8)[np.arange(80) % LABELS]
    targets[:3] = 0  # such images say nothing of whether it can
    features = np.zeros((80, FEATURES), dtype=np.float32)
    z = np.where(targets, sure, -sure).astype(np.float32)
    monkeypatch.setattr(TrainedLabelModel, "per_label_logits", lambda self, x: z[3:][: len(x)])
    chosen, found = with_estimate(run, features, targets)
    assert chosen.config.search.estimate_nothing is may
    assert "77 validation images all show a label" in found
    assert ("--nothing train" in found) is may
    said = replace(run, config=replace(run.config, search=Search(nothing=0.2)))
    assert with_estimate(said, features, targets) == (said, "")
    vectors = replace(run, encoder=given_features(FeatureRows((features,))))
    assert with_estimate(vectors, features, targets) == (vectors, "")


def _seen(share: float, count: int, run: Run, asked: dict) -> Tagger:
    """Return what becomes of a tagger that sees so many images, of which a share shows nothing."""
    tagger = Tagger(run)
    return nothing_as_seen(tagger, np.full((count, FEATURES), share, dtype=np.float32), asked)


def test_the_share_counts_where_it_was_asked_for_or_comes_from_enough_images_and_is_no_accident(monkeypatch):
    made, names = model(), Vocabulary(tuple("abcde"))
    encoder = build_encoder(EncoderConfig("tiny", size=32))
    run = Run(RunConfig(label_model=made.options), names, (1,) * LABELS, encoder, trained(made))
    monkeypatch.setattr(TrainedLabelModel, "share_of_nothing", lambda self, x: float(x[0, 0]))
    asked = {"nothing": "estimate"}
    for share, count, said, used in (
        (0.25, LEAST_IMAGES, {}, 0.25),
        (0.25, LEAST_IMAGES - 1, {}, None),
        (0.25, 1, asked, 0.25),
        (4.2 / 102, 100, {}, 4.2 / 102),  # 3.2 of 100, and an image added to each side
        (3.8 / 102, 100, {}, None),
        (3.8 / 102, 100, asked, 3.8 / 102),
    ):
        found = _seen(share, count, run, said)
        assert found.run.config.search.nothing == pytest.approx(used)
        assert ("shows none" in found.note) is (used is not None)
    with pytest.raises(InputError, match="from many images"):
        nothing_as_seen(Tagger(run), np.zeros((0, FEATURES), dtype=np.float32), asked)


def test_evaluate_finds_the_share_from_all_images_and_says_it(train, drawn, command, tmp_path):
    options = ("label_model.nothing=independent", "search.estimate_nothing=true", "suggester=false")
    run = train(tmp_path / "run", *(part for one in options for part in ("--set", one)))
    data, rows = tmp_path / "twice.csv", (drawn / "tags.csv").read_text().splitlines()
    twice = [f"{number}-{row}" for number in (1, 2) for row in rows[1:]]
    data.write_text("\n".join([rows[0], *twice]) + "\n")
    for row in rows[1:]:
        for number in (1, 2):
            image = row.partition(",")[0]
            shutil.copyfile(drawn / image, tmp_path / f"{number}-{image}")
    judge = ("evaluate", run, "--data", f"csv:{data}", "--json", "--bootstrap", 0)
    for said, used in (((), True), (("--nothing", "train"), False), (("--k", 1), False)):
        done = command(*judge, *said)
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert (found["search"]["nothing"] is not None) is used
        assert any("shows none of the labels (in training" in note for note in found["notes"]) is used
