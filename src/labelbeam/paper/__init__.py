"""The paper's tables beside ours: benchmarks, rows, trainings, measures and the page that shows them."""
