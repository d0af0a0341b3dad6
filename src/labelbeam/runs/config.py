"""The configuration of a run: every default in one place, named heads and recipes, YAML in and out."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from labelbeam import parsing
from labelbeam.data.dataset import ReadOptions
from labelbeam.decoding.search import Search
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.options import (
    NEEDS_PER_LABEL,
    AsymmetricOptions,
    LabelModelOptions,
    LocalOptions,
    NeighbourOptions,
    SigmoidOptions,
)
from labelbeam.heads.registry import HEADS, require, row_of
from labelbeam.predict.decision import Decision
from labelbeam.runs.recipe import Recipe

# Frozen dataclasses to plain JSON or YAML values and back; every unknown key and wrong type is named.

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return dictionaries, lists, strings, numbers and None for a dataclass and all it holds."""
    if is_dataclass(value):
        return {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Path):
        return str(value)
    return [to_plain(item) for item in value] if isinstance(value, tuple) else value


def from_plain(kind: type[T], values: Mapping[str, Any], *, base: T | None = None, source: str) -> T:
    """Build a dataclass from plain values.

    Args:
        values: some or all of its fields; nested dataclasses as nested mappings.
        base: where fields that `values` lacks come from; None: the dataclass's defaults.
        source: where the values came from, for messages.

    Raises:
        InputError: unknown keys (the nearest is proposed), values of another type, missing ones; all of
            them in one message. Errors of the dataclass's own checks come as they are.

    Example:
        >>> from labelbeam.runs.recipe import Recipe
        >>> from_plain(Recipe, {"epochs": 5}, source="a.yaml").epochs
        5
        >>> from_plain(Recipe, {"epoch": 5}, source="a.yaml")
        Traceback (most recent call last):
        ...
        labelbeam.errors.InputError: a.yaml: unknown key 'epoch' (nearest: 'epochs').
    """
    problems: list[str] = []
    built = _build(kind, values, base, "", problems)
    if problems:
        raise InputError(f"{source}: " + "; ".join(problems) + ".")
    return built


def _build(kind: type, values: Mapping[str, Any], base: Any, prefix: str, problems: list[str]) -> Any:
    hints = get_type_hints(kind)
    options = {one.name: one for one in fields(kind)}
    chosen: dict[str, Any] = {} if base is None else {name: getattr(base, name) for name in options}
    for key, value in values.items():
        if key not in options:
            nearest = get_close_matches(str(key), options, n=1, cutoff=0.4)
            hint = f" (nearest: {prefix + nearest[0]!r})" if nearest else f" (allowed: {', '.join(options)})"
            problems.append(f"unknown key {prefix + str(key)!r}{hint}")
            continue
        chosen[key] = _value(hints[key], value, chosen.get(key), prefix + key, problems)
    for name, one in options.items():
        if name not in chosen and one.default is MISSING and one.default_factory is MISSING:
            problems.append(f"{prefix}{name} is missing")
    return None if problems else kind(**chosen)


def _value(hint: Any, value: Any, base: Any, key: str, problems: list[str]) -> Any:
    """Check one value against its type; numbers may be written without a point, paths as text."""
    if is_dataclass(hint):
        if isinstance(value, Mapping):
            return _build(hint, value, base, key + ".", problems)  # type: ignore[arg-type]
    elif get_origin(hint) is UnionType:
        if value is None and NoneType in get_args(hint):
            return None
        inner = [arg for arg in get_args(hint) if arg is not NoneType]
        return _value(inner[0], value, base, key, problems)
    elif get_origin(hint) is tuple:
        kinds = get_args(hint)
        if isinstance(value, list | tuple) and (kinds[-1] is Ellipsis or len(value) == len(kinds)):
            return tuple(_value(kinds[0], item, None, key, problems) for item in value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    name = getattr(hint, "__name__", str(hint))
    problems.append(f"{key} must be {name}, given {value!r}")
    return value


# The configuration of a run: every default in one place, named heads and recipes, YAML in and out.
#
# Parts never see a configuration; `runs.build` hands them plain options. A file or a `--set` lists
# differences from the defaults of the chosen head and recipe.


AS_MEMBERS = ("cnn-rnn", "no-rnn", "sigmoid", "sigmoid-mlp")
"""Heads of which several become one."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a training makes, the code's version and the machine apart.

    Raises:
        InputError: an unknown head, a fraction outside [0, 1), an order that does not fit the allowed
            outcomes, the loss or the training of the encoder, a head that cannot train it, or a negative seed.
    """

    data: str = ""
    """Training data, `FORMAT:PATH#SPLIT`."""
    validation: str | None = None
    """Validation data; None: `validation_fraction` of the training images, stratified by labels."""
    validation_fraction: float = 0.15
    """Share of the training images held out where `validation` is None; 0 trains without validation."""
    read: ReadOptions = field(default_factory=ReadOptions)
    missing_weight: float | None = None
    """Weight of a missing tag as absent, where `read.missing_tags` is `unlikely`; None: 1 / (labels - 1). If a share r
    of the tags is missing at random, (1 - r) / (1 + r) puts a label's threshold of 0.5 where it belongs."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    train_encoder: bool = False
    """Whether the encoder is trained too, end to end; otherwise it is frozen and its features are cached."""
    head_first: bool = False
    """Whether the head learns from the frozen encoder's features before both learn together (Kumar et al. 2022,
    arXiv 2202.10054: what a random head sends back spoils features); the encoder's normalisations stay as they are."""
    crop: float = 1.0
    """Smallest share of its area that a picture is cut to, at random, while the encoder learns; 1: none is cut."""
    flips: bool = True
    """Whether training also sees mirrored images."""
    head: str = "cnn-rnn"
    """A name of `heads.registry.HEADS`."""
    members: int = 1
    """How many heads are trained side by side and answer as one, by the mean of their logits (`heads.arrays_torch`);
    the run holds that one, so its configuration says 1 and the sizes of all together."""
    order: str = "frequent"
    """In which order labels are predicted; see `labels.vocabulary.LabelOrder`."""
    order_seed: int | None = None
    """Decides the order `random`; None: `seed`. Ensembles of orders differ in it alone."""
    scaling: str = "standardize"
    """What is done to features first; see `heads.options.ScalingName`."""
    label_model: LabelModelOptions = field(default_factory=LabelModelOptions)
    sigmoid: SigmoidOptions = field(default_factory=SigmoidOptions)
    """Of every head that is a network from features to one number per label."""
    local: LocalOptions = field(default_factory=LocalOptions)
    """What places of the encoder's last map add to label scores; `encoder.grid` says how many places."""
    grid_limit: float = 20.0
    """Most GB of disk that the maps of a data set may take."""
    asymmetric: AsymmetricOptions = field(default_factory=AsymmetricOptions)
    neighbours: NeighbourOptions = field(default_factory=NeighbourOptions)
    recipe: Recipe = field(default_factory=Recipe)
    search: Search = field(default_factory=Search)
    decision: Decision = field(default_factory=Decision)
    suggester: bool = True
    """Whether a label model's run also gets an any-subset head, for `suggest` to ask where it is better on
    validation images (`runs.run_directory`); a frozen encoder and validation images are needed for that."""
    calibrate: bool = True
    """Whether scores are calibrated and thresholds tuned on the validation images when training ends."""
    promise_data: str | None = None
    """Images that neither training nor early stopping sees, on which promises are proven; `FORMAT:PATH#SPLIT`."""
    promise_fraction: float = 0.0
    """Share of the training images kept aside for that where `promise_data` is None; 0: none."""
    seed: int = 0
    """Decides initial values, order, views, dropout and the validation split."""

    def __post_init__(self) -> None:
        row = row_of(self.head)
        if not 0 <= self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction is {self.validation_fraction}; it must be at least 0 and below 1."
            )
        if not 0 <= self.promise_fraction < 1:
            raise InputError(
                f"promise_fraction is {self.promise_fraction}; it must be at least 0 and below 1."
            )
        if self.promise_data is not None and self.promise_fraction:
            raise InputError(
                f"calibration images are named ({self.promise_data}) and a share of the training images "
                f"({self.promise_fraction:g}) is to be kept aside for the same. Leave one of them out."
            )
        if self.order == "shuffle" and self.label_model.allowed == "canonical":
            raise InputError(
                "order 'shuffle' says labels in any order, which the allowed outcomes 'canonical' forbid. "
                "Add --set label_model.allowed=no-repeat."
            )
        if self.order == "shuffle" and self.label_model.loss != "sequence":
            raise InputError(
                f"the loss {self.label_model.loss!r} finds its own order, so order 'shuffle' would change nothing. "
                "Leave one of the two out."
            )
        if self.train_encoder and self.order == "easiest":
            raise InputError(
                "order 'easiest' is found from a frozen encoder's features. Leave --finetune out, or take another "
                "order, such as --order frequent."
            )
        if self.read.missing_tags == "unlikely" and not row.weighs:
            require(self.head, "weighs", "--missing-tags unlikely")
        if self.read.missing_tags == "unlikely" and row.searches and self.label_model.loss != "sequence":
            raise InputError(
                f"--missing-tags unlikely needs the loss 'sequence'; {self.label_model.loss!r} takes unknown labels "
                "out. Leave --set label_model.loss out."
            )
        if self.missing_weight is not None and not 0 < self.missing_weight <= 1:
            raise InputError(
                f"missing_weight is {self.missing_weight}; it must be above 0 and at most 1, such as 0.1."
            )
        if self.local.name != "none":
            require(self.head, "local", f"--local {self.local.name}")
            if row.searches and not self.label_model.per_label:
                raise InputError(NEEDS_PER_LABEL)
        elif self.encoder.grid or self.encoder.tiles != 1:
            given = f"--grid {self.encoder.grid}" if self.encoder.grid else f"--tiles {self.encoder.tiles}"
            raise InputError(
                f"{given} is of the map that local evidence is taken from. Add --local csra, or leave it out."
            )
        if not self.grid_limit > 0:
            raise InputError(f"--grid-limit is {self.grid_limit}; it is in GB and above 0, such as 20.")
        if not 0 < self.crop <= 1:
            raise InputError(
                f"crop is {self.crop}; it is a share of the picture's area, above 0 and at most 1."
            )
        if self.train_encoder and not row.learns:
            require(self.head, "learns", "--finetune")
        if self.members < 1:
            raise InputError(f"members is {self.members}; at least 1 head must be trained.")
        if self.members > 1 and (
            self.head not in AS_MEMBERS or self.train_encoder or self.local.name != "none"
        ):
            raise InputError(
                f"members {self.members}: only {', '.join(AS_MEMBERS)}, on frozen features without local "
                "evidence, can be trained side by side. Leave it out."
            )
        for name in ("seed", "order_seed"):
            if (getattr(self, name) or 0) < 0:
                raise InputError(f"the {name} is {getattr(self, name)}; it must not be negative.")


def weight_of_unknown(config: RunConfig, num_labels: int) -> float:
    """Return with what weight a training counts an unknown label as absent; 0 unless missing tags are unlikely."""
    if config.read.missing_tags != "unlikely":
        return 0.0
    return config.missing_weight if config.missing_weight is not None else 1 / max(num_labels - 1, 1)


OF_HEADS = ("label_model", "sigmoid", "local", "asymmetric", "neighbours")
"""Parts of the configuration that only some heads read."""

TREE_SEARCH = frozenset({"samples", "seed"})
"""What a tree of labels, which is not searched, takes of the search: how many sets are drawn, and by what."""

END_TO_END = "end to end"
"""Name of a recipe's differences where the encoder is trained too."""

LINEAR: Mapping[str, Any] = {"recipe": {"learning_rate": 3e-3, "epochs": 30}}
"""Chosen for the linear sigmoid head; its baselines take it as it is."""

RANKING: Mapping[str, Any] = {"recipe": {"learning_rate": 3e-4, "epochs": 30}}
"""As `LINEAR`, but at its rate of 3e-3 these losses rise on held-out images from the second epoch on; the best of
3e-3, 1e-3 and 3e-4 on a quarter of the 765 photographs."""

RECIPES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    # Section 3 and its talk: rmsprop, weight decay 1e-4, momentum 0.9, dropout 0.5 on the projections. Rate,
    # batch size, epochs and smoothing are not in the paper; those below train without diverging.
    "paper": {
        "any": {
            "flips": False,
            "scaling": "none",
            "label_model": {"projection_dropout": 0.5},
            "recipe": {
                "optimiser": "rmsprop",
                "learning_rate": 1e-4,
                "momentum": 0.9,
                "weight_decay": 1e-4,
                "schedule": "constant",
                "batch_size": 128,
            },
        },
    },
    # Best of 24 tries in cross-validation on 765 photographs (research/voc_cross_validation.py, features of
    # MobileNetV2), with h = ReLU (research/activation.md): strong regularisation, long enough. With many
    # times as many images, regularise less (dropouts 0.3, weight decay 0.3) and take larger batches.
    "default": {
        "any": {
            "label_model": {
                "activation": "relu",
                "image_hidden_size": 1024,
                "image_hidden_dropout": 0.5,
                "feature_dropout": 0.7,
                "projection_dropout": 0.5,
            },
            "sigmoid": {"feature_dropout": 0.7},
            "recipe": {"learning_rate": 1e-3, "weight_decay": 3.0, "batch_size": 32, "epochs": 50},
        },
        "sigmoid": LINEAR,
        "softmax": RANKING,
        "warp": RANKING,
        "asymmetric": LINEAR,
        "chow-liu": LINEAR,
        "sigmoid-mlp": {"sigmoid": {"hidden_size": 1024}, "recipe": {"epochs": 30}},
        # An encoder that learns from nothing regularises otherwise; modest values, not chosen by measurement. Its
        # features have no fixed mean and deviation. For one that knows something: `runs.recipe.FINETUNING`.
        END_TO_END: {
            "scaling": "none",
            "label_model": {"image_hidden_size": 0, "feature_dropout": 0.2, "projection_dropout": 0.2},
            "sigmoid": {"feature_dropout": 0.2},
            "recipe": {"learning_rate": 1e-3, "weight_decay": 0.05, "epochs": 30},
        },
    },
}
"""Named recipes: differences from the defaults for any head, for one by name, for training the encoder too."""


def configure(
    *,
    head: str | None = None,
    recipe: str = "default",
    file: Path | None = None,
    settings: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    by_data: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Put a configuration together: defaults, head, recipe, data, file, `--set` settings, options; later ones win.

    Args:
        head: a name of `heads.registry.HEADS`; None: the last `head` of settings and file, else "cnn-rnn".
        recipe: a name of `RECIPES`.
        file: YAML with differences.
        settings: texts `key.key=value`, the value as YAML.
        options: nested differences from the command line.
        by_data: what the data say (`runs.recipe`), as differences; taken by the recipe "default". None:
            nobody has looked at them yet.

    Raises:
        InputError: unknown names or keys, values of the wrong type, or a file that is not YAML.

    Example:
        >>> configure(head="no-rnn", settings=["recipe.epochs=3"]).recipe.epochs
        3
    """
    if recipe not in RECIPES:
        raise unknown_name("recipe", recipe, RECIPES)
    given: list[tuple[str, Mapping[str, Any]]] = [
        *([(str(file), read_yaml(file))] if file is not None else ()),
        *(("--set " + text, parse_setting(text)) for text in settings),
        ("options", {**(options or {}), **({"head": head} if head else {})}),
    ]
    named = str(next((values["head"] for _, values in reversed(given) if "head" in values), "cnn-rnn"))
    differences = row_of(named).differences
    config = RunConfig(head=named)
    if any((values.get("encoder") or {}).get("weights") for _, values in given):
        # A weights file says what it belongs to, unless a name is given as well.
        config = replace(config, encoder=replace(config.encoder, name=""))
    end_to_end = next((v["train_encoder"] for _, v in reversed(given) if "train_encoder" in v), False)
    from_nothing = end_to_end and not (by_data or {}).get("head_first")
    layers: list[tuple[str, Mapping[str, Any]]] = [
        (f"head {named}", differences),
        (f"recipe {recipe}", RECIPES[recipe]["any"]),
        (f"recipe {recipe}", RECIPES[recipe].get(named, {})),
        (f"recipe {recipe}", RECIPES[recipe].get(END_TO_END, {}) if from_nothing else {}),
    ]
    local: Any = next((v["local"] for _, v in reversed(given) if "local" in v), {})
    if row_of(named).searches and isinstance(local, Mapping) and local.get("name", "none") != "none":
        layers.append(("local evidence", {"label_model": {"per_label": 1.0}}))
    if by_data is not None and recipe == "default":
        layers.append(("what the data say", by_data))
    for source, values in [*layers, *given]:
        config = from_plain(RunConfig, values, base=config, source=source)
    return config


def refuse_unused(
    head: str, *, settings: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> None:
    """Refuse what a user asks for and a head has no use for; `configure` itself takes it, for many heads share values.

    Args:
        head: a name of `heads.registry.HEADS`.
        settings: `--set` texts.
        options: nested differences from the command line.

    Raises:
        InputError: the head has no use for one of them; the message says why, and which heads have.
    """
    row = row_of(head)
    given = [(f"--set {text}", parse_setting(text)) for text in settings]
    given += [("--" + name.replace("_", "-"), {name: value}) for name, value in (options or {}).items()]
    for asked, values in given:
        part, value = next(iter(values.items()))
        if part == "search":
            names = set(value) if isinstance(value, Mapping) else {""}
            if not (row.distribution == "tree" and names <= TREE_SEARCH):
                require(head, "searches", asked)
        elif part == "order" and value != RunConfig.order:
            require(head, "ordered", asked)
        elif part == "recipe" and value and not row.learns:
            names = set(value) if isinstance(value, Mapping) else {""}
            first = "--" + min(names).replace("_", "-") if asked == "--recipe" else asked
            require(head, "learns", first)
        elif part in OF_HEADS and part not in (*row.options, *row.reads):
            able = [name for name, one in HEADS.items() if part in (*one.options, *one.reads)]
            raise InputError(
                f"{asked}: the head {head!r} has no {part}; it reads {', '.join((*row.options, *row.reads))}. "
                f"Leave it out, or train with --head {' or '.join(able)}."
            )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        InputError: the file is not there, or not such a file.
    """
    values = parsing.read_yaml(path)
    if values is not None and not isinstance(values, dict):
        raise InputError(
            f"{path} must hold keys and values, such as 'head: cnn-rnn'; it holds {values!r:.60}."
        )
    return values or {}


def write_yaml(config: RunConfig, *, opening: Sequence[str]) -> str:
    """Return a configuration as YAML, every key resolved.

    Args:
        opening: lines of comment that go first (command, machine, time, scores).
    """
    comment = "".join(f"# {line}\n" for line in opening)
    return comment + yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)


def parse_setting(text: str) -> dict[str, Any]:
    """Turn a text `key.key=value` into a nested mapping; the value is YAML.

    Raises:
        InputError: no `=`, or a value that is not YAML.

    Example:
        >>> parse_setting("recipe.learning_rate=1e-4")
        {'recipe': {'learning_rate': 0.0001}}
    """
    keys, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text!r} has no '='; write it as --set recipe.epochs=30.")
    nested = parsing.parse_yaml(value, f"--set {text!r}: the value")
    if isinstance(nested, str):
        # YAML 1.1 wants a point in 1e-4; people do not write one.
        nested = _number(nested)
    for key in reversed(keys.split(".")):
        nested = {key: nested}
    return nested


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
