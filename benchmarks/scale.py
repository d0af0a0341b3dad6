"""What a beam costs as labels go 20, 80, 1,000, 10,000 and beams 1, 5, 10, 50: trie against batched LSTM search.

Label sets of "Zipf scenes" (`made_up_sets.py`, a mixture whose likelihood is known), image vectors made of them, a
label model of the paper's size trained for a short while. New images after others that warmed the trie; both searches
take turns on them. Prints nats per image of the generator and of the model, and the trie's hit rate: prefixes that a
search asked for and that were there. Seconds are processor time, which a busy machine does not stretch; on one thread,
since threads that wait for work count too.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --out scale.json --picture docs/pictures/scale.svg    # four minutes
    OMP_NUM_THREADS=1 python benchmarks/scale.py --quick          # 20, 80 and 1,000 labels only, a minute
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from coco_like import Weights, image_vectors
from lstm_beam import LstmBeam
from made_up_sets import ZipfScenes
from measuring import Figure, interleaved, medians, save, show

from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.likelihood import set_log_prob
from labelbeam.decoding.paths import BeamPaths
from labelbeam.decoding.search import Search
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_model_torch import CNNRNN, LSTM
from labelbeam.heads.options import LabelModelOptions
from labelbeam.runs.recipe import Recipe, build_optimiser

LABELS, WIDTHS = (20, 80, 1000, 10_000), (1, 5, 10, 50)
NOISE = 0.75
STEPS = {20: 300, 80: 300, 1000: 800, 10_000: 600}
"""Training steps, of 256 images (10,000 labels: 64)."""
TIMED = {20: 512, 80: 512, 1000: 128, 10_000: 16}
"""Images of a timed batch: what a batched LSTM search of width 50 has memory for."""


class CountedTrie(PrefixTrie):
    """Counts how many prefixes are asked for."""

    asked = 0

    def extend(self, nodes: np.ndarray, labels: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
        """Return the children of nodes, as always."""
        self.asked += len(nodes)
        return super().extend(nodes, labels, keep)


def trained(scenes: ZipfScenes, *, steps: int) -> CNNRNN:
    """Train a label model for so many steps."""
    torch.manual_seed(0)
    num_labels = scenes.chances.shape[1]
    batch = 256 if num_labels <= 1000 else 64
    model = CNNRNN(num_labels, 64, LabelModelOptions())
    optimiser = build_optimiser(Recipe(learning_rate=4e-3), model)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps)
        sets = scenes.draw(batch, seed=1000 + step)
        vectors = torch.from_numpy(image_vectors(sets, noise=NOISE, seed=1000 + step))
        model(vectors, torch.from_numpy(sets)).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad()
    return model.eval()


def head_of(model: CNNRNN) -> TrainedLabelModel:
    """Return the model as searches see it."""
    arrays = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    return TrainedLabelModel(arrays, model.options, scaling=model.scaling.name, num_labels=model.num_labels)


@torch.no_grad()
def weights_of(model: CNNRNN) -> Weights:
    """Return the arrays that the LSTM rival reads."""
    cell = model.cell
    assert isinstance(cell, LSTM)
    read = torch.cat((model.U_l[:-1], model.start))
    arrays = (
        cell.from_label(read), cell.from_state.weight.T, model.U_o.weight.T @ model.U_l.T,
        model.U_I.weight.T @ model.U_l.T, torch.zeros(model.num_labels + 1),
    )  # fmt: skip
    return Weights(*(np.ascontiguousarray(array.numpy()) for array in arrays))


def of_labels(
    num_labels: int, *, widths: tuple[int, ...], steps: int, warm: int, rounds: int
) -> list[dict[str, Any]]:
    """Measure every width for one number of labels."""
    scenes = ZipfScenes.of(num_labels)
    model = trained(scenes, steps=steps)
    step, weights, size = head_of(model), weights_of(model), TIMED[num_labels]
    held_out = scenes.draw(200, seed=1)
    held_out_rows = step.image_rows(image_vectors(held_out, noise=NOISE, seed=1))
    nats = -float(set_log_prob(PrefixTrie(step), held_out_rows, held_out).mean())
    vectors = image_vectors(scenes.draw(warm + rounds * size, seed=2), noise=NOISE, seed=2)
    rows = step.image_rows(vectors)
    results = []
    for width in widths:
        trie, options = CountedTrie(step), Search(beam_width=width)
        rival = LstmBeam(weights, width=width, drop_dead=False)
        for first in range(0, warm, size):
            beam_search(trie, rows[first : min(warm, first + size)], options)
        trie.asked, before, evictions = 0, trie.created, trie.evictions
        batches = [rows[first : first + size] for first in range(warm, len(rows), size)]
        taken, same = in_turns(partial(beam_search, trie, options=options), rival, batches)
        middle = medians(taken)
        results.append({
            "labels": num_labels, "width": width, "images_per_second": size / middle["trie"],
            "lstm_images_per_second": size / middle["lstm"], "times_lstm": middle["lstm"] / middle["trie"],
            "same_first_path": same / (rounds * size),
            "hit_rate": 1 - (trie.created - before) / max(1, trie.asked),
            "prefixes_asked_per_image": trie.asked / (rounds * size),
            "trie_nodes": trie.num_nodes, "trie_mb": trie.nbytes / 2**20, "evictions": trie.evictions - evictions,
            "generator_nats": scenes.nats(held_out), "model_nats": nats,
            "labels_per_image": float(held_out.sum(axis=1).mean()), "batch": size, "warm": warm,
        })  # fmt: skip
        print_row(results[-1])
    return results


def in_turns(
    ours: Callable[[np.ndarray], BeamPaths], rival: LstmBeam, batches: list[np.ndarray]
) -> tuple[dict[str, list[float]], int]:
    """Return the seconds of both searches, and in how many images they found the same first path."""
    taken: dict[str, list[float]] = {"trie": [], "lstm": []}
    same = 0
    for batch in batches:
        answers: dict[str, Any] = {}
        ways = {
            "trie": partial(lambda given, into: into.update(trie=ours(given)), batch, answers),
            "lstm": partial(
                lambda given, into: into.update(lstm=rival(torch.from_numpy(given))), batch, answers
            ),
        }
        for name, values in interleaved(ways, rounds=1, clock=time.process_time).items():
            taken[name] += values
        same += sum(answers["trie"].best(i) == path for i, path in enumerate(answers["lstm"][0]))
    return taken, same


def print_row(row: dict[str, Any]) -> None:
    """Print one row."""
    sys.stdout.write(
        f"{row['labels']:6} labels  beam {row['width']:2}  {row['images_per_second']:10,.0f} images/s"
        f"  {row['times_lstm']:6.1f} times LSTM  same path {row['same_first_path']:.1%}  hits {row['hit_rate']:.1%}"
        f"  {row['trie_nodes']:7,} nodes  {row['trie_mb']:4.0f} MB"
        f"  nats: sets alone {row['generator_nats']:.2f}, model with image {row['model_nats']:.2f}\n"
    )
    sys.stdout.flush()


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw milliseconds per image by labels, a line per width."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Drawing

    mpl.rcParams["svg.hashsalt"] = "labelbeam"  # the same file for the same numbers
    mpl.rcParams["svg.fonttype"] = "none"
    drawing = Drawing(figsize=(7.2, 4), layout="constrained")
    axes = drawing.add_subplot()
    for width, colour in zip(WIDTHS, ("#9ecae8", "#5b9bd5", "#2f6fb0", "#123a66"), strict=True):
        of = [row for row in rows if row["width"] == width]
        x = [row["labels"] for row in of]
        for rate, style in (("images_per_second", "o-"), ("lstm_images_per_second", "o:")):
            y = [1000 / row[rate] for row in of]
            axes.plot(x, y, style, color=colour, markersize=4)
            if style == "o-" and width not in (WIDTHS[0], WIDTHS[-1]):
                continue  # too near to each other to be named
            axes.annotate(f"beam {width}", (x[-1], y[-1]), (6, 0), textcoords="offset points", va="center")
    axes.set(xscale="log", yscale="log", xlabel="labels", ylabel="milliseconds per image")
    axes.set_xticks(LABELS, [f"{labels:,}" for labels in LABELS], minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(
        "batched LSTM search (dotted), trie (lines): new images, warm trie", fontsize=10, loc="left"
    )
    drawing.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    parser.add_argument("--picture", type=Path, help="draw them there (.svg, .png)")
    parser.add_argument("--redraw", type=Path, help="draw this JSON again, measure nothing")
    parser.add_argument("--labels", type=int, nargs="*", choices=LABELS, default=LABELS)
    parser.add_argument(
        "--warm", type=int, default=4000, help="images before the timed ones (a quarter for 10,000 labels)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="no 10,000 labels, a fifth of the training, 1,000 images, 3 rounds",
    )
    options = parser.parse_args()
    if options.redraw:
        draw(json.loads(options.redraw.read_text())["rows"], options.picture)
        return
    share = 1.0
    if options.quick:
        options.labels, share, options.warm, options.rounds = LABELS[:3], 0.2, 1000, 3
    warm_up = PrefixTrie(head_of(CNNRNN(3, 4, LabelModelOptions())))
    beam_search(warm_up, np.zeros((2, 4), np.float32))  # compile outside the timings
    rows: list[dict[str, Any]] = []
    for num_labels in options.labels:
        warm = options.warm if num_labels <= 1000 else options.warm // 4
        rows += of_labels(
            num_labels, widths=WIDTHS, steps=int(share * STEPS[num_labels]), warm=warm, rounds=options.rounds
        )
    figures = [
        Figure(f"beam {row['width']}, {row['labels']:,} labels", "batched LSTM beam search", row["times_lstm"],
               measured=f"{row['images_per_second']:,.0f} images/s")
        for row in rows
    ]  # fmt: skip
    show(figures)
    save(options.out, figures, rows=rows)
    if options.picture:
        draw(rows, options.picture)


if __name__ == "__main__":
    main()
