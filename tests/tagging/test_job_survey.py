"""What a job has before it: the number, and a sample that reaches from its first image to near its last."""

from pathlib import Path

import pytest

from labelbeam.tagging.job import Survey, survey


def names(count: int) -> list[Path]:
    return [Path(f"{i}.jpg") for i in range(count)]


@pytest.mark.parametrize("count", [*range(1, 40), 255, 256, 257, 1000])
@pytest.mark.parametrize("most", [1, 2, 7])
def test_every_image_is_counted_and_the_sample_is_evenly_spread(count: int, most: int) -> None:
    found = survey(iter(names(count)), most=most)
    assert found.count == count
    places = [int(path.stem) for path in found.some]
    assert len(places) == min(most, count)
    assert places == sorted(set(places))
    gaps = [after - before for before, after in zip(places, [*places[1:], count], strict=True)]
    assert places[0] == 0
    assert max(gaps) <= 2 * -(-count // most), gaps


def test_a_job_of_few_images_is_its_own_sample() -> None:
    assert survey(names(3), most=7) == Survey(3, tuple(names(3)))
    assert survey([]) == Survey(0, ())
