"""The paper's tables made again: plan, training of every row, measurement under each protocol, verdicts."""
