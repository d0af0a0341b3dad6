"""The local copy of a model's published weights: already there, or fetched from the Hugging Face hub.

Only safetensors files are fetched. Where there is no network it says so at once (timm's own way retries for
47 s) and how to do without.
"""

import importlib
import urllib.error
import urllib.request
from pathlib import Path

from labelbeam.encoders.timm_encoder import timm_module
from labelbeam.errors import InputError

FILE = "model.safetensors"


def published_file(architecture: str, tag: str, *, timeout: float = 5.0) -> Path:
    """Return the local copy of the published weights of a timm model.

    Args:
        architecture: timm's name.
        tag: which weights of it.
        timeout: seconds without an answer before the network counts as missing.

    Returns:
        A safetensors file in the hub's own cache.

    Raises:
        InputError: no network (or HF_HUB_OFFLINE is set), the hub refuses, or it has no such file; the
            message says how to give --weights.
    """
    name = f"{architecture}.{tag}"
    repository = timm_module().get_pretrained_cfg(name).hf_hub_id
    if not repository:
        raise InputError(
            f"{name} is not on the hub. Get its weights elsewhere and give them with --weights FILE."
        )
    hub = importlib.import_module("huggingface_hub")
    cached = hub.try_to_load_from_cache(repository, FILE)
    if isinstance(cached, str):
        return Path(cached)
    instead = (
        f"On a machine with a network, fetch {FILE} from https://huggingface.co/{repository}, "
        f"then run again with --encoder {name} --weights FILE."
    )
    if hub.constants.HF_HUB_OFFLINE:
        raise InputError(
            f"the weights of {name} are not on this machine and HF_HUB_OFFLINE is set. {instead}"
        )
    if not _answers(hub.constants.ENDPOINT, timeout=timeout):
        raise InputError(
            f"the weights of {name} are not on this machine and the hub does not answer. {instead}"
        )
    try:
        return Path(hub.hf_hub_download(repository, FILE))
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"the weights of {name} could not be fetched ({error}). {instead}") from error


def _answers(address: str, *, timeout: float) -> bool:
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout):
            return True
    except urllib.error.HTTPError:
        return True  # an answer, if not a friendly one
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
