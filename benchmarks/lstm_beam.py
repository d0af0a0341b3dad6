"""The rival of the trie: batched LSTM beam search in torch, same masks, same END and stop rule.

Every live beam of every image pays an LSTM step. Finished images leave the batch; with `drop_dead` so do
beams that can no longer win, as the trie's search does it. Used by `benchmarks/decoding.py`.
"""

import torch
from coco_like import HIDDEN, Weights


class LstmBeam:
    """Beam search over the weights of a label model, without sharing anything between images."""

    def __init__(self, weights: Weights, *, width: int, drop_dead: bool) -> None:
        self.width, self.drop_dead = width, drop_dead
        self.num_labels = weights.num_labels
        self.table = torch.from_numpy(weights.table)
        self.recurrent = torch.from_numpy(weights.recurrent)
        self.to_logits = torch.from_numpy(weights.to_logits)
        self.bias = torch.from_numpy(weights.bias)

    def cell(
        self, h: torch.Tensor, c: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return hidden and cell state after one more label."""
        i, f, g, o = torch.addmm(self.table[labels], h, self.recurrent).split(HIDDEN, 1)
        c = torch.addcmul(i.sigmoid() * g.tanh(), f.sigmoid(), c)
        return o.sigmoid() * c.tanh(), c

    @torch.no_grad()
    def __call__(self, image_rows: torch.Tensor) -> tuple[list[tuple[int, ...]], torch.Tensor]:
        """Return the best path of each image and its log-probability."""
        count, n, num_labels = len(image_rows), self.width, self.num_labels
        best = torch.full((count,), -torch.inf)
        paths: list[tuple[int, ...]] = [()] * count
        images = torch.arange(count)
        lp = torch.full((count, n), -torch.inf)
        lp[:, 0] = 0.0
        h = torch.zeros(count * n, HIDDEN)
        c = torch.zeros(count * n, HIDDEN)
        labels = torch.full((count, n), num_labels)
        taken = torch.zeros(count, n, 0, dtype=torch.long)
        slots = torch.arange(count * n).view(count, n)  # where a beam's state stands in h and c
        ids = torch.arange(num_labels)
        h, c = self.cell(h[:1], c[:1], labels[:1, 0])
        slots = torch.zeros(count, n, dtype=torch.long)
        for depth in range(num_labels + 1):
            rows = h @ self.to_logits + self.bias
            logits = rows[slots] + image_rows[images][:, None]  # [active beams labels+1]
            if depth:
                logits[..., :num_labels].masked_fill_(ids <= labels[..., None], -torch.inf)
            totals = logits.log_softmax(-1) + lp[..., None]
            ending, beam = totals[..., num_labels].max(1)
            for k in torch.nonzero(ending > best[images])[:, 0].tolist():
                best[images[k]] = ending[k]
                paths[int(images[k])] = tuple(taken[k, beam[k]].tolist())
            lp, chosen = totals[..., :num_labels].flatten(1).topk(n, 1)
            parents, labels = chosen // num_labels, chosen % num_labels
            taken = torch.cat(
                [taken.gather(1, parents[..., None].expand(-1, -1, depth)), labels[..., None]], 2
            )
            slots = slots.gather(1, parents)
            alive = lp > best[images][:, None]
            going = alive[:, 0]
            if not going.any():
                break
            images, lp, labels, taken, slots, alive = (
                x[going] for x in (images, lp, labels, taken, slots, alive)
            )
            if self.drop_dead:
                lp = lp.masked_fill(~alive, -torch.inf)
                at, new = slots[alive], torch.zeros_like(slots)
                h, c = self.cell(h[at], c[at], labels[alive])
                new[alive] = torch.arange(len(at))
                slots = new
            else:
                at = slots.flatten()
                h, c = self.cell(h[at], c[at], labels.flatten())
                slots = torch.arange(len(at)).view(slots.shape)
        return paths, best
