"""Parts of a report from plain values: near-synonyms with their rates, escaped."""

from labelbeam.report.failures import balance_part, pairs_part


def values(near_synonyms: object) -> dict[str, object]:
    kinds = ("learned", "missed", "exaggerated", "invented")
    ours = {"tested": 1, "labels": 2, "undecided": 0, "counts": dict.fromkeys(kinds, 0)}
    ours |= {kind: [] for kind in kinds}
    share = {"value": 0.25, "low": 0.1, "high": 0.4}
    exclusive = {"pairs": 1, "rates": {"run": {"images": 3, "share": share}}, "emitted": []}
    pairs = {"pairs": ours, "rival_pairs": None, "exclusive": exclusive, "near_synonyms": near_synonyms}
    return {"pairs": pairs, "missing": {}, "about": {"beside": "runs/sigmoid"}}


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
    page = pairs_part(values(found))
    assert "&lt;b&gt;sofa + couch" in page
    assert "This run less sigmoid: -1.50 points (-3.00 to +0.10" in page
    assert "<td>0.87</td><td>0</td><td>2</td><td>5</td>" in page
    assert "look alike" in pairs_part(values({"alike": []}))
    assert "alike" not in pairs_part(values(None))


def test_the_balance_of_labels_is_told_with_what_becomes_of_the_rare_ones() -> None:
    counts = {"dog": (60, 50, 45), "cat": (30, 20, 15), "<b>owl": (3, 2, 1), "nobody": (0, 4, 0)}
    labels = [
        {
            "label": name,
            "present": present,
            "decided": decided,
            "right": right,
            "training_images": 10 * present,
        }
        for name, (present, decided, right) in counts.items()
    ]
    page = balance_part({"failures": {"labels": labels}})
    assert (
        "Of the 3 labels that are present, dog has the most training images (600, 20 times as many)" in page
    )
    assert "&lt;b&gt;owl the fewest (30)" in page
    assert "<td>rare</td><td>1</td><td>30 to 30</td><td>50 %</td><td>33 %</td>" in page
