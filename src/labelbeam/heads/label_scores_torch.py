"""Heads with one number per label in training: sigmoid, asymmetric loss, any-subset, softmax and WARP."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor, nn

from labelbeam.errors import InputError
from labelbeam.heads.local_torch import local_scores
from labelbeam.heads.options import AsymmetricOptions, LocalOptions, SigmoidOptions
from labelbeam.heads.scaling_torch import Features, FeatureScaling, Nats, Targets, check_batch, check_sizes
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

Scores = Float[Tensor, "batch labels"]


class LabelScores(nn.Module):
    """Features [batch features] to one number per label: the network that several heads share.

    What the numbers mean, and the loss that gives them the meaning, is the subclass's.

    Args:
        num_labels: how many labels there are.
        num_features: how many features an image has.
        scaling: what is done to features first: `standardize` (call `.scaling.fit` with training features), `l2` or
            `none`.
        local: what places of the encoder's map add to the scores; None: nothing.

    Raises:
        InputError: a size below 1 or an unknown scaling.
    """

    head_name: ClassVar[str]

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        options: SigmoidOptions | None = None,
        *,
        scaling: str = "none",
        local: LocalOptions | None = None,
        channels: int = 0,
    ) -> None:
        super().__init__()
        options = options or SigmoidOptions()
        check_sizes(num_labels, num_features)
        self.num_labels, self.options = num_labels, options
        self.unknown_weight = 0.0
        self.scaling = FeatureScaling(scaling, num_features)
        layers: list[nn.Module] = [nn.Dropout(options.feature_dropout)]
        width = num_features
        if options.hidden_size:
            layers += [nn.Linear(width, options.hidden_size), nn.ReLU(), nn.Dropout(options.hidden_dropout)]
            width = options.hidden_size
        self.before = nn.Sequential(*layers)
        self.last = nn.Linear(width, num_labels)
        # A standardized input cannot say "most labels are absent"; starting from no opinion and the labels'
        # own frequencies (`start_from`) spares the hundreds of steps a bias needs to get there.
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.local = local_scores(local, num_labels, channels, after=num_features)

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Set the biases to the log-odds of the labels' training frequencies, one image added to each side."""
        present, unknown = (targets == PRESENT).sum(dim=0) + 1.0, (targets == UNKNOWN).sum(dim=0)
        observed = len(targets) - unknown + 2.0 + self.unknown_weight * unknown
        self.last.bias.copy_(torch.logit(present / observed))

    def logits(self, features: Features) -> Scores:
        """Return one number per label, unbounded."""
        logits = self.last(self.before(self.scaling(features)))
        return logits if self.local is None else logits + self.local(features)


class SigmoidHead(LabelScores):
    """One probability per label, each by itself; arguments as `LabelScores`.

    `unknown_weight` above 0 counts an unknown label as absent, with this weight ("weak negatives", Cole et al. 2021,
    Multi-label learning from single positive labels, eq. 4; theirs is 1 / (labels - 1)).

    Example:
        >>> head = SigmoidHead(num_labels=3, num_features=8)
        >>> head(torch.zeros(2, 8), torch.tensor([[1, 0, 1], [0, -1, 0]], dtype=torch.int8)).shape
        torch.Size([2])
    """

    head_name: ClassVar[str] = "sigmoid"

    def forward(self, features: Features, targets: Targets) -> Nats:
        """Return -log p(set | image) per image in nats: binary cross-entropy summed over the observed labels.

        Unknown labels are left out of the sum, or weighted by `unknown_weight`.

        Raises:
            InputError: features or targets of another width than the head's.
        """
        targets = check_batch(self, features, targets)
        present = (targets == PRESENT).float()
        losses = nn.functional.binary_cross_entropy_with_logits(
            self.logits(features), present, reduction="none"
        )
        return losses.where(targets != UNKNOWN, self.unknown_weight * losses).sum(dim=1)


class AnySubsetHead(SigmoidHead):
    """A two-layer sigmoid head whose hidden layer also reads, for every label, whether it is accepted or rejected.

    In training labels are revealed at random, in evaluation and tagging none is, which makes it a `SigmoidHead`; asked
    with evidence, it gives p(label | image, evidence) in one pass, without a search. It learns each conditional by
    itself: nothing makes them conditionals of one joint distribution.

    Raises:
        InputError: no hidden layer; then labels could not interact.
    """

    head_name: ClassVar[str] = "any-subset"

    def __init__(
        self, num_labels: int, num_features: int, options: SigmoidOptions, *, scaling: str = "none"
    ) -> None:
        if not options.hidden_size:
            raise InputError(
                "the head 'any-subset' needs a hidden layer, given hidden_size 0. "
                "Leave sigmoid.hidden_size out (512), or take --head sigmoid."
            )
        super().__init__(num_labels, num_features, options, scaling=scaling)
        # The second half of the first layer's weights: features and states, concatenated, are its input.
        self.from_known = nn.Linear(2 * num_labels, options.hidden_size, bias=False)

    def logits(self, features: Features, evidence: Int8[Tensor, "batch labels"] | None = None) -> Scores:
        """Return one logit per label, given evidence about the labels: 1 accepted, 0 rejected, -1 neither."""
        hidden = self.before[:2](self.scaling(features))  # [batch hidden], ReLU still to come
        if evidence is not None:
            states = torch.cat((evidence == PRESENT, evidence == ABSENT), dim=1)  # [batch 2*labels]
            hidden = hidden + self.from_known(states.to(hidden.dtype))
        return self.last(self.before[2:](hidden))

    def forward(self, features: Features, targets: Targets) -> Nats:
        """Return the loss per image in nats: binary cross-entropy of the labels that were not revealed.

        In training each image draws a rate, and each of its observed labels is revealed at that rate, whether it is
        present or absent. The loss of the others is scaled up to all observed labels, so that the rate does not
        change its magnitude. Out of training nothing is revealed: -log p(set | image) as a sigmoid head has it.

        Unknown labels are never revealed.
        """
        observed = targets != UNKNOWN
        if not self.training:
            return super().forward(features, targets)
        rates = torch.rand(len(targets), 1, device=targets.device)
        asked = observed & (torch.rand(targets.shape, device=targets.device) >= rates)
        logits = self.logits(features, targets.masked_fill(asked, UNKNOWN))
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, (targets == PRESENT).to(logits.dtype), reduction="none"
        )
        # Of the observed labels; 0: nothing to learn.
        share = asked.sum(dim=1) / observed.sum(dim=1).clamp(min=1)
        return losses.masked_fill(~asked, 0.0).sum(dim=1) / share.clamp(min=1 / self.num_labels)


class RankingHead(LabelScores):
    """Scores that rank labels and are not probabilities that a label is present; subclasses fill `forward`.

    By convention such a head decides as many labels as training images have on average (the paper's protocol: k of
    every image). It has no p(set | image). Arguments as `LabelScores`.
    """

    labels_per_image: Tensor

    def __init__(self, *sizes: Any, **options: Any) -> None:
        super().__init__(*sizes, **options)
        self.register_buffer("labels_per_image", torch.ones((), dtype=torch.int64))

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Start from the labels' frequencies, and keep how many labels training images have (rounded, at least 1)."""
        super().start_from(targets)
        mean = float((targets == PRESENT).sum(dim=1).double().mean())
        self.labels_per_image.fill_(max(1, round(mean)))


class AsymmetricHead(RankingHead):
    """A sigmoid per label under the asymmetric loss; its set holds the labels with a score of at least 1/2.

        L+ = -(1 - p)^gamma+ log p                 for present labels, p = sigmoid(s)
        L- = -p_m^gamma- log(1 - p_m)              for absent ones, p_m = max(p - m, 0)

    With gamma- above gamma+ the best p for a label that is present in a share q of alike images lies above q, and
    absent labels below the margin m have no gradient at all: the scores rank, they are not p(label | image).

    Source:
        Ridnik et al. 2021, Asymmetric loss for multi-label classification, eq. 3 to 6. The gradient goes through the
        weights too, as printed; their code has that as an option.
    """

    head_name: ClassVar[str] = "asymmetric"

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        options: SigmoidOptions | None = None,
        asymmetric: AsymmetricOptions | None = None,
        *,
        scaling: str = "none",
    ) -> None:
        super().__init__(num_labels, num_features, options, scaling=scaling)
        self.asymmetric = asymmetric or AsymmetricOptions()

    def forward(self, features: Features, targets: Targets) -> Nats:
        """Return the loss per image, summed over the observed labels; with all three numbers 0 it is cross-entropy."""
        numbers, logits = self.asymmetric, self.logits(features)
        p = torch.sigmoid(logits)
        if_present = -nn.functional.logsigmoid(logits) * (1 - p) ** numbers.gamma_positive
        if numbers.margin:
            p_m = (p - numbers.margin).clamp(min=0)
            log_absent = torch.log1p(-p_m)
        else:  # log(1 - p) in the form that no large logit breaks
            p_m, log_absent = p, nn.functional.logsigmoid(-logits)
        # 0 ** 0 is 1: with gamma- = 0 every absent label counts. A p_m of 0 would have an infinite slope below 1.
        weights = p_m.clamp(min=1e-12) ** numbers.gamma_negative if numbers.gamma_negative else 1.0
        losses = torch.where(targets == PRESENT, if_present, -log_absent * weights)
        return losses.masked_fill(targets == UNKNOWN, 0.0).sum(dim=1)


class SoftmaxHead(RankingHead):
    """The paper's first baseline: one softmax over the labels, taught each image's labels in equal shares.

        L = -sum over l in G of (1 / |G|) log softmax(s)_l        G: the image's labels

    Its score is p(a label drawn at random from the image's labels is l): labels compete, so an image with four labels
    gives each 1/4. It ranks; it is not p(label | image).

    Source:
        Gong et al. 2013, Deep convolutional ranking for multilabel image annotation, Section 3.2.1 (after Guillaumin
        et al. 2009); the baseline "Softmax" of Wang et al. 2016, Tables 1 to 3.
    """

    head_name: ClassVar[str] = "softmax"

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Start from each label's share of all labels that training images have, one added to each."""
        super().start_from(targets)
        counts = (targets == PRESENT).sum(dim=0) + 1.0
        self.last.bias.copy_((counts / counts.sum()).log())

    def forward(self, features: Features, targets: Targets) -> Nats:
        """Return the cross-entropy per image in nats; 0 for an image without labels, which teaches nothing."""
        present = targets == PRESENT
        # An image of which nothing is observed has no softmax; nothing is masked there, and nothing counted.
        hidden = (targets == UNKNOWN) & present.any(dim=1, keepdim=True)
        log_probs = self.logits(features).masked_fill(hidden, -torch.inf).log_softmax(dim=1)
        shares = present.sum(dim=1).clamp(min=1)
        return -log_probs.masked_fill(~present, 0.0).sum(dim=1) / shares


class WarpHead(RankingHead):
    """WARP: every present label above every absent one, by a margin; mistakes near the top of the ranking weigh most.

        L = sum over l in G of  w(r_l) / r_l * sum over absent n of max(0, 1 - s_l + s_n)
        w(r) = 1 + 1/2 + ... + 1/r,   r_l: the number of absent labels n with a positive hinge

    The papers draw absent labels until one has a positive hinge and estimate r_l from the number of draws, to save
    time with 100,000 labels. Here all are looked at: the expectation of a draw with the rank known.

    Source:
        Weston, Bengio, Usunier 2011, WSABIE, eq. 2 to 5 (weights 1/j); Gong et al. 2013, Section 3.2.3; the baseline
        "WARP" of Wang et al. 2016, Tables 1 to 3.
    """

    weights: Tensor

    head_name: ClassVar[str] = "warp"

    def __init__(self, num_labels: int, *sizes: Any, **options: Any) -> None:
        super().__init__(num_labels, *sizes, **options)
        ranks = torch.arange(1, num_labels + 1, dtype=torch.float32)
        per_rank = (1 / ranks).cumsum(dim=0) / ranks  # w(r) / r
        self.register_buffer("weights", torch.cat((torch.zeros(1), per_rank)), persistent=False)

    def forward(self, features: Features, targets: Targets) -> Nats:
        """Return the loss per image (no nats); memory: labels x the present labels of the batch."""
        logits = self.logits(features)
        images, labels = (targets == PRESENT).nonzero(as_tuple=True)  # [pairs]
        hinges = (1 - logits[images, labels][:, None] + logits[images]).clamp(min=0)  # [pairs labels]
        hinges = hinges.masked_fill((targets != ABSENT)[images], 0.0)
        ranks = (hinges > 0).sum(dim=1)  # no gradient: the weight is taken as it is
        losses = self.weights[ranks].to(hinges.dtype) * hinges.sum(dim=1)  # [pairs]
        return logits.new_zeros(len(targets)).index_add(0, images, losses)


class TreeHead(LabelScores):
    """A conditional random field on a tree: unary scores from the image, pairs from label statistics.

        p(set | image) = T(y) exp(sum_l s_l y_l) / Z(image)

    T is a distribution over label sets in which each label depends on one other, fixed before training (a Chow-Liu
    tree of the training labels); s = network(image). The network learns beside the tree, by the exact likelihood, so
    that what the tree says is not counted twice. Z is exact in one pass over the tree; unknown labels are summed out.

    Source:
        Chow and Liu 1968 (the tree); Lafferty, McCallum, Pereira 2001 (conditional random fields).
    """

    parent: Tensor
    log_given: Tensor

    head_name: ClassVar[str] = "chow-liu"

    def __init__(self, num_labels: int, *sizes: Any, **options: Any) -> None:
        super().__init__(num_labels, *sizes, **options)
        # Until `set_tree`: no pair at all, every label as often present as absent.
        self.register_buffer("parent", torch.full((num_labels,), -1, dtype=torch.int64))
        self.register_buffer("log_given", torch.full((num_labels, 2, 2), 0.5).log())

    @torch.no_grad()
    def set_tree(self, parent: Int[Tensor, " labels"], given: Float[Tensor, "labels 2 2"]) -> None:
        """Take the pairs.

        Args:
            parent: of each label; -1 for a root.
            given: p(y_l = column | y_parent = row), above 0; a root's rows are equal.

        Raises:
            InputError: probabilities that are not above 0, or parents that go round in a circle.
        """
        if not (given > 0).all():
            raise InputError("a tree's probabilities must be above 0. Fit it with smoothing.")
        self.parent.copy_(parent)
        self.log_given.copy_(given.log())
        if sum(len(level) for level in self._levels()) < self.num_labels:
            raise InputError("these parents are no tree: some labels are their own ancestors.")

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Leave the biases at 0: the tree has the labels' frequencies."""

    def log_partition(self, unary: Scores, evidence: Targets | None = None) -> Nats:
        """Return the log of the sum over all sets, or over those that agree with the evidence (-1: summed out)."""
        beliefs = self._beliefs(unary, evidence)
        roots = self._levels()[0]
        return (beliefs[:, roots] + self.log_given[roots, 0]).logsumexp(dim=2).sum(dim=1)

    def forward(self, features: Features, targets: Targets) -> Nats:
        """Return -log p(set | image) per image in nats; unknown labels are summed out exactly."""
        unary = self.logits(features)
        return self.log_partition(unary) - self.log_partition(unary, targets)

    def _levels(self) -> list[Tensor]:
        """Return the labels by depth, roots first."""
        levels, at = [], self.parent < 0
        while at.any():
            levels.append(at.nonzero()[:, 0])
            at = torch.isin(self.parent, levels[-1])
        return levels

    def _beliefs(self, unary: Tensor, evidence: Tensor | None) -> Float[Tensor, "batch labels 2"]:
        """Return, for both values of each label, the log of the sum over everything below it."""
        beliefs = torch.stack((torch.zeros_like(unary), unary), dim=2)
        if evidence is not None:
            ruled_out = torch.stack((evidence == PRESENT, evidence == ABSENT), dim=2)
            beliefs = beliefs.masked_fill(ruled_out, -torch.inf)
        for level in reversed(self._levels()[1:]):
            # [batch level 2 2], rows: the parent's value
            pairs = beliefs[:, level, None] + self.log_given[level]
            beliefs = beliefs.index_add(1, self.parent[level], pairs.logsumexp(dim=3))
        return beliefs
