"""Photographs of a project and the model: adding them, their features, what to label first; the page's pictures.

Features are kept in the project, by encoder: a restart encodes nothing again. Knows no request.
"""

import asyncio
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy, deepcopy
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float16
from PIL import Image

from labelbeam.charts.charts import picture
from labelbeam.data.images import UnreadableImage, read_rgb, read_rgb_bytes
from labelbeam.data.listing import LeftOut, list_images
from labelbeam.errors import InputError, unknown_name
from labelbeam.explain.pictures import overlaid
from labelbeam.explain.search_tree import tree_chart
from labelbeam.formats.folder import is_odd
from labelbeam.formats.keywords import labels_by_people
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.project.project_file import Project
from labelbeam.project.schema import Change, Photograph, Unavailable, label_names
from labelbeam.runs.tagger import Tagger
from labelbeam.service.tagging import TaggingService
from labelbeam.service.uploads import Upload
from labelbeam.suggest import label_entropies, spread_order

ENCODED_TOGETHER = 16
"""Files in memory at once when many have no features yet."""


class ProjectPhotographs:
    """The photographs of a project as a run sees them."""

    def __init__(self, project: Project, service: TaggingService) -> None:
        self.project, self._service = project, service
        self._encoder = service.tagger.run.encoder.identity
        project.add_labels(service.tagger.labels)

    async def add(self, uploads: Sequence[Upload]) -> list[Photograph | UnreadableImage]:
        """Add uploaded photographs; they are on the disk when this returns.

        Returns:
            Each as it is in the project; or why it is not: no image, damaged, too large.

        Raises:
            Full: too many images wait already.
        """
        encoded = await self._service.encode(uploads)
        return await asyncio.to_thread(self._keep, uploads, encoded)

    def _keep(
        self, uploads: Sequence[Upload], encoded: Sequence[np.ndarray | UnreadableImage]
    ) -> list[Photograph | UnreadableImage]:
        kept: list[Photograph | UnreadableImage] = []
        for upload, features in zip(uploads, encoded, strict=True):
            if isinstance(features, UnreadableImage):
                kept.append(features)
                continue
            before = self.project.newest()
            photograph = self.project.add_photograph(upload.content, name=upload.name)
            if photograph.id > before:
                take_over(self.project, {photograph.id: next(labels_by_people([photograph.path]))})
            self.project.keep_features(photograph.id, self._encoder, features)
            kept.append(photograph)
        return kept

    async def features(
        self, photographs: Sequence[Photograph]
    ) -> list[Float16[np.ndarray, " features"] | None]:
        """Return the features of photographs; None where the file is gone or cannot be read.

        Raises:
            Full: too many images wait already.
        """
        found = await asyncio.to_thread(
            lambda: [self.project.features(one.id, self._encoder) for one in photographs]
        )
        missing = [i for i, one in enumerate(found) if one is None]
        for first in range(0, len(missing), ENCODED_TOGETHER):
            rows = missing[first : first + ENCODED_TOGETHER]
            uploads = await asyncio.to_thread(self._read, [photographs[i] for i in rows])
            there = [i for i, upload in zip(rows, uploads, strict=True) if upload is not None]
            encoded = await self._service.encode([upload for upload in uploads if upload is not None])
            for i, one in zip(there, encoded, strict=True):
                if isinstance(one, np.ndarray):
                    found[i] = one
            await asyncio.to_thread(self._keep_features, [(photographs[i].id, found[i]) for i in there])
        return found

    def _keep_features(self, rows: Sequence[tuple[int, np.ndarray | None]]) -> None:
        with suppress(Unavailable):  # they are made anew next time
            for image, features in rows:
                if features is not None:
                    self.project.keep_features(image, self._encoder, features)

    def _read(self, photographs: Sequence[Photograph]) -> list[Upload | None]:
        read: list[Upload | None] = []
        for one in photographs:
            try:
                read.append(Upload(one.name, self.project.content(one)))
            except UnreadableImage:
                read.append(None)
        return read

    async def least_certain_first(self) -> list[int]:
        """Return the numbers of all photographs, those first of which the model knows least; unlike ones spread.

        Worth is the sum of the entropies of the labels that nobody decided yet, and nothing where a photograph is
        complete; `spread_order` spreads near duplicates apart. What cannot be read comes last.
        """
        photographs = await asyncio.to_thread(self.project.photographs)
        found = await self.features(photographs)
        decisions = await asyncio.to_thread(self.project.decisions)
        column = {name: j for j, name in enumerate(self._service.tagger.labels)}
        rows = [i for i, one in enumerate(found) if one is not None]
        unreadable = [one.id for i, one in enumerate(photographs) if found[i] is None]
        if not rows:
            return unreadable
        features = np.stack([np.asarray(found[i]) for i in rows])
        worth = np.empty(len(rows))
        for first in range(0, len(rows), ENCODED_TOGETHER):
            block = slice(first, first + ENCODED_TOGETHER)
            answers = await self._service.ask(
                lambda block=block: self._service.tagger.answer(features[block])  # type: ignore[misc]
            )
            entropies = label_entropies(answers.scores)
            for i, entropy in zip(rows[block], entropies, strict=True):
                decided = decisions.get(photographs[i].id, {})
                entropy[[column[name] for name in decided if name in column]] = 0.0
                entropy[:] *= not photographs[i].complete
            worth[block] = entropies.sum(axis=1)
        labelled = [
            place for place, i in enumerate(rows) if photographs[i].complete or photographs[i].id in decisions
        ]
        order = await asyncio.to_thread(spread_order, worth, features, labelled=labelled)
        return [photographs[rows[place]].id for place in order.tolist()] + unreadable

    def at_random(self) -> list[int]:
        """Return the numbers of all photographs in an order of chance that stays the same."""
        return [one.id for one in sorted(self.project.photographs(), key=lambda one: one.hash)]


TAKEN = ("keywords", "folders", "both", "nothing")
"""What of a folder of photographs comes in as decided."""


def add_folder(project: Project, folder: Path, *, take: str = "keywords") -> tuple[int, int, list[str]]:
    """Add the photographs of a folder by reference, subfolders included; they stay where they are.

    What people decided of photographs that are new to the project comes in as decided, as one step. Of those that were
    there before, what was decided on the page counts.

    Args:
        folder: from the command line, never from a request.
        take: of `TAKEN`: keywords in the photographs and their sidecars; names of the folders directly below `folder`,
            but for those that are no labels, such as `Unsorted` or `2023-08`.

    Returns:
        How many photographs the folder has, on how many something came in, and what could not be read.

    Raises:
        InputError: there is no such folder, or it has no photograph; another `take`.
    """
    if take not in TAKEN:
        raise unknown_name("--take", take, TAKEN)
    left_out = LeftOut(twins=False)
    found = list(list_images([folder], left_out=left_out))
    project.named.append(folder)
    problems = left_out.sentences()
    count, before, new = 0, project.newest(), {}
    for path in found:
        try:
            one = project.add_reference(path, name=path.relative_to(folder).as_posix())
        except UnreadableImage as error:
            problems.append(str(error))
        else:
            count += 1
            if one.id > before:
                new[one.id] = path
    given: dict[int, dict[str, int]] = {image: {} for image in new}
    if take in ("keywords", "both"):
        given = dict(zip(new, labels_by_people(new.values()), strict=True))
    if take in ("folders", "both"):
        for image, path in new.items():
            *above, _ = path.relative_to(folder).parts
            if above and not is_odd(above[0]):
                given[image].setdefault(above[0], PRESENT)
    return count, take_over(project, given), problems


def take_over(project: Project, given: Mapping[int, Mapping[str, int]]) -> int:
    """Enter what people decided of photographs before they came here, as one step.

    A name that differs from one label of the project in case alone is that label; a name that no label can have is
    left out.

    Args:
        given: by photograph, names with PRESENT or ABSENT.

    Returns:
        On how many photographs something was decided.
    """
    names: dict[str, str] = {}
    folded: dict[str, list[str]] = {}
    for label in project.labels():
        folded.setdefault(label.casefold(), []).append(label)
    for name in sorted({name for row in given.values() for name in row}):
        same = folded.get(name.casefold(), [])
        with suppress(InputError):
            names[name] = same[0] if len(same) == 1 and name not in same else label_names([name])[0]
    project.add_labels(dict.fromkeys(names.values()))
    # Accepted comes last, and the later of two changes counts: "Dog" accepted outweighs "dog" rejected.
    changes = [
        Change(image, names[name], value)
        for wanted in (ABSENT, PRESENT)
        for image, row in given.items()
        for name, value in row.items()
        if value == wanted and name in names
    ]
    project.decide(changes)
    return len({change.image for change in changes})


# Pictures that the page shows: small copies of photographs, what speaks for a label, the tree of a search.

# Most maps are made by watching the encoder at work; the encoder that serves everybody must not be watched. The copy is
# made when the first map is asked for; a model's own map (local evidence) needs none.


class Explainer:
    """Makes pictures of attention for a run.

    Attributes:
        available: whether this run has them.
        own_map: whether they are what the model itself added up (`--local`), not an account of it afterwards.
    """

    def __init__(self, tagger: Tagger) -> None:
        self.own_map = getattr(tagger.run.head, "local", None) is not None
        self.available = has_attention(tagger)
        self._tagger = tagger
        self._own: Tagger | None = None
        self._lock = threading.Lock()

    def picture(self, path: Path, label: str) -> bytes:
        """Return the picture, as `attention_picture`; takes as long as some passes of the encoder.

        Raises:
            InputError: an unknown label, or a photograph that cannot be read.
        """
        with self._lock:
            if self.own_map:
                return attention_picture(self._tagger, path, label)
            if self._own is None:
                self._own = copy(self._tagger)
                self._own.run = deepcopy(self._tagger.run)
            return attention_picture(self._own, path, label)


# Always drawn anew here: a file that somebody uploaded is never handed out as it is.

SIDE = 720
"""Longest side of the picture that shows what speaks for a label, pixels."""


class SmallCopies:
    """Makes small copies of photographs, a few at a time: a decoded photograph may take hundreds of megabytes."""

    def __init__(self) -> None:
        self._turns = threading.Semaphore(2)

    def picture(self, content: bytes, name: str, *, side: int) -> bytes:
        """Return a JPEG of a photograph, the right way up.

        Args:
            side: longest side, pixels; a smaller photograph keeps its size.

        Raises:
            UnreadableImage: it is no image.
        """
        with self._turns:
            copy = Image.fromarray(read_rgb_bytes(content, name, at_least=(side, side)))
        copy.thumbnail((side, side), Image.Resampling.LANCZOS)
        return _encoded(copy, "JPEG")


def has_attention(tagger: Tagger) -> bool:
    """Return whether maps can be made: by PyTorch, of a head that is explained, with the encoder itself or a map."""
    if find_spec("torch") is None or not HEADS[tagger.run.config.head].explains:
        return False
    from labelbeam.encoders.image_encoder import ImageEncoder

    return isinstance(tagger.run.encoder, ImageEncoder) or getattr(tagger.run.head, "local", None) is not None


def has_tree(tagger: Tagger) -> bool:
    """Return whether the head is one that searches."""
    return label_model_answerer(tagger.answerer) is not None


def attention_picture(tagger: Tagger, path: Path, label: str) -> bytes:
    """Return a photograph, dimmed, with what speaks for a label in orange and against it in blue; JPEG.

    Raises:
        InputError: an unknown label, or a photograph that cannot be read.
    """
    from labelbeam.explain.explained_run import explain

    found = explain(tagger.run, path, labels=[label])
    whole = Image.fromarray(read_rgb(path))
    scale = min(1.0, SIDE / max(whole.size))
    size = (max(1, round(whole.width * scale)), max(1, round(whole.height * scale)))
    whole = whole.resize(size, Image.Resampling.LANCZOS)
    region = found.region
    box = [round(edge * scale) for edge in (region.left, region.top)]
    box += [round((region.left + region.width) * scale), round((region.top + region.height) * scale)]
    left, top, right, bottom = box
    side = max(right - left, bottom - top, 1)
    square = whole.crop((left, top, right, bottom)).resize((side, side), Image.Resampling.LANCZOS)
    signed = found.steps[0].signed.astype(np.float32)
    smooth = np.asarray(Image.fromarray(signed).resize((side, side), Image.Resampling.BICUBIC))
    laid = Image.fromarray(overlaid(np.asarray(square), smooth.astype(np.float64)))
    dimmed = (
        Image.fromarray(np.asarray(whole.convert("L"))).point(lambda light: 0.62 * light + 4).convert("RGB")
    )
    dimmed.paste(laid.resize((max(1, right - left), max(1, bottom - top))), (left, top))
    return _encoded(dimmed, "JPEG")


def tree_picture(tagger: Tagger, features: Float[np.ndarray, " features"]) -> bytes:
    """Return the tree of a photograph's search as SVG.

    Raises:
        InputError: the head does not search.
    """
    from labelbeam.explain.search_tree import visible_search

    search = visible_search(tagger, features, clicks=0).to_json()
    chart = tree_chart(
        search["tree"],
        exact=search["exact"]["labels"],
        beam=search["beam"]["labels"],
        title="The tree of the search",
    )
    size = re.search(r'width="(\d+)" height="(\d+)"', chart)
    width, height = (int(size[1]), int(size[2])) if size else (800, 600)
    return picture(chart, width=width + 32, height=height + 32).encode()


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = BytesIO()
    image.save(file, kind, quality=84)
    return file.getvalue()
