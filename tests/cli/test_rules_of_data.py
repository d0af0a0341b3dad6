"""`labelbeam data inspect --write-rules`: from labelled images to a file that `--rules` takes."""

import csv
import json
from pathlib import Path

from labelbeam.labels.rules import read_rules
from labelbeam.labels.vocabulary import Vocabulary


def test_rules_that_the_data_keep_are_shown_and_written(command, tmp_path: Path):
    table = tmp_path / "tags.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "tags"])
        for i in range(120):
            place = ("indoor", "outdoor")[i % 2]
            writer.writerow([f"{i}.jpg", f"{place};animal;dog" if i % 3 == 0 else place])
    asked = ("data", "inspect", f"csv:{table}", "--no-images", "--missing", "keep")
    rules = tmp_path / "rules.txt"
    shown = command(*asked, "--write-rules", rules)
    assert shown.exit_code == 0, shown.output
    assert "exactly one of: indoor, outdoor" in shown.output
    read = read_rules(rules, Vocabulary(("animal", "dog", "indoor", "outdoor")))
    assert {rule.text for rule in read.rules} == {
        "exactly one of: indoor, outdoor",
        "animal and dog always together",
    }
    found = json.loads(command(*asked, "--json").stdout)["rules"]
    assert found["count"] == 2
    assert found["found"][0] == {
        "rule": "exactly one of: indoor, outdoor", "images": 120, "expected": 30.0, "share_at_most": 0.0602
    }  # fmt: skip


def test_data_without_a_rule_write_none_and_say_so(command, tmp_path: Path):
    table = tmp_path / "tags.csv"
    table.write_text("image,tags\n0.jpg,a;b\n1.jpg,a\n2.jpg,b\n", encoding="utf-8")
    asked = ("data", "inspect", f"csv:{table}", "--no-images", "--missing", "keep")
    refused = command(*asked, "--write-rules", tmp_path / "rules.txt")
    assert (refused.exit_code, "nothing to write" in refused.stderr) == (2, True)
    assert not (tmp_path / "rules.txt").exists()
