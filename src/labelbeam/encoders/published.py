"""Published weights of encoders: already here, from the Hugging Face hub, or fetched once and checked."""

import hashlib
import importlib
import urllib.error
import urllib.request
from pathlib import Path

from labelbeam.data.fetching import NotFetchedError, Patience, fetch
from labelbeam.encoders.timm_encoder import timm_module
from labelbeam.errors import InputError

# Fetches a published weights file once: resumed where it was interrupted, checked, never half there.
#
# Knows nothing of what is in the file. The caller passes the digits of its sha256 that the publisher states.


def download(url: str, folder: Path, *, sha256_prefix: str, timeout: float = 15.0) -> Path:
    """Return the local copy of a published file, fetched if it is not there yet.

    Args:
        url: where it is.
        folder: where it goes; made if missing. What was fetched before an interruption is kept in
            `NAME.part` and continued.
        sha256_prefix: hexadecimal digits its sha256 must begin with.
        timeout: seconds without an answer before the network counts as missing.

    Returns:
        `folder`/NAME, whose content has been checked.

    Raises:
        InputError: no network, a refusing server, other content than published, or a folder that cannot
            be written.
    """
    name = url.rsplit("/", 1)[-1]
    whole, part = folder / name, folder / f"{name}.part"
    if whole.is_file():
        return whole
    instead = f"Fetch {url} by other means and give it with --weights FILE."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(url, part, checked=True, patience=Patience(timeout=timeout))
    except NotFetchedError as error:
        raise InputError(f"{error}{'' if str(error).endswith('.') else '.'} {instead}") from error
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}). Set LABELBEAM_CACHE to a folder with "
            f"space. {instead}"
        ) from error
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256_prefix):
        part.unlink()
        raise InputError(
            f"{url} gave other content than published: its sha256 begins with {found[:8]}, not "
            f"{sha256_prefix}. Try again. {instead}"
        )
    part.replace(whole)
    return whole


# The local copy of a model's published weights: already there, or fetched from the Hugging Face hub.
#
# Only safetensors files are fetched. Where there is no network it says so at once (timm's own way retries for
# 47 s) and how to do without.

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
