"""The page of a report from plain values: near-synonyms with their rates, rare labels, all of it escaped."""

import json
import re
from pathlib import Path
from typing import Any

from labelbeam.report.page import report_page

REPORT = Path(__file__).parents[1] / "frozen" / "outputs" / "report.json"


def section(name: str, **values: Any) -> str:
    """Return a section of the page of the frozen report with other values."""
    whole = json.loads(REPORT.read_text(encoding="utf-8")) | {"label_errors": {"errors": []}} | values
    whole["about"] |= {"beside": "runs/sigmoid"}
    whole |= {
        "promises": None,
        "missing": whole["missing"] | {"promises": "none here"},
    }  # younger than that report
    found = re.search(rf'<section id="{name}">.*?</section>', report_page(whole, [], []), re.DOTALL)
    assert found
    return found[0]


def pairs_part(near_synonyms: object) -> str:
    kinds = ("learned", "missed", "exaggerated", "invented")
    ours = {"tested": 1, "labels": 2, "undecided": 0, "counts": dict.fromkeys(kinds, 0)}
    ours |= {kind: [] for kind in kinds}
    share = {"value": 0.25, "low": 0.1, "high": 0.4}
    exclusive = {"pairs": 1, "rates": {"run": {"images": 3, "share": share}}, "emitted": []}
    pairs = {"pairs": ours, "rival_pairs": None, "exclusive": exclusive, "near_synonyms": near_synonyms}
    return section("pairs", pairs=pairs)


def test_near_synonyms_are_shown_with_rates_and_similarities() -> None:
    share = {"value": 0.02, "low": 0.01, "high": 0.04}
    found = {
        "pairs": 1,
        "against": "rival",
        "rates": {name: {"images": 5, "share": share} for name in ("truth", "run", "rival")},
        "differences": {"run": {"value": -0.015, "low": -0.03, "high": 0.001}},
        "alike": [
            {
                "labels": ["<b>sofa", "couch"],
                "by_vectors": None,
                "by_images": 0.87,
                "images": {"truth": 0, "run": 2, "rival": 5},
            }
        ],
    }
    page = pairs_part(found)
    assert "&lt;b&gt;sofa + couch" in page
    assert "This run less sigmoid: -1.50 points (-3.00 to +0.10" in page
    assert "<td>0.87</td><td>0</td><td>2</td><td>5</td>" in page
    assert "look alike" in pairs_part({"alike": []})
    assert "alike" not in pairs_part(None)


def test_the_balance_of_labels_is_shown_with_what_becomes_of_the_rare_ones() -> None:
    counts = {"dog": (60, 50, 45), "cat": (30, 20, 15), "<b>owl": (3, 2, 1), "nobody": (0, 4, 0)}
    labels = [
        {
            "label": name,
            "present": present,
            "decided": decided,
            "right": right,
            "training_images": 10.0 * present,
            "predictability": None,
            "mean_area": None,
            **{key: {"value": 0.5, "low": 0.25, "high": 0.75} for key in ("precision", "recall")},
        }
        for name, (present, decided, right) in counts.items()
    ]
    failures = json.loads(REPORT.read_text(encoding="utf-8"))["failures"] | {"labels": labels}
    page = section("balance", failures=failures)
    assert (
        "Of the 3 labels that are present, dog has the most training images (600, 20 times as many)" in page
    )
    assert "&lt;b&gt;owl the fewest (30)" in page
    assert "<td>rare</td><td>1</td><td>30 to 30</td><td>50 %</td><td>33 %</td>" in page
