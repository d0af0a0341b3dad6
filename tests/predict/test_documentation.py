"""What docs/decisions.md shows is what runs, and it names every rule."""

from pathlib import Path

import pytest

from labelbeam.predict.decision import RULES
from labelbeam.predict.thresholds import OBJECTIVES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "decisions.md"


@pytest.mark.parametrize("name", [f"rule: {rule}" for rule in RULES] + list(OBJECTIVES))
def test_the_page_names_every_rule_and_everything_thresholds_are_tuned_for(name: str) -> None:
    table = PAGE.read_text(encoding="utf-8").split("## Rules", 1)[1].split("\n## ", 1)[0]
    assert name in table
