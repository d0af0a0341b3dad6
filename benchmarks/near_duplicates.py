"""How many changed copies of photographs are found, and how many different photographs are called copies.

    python benchmarks/near_duplicates.py VOCdevkit/VOC2007/JPEGImages [--images 300]

One thread, about a minute for 300 images.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from labelbeam.inspect.duplicates import duplicate_groups, fingerprints

CHANGES = {
    "JPEG quality 20": lambda image: (image, 20),
    "half its size": lambda image: (image.resize((image.width // 2, image.height // 2)), 75),
    "30 % brighter": lambda image: (image.point(lambda value: min(255, int(1.3 * value))), 90),
    "grey": lambda image: (image.convert("L"), 90),
    "mirrored": lambda image: (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 75),
    "2 % cropped on each side": lambda image: (cropped(image, 0.02), 90),
    "3 % cropped on each side": lambda image: (cropped(image, 0.03), 90),
}


def cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = int(image.width * share), int(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of .jpg photographs without copies")
    parser.add_argument("--images", type=int, default=300, help="photographs that are changed")
    asked = parser.parse_args()
    paths = sorted(asked.folder.glob("*.jpg"))
    originals = fingerprints(paths)
    groups = duplicate_groups(originals)
    print(f"{len(paths)} photographs: {len(groups)} groups called copies")
    chosen = paths[: asked.images]
    with tempfile.TemporaryDirectory() as folder:
        for name, change in CHANGES.items():
            changed = []
            for path in chosen:
                changed.append(Path(folder) / path.name)
                with Image.open(path) as image:
                    picture, quality = change(image.convert("RGB"))
                picture.save(changed[-1], quality=quality)
            found = duplicate_groups(originals[: len(chosen)] + fingerprints(changed))
            pairs = {(i, len(chosen) + i) for i in range(len(chosen))}
            print(f"{name}: {sum(group.members in pairs for group in found)} of {len(chosen)} found")


if __name__ == "__main__":
    main()
