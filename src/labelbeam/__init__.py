"""labelbeam: multi-label image tagging that knows which labels go together.

    import labelbeam as lb

    run = lb.train(lb.open_dataset("csv:tags.csv"), encoder="dinov2")
    for prediction in run.tag("a.jpg"):
        print(prediction.labels)

This is all that programs need to import. Importing it is cheap and has no effect; NumPy and PyTorch are imported when
a name that needs them is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelbeam.data.dataset import Dataset as Dataset
    from labelbeam.data.stratified import folds as folds
    from labelbeam.data.stratified import split as split
    from labelbeam.decoding.search import Search as Search
    from labelbeam.encoders.catalogue import build_encoder as build_encoder
    from labelbeam.encoders.encoder import EncoderConfig as EncoderConfig
    from labelbeam.errors import InputError as InputError
    from labelbeam.features.extract import extract as extract
    from labelbeam.features.extract import stream_features as stream_features
    from labelbeam.heads.label_model_torch import CNNRNN as CNNRNN
    from labelbeam.heads.label_scores_torch import SigmoidHead as SigmoidHead
    from labelbeam.heads.options import LabelModelOptions as LabelModelOptions
    from labelbeam.heads.options import SigmoidOptions as SigmoidOptions
    from labelbeam.inspect.inspection import inspect_data as inspect_data
    from labelbeam.inspect.inspection import open_splits as open_splits
    from labelbeam.labels.vocabulary import order_labels as order_labels
    from labelbeam.library import evaluate as evaluate
    from labelbeam.library import load as load
    from labelbeam.library import open_dataset as open_dataset
    from labelbeam.library import score as score
    from labelbeam.library import train as train
    from labelbeam.metrics.comparison import ExactK as ExactK
    from labelbeam.metrics.comparison import Sets as Sets
    from labelbeam.metrics.comparison import Threshold as Threshold
    from labelbeam.metrics.comparison import compare as compare
    from labelbeam.metrics.evaluation import Scores as Scores
    from labelbeam.metrics.intervals import bootstrap as bootstrap
    from labelbeam.metrics.intervals import paired_bootstrap as paired_bootstrap
    from labelbeam.predict.decision import Decision as Decision
    from labelbeam.predict.decoder import Decoder as Decoder
    from labelbeam.predict.decoder import decode as decode
    from labelbeam.predict.prediction import Prediction as Prediction
    from labelbeam.predict.prediction import ScoredLabel as ScoredLabel
    from labelbeam.runs.run_directory import Run as Run
    from labelbeam.runs.suggestions import Suggestions as Suggestions
    from labelbeam.runs.tagger import Tagger as Tagger
    from labelbeam.scenes.bayes import bayes_values as bayes_values
    from labelbeam.scenes.bayes import true_distribution as true_distribution
    from labelbeam.scenes.best_sum import best_sum as best_sum
    from labelbeam.scenes.files import scene_cues as scene_cues
    from labelbeam.scenes.world import is_possible as is_possible
    from labelbeam.tagging.sources import open_store as open_store

__version__ = "0.1.0"

_WHERE = {
    "CNNRNN": "heads.label_model_torch",
    "Dataset": "data.dataset",
    "Decision": "predict.decision",
    "Decoder": "predict.decoder",
    "EncoderConfig": "encoders.encoder",
    "ExactK": "metrics.comparison",
    "InputError": "errors",
    "LabelModelOptions": "heads.options",
    "Prediction": "predict.prediction",
    "Run": "runs.run_directory",
    "ScoredLabel": "predict.prediction",
    "Scores": "metrics.evaluation",
    "Search": "decoding.search",
    "Sets": "metrics.comparison",
    "SigmoidHead": "heads.label_scores_torch",
    "SigmoidOptions": "heads.options",
    "Suggestions": "runs.suggestions",
    "Tagger": "runs.tagger",
    "Threshold": "metrics.comparison",
    "bayes_values": "scenes.bayes",
    "best_sum": "scenes.best_sum",
    "bootstrap": "metrics.intervals",
    "build_encoder": "encoders.catalogue",
    "compare": "metrics.comparison",
    "decode": "predict.decoder",
    "evaluate": "library",
    "extract": "features.extract",
    "folds": "data.stratified",
    "inspect_data": "inspect.inspection",
    "is_possible": "scenes.world",
    "load": "library",
    "open_dataset": "library",
    "open_splits": "inspect.inspection",
    "open_store": "tagging.sources",
    "order_labels": "labels.vocabulary",
    "paired_bootstrap": "metrics.intervals",
    "scene_cues": "scenes.files",
    "score": "library",
    "split": "data.stratified",
    "stream_features": "features.extract",
    "train": "library",
    "true_distribution": "scenes.bayes",
}
"""The public names and the modules that have them."""

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'labelbeam' has no attribute {name!r}")
    found: object = getattr(import_module(f"labelbeam.{_WHERE[name]}"), name)
    globals()[name] = found  # the next time it is simply there
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
