"""Questions of many clients, answered in one thread."""

import ast
from pathlib import Path

import numpy as np
import pytest

import labelbeam.service
from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.predict.decision import Decision
from labelbeam.predict.prediction import Prediction
from labelbeam.runs.tagger import Tagger
from labelbeam.service.answering import Encoded, QuestionAnswerer


@pytest.fixture(scope="module")
def features(tagger: Tagger, photographs: list[Path]) -> np.ndarray:
    return extract(photographs[:4], tagger.run.encoder).values


def test_images_asked_together_are_answered_as_alone_each_by_its_own_decision(
    tagger: Tagger, features: np.ndarray
) -> None:
    answerer = QuestionAnswerer(tagger)
    decisions = [Decision(), Decision("threshold", 0.0), Decision(), Decision("expected-f1")]
    images = [Encoded(str(i), features[i], decision, i == 2) for i, decision in enumerate(decisions)]
    together = answerer([images[0], lambda: "a click", *images[1:]])
    assert together.pop(1) == "a click"
    for image, said in zip(images, together, strict=True):
        (alone,) = answerer([image])
        assert isinstance(said, Prediction)
        assert isinstance(alone, Prediction)
        assert said.to_json() == alone.to_json()
        assert said.image == image.name
        assert bool(said.scores) == image.all_scores


def test_a_question_that_fails_spoils_no_other(tagger: Tagger, features: np.ndarray) -> None:
    answerer = QuestionAnswerer(Tagger(tagger.run))
    object.__setattr__(answerer._tagger, "calibration", None)

    def wrong() -> None:
        raise InputError("wrong")

    asked = [
        Encoded("a", features[0], Decision("threshold", tuned_for="of1"), False),
        Encoded("b", features[1], Decision(), False),
        wrong,
    ]
    tuned, fine, raised = answerer(asked)
    assert isinstance(tuned, InputError)
    assert "thresholds tuned for of1" in str(tuned)
    assert isinstance(fine, Prediction)
    assert isinstance(raised, InputError)


def test_the_service_itself_imports_no_torch() -> None:
    folder = Path(labelbeam.service.__file__).parent
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"torch", "accelerate"}, file.name
