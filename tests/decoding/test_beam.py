import heapq
from importlib.util import find_spec

import numpy as np
import pytest
from enumeration import ReluStep, all_paths, may_follow, random_rows, ranked
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.decoding.beam import beam_search, greedy_search
from labelbeam.decoding.likelihood import path_log_prob
from labelbeam.decoding.search import Search
from labelbeam.decoding.step import PathLength, TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError

RULES = ("canonical", "no-repeat", "paper")
HAS_NUMBA = find_spec("numba") is not None
BACKENDS = ("numpy", pytest.param("numba", marks=pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")))
models = st.tuples(
    st.sampled_from(RULES), st.integers(1, 5), st.integers(0, 10_000), st.sampled_from([0.5, 2.0, 8.0])
)


def build(model, **options):
    rule, num_labels, seed, scale = model
    step = TableStep({}, num_labels=num_labels, allowed=rule, seed=seed, scale=scale)
    if rule == "paper":
        options.setdefault("length", PathLength(maximum=3))
    return PrefixTrie(step, **options), random_rows(3, num_labels + 1, seed, scale)


def enumerated(trie, row):
    return all_paths(trie.step, row, minimum=trie.length.minimum, maximum=trie.length.maximum)


def paper_search(step, row, *, width, end, stop, maximum):
    """The paper's search for one image, in lists: S(t), C, N labels each, N best, the stop rule."""
    live, done = [(0.0, ())], []
    while live:
        grown = []
        for log_prob, path in live:
            state, prefix_row = step.start()
            for label in path:
                state, prefix_row = step.step(state, np.array([label]))
            logits = step.combine(prefix_row, row[None])[0].astype(float)
            outcomes = may_follow(step, path, 0, maximum)
            steps = dict(zip(outcomes, logits[outcomes] - np.logaddexp.reduce(logits[outcomes]), strict=True))
            if end == "always" and step.num_labels in steps:
                done.append((log_prob + steps.pop(step.num_labels), path))
            best = heapq.nlargest(width, steps.items(), key=lambda item: item[1])
            grown += [(log_prob + value, path, outcome) for outcome, value in best]
        grown = sorted(grown, key=lambda item: (-item[0], (*item[1], item[2])))[:width]
        done += [(value, path) for value, path, outcome in grown if outcome == step.num_labels]
        live = [(value, (*path, outcome)) for value, path, outcome in grown if outcome != step.num_labels]
        done = sorted(done, key=lambda item: (-item[0], item[1]))[:width]
        needed = 1 if stop == "best" else width
        if len(done) >= needed and live and live[0][0] <= done[needed - 1][0]:
            break
    return done


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_beam_of_two_repairs_the_first_label_that_spoils_greedy(backend):
    # P(0) = 0.6 but its continuations are thin; P(1, END) = 0.4 * 0.9 wins.
    table = {
        (): np.log([0.6, 0.4, 1e-9]).tolist(),
        (0,): np.log([1.0, 0.5, 0.5]).tolist(),
        (1,): np.log([1.0, 1.0, 9.0]).tolist(),
    }
    step = TableStep(table, num_labels=2, allowed="no-repeat")
    table[(1,)] = np.log([1.0, 1.0, 9.0]).tolist()  # after the mask: 1/10 for label 0, 9/10 for END
    trie, row = PrefixTrie(step), np.zeros((1, 3), np.float32)
    greedy = greedy_search(trie, row, backend=backend)
    assert greedy.best(0)[0] == 0
    assert greedy.log_probs[0, 0] == pytest.approx(np.log(0.3), abs=1e-5)
    found = beam_search(trie, row, Search(beam_width=2), backend=backend)
    assert found.best(0) == (1,)
    assert found.log_probs[0, 0] == pytest.approx(np.log(0.36), abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=50, deadline=None)
@given(model=models)
def test_a_beam_wide_enough_returns_all_paths_in_order_of_their_true_probability(backend, model):
    trie, rows = build(model)
    found = beam_search(trie, rows, Search(beam_width=400, stop="worst"), backend=backend)
    for i, row in enumerate(rows):
        paths = enumerated(trie, row)
        candidates = found.candidates(i)
        assert len(candidates) == min(400, len(paths))
        for (path, log_prob), (_, expected) in zip(candidates, ranked(paths), strict=False):
            assert log_prob == pytest.approx(expected, abs=1e-4)
            assert log_prob == pytest.approx(paths[path], abs=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=50, deadline=None)
@given(model=models, width=st.integers(1, 4), end=st.sampled_from(["always", "competes"]),
       stop=st.sampled_from(["best", "worst"]))  # fmt: skip
def test_the_search_is_the_papers_search(backend, model, width, end, stop):
    trie, rows = build(model)
    found = beam_search(trie, rows, Search(beam_width=width, end=end, stop=stop), backend=backend)
    for i, row in enumerate(rows):
        expected = paper_search(trie.step, row, width=width, end=end, stop=stop, maximum=trie.length.maximum)
        compared = 1 if stop == "best" else width
        assert [log_prob for _, log_prob in found.candidates(i)[:compared]] == pytest.approx(
            [log_prob for log_prob, _ in expected[:compared]], abs=1e-4
        )


@settings(max_examples=60, deadline=None)
@given(model=models, width=st.integers(1, 5), end=st.sampled_from(["always", "competes"]),
       penalty=st.sampled_from([0.0, 0.7]))  # fmt: skip
def test_both_backends_return_the_same_paths(model, width, end, penalty):
    pytest.importorskip("numba")
    options = Search(beam_width=width, end=end, length_penalty=penalty)
    plain, compiled = (
        beam_search(build(model)[0], build(model)[1], options, backend=backend)
        for backend in ("numpy", "numba")
    )
    assert plain.labels.tolist() == compiled.labels.tolist()
    assert plain.lengths.tolist() == compiled.lengths.tolist()
    np.testing.assert_allclose(plain.log_probs, compiled.log_probs, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(model=models)
def test_width_one_with_competing_end_is_greedy(model):
    trie, rows = build(model)
    found = greedy_search(trie, rows)
    for i, row in enumerate(rows):
        path: tuple[int, ...] = ()
        state, prefix_row = trie.step.start()
        while True:
            outcomes = may_follow(trie.step, path, 0, trie.length.maximum)
            logits = trie.step.combine(prefix_row, row[None])[0]
            outcome = max(outcomes, key=lambda j: logits[j])
            if outcome == trie.step.num_labels:
                break
            path = (*path, outcome)
            state, prefix_row = trie.step.step(state, np.array([outcome]))
        assert found.best(i) == path


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", RULES)
def test_a_batch_gives_what_its_images_give_alone(rule, backend):
    trie, _ = build((rule, 5, 3, 2.0))
    rows = random_rows(20, 6, 1, 2.0)
    together = beam_search(trie, rows, Search(beam_width=4), backend=backend)
    for i in range(len(rows)):
        alone = beam_search(
            build((rule, 5, 3, 2.0))[0], rows[i : i + 1], Search(beam_width=4), backend=backend
        )
        assert alone.labels[0].tolist() == together.labels[i].tolist()
        np.testing.assert_allclose(alone.log_probs[0], together.log_probs[i], atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_trie_of_a_few_nodes_gives_what_an_unlimited_one_gives(backend):
    step = TableStep({}, num_labels=9, allowed="no-repeat", seed=5, scale=1.5)
    rows = random_rows(60, 10, 2, 3.0)
    small = PrefixTrie(step, byte_limit=40 * PrefixTrie(step).bytes_per_node)
    limited = beam_search(small, rows, Search(beam_width=5), backend=backend)
    free = beam_search(PrefixTrie(step), rows, Search(beam_width=5), backend=backend)
    assert small.evictions > 0
    assert small.nbytes <= small.byte_limit
    assert limited.labels.tolist() == free.labels.tolist()
    np.testing.assert_allclose(limited.log_probs, free.log_probs, atol=1e-5)


def long_paths(num_labels):
    """A model that says every label: the next one is always the most probable."""
    step = TableStep({}, num_labels=num_labels, max_depth=num_labels)
    row = -5.0 * np.arange(num_labels + 1, dtype=np.float32)[None]
    return step, row


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("num_labels", [15, 16, 17, 40])
def test_paths_may_be_longer_than_the_room_they_start_with(backend, num_labels):
    step, row = long_paths(num_labels)
    found = beam_search(PrefixTrie(step), row, Search(beam_width=3), backend=backend)
    assert found.best(0) == tuple(range(num_labels))
    assert found.labels.shape == (1, 3, num_labels)
    behind = np.arange(num_labels) >= np.maximum(found.lengths, 0)[:, :, None]
    assert (found.labels[behind] == -1).all()
    assert behind.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_limit_too_small_for_a_path_of_hundreds_of_labels_is_reported_when_one_comes(backend):
    step, row = long_paths(300)
    trie = PrefixTrie(step, byte_limit=100 * PrefixTrie(step).bytes_per_node)
    short = -5.0 * np.arange(300, -1, -1, dtype=np.float32)[None]  # END at once
    assert beam_search(trie, short, Search(beam_width=2), backend=backend).best(0) == ()
    with pytest.raises(InputError, match=r"too small for the beams of a single image. Raise the limit"):
        beam_search(trie, row, Search(beam_width=2), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_megabyte_is_enough_for_a_state_of_four_kilobytes(backend):
    class WideStep(TableStep):
        def start(self):
            state, row = super().start()
            return np.pad(state, [(0, 0), (0, 1000)]), row

        def step(self, states, labels):
            new, rows = super().step(states[:, : self.max_depth], labels)
            return np.pad(new, [(0, 0), (0, 1000)]), rows

    step = WideStep({}, num_labels=20, allowed="no-repeat", seed=5, scale=0.3)
    rows = random_rows(200, 21, 2)
    small = PrefixTrie(step, byte_limit=2**20)
    limited = beam_search(small, rows, backend=backend)
    free = beam_search(PrefixTrie(step), rows, backend=backend)
    assert small.evictions > 0
    assert limited.labels.tolist() == free.labels.tolist()
    np.testing.assert_allclose(limited.log_probs, free.log_probs, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("end", ["always", "competes"])
def test_finished_paths_are_never_dropped_and_always_exist(end, backend):
    # The empty set is finished first (0.5) and stays the best although the beam fills with others.
    step = TableStep({(): [0.0] * 8 + [np.log(8.0)]}, num_labels=8, allowed="no-repeat")
    found = beam_search(
        PrefixTrie(step), np.zeros((1, 9), np.float32), Search(beam_width=5, end=end), backend=backend
    )
    assert found.best(0) == ()
    assert found.log_probs[0, 0] == pytest.approx(np.log(0.5), abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_outputs_hold_labels_only_and_log_probabilities(rule):
    trie, rows = build((rule, 4, 11, 1.0))
    found = beam_search(trie, rows, Search(beam_width=6, stop="worst"))
    for i in range(len(rows)):
        for path, log_prob in found.candidates(i):
            assert all(0 <= label < 4 for label in path)  # no START, END or padding
            assert log_prob <= 0
            if rule != "paper":
                assert len(set(path)) == len(path)
        log_probs = [log_prob for _, log_prob in found.candidates(i)]
        assert log_probs == sorted(log_probs, reverse=True)
        paths = np.full((len(log_probs), trie.longest), -1)
        for k, (path, _) in enumerate(found.candidates(i)):
            paths[k, : len(path)] = path
        recomputed = path_log_prob(trie, np.repeat(rows[i : i + 1], len(paths), axis=0), paths)
        assert log_probs == pytest.approx(recomputed.tolist(), abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_a_mask_repeats_are_reported_and_paths_end(backend):
    rows = np.array([[3.0, 0.0, -9.0]], dtype=np.float32)  # label 0 for ever
    trie = PrefixTrie(TableStep({}, num_labels=2, allowed="paper"))
    found = beam_search(trie, rows, Search(beam_width=2), backend=backend)
    assert found.best(0) == (0,) * 20
    assert found.repeats().tolist() == [19]


@pytest.mark.parametrize("backend", BACKENDS)
def test_exactly_k_returns_k_labels(backend):
    step = TableStep({}, num_labels=7, seed=2)
    trie = PrefixTrie(step, length=PathLength.exactly(3))
    rows = random_rows(20, 8, 3)
    assert set(beam_search(trie, rows, backend=backend).lengths[:, 0].tolist()) == {3}


@pytest.mark.parametrize("backend", BACKENDS)
def test_logits_hundreds_of_nats_apart_do_not_underflow(backend):
    step = TableStep({(): [-300.0, 300.0, 0.0], (0,): [0.0, -400.0, 0.0]}, num_labels=2)
    row = np.array([[600.0, -50.0, 310.0]], dtype=np.float32)  # sums: 300, 250, 310
    found = beam_search(PrefixTrie(step), row, Search(beam_width=3, stop="worst"), backend=backend)
    expected = ranked(all_paths(step, row[0]))
    assert [path for path, _ in found.candidates(0)] == [path for path, _ in expected[:3]]
    assert [value for _, value in found.candidates(0)] == pytest.approx(
        [v for _, v in expected[:3]], abs=1e-3
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_log_probabilities_are_ordered_by_label_sequence(backend):
    trie = PrefixTrie(TableStep({(): [1.0, 1.0, 1.0, 1.0]}, num_labels=3, allowed="no-repeat"))
    found = beam_search(
        trie, np.zeros((1, 4), np.float32), Search(beam_width=50, stop="worst"), backend=backend
    )
    expected = [(), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]  # 1/4; then singles and pairs, see below
    values = dict(found.candidates(0))
    assert found.best(0) == expected[0]
    pairs = [path for path, _ in found.candidates(0) if len(path) == 2]
    assert pairs == expected[1:]
    assert len({round(values[path], 12) for path in pairs}) == 1  # equal, so the sequence decided


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("width", range(1, 8))
@pytest.mark.parametrize("rule", ["canonical", "no-repeat"])
def test_equal_log_probabilities_at_the_edge_of_the_beam_are_kept_by_label_sequence(backend, width, rule):
    """Of five labels many continuations are alike, so that steps have more equals than the beam has room."""
    for seed in range(3):
        row = np.random.default_rng(seed).integers(0, 3, 6).astype(np.float32) * (seed > 0)
        trie = PrefixTrie(TableStep({}, num_labels=5, allowed=rule, scale=0.0))
        found = beam_search(trie, row[None], Search(beam_width=width, stop="worst"), backend=backend)
        expected = paper_search(trie.step, row, width=width, end="always", stop="worst", maximum=5)
        assert [path for path, _ in found.candidates(0)] == [path for _, path in expected], seed


def test_a_length_penalty_prefers_longer_paths_without_changing_their_log_probability():
    table = {(): np.log([0.5, 0.5]).tolist(), (0,): [0.0, 0.0]}
    table[()] = np.log([0.45, 0.55]).tolist()
    trie, row = PrefixTrie(TableStep(table, num_labels=1)), np.zeros((1, 2), np.float32)
    assert beam_search(trie, row, Search(beam_width=2)).best(0) == ()
    found = beam_search(trie, row, Search(beam_width=2, length_penalty=3.0))
    assert found.best(0) == (0,)
    assert found.log_probs[0, 0] == pytest.approx(np.log(0.45), abs=1e-6)


def test_a_relu_model_is_searched_like_any_other():
    step = ReluStep(4, allowed="no-repeat", seed=4)
    rows = random_rows(5, 4, 0)
    found = beam_search(PrefixTrie(step), rows, Search(beam_width=100, stop="worst"))
    for i, row in enumerate(rows):
        expected = ranked(all_paths(step, row))
        assert [value for _, value in found.candidates(i)] == pytest.approx(
            [v for _, v in expected], abs=1e-4
        )


def test_no_images_give_no_paths():
    trie, _ = build(("canonical", 3, 0, 1.0))
    assert len(beam_search(trie, np.zeros((0, 4), np.float32))) == 0


def test_a_seeded_run_keeps_its_numbers():
    trie, rows = build(("canonical", 5, 7, 2.0))
    found = beam_search(trie, rows, Search(beam_width=3))
    assert [found.best(i) for i in range(3)] == GOLDEN_PATHS
    assert found.log_probs[:, 0].tolist() == pytest.approx(GOLDEN_LOG_PROBS, abs=1e-4)


GOLDEN_PATHS = [(1, 4), (1, 4), (0, 3, 4)]
GOLDEN_LOG_PROBS = [-0.44412, -0.14717, -1.67249]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Search(beam_width=0), ["beam_width is 0", "at least 1"]),
        (lambda: Search(end="allways"), ["unknown search end", "Did you mean 'always'"]),
        (lambda: Search(stop="worse"), ["unknown search stop", "Did you mean 'worst'"]),
        (lambda: Search(length_penalty=-1.0), ["0 or more", "-1.0"]),
        (lambda: search(np.zeros((2, 3), np.float32)), ["must have 4 numbers", "given 3", "Embed"]),
        (lambda: search(np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]], np.float32)), ["image row 1", "NaN"]),
        (lambda: search(np.zeros((1, 4), np.float32), backend="nunpy"), ["Did you mean 'numpy'"]),
        (lambda: search(np.zeros((1, 4), np.float32), limit=5), ["single image", "Raise the limit"]),
        (
            lambda: beam_search(
                PrefixTrie(ReluStep(3, allowed="paper", seed=0)),
                np.zeros((1, 4), np.float32),
                backend="numba",
            ),
            ["additive", "Use 'numpy'"],
        ),
    ],
)
def test_wrong_input_says_what_is_wrong_and_what_to_do(make, words):
    with pytest.raises(InputError) as error:
        make()
    assert all(word in str(error.value) for word in words)


def search(rows, *, limit=None, **options):
    step = TableStep({(): [0.0, 0.0, 0.0, -9.0], (0,): [0, 0, 0, -9.0], (1,): [0, 0, 0, -9.0]}, num_labels=3,
                     allowed="no-repeat")  # fmt: skip
    size = PrefixTrie(step).bytes_per_node
    trie = PrefixTrie(step, byte_limit=limit * size) if limit else PrefixTrie(step)
    return beam_search(trie, rows, **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_path_that_is_better_by_less_than_a_millionth_is_not_dropped(backend):
    trie = PrefixTrie(TableStep({(): [5e-7, 0.0]}, num_labels=1))
    found = beam_search(trie, np.zeros((1, 2), np.float32), Search(beam_width=1), backend=backend)
    assert found.paths == [(0,)]


def test_the_length_penalty_is_that_of_its_source():
    assert Search(length_penalty=1.0).penalty(1) == 1.0
    assert Search(length_penalty=2.0).penalty(7) == 4.0
    assert Search().penalty(7) == 1.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_end_competes_and_is_as_probable_as_a_label_the_shorter_path_is_kept(backend):
    trie = PrefixTrie(TableStep({(): [0.0, 0.0, 0.0], (0,): [0.0, 0.0, 5.0]}, num_labels=2))
    found = beam_search(
        trie, np.zeros((1, 3), np.float32), Search(beam_width=1, end="competes"), backend=backend
    )
    assert found.paths == [()]
