from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.runs.choices import decision_from, reading_of, search_from, with_settings
from labelbeam.runs.config import configure


def test_search_and_decision_of_a_trained_run_can_be_set() -> None:
    config = with_settings(
        configure(), ["search.score=max-step", "search.stop=worst", "decision.rule=threshold"]
    )
    assert (config.search.score, config.search.stop, config.decision.rule) == (
        "max-step",
        "worst",
        "threshold",
    )
    assert search_from(config, method=None, beam=3).score == "max-step"
    assert decision_from(config, {"decide": None, "threshold": None}).rule == "threshold"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label_model.cell=paper", "can change search and decision only.*Train again"),
        ("search.scores=beam", "unknown key 'search.scores' .nearest: 'search.score'"),
        ("search.score=max", "unknown search score 'max'"),
        ("search.score", "has no '='"),
    ],
)
def test_anything_else_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        with_settings(configure(), [text])


def test_an_evaluation_reads_labels_as_the_training_did_and_files_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "aliases.txt").write_text("kitty -> cat\n")
    trained = ReadOptions(
        difficult="present", layout="one-hot", deny="dog", aliases=tmp_path / "aliases.txt", min_images=5
    )
    assert reading_of(trained, "voc2007:DIR#test", {}) == ReadOptions(
        difficult="present", deny="dog", aliases=tmp_path / "aliases.txt"
    )
    (tmp_path / "aliases.txt").unlink()
    assert reading_of(trained, "csv:a.csv", {"deny": "cow"}) == ReadOptions(deny="cow")
