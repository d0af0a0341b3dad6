"""From a run and an image to an explanation: the path, a target per step, a map per target.

Puts together the run's encoder and head, its decision of the path, and `explain`; `verbs.explain` writes it down.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from labelbeam.data.images import read_rgb
from labelbeam.decoding.allowed import PathLength
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError
from labelbeam.explain.explanation import END, Explanation, StepMap, seen_region
from labelbeam.explain.methods import explained
from labelbeam.explain.targets import check_target, label_targets, path_targets
from labelbeam.joints.build import build_answerer, trainable_head
from labelbeam.joints.run_directory import Run
from labelbeam.models.label_model import LabelModel
from labelbeam.models.sigmoid_head import SigmoidHead


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
        run: the trained model.
        image: an image file.
        target: `log_prob`, `logit` or `expected` (`explain.targets.TARGETS`).
        method: `auto`, `deconvnet`, `grad-cam` or `gradient-input` (`explain.methods.METHODS`).
        labels: explain these instead of the model's own path; `END` may be the last.

    Returns:
        One map per label. Where the model says nothing, END's map, or that of a sigmoid head's likeliest label.

    Raises:
        InputError: the image cannot be read; an unknown target, method or label; labels that cannot follow each
            other; a method that the encoder has no way back for; a head that is neither a label model nor a
            sigmoid head.
    """
    check_target(target)
    transform = run.encoder.preprocess
    rgb = read_rgb(image)
    square = torch.from_numpy(transform.resized(rgb))  # [3 size size]
    pixels = transform.normalize(square[None])
    encoder, head = _network(run), _explainable(run)
    device = next(iter(encoder.state_dict().values())).device
    pixels = pixels.to(device)
    path, note = _path(run, head, pixels, None if labels is None else list(labels))
    probs: list[Tensor] = []
    values: list[Tensor] = []

    def targets(features: Tensor) -> Tensor:
        if isinstance(head, SigmoidHead):
            value, prob = label_targets(head, features, path, target=target)
        else:
            search = run.config.search
            # A path that somebody names may be shorter or longer than the search was told to make them.
            length = PathLength(search.min_labels, search.max_labels) if labels is None else None
            value, prob = path_targets(head, features, path, target=target, length=length)
        probs[:], values[:] = list(prob), list(value.detach())
        return value

    used, maps = explained(encoder, pixels, targets, method=method)
    if transform.horizontal_flip:  # shown the right way round
        maps, square = maps.flip(3), square.flip(2)
    names = [END if i == len(run.vocabulary) else run.vocabulary.names[i] for i in path]
    joint = not isinstance(head, SigmoidHead)
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
        logits_depend_on_given=not isinstance(head, SigmoidHead) and head.options.activation != "identity",
        note=note,
    )


def _network(run: Run) -> nn.Module:
    """Return a run's encoder, which must be there as a torch module: maps need gradients."""
    if not isinstance(run.encoder, ImageEncoder):
        raise InputError(
            "an exported run cannot be explained: its encoder has no gradients. Give the original run."
        )
    return run.encoder.module.eval()


def _explainable(run: Run) -> LabelModel | SigmoidHead:
    """Return a run's head as a torch module, if its targets are known here."""
    head = trainable_head(run.head, run.config)
    if not isinstance(head, LabelModel | SigmoidHead):
        raise InputError(
            f"the head of this run is {run.config.head!r}; explained are label models and sigmoid heads. Train with "
            "--head cnn-rnn or --head sigmoid."
        )
    return head


def _path(
    run: Run, head: LabelModel | SigmoidHead, pixels: Tensor, labels: list[str] | None
) -> tuple[tuple[int, ...], str]:
    """Return the label ids to explain, END's where nothing else is said, and what to know about them."""
    end = len(run.vocabulary)
    if labels is not None:
        return _asked(run, head, labels), ""
    with torch.inference_mode():
        features = _network(run)(pixels).float().cpu().numpy()
    answers = build_answerer(run.head, run.config).answer(features)
    path = tuple(answers.paths[0])
    if path:
        return path, ""
    if isinstance(head, SigmoidHead):
        likeliest = int(answers.scores[0].argmax())
        return (likeliest,), "No label was decided; shown is the likeliest one."
    return (end,), "The most probable path is empty; shown is what speaks for saying nothing."


def _asked(run: Run, head: LabelModel | SigmoidHead, labels: list[str]) -> tuple[int, ...]:
    end = len(run.vocabulary)
    if not labels:
        raise InputError("no label was named. Name some, such as --labels a,b, or leave --labels out.")
    if isinstance(head, SigmoidHead):
        return tuple(run.vocabulary.id_of(name) for name in labels)
    *before, last = labels
    ends = last == END and END not in run.vocabulary.names
    ids = [run.vocabulary.id_of(name) for name in (before if ends else labels)]
    if len(set(ids)) < len(ids) and head.options.allowed != "paper":
        raise InputError(f"labels are said once each; given {', '.join(labels)}.")
    if head.options.allowed == "canonical":
        ids.sort()  # a set has one path: that of the label order
    return (*ids, end) if ends else tuple(ids)
