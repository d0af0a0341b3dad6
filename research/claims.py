"""The paper's claims, one by one: confirmed, refuted or undecided, with an interval over training seeds.

    python research/claims.py --out runs/claims --ours runs/scores-and-search

CNN-RNN is that of `scores_and_search.py` (its work is read from --ours, or done there): five folds of the VOC part,
pooled, and the demo's drawn pictures. Rivals are trained on the same features, with the same dropout and recipe: the
label model without recurrence ("No RNN"), a linear and a two-layer sigmoid head (cut at 1/2). Nothing is tuned, for
any of them. A claim is a difference that should be above 0, one value a seed, paired by seed: confirmed where Student's
95 % interval of its mean lies above 0, refuted where it lies below, else undecided.

Intervals are over seeds only: the images are the same for all. Work is kept item by item in OUT.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from plain_training import standardize, teach
from scores_and_search import SEEDS, asked, asked_of_parts
from studies import Study, kept, scenes, taught, voc

from labelbeam.decoding.search import Search
from labelbeam.files import written_whole
from labelbeam.formats.object_areas import voc_areas
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.heads.label_scores_torch import SigmoidHead
from labelbeam.heads.options import SigmoidOptions
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import numbers
from labelbeam.predict.answers import SigmoidAnswerer
from labelbeam.scenes.world import ACTIVITIES, OBJECTS, SCENES, VOCABULARY, is_possible

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from measuring import machine

OURS, NO_RNN, LINEAR, LAYERS = "CNN-RNN", "No RNN", "sigmoid, linear", "sigmoid, two layers"
RIVALS = (NO_RNN, LINEAR, LAYERS)
T_95 = 4.303
"""Student's 0.975 quantile at two degrees of freedom: three seeds."""
SMALL, LARGE = 0.04, 0.25
"""Shares of the image below and above which a label's largest object is small or large."""


@dataclass(frozen=True)
class Claim:
    """A claim and what was found.

    Attributes:
        says: what the paper says.
        on: which images.
        measure: the difference that should be above 0.
        by_seed: its values; empty where there is no data.
        why: in words, where there is no data or no seed takes part.
        settled: the verdict where it is counted, not measured.
    """

    says: str
    on: str
    measure: str
    by_seed: tuple[float, ...] = ()
    why: str = ""
    settled: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """Student's 95 % interval of the mean."""
        values = np.array(self.by_seed)
        half = T_95 * values.std(ddof=1) / len(values) ** 0.5
        return float(values.mean() - half), float(values.mean() + half)

    @property
    def verdict(self) -> str:
        """Confirmed, refuted or undecided."""
        if not self.by_seed:
            return self.settled or "undecided"
        low, high = self.interval
        return "confirmed" if low > 0 else "refuted" if high < 0 else "undecided"

    @property
    def found(self) -> str:
        """The mean and its interval, in points; or why there is none."""
        if not self.by_seed:
            return self.why
        low, high = (100 * end for end in self.interval)
        return f"{100 * np.mean(self.by_seed):+.1f} [{low:+.1f}, {high:+.1f}]"


def sigmoid_head(study: Study, rows: np.ndarray, hidden: int, seed: int) -> SigmoidHead:
    """Train a sigmoid head as `studies.taught` trains the label model."""
    features = study.features[rows]
    torch.manual_seed(seed)
    dropout = {"feature_dropout": study.options.feature_dropout, "hidden_dropout": 0.5 if hidden else 0.0}
    model = SigmoidHead(
        study.targets.shape[1], features.shape[2], SigmoidOptions(hidden, **dropout), scaling="standardize"
    )
    standardize(model, features)
    model.start_from(torch.from_numpy(study.targets[rows].copy()))
    teach(model, features, study.targets[rows], recipe=study.recipe, seed=seed)
    return model


def rivals(study: Study, rows: tuple[np.ndarray, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Train the rivals on a part and ask them; keys are RIVAL/WHAT."""
    fitted, judged = rows
    features = study.features[judged, 0].astype(np.float32)
    no_rnn = replace(study, options=replace(study.options, cell="none"))
    found = asked(taught(no_rnn, fitted, "canonical", seed), Search(), features)
    said = {f"{NO_RNN}/{what}": found[what] for what in ("sets", "scores")}
    for name, hidden in ((LINEAR, 0), (LAYERS, 512)):
        answers = SigmoidAnswerer(trained(sigmoid_head(study, fitted, hidden, seed))).answer(features)
        said |= {f"{name}/sets": answers.path_sets(), f"{name}/scores": answers.scores}
    return said


def rivals_of_parts(study: Study, seed: int, items: Path) -> dict[str, np.ndarray]:
    """Ask the rivals of every part, one seed; the parts' images one after the other."""
    parts = [
        kept(
            items / f"{study.name}-part{number}-seed{seed}.npz",
            lambda rows=rows: rivals(study, rows, seed),
        )
        for number, rows in enumerate(study.parts)
    ]
    print(f"{study.name}: rivals, seed {seed} done", flush=True)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def ours_of_parts(study: Study, seed: int, items: Path) -> dict[str, np.ndarray]:
    """Return what CNN-RNN said, named as the rivals' answers are."""
    found = asked_of_parts(study, seed, items)
    return {f"{OURS}/sets": found["search/exact/sets"], f"{OURS}/scores": found["score/marginal/scores"]}


def values_of(study: Study, said: dict[str, np.ndarray], who: str) -> dict[str, float]:
    """Return every number of one model."""
    compared = compare(
        study.truth,
        study.names,
        protocol=Protocol("sets", decided_by="path"),
        scores=said[f"{who}/scores"].astype(np.float64),
        decisions=said[f"{who}/sets"],
    )
    once = np.ones((1, len(study.truth)), dtype=np.int64)
    return {name: float(value[0]) for name, value in numbers(compared, once).items()}


def recurrence(study: Study, said: list[dict[str, np.ndarray]]) -> list[Claim]:
    """Sets right and mAP of CNN-RNN minus each rival's."""
    values = [{who: values_of(study, one, who) for who in (OURS, *RIVALS)} for one in said]
    for one in values:
        print(study.name, {who: {k: round(100 * v[k], 1) for k in MEASURES} for who, v in one.items()})
    return [
        Claim(
            f"the recurrence helps, on {what}",
            study.name,
            f"{measure}, minus {rival}",
            tuple(one[OURS][measure] - one[rival][measure] for one in values),
        )
        for measure, what in MEASURES.items()
        for rival in RIVALS
    ]


MEASURES = {"subset_accuracy": "sets", "mAP_area": "marginals"}


def redundant(study: Study, said: list[dict[str, np.ndarray]]) -> list[Claim]:
    """Impossible sets of each rival minus those of CNN-RNN, on the drawn pictures."""
    columns = [study.names.index(name) for name in VOCABULARY]
    shares = [
        {who: float((~is_possible(one[f"{who}/sets"][:, columns])).mean()) for who in (OURS, *RIVALS)}
        for one in said
    ]
    return [
        Claim(
            "fewer redundant or contradicting labels",
            study.name,
            f"impossible sets of {rival}, minus ours",
            tuple(one[rival] - one[OURS] for one in shares),
        )
        for rival in RIVALS
    ]


def sizes(study: Study, said: list[dict[str, np.ndarray]], root: Path) -> Claim:
    """Recall of labels whose largest object is large minus that of small ones."""
    data = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    images = [path.name for path in data.paths]
    areas = voc_areas(root / "VOCdevkit" / "VOC2007", images, study.names)
    areas = np.concatenate([areas[judged] for _, judged in study.parts])
    there = study.truth == 1
    small, large = there & (areas < SMALL), there & (areas > LARGE)
    return Claim(
        "large objects are easy, small ones hard",
        study.name,
        f"recall above {LARGE:.0%} of the image, minus below {SMALL:.0%}",
        tuple(float(one[f"{OURS}/sets"][large].mean() - one[f"{OURS}/sets"][small].mean()) for one in said),
    )


def kinds(study: Study, said: list[dict[str, np.ndarray]]) -> Claim:
    """AP of scene and activity labels minus that of objects, on the drawn pictures."""
    context = [study.names.index(name) for name in (*SCENES, *ACTIVITIES)]
    things = {name for one in OBJECTS.values() for name in one}
    local = [study.names.index(name) for name in study.names if name in things]

    def mean_ap(one: dict[str, np.ndarray], columns: list[int]) -> float:
        truth, scores = study.truth[:, columns], one[f"{OURS}/scores"][:, columns].astype(np.float64)
        names = [study.names[column] for column in columns]
        compared = compare(truth, names, protocol=Protocol("none"), scores=scores)
        return float(numbers(compared, np.ones((1, len(truth)), dtype=np.int64))["mAP_area"][0])

    return Claim(
        "scene and activity labels are easier than local objects",
        study.name,
        "mAP of scenes and activities, minus objects",
        tuple(mean_ap(one, context) - mean_ap(one, local) for one in said),
    )


def parameters() -> Claim:
    """Numbers in U_l against those of a graph of all pairs of labels."""
    counts = {k: CNNRNN(k, 1, LabelModelOptions(hidden_size=8)).U_l.numel() for k in (20, 80, 81, 1000)}
    told = ", ".join(f"K = {k}: {n:,} against {k * (k - 1) // 2:,}" for k, n in counts.items())
    return Claim(
        "U_l grows with the number of labels, a co-occurrence graph with its square",
        "counted",
        "numbers in U_l, K + 1 rows of 64, against pairs, K (K - 1) / 2",
        why=told,
        settled="confirmed",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("LABELBEAM_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--out", type=Path, default=Path("runs/claims"))
    parser.add_argument("--ours", type=Path, default=Path("runs/scores-and-search"))
    parser.add_argument("--runs", type=Path, default=Path("runs/demo"), help="of labelbeam demo")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for folder in (arguments.out, arguments.ours):
        (folder / "items").mkdir(parents=True, exist_ok=True)
    claims: list[Claim] = []
    studies = (voc(root), scenes(arguments.runs))
    theirs = [[rivals_of_parts(study, seed, arguments.out / "items") for seed in SEEDS] for study in studies]
    for study, of_rivals in zip(studies, theirs, strict=True):
        said = [
            of_rivals[i] | ours_of_parts(study, seed, arguments.ours / "items")
            for i, seed in enumerate(SEEDS)
        ]
        claims += recurrence(study, said)
        if study.name == "voc":
            claims.append(sizes(study, said, root))
        else:
            claims += [*redundant(study, said), kinds(study, said)]
    claims.append(Claim("person attributes are hard", "", "", why="no data set here has such labels"))
    claims.append(parameters())
    rows = [(claim.says, claim.on, claim.measure, claim.found, claim.verdict) for claim in claims]
    for row in rows:
        print("| " + " | ".join(row) + " |")
    told = [dict(zip(("claim", "on", "measure", "found", "verdict"), row, strict=True)) for row in rows]
    for one, claim in zip(told, claims, strict=True):
        one["by_seed"] = claim.by_seed
    with written_whole(arguments.out / "claims.json") as part:
        result = {"claims": told, "seeds": SEEDS, "machine": machine()}
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
