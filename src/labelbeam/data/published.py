"""Data sets that their makers publish: where the files are, how large, which checksums, under which terms.

A table and nothing else; `data.download` fetches from it. Each checksum says where it comes from: none of these
publishers prints one. Where nobody else does either, the sha256 of the first download is recorded beside the data.
"""

from dataclasses import dataclass
from pathlib import Path

from labelbeam.errors import InputError

LABELS, IMAGES, BOTH = "labels", "images", "labels and images"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Attributes:
        url: its official address.
        holds: LABELS, IMAGES or BOTH.
        size: bytes; None: nobody published them.
        sha256: hexadecimal; None: nobody published it.
        md5: hexadecimal; None: nobody published it.
        source: where size and checksums come from; empty: there are none.
        optional: whether the data set is of use without it.

    Raises:
        InputError: a checksum of another length, or one without its source.
    """

    url: str
    holds: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    source: str = ""
    optional: bool = False

    def __post_init__(self) -> None:
        wrong = (self.sha256 and len(self.sha256) != 64) or (self.md5 and len(self.md5) != 32)
        if wrong or bool(self.sha256 or self.md5 or self.size) != bool(self.source):
            raise InputError(f"{self.url}: a checksum has 64 (sha256) or 32 (md5) digits, and a source.")

    @property
    def name(self) -> str:
        """Its name in a folder."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class PublishedDataset:
    """A data set and its files.

    Attributes:
        name: what users call it, and the folder it gets.
        title: one line.
        terms: what its makers allow, and where they say so.
        files: what is fetched.
        specs: data set arguments for it; `{}` stands for its folder.
        notes: what a user should know besides.
    """

    name: str
    title: str
    terms: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    specs: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def size(self, *, labels_only: bool = False) -> int:
        """Return the bytes of its files, as far as they are known."""
        return sum(file.size or 0 for file in self.wanted(labels_only=labels_only))

    def wanted(self, *, labels_only: bool = False) -> tuple[RemoteFile, ...]:
        """Return its files, or those that hold labels."""
        return tuple(file for file in self.files if file.holds != IMAGES or not labels_only)

    def specs_in(self, folder: Path) -> tuple[str, ...]:
        """Return the data set arguments for its files in a folder."""
        return tuple(spec.replace("{}", str(folder)) for spec in self.specs)


# tensorflow/datasets, tensorflow_datasets/url_checksums/voc.txt: sizes and sha256 (of a mirror's copies of the same
# names); pytorch/vision, torchvision/datasets/voc.py: md5 of the official addresses; torchvision's prototype
# datasets state the same sha256 for the official addresses.
_VOC = "sizes and sha256: tensorflow/datasets url_checksums/voc.txt; md5: torchvision datasets/voc.py"

# tensorflow/datasets, tensorflow_datasets/url_checksums/coco.txt, of the official addresses; md5 of 2017's files:
# PaddlePaddle/PaddleDetection, ppdet/utils/download.py.
_COCO = "size and sha256: tensorflow/datasets url_checksums/coco.txt"
_COCO_MD5 = f"{_COCO}; md5: PaddleDetection ppdet/utils/download.py"

_COCO_AT = "http://images.cocodataset.org"
_VOC_AT = "http://host.robots.ox.ac.uk/pascal/VOC"
_NUS_AT = "https://huggingface.co/datasets/Lxyhaha/NUS-WIDE/resolve/main"
_OPEN_AT = "https://storage.googleapis.com/openimages/v7"

_VOC_TERMS = (
    "Annotations: no licence is stated. Images: from Flickr; their use must respect Flickr's terms of use "
    "(https://www.flickr.com/help/terms).",
    'http://host.robots.ox.ac.uk/pascal/VOC/ ("Database Rights" of each year\'s page)',
)
_COCO_TERMS = (
    "Annotations: Creative Commons Attribution 4.0. Images: from Flickr, not owned by the COCO Consortium; their use "
    "must respect Flickr's terms of use.",
    "https://cocodataset.org/#termsofuse",
)
_OPEN_TERMS = (
    "Annotations: Google LLC, Creative Commons Attribution 4.0. Images (not fetched here): listed as Creative Commons "
    "Attribution 2.0, without warranty.",
    "https://storage.googleapis.com/openimages/web/factsfigures_v7.html",
)

PUBLISHED: dict[str, PublishedDataset] = {
    one.name: one
    for one in (
        PublishedDataset(
            "voc2007",
            "PASCAL VOC 2007: 9,963 photographs, 20 labels",
            _VOC_TERMS,
            (
                RemoteFile(
                    f"{_VOC_AT}/voc2007/VOCtrainval_06-Nov-2007.tar",
                    BOTH,
                    size=460_032_000,
                    sha256="7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
                    md5="c52e279531787c972589f7e41ab4ae64",
                    source=_VOC,
                ),
                RemoteFile(
                    f"{_VOC_AT}/voc2007/VOCtest_06-Nov-2007.tar",
                    BOTH,
                    size=451_020_800,
                    sha256="6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
                    md5="b6e924de25625d8de591ea690078ad9f",
                    source=_VOC,
                ),
            ),
            ("voc2007:{}/VOCdevkit#trainval", "voc2007:{}/VOCdevkit#test"),
        ),
        PublishedDataset(
            "voc2012",
            "PASCAL VOC 2012: 11,540 labelled photographs, 20 labels",
            _VOC_TERMS,
            (
                RemoteFile(
                    f"{_VOC_AT}/voc2012/VOCtrainval_11-May-2012.tar",
                    BOTH,
                    size=1_999_639_040,
                    sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
                    md5="6cd6e144f989b92b3379bac3b3de84fd",
                    source=_VOC,
                ),
            ),
            ("voc2012:{}/VOCdevkit#train", "voc2012:{}/VOCdevkit#val"),
            ("The labels of the test images were never published; the challenge's server judges them.",),
        ),
        PublishedDataset(
            "coco2014",
            "MS COCO 2014: 123,287 photographs, 80 labels",
            _COCO_TERMS,
            (
                RemoteFile(
                    f"{_COCO_AT}/annotations/annotations_trainval2014.zip",
                    LABELS,
                    size=252_872_794,
                    sha256="031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
                    source=_COCO,
                ),
                RemoteFile(
                    f"{_COCO_AT}/zips/train2014.zip",
                    IMAGES,
                    size=13_510_573_713,
                    sha256="ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
                    source=_COCO,
                ),
                RemoteFile(
                    f"{_COCO_AT}/zips/val2014.zip",
                    IMAGES,
                    size=6_645_013_297,
                    sha256="fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
                    source=_COCO,
                ),
            ),
            ("coco:{}#train2014", "coco:{}#val2014"),
        ),
        PublishedDataset(
            "coco2017",
            "MS COCO 2017: 123,287 photographs, 80 labels",
            _COCO_TERMS,
            (
                RemoteFile(
                    f"{_COCO_AT}/annotations/annotations_trainval2017.zip",
                    LABELS,
                    size=252_907_541,
                    sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
                    md5="f4bbac642086de4f52a3fdda2de5fa2c",
                    source=_COCO_MD5,
                ),
                RemoteFile(
                    f"{_COCO_AT}/zips/train2017.zip",
                    IMAGES,
                    size=19_336_861_798,
                    sha256="69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
                    md5="cced6f7f71b7629ddf16f17bbcfab6b2",
                    source=_COCO_MD5,
                ),
                RemoteFile(
                    f"{_COCO_AT}/zips/val2017.zip",
                    IMAGES,
                    size=815_585_330,
                    sha256="4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
                    md5="442b8da7639aecaf257c1dceb8ba8c80",
                    source=_COCO_MD5,
                ),
            ),
            ("coco:{}#train2017", "coco:{}#val2017"),
        ),
        PublishedDataset(
            "nuswide",
            "NUS-WIDE: labels of 269,648 photographs, 81 concepts and 1,000 tags; no images",
            (
                "For research; no licence is stated. The photographs belong to those who took them.",
                "https://github.com/NExTplusplus/NUS-WIDE and "
                "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html",
            ),
            (
                RemoteFile(f"{_NUS_AT}/NUS-WIDE.zip", LABELS),
                RemoteFile(f"{_NUS_AT}/NUS_WID_Tags.zip", LABELS),
                # The new home lacks the lists of image names; the old one, where they were, is often down.
                RemoteFile(
                    "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/ImageList.zip",
                    LABELS,
                    optional=True,
                ),
            ),
            ("nuswide81:{}#train", "nuswide81:{}#test", "nuswide1000:{}#train", "nuswide1000:{}#test"),
            (
                "The images cannot be fetched officially: ask their makers for them (the form is on the old page), or "
                "use the list of Flickr addresses there, of which about a fifth is dead.",
                "Without ImageList.zip the files of train and test name no images.",
            ),
        ),
        PublishedDataset(
            "openimages",
            "Open Images V7: verified labels of 41,620 validation and 125,436 test photographs; no images",
            _OPEN_TERMS,
            (
                # These two sha256 are stated alike by two unrelated public repositories that fetched the files.
                RemoteFile(
                    f"{_OPEN_AT}/oidv7-class-descriptions.csv",
                    LABELS,
                    sha256="84a4373a0efb7fd6d93fe19b0e7ceb6c1b855c233d13b9b78a9a33655c9fdce3",
                    source="sha256: recorded alike by two public repositories",
                ),
                RemoteFile(
                    f"{_OPEN_AT}/oidv7-val-annotations-human-imagelabels.csv",
                    LABELS,
                    sha256="92ddbdfceb3626e044df5e89100b24f6c22a79c1888a4bddd00a6f231d86d56a",
                    source="sha256: recorded alike by two public repositories",
                ),
                RemoteFile(f"{_OPEN_AT}/oidv7-test-annotations-human-imagelabels.csv", LABELS),
            ),
            ("openimages:{}#val", "openimages:{}#test"),
            (
                "Read the labels without images by --missing keep; images by id come from "
                "https://open-images-dataset.s3.amazonaws.com/validation/ID.jpg (and test, train).",
            ),
        ),
        PublishedDataset(
            "openimages-train",
            "Open Images V7: verified labels of the training photographs; no images",
            _OPEN_TERMS,
            (
                RemoteFile(
                    f"{_OPEN_AT}/oidv7-class-descriptions.csv",
                    LABELS,
                    sha256="84a4373a0efb7fd6d93fe19b0e7ceb6c1b855c233d13b9b78a9a33655c9fdce3",
                    source="sha256: recorded alike by two public repositories",
                ),
                RemoteFile(f"{_OPEN_AT}/oidv7-train-annotations-human-imagelabels.csv", LABELS),
            ),
            ("openimages:{}#train",),
            (
                "Nine million images with twenty thousand labels are too many for one matrix in memory: cut the file "
                "down to the labels and images that you want first.",
            ),
        ),
    )
}
"""By name."""
