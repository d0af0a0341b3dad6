"""The slow, obvious twin of every search: all paths of a small model, one by one, in double precision."""

import numpy as np

from labelbeam.decoding.step import AllowedRule, LabelStep


class ReluStep:
    """A random model with h = ReLU: rows are joint embeddings, logits a product; not additive."""

    additive = False

    def __init__(self, num_labels: int, *, allowed: AllowedRule, seed: int, width: int = 4) -> None:
        generator = np.random.default_rng(seed)
        self.num_labels, self.allowed = num_labels, allowed
        self.embed = generator.standard_normal((num_labels, width)).astype(np.float32)
        self.mix = generator.standard_normal((width, width)).astype(np.float32) / 2
        self.out = 2 * generator.standard_normal((width, num_labels + 1)).astype(np.float32)
        self.outputs = self.out.T  # compiled searches multiply by it

    def start(self):
        state = np.zeros((1, self.mix.shape[0]), dtype=np.float32)
        return state, state.copy()

    def step(self, states, labels):
        states = np.tanh(states @ self.mix + self.embed[labels])
        return states, 2 * states

    def combine(self, rows, image_rows):
        return np.maximum(rows + image_rows, 0) @ self.out


def may_follow(step: LabelStep, prefix: tuple[int, ...], minimum: int, maximum: int | None) -> list[int]:
    """Allowed outcomes after a prefix, written from the definition."""
    num_labels = step.num_labels
    if maximum is not None and len(prefix) >= maximum:
        return [num_labels]
    labels = {
        "canonical": lambda: [j for j in range(num_labels) if not prefix or j > prefix[-1]],
        "no-repeat": lambda: [j for j in range(num_labels) if j not in prefix],
        "paper": lambda: list(range(num_labels)),
    }[step.allowed]()
    if step.allowed == "canonical":
        labels = [j for j in labels if len(prefix) + 1 + (num_labels - 1 - j) >= minimum]
    return labels + ([num_labels] if len(prefix) >= minimum else [])


def all_paths(
    step: LabelStep,
    image_row: np.ndarray,
    *,
    minimum: int = 0,
    maximum: int | None = None,
    least: float = 0.0,
) -> dict[tuple[int, ...], float]:
    """Log-probability of every path (of those whose prefixes have at least probability `least`)."""
    found: dict[tuple[int, ...], float] = {}
    if maximum is None and step.allowed == "paper":
        maximum = 20

    def follow(prefix: tuple[int, ...], state: np.ndarray, row: np.ndarray, log_prob: float) -> None:
        logits = step.combine(row, image_row[None])[0].astype(np.float64)
        outcomes = may_follow(step, prefix, minimum, maximum)
        log_probs = logits[outcomes] - np.logaddexp.reduce(logits[outcomes])
        for outcome, step_log_prob in zip(outcomes, log_probs, strict=True):
            total = log_prob + step_log_prob
            if outcome == step.num_labels:
                found[prefix] = total
            elif total >= (np.log(least) if least else -np.inf):
                follow((*prefix, outcome), *step.step(state, np.array([outcome])), total)

    follow((), *step.start(), 0.0)
    return found


def true_marginals(paths: dict[tuple[int, ...], float], num_labels: int) -> np.ndarray:
    marginals = np.zeros(num_labels)
    for path, log_prob in paths.items():
        marginals[list(set(path))] += np.exp(log_prob)
    return marginals


def ranked(paths: dict[tuple[int, ...], float]) -> list[tuple[tuple[int, ...], float]]:
    return sorted(paths.items(), key=lambda item: (-item[1], item[0]))


def random_rows(count: int, width: int, seed: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal((count, width))).astype(np.float32)
