"""Truth and prediction files: every kind of line, every mistake with its message, and the joined result."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.errors import InputError
from labelbeam.metrics.evaluation import evaluate
from labelbeam.metrics.file_comparison import choose_protocol, compare_files, read_listed
from labelbeam.metrics.prediction_file import read_predictions, read_truth
from labelbeam.metrics.ranking import NOTHING, OUTSIDE

TRUTH = [
    {"image": "a.jpg", "labels": ["cat", "dog"], "unknown": ["tree"]},
    {"image": "b.jpg", "labels": ["tree"]},
    {"image": "c.jpg", "labels": []},
]


@pytest.fixture
def write(tmp_path):
    def write_lines(name, lines):
        path = tmp_path / name
        if isinstance(lines, bytes):
            path.write_bytes(lines)
        else:
            texts = [
                line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines
            ]
            path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return path

    return write_lines


@pytest.fixture
def truth(write):
    return read_truth(write("truth.jsonl", TRUTH))


def score(truth, path, *, missing="error", **asked):
    threshold = asked.get("threshold", asked.get("min_score"))
    depth = max(10, asked.get("k") or 0)
    predictions = read_predictions(path, truth, missing=missing, depth=depth, threshold=threshold)
    return evaluate(compare_files(truth, predictions, protocol=choose_protocol(predictions, **asked)))


def test_the_truths_labels_are_the_union_of_what_it_names_in_code_point_order(truth):
    assert truth.names == ("cat", "dog", "tree")
    assert truth.images == ("a.jpg", "b.jpg", "c.jpg")
    assert truth.targets.tolist() == [[1, 1, -1], [0, 0, 1], [0, 0, 0]]


def test_byte_order_mark_windows_line_ends_and_blank_lines_change_nothing(write, truth):
    raw = b"\xef\xbb\xbf" + b"\r\n\r\n".join(json.dumps(line).encode() for line in TRUTH) + b"\r\n"
    again = read_truth(write("windows.jsonl", raw))
    assert again.names == truth.names
    assert np.array_equal(again.targets, truth.targets)


def test_japanese_labels_meet_whether_composed_or_decomposed(write):
    composed, decomposed = "\u304c", "\u304b\u3099"  # が in one and in two code points
    truth = read_truth(write("t.jsonl", [{"image": "犬.jpg", "labels": [composed]}]))
    result = score(truth, write("p.jsonl", [{"image": "犬.jpg", "labels": [decomposed]}]))
    assert result["OF1"] == 1.0


def test_scores_are_ranked_with_outside_labels_in_their_places_and_unknown_ones_gone(write, truth):
    lines = [
        {"image": "b.jpg", "scores": {"tree": 0.9, "dog": 0.2, "zebra": 0.95}},
        {"image": "a.jpg", "scores": {"tree": 0.9, "dog": 0.2, "cat": 0.1}},
        {"image": "c.jpg", "scores": {"cat": 1, "aardvark": 1}},
    ]
    predictions = read_predictions(write("p.jsonl", lines), truth, depth=4, threshold=0.95)
    assert predictions.ranking.tolist() == [
        [1, 0, NOTHING, NOTHING],
        [OUTSIDE, 2, 1, 0],  # cat has no score: below all given
        [OUTSIDE, 0, 1, 2],  # equal scores: aardvark before cat
    ]
    assert predictions.outside_at_threshold.tolist() == [0, 1, 1]
    assert predictions.sets is None
    assert "zebra" in predictions.notes[0]


def test_five_names_that_the_truth_does_not_have_are_shown_the_most_frequent_first(write, truth):
    lines = [
        {"image": image, "labels": ["cat", *names]}
        for image, names in zip("abc", ("uvwxyz", "z", ""), strict=True)
    ]
    note = read_predictions(
        write("p.jsonl", [{**one, "image": f"{one['image']}.jpg"} for one in lines]), truth
    ).notes[0]
    assert note.startswith("6 label(s) are predicted that the truth does not name ('z', ")
    assert note.count("'") == 2 * 5
    assert ", ...)" in note


def test_listed_sets_of_another_image_are_passed_over_and_a_line_without_a_list_is_told(write, truth):
    lines = [
        {"image": "a.jpg", "sets": [{"labels": ["cat"]}, {"labels": ["dog", "tree", "cat"]}]},
        {"image": "of another set.jpg", "sets": []},
        {"image": "b.jpg", "sets": [{"labels": []}]},
    ]
    path = write("p.jsonl", [*lines, {"image": "c.jpg", "sets": [{"labels": []}]}])
    found, sizes = read_listed(path, truth)
    assert (found.tolist(), sizes.tolist()) == ([True, False, True], [2, 1, 1])
    path = write("q.jsonl", [*lines, {"image": "c.jpg", "labels": []}])
    with pytest.raises(InputError, match=r"1 images have no 'sets', such as 'c\.jpg'"):
        read_listed(path, truth)


def test_a_label_outside_the_truth_counts_in_overall_precision_under_every_protocol(write, truth):
    only = {"a.jpg": {"cat": 0.9}, "b.jpg": {"zebra": 0.9, "tree": 0.8}, "c.jpg": {"cat": 0.1}}
    path = write("p.jsonl", [{"image": image, "scores": scores} for image, scores in only.items()])
    assert score(truth, path, k=1)["OP"] == pytest.approx(1 / 3)
    assert score(truth, path, threshold=0.5)["OP"] == pytest.approx(2 / 3)
    assert score(truth, path, k=1, min_score=0.5)["OP"] == pytest.approx(1 / 2)
    assert score(truth, path, k=1)["CP"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    listed = write("l.jsonl", [{"image": i, "labels": list(s)} for i, s in only.items()])
    assert score(truth, listed)["OP"] == pytest.approx(2 / 4)
    assert score(truth, listed, k=1)["OP"] == pytest.approx(1 / 3)


def test_of_several_outside_labels_above_the_threshold_only_those_among_the_k_best_count(write, truth):
    outside = {"yak": 0.9, "zebra": 0.8, "cat": 0.7}
    path = write("p.jsonl", [{"image": i, "scores": outside} for i in truth.images])
    assert score(truth, path, k=1, min_score=0.5)["mean_labels_predicted"] == 1.0
    assert score(truth, path, k=3, min_score=0.75)["mean_labels_predicted"] == 2.0
    assert score(truth, path, threshold=0.5)["mean_labels_predicted"] == 3.0


def test_an_unknown_label_at_the_head_of_a_list_leaves_its_place_to_the_next(write, truth):
    lists = {"a.jpg": ["tree", "dog"], "b.jpg": ["tree"], "c.jpg": ["cat"]}
    result = score(truth, write("p.jsonl", [{"image": i, "labels": n} for i, n in lists.items()]), k=1)
    assert result["OP"] == pytest.approx(2 / 3)
    assert result["MAP@10"] == pytest.approx((1 / 2 + 1) / 2)  # dog is found at rank 1 of a.jpg's two labels


def test_lines_as_tag_writes_them_are_sets_with_a_decision_rule_and_all_scores_give_ap(write, truth):
    def tagged(image, names, **more):
        labels = [{"label": n, "score": 0.9, "low": 0.8, "high": 0.95, "stderr": 0.01} for n in names]
        line = {"image": image, "labels": labels, "decide": "path", "path": names}
        return line | {"log_prob": -0.4, "exact": True} | more

    lines = [tagged("a.jpg", ["dog", "cat"]), tagged("b.jpg", ["tree"]), tagged("c.jpg", [])]
    result = score(truth, write("p.jsonl", lines))
    assert (result["OF1"], result["subset_accuracy"], result["MAP@10"]) == (1.0, 1.0, 1.0)
    assert result.protocol["name"] == "sets"
    assert result.protocol["decided_by"] == "path"
    assert result["mAP_area"] is None
    assert "'scores'" in result.reasons["mAP_area"]
    scores = {"cat": 0.9, "dog": 0.8, "tree": 0.1}
    with_scores = [line | {"scores": scores} for line in lines]
    result = score(truth, write("all.jsonl", with_scores))
    assert result.protocol["name"] == "sets"
    # every image has the same scores, so each label is one threshold; tree is unknown in a.jpg
    assert result["mAP_area"] == pytest.approx((1 / 3 + 1 / 3 + 1 / 2) / 3)
    assert score(truth, write("all.jsonl", with_scores), k=2).protocol["name"] == "exact-k"


def test_a_forced_path_length_is_its_own_protocol_and_short_lists_are_not_exact_k(write, truth):
    forced = [{"image": i, "labels": ["cat", "dog"], "decide": "path-k"} for i in truth.images]
    result = score(truth, write("p.jsonl", forced))
    assert result.protocol["name"] == "path-k"
    assert result.protocol["k"] == 2
    short = [{"image": i, "labels": ["cat", "dog"][: n + 1]} for n, i in enumerate(["a.jpg", "b.jpg"])]
    path = write("q.jsonl", [*short, {"image": "c.jpg", "labels": ["dog", "cat"]}])
    at_most = score(truth, path, k=2)
    assert at_most.protocol["name"] == "at-most-k"
    assert "not exact-2" in at_most.protocol["decides"]
    assert score(truth, path, k=1).protocol["name"] == "exact-k"


def test_images_that_score_too_few_labels_are_filled_up_by_name_and_the_result_says_so(write, truth):
    path = write("p.jsonl", [{"image": i, "scores": {"tree": 0.5}} for i in truth.images])
    result = score(truth, path, k=2)
    assert result["mean_labels_predicted"] == 2.0
    assert any("fewer than 2 labels" in note for note in result.notes)
    assert not any("fewer than" in note for note in score(truth, path, threshold=0.1).notes)


def test_a_missing_image_is_empty_if_asked_and_so_is_one_with_an_error(write, truth):
    lines = [{"image": "a.jpg", "scores": {"cat": 0.9}}, {"image": "b.jpg", "error": "truncated file"}]
    path = write("p.jsonl", lines)
    with pytest.raises(InputError, match="2 image"):
        score(truth, path, k=1)
    result = score(truth, path, k=1, missing="empty")
    assert result["mean_labels_predicted"] == pytest.approx(1 / 3)
    assert result["MAP@10"] == pytest.approx((1 + 0) / 2)
    assert result["subset_accuracy"] == pytest.approx(1 / 3)  # c.jpg has no label and none is predicted
    assert result.protocol["images_with_fewer_than_k"] == 2
    assert any("'b.jpg'" in note for note in result.notes)


def test_a_file_of_errors_alone_counts_as_empty_sets(write, truth):
    path = write("p.jsonl", [{"image": image, "error": "x"} for image in truth.images])
    result = score(truth, path, missing="empty")
    assert (result["OP"], result["OR"], result["mAP_area"]) == (0.0, 0.0, None)


def test_lines_of_two_kinds_leave_what_they_do_not_share_null(write, truth):
    lines = [
        {"image": "a.jpg", "labels": ["cat"]},
        {"image": "b.jpg", "scores": {"tree": 1.0}},
        {"image": "c.jpg", "labels": []},
    ]
    result = score(truth, write("p.jsonl", lines))
    assert {name for name, value in result.values.items() if value is not None} == {"mean_labels_true"}
    assert "some prediction lines" in result.reasons["MAP@10"]


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_file_and_its_matrices_give_the_same_scores(tmp_path_factory, data):
    names = ["a", "b", "c"]
    images = data.draw(st.integers(1, 5))
    cells = st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3)
    rows = [[1, 0, 1], [-1, 1, -1], *(data.draw(cells) for _ in range(images))]
    scores = [
        data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=3, max_size=3))
        for _ in range(len(rows))
    ]
    folder = tmp_path_factory.mktemp("files")
    with (folder / "t.jsonl").open("w") as t, (folder / "p.jsonl").open("w") as p:
        for i, (row, values) in enumerate(zip(rows, scores, strict=True)):
            has = [n for n, v in zip(names, row, strict=True) if v == 1]
            unknown = [n for n, v in zip(names, row, strict=True) if v == -1]
            t.write(json.dumps({"image": str(i), "labels": has, "unknown": unknown}) + "\n")
            p.write(json.dumps({"image": str(i), "scores": dict(zip(names, values, strict=True))}) + "\n")
    from labelbeam.metrics.comparison import Protocol, compare

    arrays = compare(
        np.array(rows, np.int8), names, protocol=Protocol("exact-k", k=2), scores=np.array(scores, np.float64)
    )
    assert (
        score(read_truth(folder / "t.jsonl"), folder / "p.jsonl", k=2).to_json() == evaluate(arrays).to_json()
    )


GOOD = [{"image": "a.jpg", "labels": []}, {"image": "b.jpg", "labels": []}, {"image": "c.jpg", "labels": []}]
BAD_PREDICTIONS = [
    ([*GOOD[:2], "{oops"], ["line 3", "not JSON", "one JSON object"]),
    ([*GOOD[:2], "[1]"], ["line 3", "JSON object", "[1]"]),
    ([*GOOD[:2], {"labels": []}], ["line 3", "'image' is missing", "labels"]),
    ([*GOOD[:2], {"image": 3, "labels": []}], ["line 3", "non-empty text", "3"]),
    ([*GOOD[:2], {"image": "c.jpg"}], ["line 3", "neither 'labels' nor 'scores'"]),
    ([*GOOD, GOOD[0]], ["line 4", "'a.jpg' is repeated", "line 1"]),
    ([*GOOD, {"image": "x.jpg", "labels": []}], ["1 image(s) are not in the truth", "'x.jpg'", "same texts"]),
    ([*GOOD, {"image": "x.jpg", "error": "e"}], ["1 image(s) are not in the truth", "'x.jpg'"]),
    (GOOD[:2], ["1 image(s)", "'c.jpg'", "--missing empty"]),
    ([*GOOD[:2], '{"image": "c.jpg", "scores": {"cat": NaN}}'], ["line 3", "'cat'", "finite", "NaN"]),
    (
        [*GOOD[:2], '{"image": "c.jpg", "scores": {"cat": -Infinity}}'],
        ["line 3", "finite", "Leave a label out"],
    ),
    ([*GOOD[:2], {"image": "c.jpg", "scores": {"cat": "high"}}], ["line 3", "finite number", '"high"']),
    ([*GOOD[:2], {"image": "c.jpg", "scores": {"cat": True}}], ["line 3", "finite number", "true"]),
    ([*GOOD[:2], {"image": "c.jpg", "scores": {"cat": 10**400}}], ["line 3", "a whole number of 401 digits"]),
    ([*GOOD[:2], {"image": "c.jpg", "scores": {"": 0.5}}], ["line 3", "non-empty text"]),
    ([*GOOD[:2], {"image": "c.jpg", "scores": [0.5]}], ["line 3", "{name: number}", "[0.5]"]),
    ([*GOOD[:2], '{"image": "c.jpg", "scores": {"cat": 1, "cat": 0}}'], ["line 3", "'cat'", "twice"]),
    ([*GOOD[:2], '{"image": "c.jpg", "scores": {"cat": 1, "cat ": 0}}'], ["line 3", "'cat'", "scored twice"]),
    ([*GOOD[:2], {"image": "c.jpg", "labels": ["cat", "cat"]}], ["line 3", "'cat'", "listed twice"]),
    ([*GOOD[:2], {"image": "c.jpg", "labels": "cat"}], ["line 3", "must be a list", '"cat"']),
    ([*GOOD[:2], {"image": "c.jpg", "labels": [" "]}], ["line 3", "non-empty text"]),
    ([*GOOD[:2], {"image": "c.jpg", "labels": [{"name": "cat"}]}], ["line 3", "non-empty text", "null"]),
    (
        [*GOOD[:2], '{"image": "c.jpg", "labels": [{"label": "cat", "score": NaN}]}'],
        ["line 3", "'cat'", "finite", "NaN"],
    ),
    (b'{"image": "\x93\x8c.jpg", "labels": []}\n', ["line 1", "not UTF-8", "Save the file as UTF-8"]),
]


@pytest.mark.parametrize(("lines", "words"), BAD_PREDICTIONS)
def test_a_bad_prediction_file_is_refused_with_line_cause_and_remedy(write, truth, lines, words):
    with pytest.raises(InputError) as caught:
        read_predictions(write("p.jsonl", lines), truth)
    for word in ["p.jsonl", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], ["has no image"]),
        ([{"image": "a", "labels": []}], ["no line of the truth names a label"]),
        ([{"image": "a", "scores": {}}], ["line 1", "'labels' is missing", "Use []"]),
        ([{"image": "a", "labels": ["x"], "unknown": ["x"]}], ["line 1", "'x'", "'unknown'"]),
        ([{"image": "a", "labels": ["x"]}, {"image": "a", "labels": []}], ["line 2", "repeated", "line 1"]),
        ([{"image": "a", "labels": [None]}], ["line 1", "non-empty text", "null"]),
    ],
)
def test_a_bad_truth_file_is_refused_with_line_cause_and_remedy(write, lines, words):
    with pytest.raises(InputError) as caught:
        read_truth(write("t.jsonl", lines))
    for word in ["t.jsonl", *words]:
        assert word in str(caught.value)


LISTS = [{"image": i, "labels": ["cat"]} for i in ("a.jpg", "b.jpg", "c.jpg")]
NUMBERS = [{"image": i, "scores": {"cat": 0.5}} for i in ("a.jpg", "b.jpg", "c.jpg")]


@pytest.mark.parametrize(
    ("lines", "asked", "words"),
    [
        (NUMBERS, {"k": 3, "threshold": 0.5}, ["exactly one decision protocol", "--k and --threshold"]),
        (NUMBERS, {"k": 3, "sets": True}, ["--k and --sets", "Choose one"]),
        (NUMBERS, {"k": 0}, ["at least 1", "given 0"]),
        (NUMBERS, {"min_score": 0.5}, ["--min-score belongs to --k"]),
        (NUMBERS, {"sets": True}, ["--sets needs 'labels'", "line 1", "--k or --threshold"]),
        (LISTS, {"threshold": 0.5}, ["--threshold needs 'scores'", "line 1", "--all-scores"]),
        (LISTS, {"k": 1, "min_score": 0.5}, ["--min-score needs 'scores'"]),
        ([LISTS[0], *NUMBERS[1:]], {"k": 1}, ["--k needs one ranking"]),
    ],
)
def test_a_protocol_that_the_file_cannot_give_is_refused_in_words(write, truth, lines, asked, words):
    with pytest.raises(InputError) as caught:
        score(truth, write("p.jsonl", lines), **asked)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_file_and_a_wrong_policy_are_named(tmp_path, truth):
    with pytest.raises(InputError, match=r"there is no file .*nowhere\.jsonl"):
        read_predictions(tmp_path / "nowhere.jsonl", truth)
    with pytest.raises(InputError, match=r"unknown policy for missing images 'emtpy'\. Did you mean 'empty'"):
        read_predictions(tmp_path / "p.jsonl", truth, missing="emtpy")


@pytest.mark.parametrize(("factor", "said"), [(1, False), (100, True), (-3, True)])
def test_a_threshold_of_a_probability_over_other_numbers_is_said(write, truth, factor, said):
    scores = {"cat": 0.9 * factor, "dog": 0.2 * factor, "tree": 0.1 * factor}
    path = write("p.jsonl", [{"image": image, "scores": scores} for image in truth.images])
    notes = score(truth, path, threshold=0.5).notes
    assert any("no probabilities; a threshold of 0.5" in note for note in notes) == said
