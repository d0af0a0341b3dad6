"""From a run and an image to an explanation, and an explanation as files."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from labelbeam.data.images import read_rgb
from labelbeam.decoding.step import PathLength, allowed_outcomes
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError, unknown_name
from labelbeam.explain.explanation import END, Explanation, StepMap, seen_region
from labelbeam.explain.methods import check_method, explained, local_maps
from labelbeam.explain.pictures import explanations_page, write_strip
from labelbeam.files import written_whole
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores_torch import SigmoidHead
from labelbeam.heads.local import Local
from labelbeam.heads.registry import HEADS, require
from labelbeam.runs.build import build_answerer, trainable_head
from labelbeam.runs.run_directory import Run


def explain(
    run: Run,
    image: str | Path,
    *,
    target: str = "log_prob",
    method: str = "auto",
    labels: Iterable[str] | None = None,
) -> Explanation:
    """Explain what in an image speaks for each label of its path.

    Args:
        target: `log_prob`, `logit` or `expected` (`explain.explained_run.TARGETS`).
        method: `auto`, `local`, `deconvnet`, `grad-cam` or `gradient-input` (`explain.methods.METHODS`).
        labels: explain these instead of the model's own path; `END` may be the last.

    Returns:
        One map per label. Where the model says nothing, END's map, or that of a sigmoid head's likeliest label.

    Raises:
        InputError: the image cannot be read; an unknown target, method or label; labels that cannot follow each
            other; a method that the encoder has no way back for; a head that is neither a label model nor a
            sigmoid head; an exported run without local evidence.
    """
    check_target(target)
    check_method(method)
    local: Local | None = getattr(run.head, "local", None)
    if method == "local" and local is None:
        raise InputError(
            "this run looks at no places of the picture, so it has no map of its own. Leave --method local out, or "
            "train with --local csra."
        )
    transform = run.encoder.preprocess
    rgb = read_rgb(image)
    square = torch.from_numpy(transform.resized(rgb))  # [3 size size]
    joint = HEADS[run.config.head].searches
    require(run.config.head, "explains", "an explanation")
    # The model's own map takes no gradients: an exported encoder gives it too.
    own = local if method in ("auto", "local") else None
    if own is None:
        _network(run)  # refuses an exported run, before anything is computed
        if run.encoder.map_shape is not None and run.encoder.map_shape.tiles > 1:
            raise InputError(f"this run looks at tiles, which {method} has no map of. Leave --method out.")
    head = trainable_head(run.head, run.config)
    row = run.encoder.encode(square[None].numpy())
    path, note = _path(run, row, None if labels is None else list(labels))
    probs: list[Tensor] = []
    values: list[Tensor] = []

    def targets(features: Tensor) -> Tensor:
        if not joint:
            value, prob = label_targets(cast(SigmoidHead, head), features, path, target=target)
        else:
            search = run.config.search
            # A path that somebody names may be shorter or longer than those of the search.
            length = PathLength(search.min_labels, search.max_labels) if labels is None else None
            value, prob = path_targets(cast(CNNRNN, head), features, path, target=target, length=length)
        probs[:], values[:] = list(prob), list(value.detach())
        return value

    if own is not None:
        targets(torch.from_numpy(row))
        used, maps = "local", local_maps(own, row, path, size=transform.size)
    else:
        network = _network(run)
        device = next(iter(network.state_dict().values())).device
        pixels = transform.normalize(square[None]).to(device)
        used, maps = explained(network, pixels, targets, method=method)
    if transform.horizontal_flip:  # shown the right way round
        maps, square = maps.flip(3), square.flip(2)
    names = [END if i == len(run.vocabulary) else run.vocabulary.names[i] for i in path]
    steps = tuple(
        StepMap(name, tuple(names[:t]) if joint else (), float(prob), float(value), *map_.cpu().numpy())
        for t, (name, prob, value, map_) in enumerate(zip(names, probs, values, maps, strict=True))
    )
    return Explanation(
        image=str(image),
        picture=square.permute(1, 2, 0).contiguous().numpy(),
        region=seen_region(transform, height=rgb.shape[0], width=rgb.shape[1]),
        method=used,
        target=target,
        steps=steps,
        joint=joint,
        logits_depend_on_given=joint and run.config.label_model.activation != "identity",
        note=note,
    )


def _network(run: Run) -> nn.Module:
    """Return a run's encoder, which must be there as a torch module: maps need gradients."""
    if not isinstance(run.encoder, ImageEncoder):
        raise InputError(
            "an exported run cannot be explained this way: its encoder has no gradients. Give the original run."
        )
    return run.encoder.module.eval()


def _path(run: Run, row: Float[np.ndarray, "1 row"], labels: list[str] | None) -> tuple[tuple[int, ...], str]:
    """Return the label ids to explain, END's where no path is given, and what to know about them."""
    end = len(run.vocabulary)
    if labels is not None:
        return _asked(run, labels), ""
    answers = build_answerer(run.head, run.config).answer(row)
    path = tuple(answers.paths[0])
    if path:
        return path, ""
    if not HEADS[run.config.head].searches:
        likeliest = int(answers.scores[0].argmax())
        return (likeliest,), "No label was decided; shown is the likeliest one."
    return (end,), "The most probable path is empty; shown is what speaks for saying nothing."


def _asked(run: Run, labels: list[str]) -> tuple[int, ...]:
    end = len(run.vocabulary)
    if not labels:
        raise InputError("no label was named. Name some, such as --labels a,b, or leave --labels out.")
    if not HEADS[run.config.head].searches:
        return tuple(run.vocabulary.id_of(name) for name in labels)
    *before, last = labels
    ends = last == END and END not in run.vocabulary.names
    ids = [run.vocabulary.id_of(name) for name in (before if ends else labels)]
    if len(set(ids)) < len(ids) and run.config.label_model.allowed != "paper":
        raise InputError(f"name each label once; given {', '.join(labels)}.")
    if run.config.label_model.allowed == "canonical":
        ids.sort()  # a set has one path: that of the label order
    return (*ids, end) if ends else tuple(ids)


# An explanation as files: the strip, the maps as numbers, and what captions say as JSON; or an HTML page.

DIGITS = 6


def explanation_dict(explanation: Explanation) -> dict[str, Any]:
    """Return everything but the maps, as plain JSON values.

    Per step: `label`, `given` (the labels before it), `prob`, `value` of the target, `peak` (x and y in the photograph,
    pixels, where support exceeds opposition most), `support` (its share of support and opposition together), `scale`
    (what 1 in the stored maps stands for).
    """
    size = explanation.picture.shape[0]
    region = explanation.region
    steps = []
    for step in explanation.steps:
        x, y = region.place(*step.peak, size=size)
        supporting, opposing = float(step.supporting.sum()), float(step.opposing.sum())
        steps.append(
            {
                "label": step.label,
                "given": list(step.given),
                "prob": round(step.prob, DIGITS),
                "value": round(step.value, DIGITS),
                "peak": {"x": round(x, 1), "y": round(y, 1)},
                "support": round(supporting / ((supporting + opposing) or 1.0), DIGITS),
                "scale": _scale(step.supporting, step.opposing),
            }
        )
    return {
        "image": explanation.image,
        "method": explanation.method,
        "target": explanation.target,
        "caption": explanation.caption,
        "note": explanation.note,
        "region": {name: getattr(region, name) for name in ("left", "top", "width", "height")},
        "size": size,
        "steps": steps,
    }


def write_explanation(explanation: Explanation, folder: Path) -> list[Path]:
    """Write NAME.explained.png, .npz and .json into a folder, which is made if need be.

    The .npz holds `supporting` and `opposing`, float16 [steps size size], 1 standing for the step's `scale`.

    Raises:
        InputError: the folder cannot be written.
    """
    stem = Path(explanation.image).stem
    picture, maps, numbers = (folder / f"{stem}.explained{suffix}" for suffix in (".png", ".npz", ".json"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_strip(explanation, picture)
        with written_whole(maps) as part, part.open("wb") as file:
            np.savez_compressed(file, **stored_maps(explanation))  # type: ignore[arg-type]  # NumPy's stub
        with written_whole(numbers) as part:
            part.write_text(_json(explanation_dict(explanation)), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}). Choose another --out or make room."
        ) from error
    return [picture, maps, numbers]


def stored_maps(explanation: Explanation) -> dict[str, np.ndarray]:
    """Return the maps in half precision, each step divided by its `scale`, which half precision could not hold."""
    scales = [_scale(step.supporting, step.opposing) for step in explanation.steps]
    return {
        kind: np.stack(
            [getattr(step, kind) / scale for step, scale in zip(explanation.steps, scales, strict=True)]
        ).astype(np.float16)
        for kind in ("supporting", "opposing")
    }


def write_page(explanations: list[Explanation], path: Path) -> None:
    """Write an HTML page of explanations, whole or not at all."""
    with written_whole(path) as part:
        part.write_text(explanations_page(explanations), encoding="utf-8")


def _scale(supporting: np.ndarray, opposing: np.ndarray) -> float:
    return float(max(supporting.max(), opposing.max())) or 1.0


def _json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


TARGETS = ("log_prob", "logit", "expected")
"""`log_prob` (default): log p(label | image, labels before it), against the labels still in play.
`logit`: the label's score s(t) before the softmax. With h the identity its gradient does not depend on the labels
before it. `expected`: the average of the scores of the labels still in play, weighted by their probabilities
(END left out): what the model looks at before it has chosen; the paper's attention pictures."""


def step_target(
    logits: Float[Tensor, " outcomes"], allowed: Bool[Tensor, " outcomes"], outcome: int, *, target: str
) -> Float[Tensor, ""]:
    """Return the number to explain for one step of a label model.

    Args:
        logits: of every label, then END, unmasked.
        allowed: outcomes that may come at this step.
        target: one of `TARGETS`.

    Raises:
        InputError: another target; an outcome that may not come; `expected` where only END may come.

    Source:
        Wang et al. 2016, attention pictures, for `expected`; read here as: the weights are constants, as for a
        convex combination of the label nodes' own maps.

    Example:
        >>> logits, allowed = torch.tensor([1.0, 3.0, 0.0]), torch.tensor([True, True, False])
        >>> [round(float(step_target(logits, allowed, 1, target=name)), 3) for name in TARGETS]
        [-0.127, 3.0, 2.762]
    """
    check_target(target)
    if not allowed[outcome]:
        raise InputError(f"outcome {outcome} may not come at this step; only labels still in play can.")
    masked = logits.masked_fill(~allowed, -torch.inf)
    if target == "logit":
        return logits[outcome]
    if target == "log_prob":
        return masked.log_softmax(dim=0)[outcome]
    labels = allowed[:-1]
    if not labels.any():
        raise InputError("no label is in play at this step, so 'expected' has nothing to average.")
    weights = masked[:-1][labels].softmax(dim=0).detach()
    return (weights * logits[:-1][labels]).sum()


def path_targets(
    model: CNNRNN,
    features: Float[Tensor, "1 features"],
    path: tuple[int, ...],
    *,
    target: str,
    length: PathLength | None = None,
) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Return the target of every step of a path, and the step's probability, given the labels before it.

    Args:
        path: label ids in path order; the outcome `num_labels` stands for END.
        target: one of `TARGETS`.
        length: fewest and most labels of a path, as of the search; None: any.

    Returns:
        Targets, which carry gradients to `features`, and p(step), which does not.

    Raises:
        InputError: a path that the model does not allow, or as `step_target`.
    """
    end = model.num_labels
    logits = model.logits(features, torch.tensor([path], device=features.device))[0]  # [steps outcomes]
    targets, probs = [], []
    for t, outcome in enumerate(path):
        mask = allowed_outcomes(
            np.array([path[:t]], dtype=np.int64).reshape(1, t),
            rule=model.options.allowed,  # type: ignore[arg-type]  # the options checked it
            num_labels=end,
            length=length or PathLength(),
        )
        allowed = torch.from_numpy(mask[0]).to(logits.device)
        targets.append(step_target(logits[t], allowed, outcome, target=target))
        probs.append(logits[t].detach().masked_fill(~allowed, -torch.inf).softmax(dim=0)[outcome])
    return torch.stack(targets), torch.stack(probs)


def label_targets(
    head: SigmoidHead, features: Float[Tensor, "1 features"], labels: tuple[int, ...], *, target: str
) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Return the target of labels of a sigmoid head, which says each by itself, and their probabilities.

    Args:
        target: `logit` or `log_prob`; their maps differ by a factor only, since labels do not compete here.

    Raises:
        InputError: another target.
    """
    check_target(target)
    if target == "expected":
        raise InputError(
            "a sigmoid head has no steps: the target 'expected' would be one map for all labels. "
            "Ask for log_prob or logit."
        )
    logits = head.logits(features)[0, list(labels)]
    probs = torch.sigmoid(logits.detach())
    return (logits if target == "logit" else torch.nn.functional.logsigmoid(logits)), probs


def check_target(target: str) -> None:
    """Refuse an unknown target.

    Raises:
        InputError: it is not one of `TARGETS`; the nearest is proposed.
    """
    if target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
