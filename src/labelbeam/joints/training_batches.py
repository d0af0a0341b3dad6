"""Batches and model of a training: features of a frozen encoder and a head, or pixels and both as one model.

Between the data set (`joints.training_data`) and the loop (`training.loop`). Trains nothing.
"""

from accelerate import Accelerator
from torch import Tensor, nn

from labelbeam.data.dataset import Dataset
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.joints.config import RunConfig
from labelbeam.joints.features import readable_features, readable_images
from labelbeam.models.handing_over import Trainable
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.image_batches import ImageBatches
from labelbeam.training.loop import Batches

Prepared = tuple[nn.Module, Batches, Batches | None, list[str]]
"""The model, this process's training batches, held-out batches, and sentences about images that were left out."""


class EndToEnd(nn.Module):
    """Encoder and head as one model: pixels and targets to nats per image."""

    def __init__(self, encoder: nn.Module, head: Trainable) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, pixels: Tensor, targets: Tensor) -> Tensor:
        """Return nats per image."""
        return self.head(self.encoder(pixels), targets)


def prepare_batches(
    config: RunConfig,
    train: Dataset,
    held_out: Dataset | None,
    encoder: ImageEncoder,
    head: Trainable,
    accelerator: Accelerator,
) -> Prepared:
    """Prepare batches of a frozen encoder's features, or of pixels where the encoder is trained too.

    Args:
        config: of the run.
        train: training images.
        held_out: validation images; None: there are none.
        encoder: frozen, or to be trained.
        head: to be trained; over a frozen encoder its scaling is fitted here.
        accelerator: which part of each batch this process takes.

    Raises:
        InputError: no image at all can be read, or the cache cannot be written.
    """
    prepare = _pixel_batches if config.train_encoder else _feature_batches
    return prepare(config, train, held_out, encoder, head, accelerator)


def _feature_batches(
    config: RunConfig,
    train: Dataset,
    held_out: Dataset | None,
    encoder: ImageEncoder,
    head: Trainable,
    accelerator: Accelerator,
) -> Prepared:
    """The features are found in the cache or made now; the model is the head alone."""
    train, features, notes = readable_features(train, encoder, flips=config.flips)
    head.scaling.fit(features.reshape(-1, features.shape[-1]))
    size = config.recipe.batch_size
    batches = FeatureBatches(
        features, train.targets, size, config.seed, accelerator.process_index, accelerator.num_processes
    )
    if held_out is None:
        return head, batches, None, notes
    held_out, held_out_features, more = readable_features(held_out, encoder, flips=False)
    return head, batches, FeatureBatches(held_out_features, held_out.targets, size, config.seed), notes + more


def _pixel_batches(
    config: RunConfig,
    train: Dataset,
    held_out: Dataset | None,
    encoder: ImageEncoder,
    head: Trainable,
    accelerator: Accelerator,
) -> Prepared:
    """The model is encoder and head, trained end to end."""

    def batches(dataset: Dataset, process: int = 0, processes: int = 1) -> ImageBatches:
        return ImageBatches(
            dataset.paths,
            dataset.targets,
            encoder.preprocess,
            batch_size=config.recipe.batch_size,
            seed=config.seed,
            flips=config.flips,
            process=process,
            processes=processes,
        )

    train, notes = readable_images(train)
    ours = batches(train, accelerator.process_index, accelerator.num_processes)
    if held_out is None:
        return EndToEnd(encoder.module, head), ours, None, notes
    held_out, more = readable_images(held_out)
    return EndToEnd(encoder.module, head), ours, batches(held_out), notes + more
