"""How a label model is searched and which number per label it reports: the choices and their defaults."""

from dataclasses import dataclass

from labelbeam.errors import InputError, unknown_name

METHODS = ("exact", "beam", "greedy")
SCORES = ("marginal", "per-label", "beam", "max-step", "first-step")


@dataclass(frozen=True)
class Search:
    """Choices of the search; what the paper leaves open has a name here.

    Raises:
        InputError: an unknown name or a number outside what is allowed; all numbers at once.

    Source:
        Paper section 3.3; its open points 9 to 12. The length penalty is Wu et al. 2016 (arXiv 1609.08144), eq. 14.
    """

    method: str = "exact"
    """`exact` (default): best-first, with a certificate. `beam`: the paper's. `greedy`: label by label."""
    beam_width: int = 10
    """N, live paths kept per image by the paper's beam search, which does not say what it was."""
    stop: str = "best"
    """`best` (default): no live path beats the best finished one. `worst`: the literal reading, none beats
    any of the N best finished ones, enough for all N. Both give the same first path; a live path that fails the
    test is dropped at once, which changes no answer."""
    end: str = "always"
    """`always` (default): END of every live path is tried and takes no place in the beam. `competes`: END is one of
    the outcomes that compete for the N places (the literal reading)."""
    length_penalty: float = 0.0
    """a: finished paths are ranked by log-probability / ((5 + steps) / 6) ** a; 0 (default): as they are, as in the
    paper."""
    min_labels: int = 0
    """END is not allowed before this many labels (the paper's protocol for NUS-WIDE: k)."""
    max_labels: int | None = None
    """Paths end at this many labels; with min_labels the same, every path has exactly so many ("path-k")."""
    nothing: float | None = None
    """Share of the images that show none of the labels, by which p(empty set) is shifted; None: the training's.
    For runs whose training images all show something."""
    score: str = "marginal"
    """What a label's score is; the paper does not say. `marginal` (default): p(label | image), with bounds.
    `per-label`: p(label | image) by the label's own logit, a matrix product, where the model has one
    (`label_model.per_label`); under rules and forced numbers of labels, which condition it, `marginal` is taken.
    `beam`: the share of the beam's finished paths that hold it. `max-step`: the highest probability it had at
    any step of the path. `first-step`: the probability at the first step."""
    expansions: int = 200
    """Prefixes expanded per image, at most, for marginals and for the exact search."""
    samples: int = 200
    """Continuations sampled per image, at most, for what was not expanded."""
    stderr: float | None = 0.01
    """Nothing more is sampled for an image when no label's standard error is above this, nor expanded when its
    bounds are that close and its path is certified. None: both budgets are spent."""
    trie_bytes: int = 512_000_000
    """Most bytes the prefix trie holds; results do not depend on it."""
    seed: int = 0
    """Decides the samples."""

    def __post_init__(self) -> None:
        names = (
            ("method", METHODS),
            ("stop", ("best", "worst")),
            ("end", ("always", "competes")),
            ("score", SCORES),
        )
        for name, allowed in names:
            if getattr(self, name) not in allowed:
                raise unknown_name(f"search {name}", getattr(self, name), allowed)
        problems = [
            f"{name} is {getattr(self, name)}, must be at least {least}"
            for name, least in (
                ("beam_width", 1),
                ("min_labels", 0),
                ("expansions", 1),
                ("samples", 0),
                ("trie_bytes", 1),
                ("seed", 0),
            )
            if getattr(self, name) < least
        ]
        if self.nothing is not None and not 0 < self.nothing < 1:
            problems.append(f"nothing is {self.nothing}, must lie between 0 and 1")
        if not 0 <= self.length_penalty < float("inf"):
            problems.append(f"length_penalty is {self.length_penalty}, must be 0 or more")
        if self.stderr is not None and not 0 < self.stderr < 1:
            problems.append(f"stderr is {self.stderr}, must lie between 0 and 1 (null: spend the budgets)")
        if self.max_labels is not None and self.max_labels < self.min_labels:
            problems.append(f"max_labels is {self.max_labels}, below min_labels ({self.min_labels})")
        if problems:
            raise InputError("search: " + "; ".join(problems) + ".")

    def penalty(self, steps: int) -> float:
        """Return what the log-probability of a path of so many steps, END included, is divided by."""
        return float(((5 + steps) / 6) ** self.length_penalty)
