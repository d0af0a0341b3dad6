"""Ten public multi-label sets: labelbeam's heads beside scikit-learn's, on the official splits.

    python benchmarks/public_sets.py next --seconds 240    goes on with what is not frozen, for so long; again and again
    python benchmarks/public_sets.py next METHOD …         the same, of these methods, frozen or not
    python benchmarks/public_sets.py run SET METHOD …      trains and measures what is not done
    python benchmarks/public_sets.py freeze                lays what was measured over results/public_sets.json
    python benchmarks/public_sets.py table                 the tables of docs/public_sets.md, from that file

Every method gets `CONFIGURATIONS` configurations, compared by the log-likelihood of held-out rows of the training part
(three folds below 100 rows, else a quarter of at most 5,000), and is then trained on all of it; the test part is
looked at once. Needs the sets (`LABELBEAM_DATA`/mulan) and scikit-learn; `public_peers` holds the other methods.
"""

import argparse
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Container, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from public_peers import STRENGTHS, Answered, Part, chain_ensemble, chains, forest, relevance

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.formats.registry import open_dataset

CONFIGURATIONS = len(STRENGTHS)
LABELS = {
    **{"flags": 7, "emotions": 6, "scene": 6, "birds": 19, "yeast": 14},
    **{"medical": 45, "enron": 53, "Corel5k": 374, "tmc2007-500": 22, "bibtex": 159},
}
SETS = tuple(LABELS)
ONE_SEED = ("Corel5k", "tmc2007-500", "bibtex")
"""Sets on which a training takes minutes."""
SEEDS = 3
OURS = ("cnn-rnn", "no-rnn", "sigmoid-mlp", "sigmoid")
PEERS = ("relevance", "chain", "chain-beam", "chain-exact", "chain-ensemble", "forest")
TOGETHER = {"relevance": relevance, "chain": chains, "chain-ensemble": chain_ensemble, "forest": forest}
"""What is trained together, by the first of its methods."""
SEEDLESS = ("relevance", "chain")
"""Methods in which nothing is drawn."""
FROZEN = Path(__file__).parent / "results" / "public_sets.json"


def data_folder() -> Path:
    """Return the folder of real data."""
    return Path(os.environ.get("LABELBEAM_DATA", "data"))


def read(name: str) -> tuple[Part, Part]:
    """Return the official train and test part."""
    ending = "-sparse" if name == "Corel5k" else ""
    parts = []
    for part in ("train", "test"):
        data = open_dataset(f"vectors:{data_folder() / 'mulan' / name}.xml#{part}{ending}")
        assert isinstance(data.features, FeatureRows)
        parts.append(Part(np.asarray(data.features[:]), np.asarray(data.targets)))
    return parts[0], parts[1]


class TimeIsUp(Exception):  # noqa: N818  nothing went wrong
    """What was tried so far is kept; the same command goes on there."""


def ours(
    head: str, train: Part, test: Part, seed: int, *, tried: Path, until: float = float("inf")
) -> Answered:
    """Train one of labelbeam's heads and answer by exact search, over a trie that is empty at first.

    Args:
        head: its name.
        train: to be trained on.
        test: to be answered.
        seed: of the training.
        tried: a file that keeps how each configuration did, so that a run may be cut in between.
        until: the processor time of this process after which nothing more is begun, `TimeIsUp`.
    """
    from labelbeam.decoding.best_first import best_paths
    from labelbeam.runs.tagger import Tagger
    from labelbeam.sklearn import LabelSetClassifier
    from labelbeam.training import learning

    known: dict[str, dict] = json.loads(tried.read_text()) if tried.exists() else {}
    judge = learning._judged

    def judged(config: Any, rows: Any, targets: Any, drawn: Any, kept: Any, held: Any) -> Any:
        key = hashlib.sha256(f"{config}".encode() + targets[drawn[held]].tobytes()).hexdigest()[:16]
        if key not in known:
            if time.process_time() > until:
                raise TimeIsUp
            start = time.process_time()
            one = judge(config, rows, targets, drawn, kept, held)
            seconds = time.process_time() - start
            known[key] = {"nats": one.nats, "best_epoch": one.best_epoch, "seconds": seconds}
            tried.parent.mkdir(parents=True, exist_ok=True)
            tried.write_text(json.dumps(known))
        return SimpleNamespace(**known[key])

    model = LabelSetClassifier(head, tune=CONFIGURATIONS, random_state=seed)
    before = sum(one["seconds"] for one in known.values())
    start = time.process_time()
    learning._judged = judged
    try:
        model.fit(train.X, train.Y)
    finally:
        learning._judged = judge
    trained = before + time.process_time() - start
    nats = model.log_likelihood(test.X, test.Y)
    if not hasattr(model._tagger().answerer, "trie"):
        start = time.process_time()
        sets = model.predict(test.X)
        seconds = time.process_time() - start
        return Answered(sets, nats, seconds, model.chosen_, trained, tried=model.tried_)
    for rows in (test.X[:2], test.X):  # the first time compiles
        answerer = Tagger(model._run).answerer
        start = time.process_time()
        image_rows = answerer.step.image_rows(rows)
        begun = time.process_time()
        found = best_paths(answerer.trie, image_rows)
        seconds, searched = time.process_time() - start, time.process_time() - begun
    sets = np.zeros(test.Y.shape, np.int8)
    for row in range(len(sets)):
        sets[row, model._order[list(found.path(row))]] = 1
    nodes, exact = float(found.expansions.mean()), float(found.exact.mean())
    return Answered(sets, nats, seconds, model.chosen_, trained, nodes, exact, model.tried_, searched)


# --- running


def run(name: str, method: str, out: Path, seed: int, *, until: float = float("inf")) -> None:
    """Train and measure a method, and what is trained with it, unless that is done.

    Raises:
        TimeIsUp: as `ours`.
    """
    if _file(out, name, method, seed).exists():
        return
    train, test = read(name)
    if method in OURS:
        tried = out / "tried" / _file(out, name, method, seed).name
        found = {method: ours(method, train, test, seed, tried=tried, until=until)}
    else:
        found = dict(TOGETHER[method](train, test, seed))
    out.mkdir(parents=True, exist_ok=True)
    for each in reversed(found):  # the one that is looked for comes last
        values = {"set": name, "method": each, "seed": seed, "day": f"{datetime.date.today()}"}
        values |= measured(found[each], test.Y)
        part = _file(out, name, each, seed).with_suffix(".part")
        part.write_text(json.dumps(values))
        part.rename(_file(out, name, each, seed))
        print(
            f"{name:12} {each:14} right {100 * values['right']:5.1f} %  log-likelihood {values['nats']:8.3f}  "
            f"{values['chosen']}  train {values['train_seconds']:.0f} s  predict {values['predict_seconds']:.3f} s",
            flush=True,
        )


def _file(out: Path, name: str, method: str, seed: int) -> Path:
    return out / f"{name}--{method}--{seed}.json"


def missing(
    out: Path, methods: tuple[str, ...], there: Container[str] = ()
) -> Iterator[tuple[str, str, int]]:
    """Yield what is not done and not `there` (by `SET--METHOD`): first seeds first, small sets first."""
    for seed in range(SEEDS):
        for name in SETS:
            for method in methods:
                if seed and (name in ONE_SEED or method in SEEDLESS):
                    continue
                if f"{name}--{method}" not in there and not _file(out, name, method, seed).exists():
                    yield name, method, seed


def measured(answered: Answered, truth: np.ndarray) -> dict:
    """Return what is kept of answers: measures, and each row's hit and log-likelihood."""
    sets, right = answered.sets, (answered.sets == truth).all(axis=1)
    hit, decided, true = (sets & truth).sum(axis=1), sets.sum(axis=1), truth.sum(axis=1)
    example = np.where(decided + true > 0, 2 * hit / np.maximum(decided + true, 1), 1.0)
    return {
        "right": float(right.mean()),
        "nats": float(answered.nats.mean()),
        "example_f1": float(example.mean()),
        "of1": float(2 * hit.sum() / max(1, decided.sum() + true.sum())),
        "hamming": float((sets != truth).mean()),
        "train_seconds": round(answered.trained, 2),
        "predict_seconds": round(answered.seconds, 5),
        "search_seconds": answered.searched,
        "expanded": answered.expanded,
        "exact": answered.exact,
        "chosen": answered.chosen,
        "tried": dict(answered.tried),
        "row_right": "".join(map(str, right.astype(int))),
        "row_nats": [round(float(one), 3) for one in answered.nats],
    }


# --- summing up


def interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean of paired differences over rows."""
    random = np.random.default_rng(seed)
    means = [
        differences[random.integers(len(differences), size=len(differences))].mean() for _ in range(2000)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def freeze(out: Path, to: Path) -> None:
    """Lay what was measured over what is frozen, as JSON, with each row's results beside it for paired intervals.

    Values are means over seeds; a method that was measured again is replaced whole.
    """
    known = json.loads(to.read_text())["sets"] if to.exists() else {}
    rows = rows_of(to)
    found: dict[str, dict[str, list[dict]]] = {}
    for file in sorted(out.glob("*--*--*.json")):
        values = json.loads(file.read_text())
        found.setdefault(values["set"], {}).setdefault(values["method"], []).append(values)
    sets: dict[str, dict] = {}
    for name in SETS:
        before, measured = known.get(name, {"methods": {}, "cnn_rnn_minus": {}}), found.get(name, {})
        methods = {}
        for method in (*OURS, *PEERS):
            if method in measured:
                methods[method] = means(measured[method])
                rows[f"{name}--{method}"] = rows_of_runs(measured[method])
            elif method in before["methods"]:
                methods[method] = before["methods"][method]
        if not methods:
            continue
        minus = {}
        for method in methods:
            own, other = rows.get(f"{name}--cnn-rnn"), rows.get(f"{name}--{method}")
            if method != "cnn-rnn" and own is not None and other is not None:
                differences = own.astype(np.float64) - other
                minus[method] = {
                    key: [round(number, 5) for number in (one.mean(), *interval(one))]
                    for key, one in zip(("right", "nats"), differences, strict=True)
                }
            elif method in before["cnn_rnn_minus"] and not {"cnn-rnn", method} & set(measured):
                minus[method] = before["cnn_rnn_minus"][method]
        count = next((len(one[0]) for key, one in rows.items() if key.startswith(f"{name}--")), None)
        sets[name] = {"rows": count or before["rows"], "methods": methods, "cnn_rnn_minus": minus}
    names = ("labelbeam", "scikit-learn", "torch", "numpy", "numba")
    versions = {name: importlib.metadata.version(name) for name in names}
    to.parent.mkdir(exist_ok=True)
    text = {
        "command": "python benchmarks/public_sets.py next; python benchmarks/public_sets.py freeze",
        "configurations": CONFIGURATIONS,
        "versions": {**versions, "python": platform.python_version()},
        "sets": sets,
    }
    to.write_text(json.dumps(text, indent=1) + "\n")
    np.savez_compressed(to.with_suffix(".npz"), **rows)


def means(runs: list[dict]) -> dict:
    """Return what is frozen of a method: measures as means over seeds, and what each seed chose."""
    measures = ("right", "nats", "example_f1", "of1", "hamming")
    others = ("train_seconds", "predict_seconds", "search_seconds", "expanded", "exact")
    return {
        key: None if runs[0].get(key) is None else round(float(np.mean([one[key] for one in runs])), 6)
        for key in (*measures, *others)
    } | {key: [one.get(key) for one in runs] for key in ("seed", "chosen", "tried", "day")}


def rows_of_runs(runs: list[dict]) -> np.ndarray:
    """Return whether each row's set is right and its log-likelihood, means over seeds, [2, rows]."""
    right = np.mean([[int(bit) for bit in one["row_right"]] for one in runs], axis=0)
    return np.array([right, np.mean([one["row_nats"] for one in runs], axis=0)], np.float32)


def rows_of(frozen: Path) -> dict[str, np.ndarray]:
    """Return each row's results, as `rows_of_runs`, by `SET--METHOD`; those of runs that were lost are not there."""
    file = frozen.with_suffix(".npz")
    if not file.exists():
        return {}
    with np.load(file) as stored:
        return dict(stored)


def table(frozen: Path) -> None:
    """Print the tables, in Markdown."""
    sets = json.loads(frozen.read_text())["sets"]
    methods = [one for one in (*OURS, *PEERS) if any(one in each["methods"] for each in sets.values())]
    for heading, cell, best in (
        ("sets right, %", lambda one, _: f"{100 * one['right']:.1f}", max),
        ("log-likelihood, nats", lambda one, _: f"{one['nats']:.2f}", max),
        ("example-F1, %", lambda one, _: f"{100 * one['example_f1']:.1f}", max),
        ("O-F1, %", lambda one, _: f"{100 * one['of1']:.1f}", max),
        ("Hamming loss, %", lambda one, _: f"{100 * one['hamming']:.2f}", min),
        ("seconds to choose and train", lambda one, _: f"{one['train_seconds']:.0f}", None),
        ("microseconds to decide a row", lambda one, n: f"{1e6 * one['predict_seconds'] / n:.0f}", None),
    ):
        print(f"\n| {heading} | " + " | ".join(methods) + " |\n|---" + "|---" * len(methods) + "|")
        for name, each in sets.items():
            cells = [
                cell(each["methods"][method], each["rows"]) if method in each["methods"] else ""
                for method in methods
            ]
            if best is not None:
                top = best((one for one in cells if one), key=float)
                cells = [f"**{one}**" if one == top else one for one in cells]
            print(f"| {name} | " + " | ".join(cells) + " |")
    head = (
        "labels | chain's beam | our search | network | times faster | prefixes expanded (No RNN) | certified"
    )
    print(f"\n| microseconds a row | {head} |\n|---" + "|---" * 7 + "|")
    for name, each in sets.items():
        own, beam = each["methods"].get("cnn-rnn"), each["methods"].get("chain-beam")
        if own and beam:
            search, all_of_it, chain = (
                1e6 * one / each["rows"]
                for one in (own["search_seconds"], own["predict_seconds"], beam["predict_seconds"])
            )
            simpler = each["methods"].get("no-rnn", {}).get("expanded")
            cells = [
                *(str(LABELS[name]), f"{chain:,.0f}", f"{search:.0f}", f"{all_of_it - search:.0f}"),
                f"**{chain / search:.1f}**" if chain >= 20 * search else f"{chain / search:.1f}",
                f"{own['expanded']:.1f}" + (f" ({simpler:.1f})" if simpler else ""),
                f"{100 * own['exact']:.1f} %",
            ]
            print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| held-out nats of CNN-RNN's configurations, inside the training part | |\n|---|---|")
    for name, each in sets.items():
        tried = (each["methods"].get("cnn-rnn", {}).get("tried") or [{}])[0]
        if tried:
            print(f"| {name} | " + ", ".join(f"{one}: {nats:.3f}" for one, nats in tried.items()) + " |")
    print("\n| CNN-RNN minus | sets right, points | log-likelihood, nats |\n|---|---|---|")
    for name, each in sets.items():
        for group in (PEERS, ("sigmoid-mlp", "sigmoid")):
            cells = []
            for key, factor, digits in (("right", 100, 1), ("nats", 1, 2)):
                there = [method for method in group if method in each["cnn_rnn_minus"]]
                if not there:
                    continue
                closest = max(there, key=lambda method: each["methods"][method][key])
                mean, low, high = (factor * one for one in each["cnn_rnn_minus"][closest][key])
                text = f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f}) over {closest}"
                cells.append(f"**{text}**" if low > 0 or high < 0 else text)
            of = "the best of scikit-learn's" if group is PEERS else "our best sigmoid head"
            if cells:
                print(f"| {name}: {of} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "next", "freeze", "table"])
    parser.add_argument(
        "names", nargs="*", help="for run: a set, then methods (none: all); for next: methods"
    )
    parser.add_argument("--out", type=Path, default=Path("public_sets"), help="where runs are kept")
    parser.add_argument("--frozen", type=Path, default=FROZEN)
    parser.add_argument("--seconds", type=float, default=240, help="for next: begins nothing after so long")
    parser.add_argument(
        "--piece",
        type=float,
        default=float("inf"),
        help="for run: processor seconds after which it stops trying",
    )
    parser.add_argument("--seed", type=int, default=0, help="for run")
    options = parser.parse_args()
    everything = (*OURS, *TOGETHER)
    if options.what == "freeze":
        freeze(options.out, options.frozen)
    elif options.what == "table":
        table(options.frozen)
    elif options.what == "run":
        name, *methods = options.names
        for method in methods or everything:
            try:
                run(name, method, options.out, options.seed, until=options.piece)
            except TimeIsUp:
                print(f"{name}, {method}: some was tried; the same command goes on")
    else:
        start = time.monotonic()
        there = () if options.names else rows_of(options.frozen)
        for name, method, seed in missing(options.out, tuple(options.names) or everything, there):
            if time.monotonic() - start > options.seconds:
                break
            run(name, method, options.out, seed)


if __name__ == "__main__":
    main()
