"""The rival that public re-implementations wrote: beam search as a Python loop, image by image, beam by beam.

Same masks, same END and stop rule, same weights; torch for each beam's LSTM step. Used by `benchmarks/decoding.py`.
"""

import torch
from coco_like import HIDDEN, Weights


class LoopBeam:
    """Beam search that takes one LSTM step per image and beam."""

    def __init__(self, weights: Weights, *, width: int) -> None:
        self.width, self.num_labels = width, weights.num_labels
        self.table = torch.from_numpy(weights.table)
        self.recurrent = torch.from_numpy(weights.recurrent)
        self.to_logits = torch.from_numpy(weights.to_logits)
        self.bias = torch.from_numpy(weights.bias)

    @torch.no_grad()
    def __call__(self, image_rows: torch.Tensor) -> list[tuple[int, ...]]:
        """Return the best path of each image."""
        return [self._search(row) for row in image_rows]

    def _search(self, image_row: torch.Tensor) -> tuple[int, ...]:
        end, nothing = self.num_labels, torch.zeros(HIDDEN)
        live = [(0.0, (), nothing, nothing)]
        best: tuple[float, tuple[int, ...]] = (-float("inf"), ())
        while live:
            grown = []
            for log_prob, path, h, c in live:
                gates = self.table[path[-1] if path else end] + h @ self.recurrent
                i, f, g, o = gates.chunk(4)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                logits = h @ self.to_logits + self.bias + image_row
                if path:
                    logits[: path[-1] + 1] = -float("inf")
                log_probs = logits.log_softmax(0) + log_prob
                best = max(best, (float(log_probs[end]), path))
                values, labels = log_probs[:end].topk(min(self.width, end))
                grown += [
                    (value, (*path, label), h, c)
                    for value, label in zip(values.tolist(), labels.tolist(), strict=True)
                ]
            grown.sort(key=lambda beam: -beam[0])
            live = [beam for beam in grown[: self.width] if beam[0] > best[0]]
        return best[1]
