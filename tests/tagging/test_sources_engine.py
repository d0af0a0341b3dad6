"""Which engine a job of tagging gets: what was asked for, or what keeps its answers; never a failure by itself."""

from pathlib import Path

import pytest

from labelbeam.encoders import engines
from labelbeam.encoders.graph_encoder import GraphEncoder
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError
from labelbeam.runs.tagger import Tagger
from labelbeam.tagging import sources as engine_of_job
from labelbeam.tagging.sources import with_job_engine


@pytest.fixture
def photographs(drawn: Path) -> list[Path]:
    return sorted(drawn.glob("*.png"))


def job(tagger: Tagger, photographs: list[Path], **changed: object) -> tuple[Tagger, str]:
    asked = {"engine": None, "precision": None, "images": 60, "exactly": False}
    return with_job_engine(tagger, photographs=photographs, **(asked | changed))  # type: ignore[arg-type]


def test_a_small_job_keeps_the_encoder_that_the_run_has(finished: Path, photographs: list[Path]) -> None:
    tagger = Tagger.load(finished)
    assert job(tagger, photographs) == (tagger, "")
    assert job(tagger, photographs, images=None) == (tagger, "")


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_an_engine_that_is_asked_for_gives_the_same_sets(
    engine: str, finished: Path, photographs: list[Path]
) -> None:
    tagger = Tagger.load(finished)
    other, told = job(tagger, photographs, engine=engine)
    assert isinstance(other.run.encoder, GraphEncoder)
    where = " on CPU" if engine == "onnx" else ""
    assert told == f"features by {engine}{where} in float32."
    both = zip(tagger.tag(photographs), other.tag(photographs), strict=True)
    assert all(one.path == two.path for one, two in both)


def test_a_large_job_gets_a_graph_and_rounded_numbers_only_where_the_answers_stay(
    finished: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (engines, engine_of_job):
        monkeypatch.setattr(module, "WORTH_A_GRAPH", 50)
    monkeypatch.setattr(engines, "FEWEST_JUDGED", 20)
    monkeypatch.setattr(engines, "has_bfloat16", lambda: True)
    tagger, seen = Tagger.load(finished), []
    for stays in (True, False):
        monkeypatch.setattr(engines, "stays_within", lambda *given, stays=stays: seen.append(given) or stays)
        other, told = job(tagger, photographs)
        assert isinstance(other.run.encoder, GraphEncoder)
        assert other.run.encoder.precision == ("bfloat16" if stays else "float32")
        assert ("stay within bounds" in told) == stays
    assert len(seen) == 2
    exact, _ = job(tagger, photographs, exactly=True)
    assert exact.run.encoder.precision == "float32"
    assert len(seen) == 2


def test_where_no_graph_can_be_made_a_job_that_asked_for_none_goes_on(
    finished: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_of_job, "WORTH_A_GRAPH", 50)

    def fails(*given: object, **asked: object) -> None:
        raise InputError("this network cannot be written as a graph.")

    monkeypatch.setattr(engine_of_job, "with_engine", fails)
    tagger = Tagger.load(finished)
    same, told = job(tagger, photographs)
    assert same is tagger
    assert isinstance(same.run.encoder, ImageEncoder)
    assert told == "the encoder stays with PyTorch: this network cannot be written as a graph."
    with pytest.raises(InputError, match="cannot be written"):
        job(tagger, photographs, engine="onnx")
