"""What a call of `labelbeam tag` asks for, refused before any work where it cannot be done.

Knows no model and reads no image; `tagging.job` carries it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labelbeam.errors import InputError, unknown_name
from labelbeam.metrics.score_table import refuse_one_file_for_two, require_folder
from labelbeam.tagging.outputs import Destination, destination
from labelbeam.tagging.sidecars import KINDS, KeywordChoices


@dataclass(frozen=True, kw_only=True)
class TagRequest:
    """Images, what answers for them, and where the answers go.

    Attributes:
        run: folder of the trained run.
        images: images, folders, `@list.txt` or `-`, as named; or one `vectors:FILE`; none: all that `store` holds.
        out: file or folder of the result; None: it is printed.
        format: as `tagging.outputs` knows them; None: as the suffix of `out` says.
        page: an HTML page to be written too.
        page_pictures: on it, at most.
        json: whether lines of JSON are printed rather than text.
        all_scores: whether predictions hold the score of every label.
        implications: file of what decided labels imply.
        overwrite: whether a result that is there is replaced.
        update: whether only what is new is tagged, and added to a result that is there; sidecars do so anyway.
        keyword_lists: which lists of keywords are written, with commas between them; None: all that a file can hold.
        tag_root: above every label in hierarchies; empty: none.
        sidecar_names: how sidecars that are new are called, one of `photographs.NAMINGS`.
        exclude: patterns of names in folders that are passed over.
        project: a project file; what a person rejected there is not written.
        store: folder of image vectors.
        engine: what runs the encoder; None: not asked for.
        precision: of the encoder; None: not asked for.
        cluster: "ray", or None: this machine.
        where: what `out` and `format` mean.

    Raises:
        InputError: arguments in the wrong order, missing ones, two ways to the vectors at once, or a place where
            nothing can be written or something would be lost.
    """

    run: Path
    images: Sequence[str]
    out: Path | None = None
    format: str | None = None
    page: Path | None = None
    page_pictures: int = 500
    json: bool = False
    all_scores: bool = False
    implications: Path | None = None
    overwrite: bool = False
    update: bool = False
    keyword_lists: str | None = None
    tag_root: str = ""
    sidecar_names: str = "auto"
    project: Path | None = None
    exclude: Sequence[str] = ()
    store: Path | None = None
    engine: str | None = None
    precision: str | None = None
    cluster: str | None = None
    where: Destination | None = field(init=False)

    def __post_init__(self) -> None:
        self._refuse_misplaced()
        self._refuse_two_ways()
        object.__setattr__(self, "where", destination(self.out, self.format, update=self.update))
        self._refuse_pictures_of_vectors()
        KeywordChoices(self.keyword_lists, self.tag_root, self.sidecar_names)
        self._refuse_keyword_options()
        if self.all_scores and self.where is None and not self.prints_json:
            raise InputError("--all-scores is for JSON Lines. Add --json, or --out FILE.")
        require_folder("--page", self.page)
        if self.where is not None:
            self.where.check(overwrite=self.overwrite)
            refuse_one_file_for_two({"--out": self.where.file, "--page": self.page})

    @property
    def vectors(self) -> str | None:
        """The file of vectors that is asked for in place of images."""
        return next((name for name in self.images if name.startswith("vectors:")), None)

    @property
    def prints_json(self) -> bool:
        """Whether what is printed is JSON."""
        return self.json or self.format is not None

    @property
    def names_an_engine(self) -> bool:
        """Whether the engine or precision of the encoder was named."""
        return self.engine is not None or self.precision is not None

    def _refuse_keyword_options(self) -> None:
        given = {
            "--keyword-lists": self.keyword_lists is not None,
            "--tag-root": bool(self.tag_root),
            "--sidecar-names": self.sidecar_names != "auto",
            "--project": self.project is not None,
        }
        named = [name for name, there in given.items() if there]
        if named and (self.where is None or self.where.format not in KINDS):
            raise InputError(
                f"{', '.join(named)}: for --format {', '.join(KINDS)}. Add one, with --out FOLDER."
            )
        if self.project is not None and not self.project.is_file():
            raise InputError(
                f"--project {self.project} does not exist. Give the file that serve --project wrote."
            )

    def _refuse_misplaced(self) -> None:
        swapped = next((name for name in self.images if (Path(name) / "labels.json").is_file()), None)
        if swapped and not (self.run / "labels.json").is_file():
            raise InputError(f"the run comes first: labelbeam tag {swapped} {self.run}.")
        if not self.images and self.store is None:
            raise InputError(
                "no image is named. Give images, folders or @list.txt; or --store FOLDER of an earlier call."
            )

    def _refuse_pictures_of_vectors(self) -> None:
        if self.vectors is None:
            return
        if len(self.images) > 1:
            raise InputError(f"{self.vectors} is answered by itself. Name one file of vectors and no images.")
        asked = {
            "--page": self.page is not None,
            "--store": self.store is not None,
            "--engine": self.engine is not None,
            "--precision": self.precision is not None,
            "--cluster": self.cluster is not None,
            f"--format {self.format}": self.where is not None and self.where.format in KINDS,
        }
        if wrong := [option for option, given in asked.items() if given]:
            raise InputError(f"{wrong[0]} needs pictures; {self.vectors} holds vectors. Leave it out.")

    def _refuse_two_ways(self) -> None:
        if self.cluster is None:
            return
        if self.cluster != "ray":
            raise unknown_name("cluster", self.cluster, ["ray"])
        if self.names_an_engine:
            raise InputError(
                "--engine and --precision are for this machine; workers of --cluster use the run as it is."
            )
        if self.store is not None:
            raise InputError(
                "--store keeps vectors on this machine, --cluster makes them on others. Leave one out."
            )
