"""Label sets from image features, with NumPy alone: the decoder that `labelbeam export` puts beside a run's arrays.

    python decode.py features.npy              the most probable set of every image, with its certificate
    python decode.py features.npy --beam 10    the best path that a beam of width 10 finds

Stands by itself: it reads model.safetensors, decode.json and labels.json in its own folder and imports nothing else.
A path's log-probability never rises as it grows, so the first finished path that a best-first search takes from its
queue is the most probable one. Knows label models and sigmoid heads; labelbeam itself knows the others, and what this
leaves out: scores with bounds, calibration, suggestions.
"""

import argparse
import heapq
import itertools
import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Labels = tuple[int, ...]
Found = tuple[Labels, float, bool]
NONE_YET: tuple[Labels, float] = ((), -math.inf)
Rules = list[dict[str, Any]]
TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8", "I8": "<i1"}


def read_arrays(path: Path) -> Arrays:
    """Return the arrays of a safetensors file: 8 bytes of length, a JSON header, then the numbers."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        first, last = (8 + size + offset for offset in entry["data_offsets"])
        name = name.replace("nothing.", "per_label.")  # what older runs call it
        arrays[name] = np.frombuffer(raw[first:last], dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x))."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def relu(x: np.ndarray) -> np.ndarray:
    """Return x where it is positive, else 0."""
    return np.maximum(x, 0)


def keeps(rules: Rules, path: Labels, first: int, end: int) -> bool:
    """Tell whether no rule forbids a set if labels from `first` on, all before `end`, may still join it."""
    for rule in rules:
        count = sum(label in path for label in rule["plus"]) - sum(label in path for label in rule["minus"])
        more, less = (sum(first <= label < end for label in rule[name]) for name in ("plus", "minus"))
        if count + more < rule["low"] or count - less > rule["high"]:
            return False
    return True


class LabelModelDecoder:
    """The label model of CNN-RNN (Wang et al. 2016, eq. 1 to 5); letters as in the paper."""

    def __init__(self, arrays: Arrays, options: dict) -> None:
        self.arrays, self.options, self.rules = arrays, options, options.get("rules", [])
        self.U_l = arrays["U_l"]  # [labels+1 embedding], END last
        # Of the image at hand: log-odds of the empty set, and what labels by themselves add to every step.
        self.end, self.odds, self.row = len(self.U_l) - 1, math.nan, np.zeros(len(self.U_l))

    def image_vector(self, features: np.ndarray) -> np.ndarray:
        """Return U_I I of one image, from its features."""
        a, values = self.arrays, scaled(self.arrays, self.options, features)
        if "before_U_I.1.weight" in a:
            values = relu(a["before_U_I.1.weight"] @ values + a["before_U_I.1.bias"])
        if "per_label.weight" in a:  # log-odds of each label by itself
            z = (a["per_label.weight"] @ values + a["per_label.bias"]).astype(np.float64)
            z += local_scores(a, self.options, features)
            if self.options.get("per_label"):
                self.row[:-1] = np.where(z > -np.inf, z, 0)
                if self.options["allowed"] == "canonical":
                    self.row[:-2] += np.logaddexp(0, z[:0:-1]).cumsum()[::-1]
            if "nothing_base" in a:  # p(empty set) is a number of its own: all labels absent
                log_p = min(-np.logaddexp(0, z).sum(), -1e-6)
                self.odds = log_p - math.log(-math.expm1(log_p)) - float(a["nothing_base"][0])
                share = self.options.get("nothing")
                self.odds += math.log(share / (1 - share)) if share else float(a["nothing_share"][0])
        return a["U_I.weight"] @ values

    def read(self, w: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Read a label embedding; return U_o o(t) and the next state (None: START is read)."""
        a, cell = self.arrays, self.options["cell"]
        if cell == "none":
            o = state = w if state is None else state + w
            return a["U_o.weight"] @ o, state
        hidden = a["cell.from_state.weight"].shape[1]
        before, r = (np.zeros(hidden, np.float32),) * 2 if state is None else state
        gates = a["cell.from_label.weight"] @ w + a["cell.from_state.weight"] @ before
        if "cell.from_label.bias" in a:
            gates = gates + a["cell.from_label.bias"]
        i, f, x, o = np.split(gates, 4)
        gate, squash = (relu if cell == "paper" else sigmoid), (np.tanh if cell == "lstm" else relu)
        r = gate(f) * r + gate(i) * squash(x)
        o = gate(o) * (np.tanh(r) if cell == "lstm" else r)
        return a["U_o.weight"] @ o, ((o, r) if cell == "lstm" else (r, r))

    def log_probs(self, output: np.ndarray, image: np.ndarray, path: Labels) -> np.ndarray:
        """Return the log-probability of every label and END after a path; -inf where not allowed or cut by a rule."""
        x = output + image
        s = (self.U_l @ (relu(x) if self.options["activation"] == "relu" else x)).astype(
            np.float64
        ) + self.row
        if not path and not math.isnan(self.odds):
            s[-1] = self.odds + np.logaddexp.reduce(s[:-1][self.arrays["per_label.bias"] > -np.inf])
        s = np.where(self.allowed(path), s, -np.inf)
        s = s - np.logaddexp.reduce(s)
        for label in np.flatnonzero(s > -np.inf).tolist() if self.rules else ():
            ended = label == self.end
            if not keeps(self.rules, path if ended else (*path, label), label + (not ended), self.end):
                s[label] = -np.inf
        return s

    def allowed(self, path: Labels) -> np.ndarray:
        """Tell which labels, and END, may follow a path."""
        rule, least, most = (self.options[name] for name in ("allowed", "min_labels", "max_labels"))
        allowed, depth = np.ones(self.end + 1, dtype=bool), len(path)
        if rule == "canonical":
            if path:
                allowed[: path[-1] + 1] = False
            allowed[: self.end] &= self.end - 1 - np.arange(self.end) >= least - depth - 1
        elif rule == "no-repeat":
            allowed[list(path)] = False
        allowed[self.end] = depth >= least
        if depth >= most:
            allowed[:], allowed[self.end] = False, True
        return allowed

    def best_first(self, features: np.ndarray, budget: int = 10_000) -> Found:
        """Return the most probable path, its log-probability, and whether nothing can beat it.

        Without the certificate after `budget` expansions it is the best path found until then.
        """
        image, order, best = self.image_vector(features), itertools.count(), NONE_YET
        queue: list = [(0.0, next(order), (), None, None, False)]
        for _ in range(budget):
            nats, _, path, parent, label, ended = heapq.heappop(queue)
            if ended:
                return path, -nats, True
            output, state = self.read(self.arrays["start"][0] if label is None else self.U_l[label], parent)
            log_probs = self.log_probs(output, image, path)
            for outcome in np.flatnonzero(log_probs > -np.inf).tolist():
                total = min(0.0, log_probs[outcome]) - nats
                if outcome == self.end:
                    best = max(best, (path, total), key=lambda found: found[1])
                    heapq.heappush(queue, (-total, next(order), path, None, None, True))
                elif total > best[1]:
                    heapq.heappush(queue, (-total, next(order), (*path, outcome), state, outcome, False))
        return (*best, False)

    def beam(self, features: np.ndarray, width: int) -> Found:
        """Return the best path that a beam finds, its log-probability, and False: nothing certifies it."""
        image, best = self.image_vector(features), NONE_YET
        live: list = [(0.0, (), self.read(self.arrays["start"][0], None))]
        while live:
            further = []
            for total, path, (output, state) in live:
                log_probs = np.minimum(self.log_probs(output, image, path), 0.0)
                best = max(best, (path, total + log_probs[self.end]), key=lambda found: found[1])
                labels = np.flatnonzero(log_probs[: self.end] > -np.inf).tolist()
                further += [(total + log_probs[label], (*path, label), state) for label in labels]
            kept = sorted(further, key=lambda one: (-one[0], one[1]))[:width]
            kept = [one for one in kept if one[0] > best[1]]
            live = [(total, path, self.read(self.U_l[path[-1]], state)) for total, path, state in kept]
        return (
            (*best, False) if best[1] > -math.inf else self.best_first(features)
        )  # rules left the beam nothing


class SigmoidDecoder:
    """A probability per label, each by itself."""

    def __init__(self, arrays: Arrays, options: dict) -> None:
        self.arrays, self.options = arrays, options

    def best_first(self, features: np.ndarray) -> Found:
        """Return the labels with p >= 1/2, best first, the set's log-probability, and True."""
        a, values = self.arrays, scaled(self.arrays, self.options, features)
        if "before.1.weight" in a:
            values = relu(a["before.1.weight"] @ values + a["before.1.bias"])
        logits = (a["last.weight"] @ values + a["last.bias"]).astype(np.float64)
        logits += local_scores(a, self.options, features)
        if rules := self.options.get("rules"):
            return most_probable(logits, rules)
        decided = [int(label) for label in np.argsort(-logits, kind="stable") if logits[label] >= 0]
        return tuple(decided), float(-np.logaddexp(0, -np.abs(logits)).sum()), True


def most_probable(logits: np.ndarray, rules: Rules) -> Found:
    """Return the most probable set of independent labels that keeps rules, by best-first search over yes and no."""
    present, absent = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    best = np.maximum(present, absent)
    queue: list = [(-best.sum(), 0, ())]
    while queue[0][1] < len(logits):
        nats, label, path = heapq.heappop(queue)
        for value, decided in ((present[label], (*path, label)), (absent[label], path)):
            if keeps(rules, decided, label + 1, len(logits)):
                heapq.heappush(queue, (nats + best[label] - value, label + 1, decided))
    nats, _, path = queue[0]
    return tuple(sorted(path, key=lambda label: -logits[label])), -float(nats), True


def scaled(arrays: Arrays, options: dict, features: np.ndarray) -> np.ndarray:
    """Return an image's features as the head reads them."""
    values = features[: len(arrays["scaling.mean"])].astype(np.float32)
    if options["scaling"] == "l2":
        return values / max(float(np.sqrt((values * values).sum())), 1e-12)
    return (values - arrays["scaling.mean"]) / arrays["scaling.deviation"]


def local_scores(arrays: Arrays, options: dict, features: np.ndarray) -> np.ndarray | float:
    """Return what the places of the encoder's map, behind the pooled vector, add to each label; 0 without a map."""
    if "local.weight" not in arrays:
        return 0.0
    weight = arrays["local.weight"] / arrays["local.deviation"]  # [labels channels]
    places = features[len(arrays["scaling.mean"]) :].astype(np.float32).reshape(-1, weight.shape[1])
    s, pooling = places @ weight.T - weight @ arrays["local.mean"], options["local"]
    if pooling["name"] == "query-attention":  # Liu et al. 2021
        query = arrays["local.query"] / arrays["local.deviation"]
        asked = places @ query.T * (pooling["temperature"] / len(weight[0]))
        powers = np.exp(asked - asked.max(axis=0))
        return (s * powers).sum(axis=0) / powers.sum(axis=0)
    powers = np.exp(pooling["temperature"] * (s - s.max(axis=0)))  # [places labels]
    if pooling["name"] == "csra":  # Zhu and Wu 2021
        return s.mean(axis=0) + pooling["weight"] * (s * powers / powers.sum(axis=0)).sum(axis=0)
    return s.max(axis=0) + np.log(powers.mean(axis=0)) / pooling["temperature"]


def main() -> None:
    """Print a JSON line per image: labels in the order of the path, log_prob (nats), exact."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", help=".npy file [images features]")
    parser.add_argument("--beam", type=int, help="beam width instead of the certified search")
    asked, here = parser.parse_args(), Path(__file__).resolve().parent
    options = json.loads((here / "decode.json").read_text(encoding="utf-8"))
    names = json.loads((here / "labels.json").read_text(encoding="utf-8"))["names"]
    kinds: dict[str, Any] = {"label-model": LabelModelDecoder, "sigmoid": SigmoidDecoder}
    if options["kind"] not in kinds:
        sys.exit(f"the head {options['head']!r} needs labelbeam itself: pip install labelbeam")
    head = kinds[options["kind"]](read_arrays(here / "model.safetensors"), options)
    features, wanted = np.load(asked.features, allow_pickle=False), options["numbers"]
    if features.ndim != 2 or features.shape[1] != wanted or not np.isfinite(features).all():
        sys.exit(f"{asked.features} must hold finite numbers [images {wanted}], it holds {features.shape}")
    if asked.beam is not None and (asked.beam < 1 or options["kind"] != "label-model"):
        sys.exit("--beam must be at least 1, and is for label models only")
    for row in features:
        path, log_prob, exact = head.beam(row, asked.beam) if asked.beam else head.best_first(row)
        record = {"labels": [names[i] for i in path], "log_prob": round(log_prob, 6), "exact": exact}
        print(json.dumps(record, ensure_ascii=False))


if __name__ == "__main__":
    main()
