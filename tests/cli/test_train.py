"""`labelbeam export` on the command line; what it writes is tested in tests/runs/test_export.py."""

from labelbeam.runs.run_directory import load_run


def test_a_run_is_exported_and_its_folder_described(finished, command, tmp_path) -> None:
    done = command("export", finished, "--to", "numpy", "--out", tmp_path / "arrays")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'arrays'}: cnn-rnn, 28 labels, to numpy (float32)" in done.stdout
    assert load_run(tmp_path / "arrays").vocabulary == load_run(finished).vocabulary


def test_photographs_to_calibrate_on_are_read_as_any_data_set(finished, drawn, command, tmp_path) -> None:
    done = command("export", finished, "--out", tmp_path / "out", "--calibrate", f"csv:{drawn / 'tags.csv'}")
    assert done.exit_code == 2
    assert "--precision int8 measures the network on photographs" in done.stderr
    assert not list(tmp_path.iterdir())
