"""`labelbeam extend-labels` on the command line."""

import csv
from pathlib import Path


def test_a_run_gets_a_label_from_a_table_of_it_alone(
    command, finished: Path, drawn: Path, tmp_path: Path
) -> None:
    table, out = tmp_path / "new.csv", tmp_path / "more"
    with (drawn / "tags.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "tags"])
        writer.writerows([drawn / row["image"], "even" if i % 2 == 0 else ""] for i, row in enumerate(rows))
    done = command("extend-labels", finished, "--data", f"csv:{table}", "--out", out)
    assert done.exit_code == 0, done.output
    assert "even" in done.stdout
    assert "on 30 of 60 images" in done.stdout
    assert command("tag", out, drawn, "--json").exit_code == 0
    again = command("extend-labels", finished, "--data", f"csv:{table}", "--out", out)
    assert again.exit_code == 2
    assert "Choose another --out" in again.stderr
