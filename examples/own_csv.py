"""From a CSV of tagged pictures to tags for new ones, without the command line.

    python examples/own_csv.py [FOLDER]

Draws its own pictures (balls, boxes, day and night) into FOLDER/photos and their tags into FOLDER/tags.csv,
trains the small encoder `tiny` and a CNN-RNN on them end to end, and tags pictures that were not in the CSV.
With photographs, name a pretrained encoder instead: encoder="dinov2", without finetune.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 48  # pixels


def draw_picture(rng: np.random.Generator) -> tuple[Image.Image, list[str]]:
    """Return a picture and its tags."""
    night = bool(rng.random() < 0.5)
    picture = Image.new("RGB", (SIDE, SIDE), "navy" if night else "lightskyblue")
    pen, tags = ImageDraw.Draw(picture), ["night" if night else "day"]
    for tag, shape, colour in (("ball", pen.ellipse, "tomato"), ("box", pen.rectangle, "gold")):
        if rng.random() < 0.5:
            x, y = rng.integers(2, SIDE - 22, size=2).tolist()
            shape((x, y, x + 20, y + 20), fill=colour)
            tags.append(tag)
    # A little noise, as in photographs: without it pictures that show nothing would be copies of each other.
    noise = rng.integers(-8, 9, size=(SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)), tags


def draw_pictures(folder: Path, count: int, *, seed: int = 0) -> None:
    """Draw `count` pictures into folder/photos and write folder/tags.csv; every fourth is for testing."""
    rng = np.random.default_rng(seed)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    with (folder / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "tags", "split"))
        for number in range(count):
            picture, tags = draw_picture(rng)
            name = f"photos/{number:03}.png"
            picture.save(folder / name)
            rows.writerow((name, ";".join(tags), "train" if number % 4 else "test"))


def main(folder: Path) -> None:
    """Draw, train, tag."""
    import labelbeam as lb

    draw_pictures(folder, 200)
    run = lb.train(
        lb.open_dataset(f"csv:{folder / 'tags.csv'}#train"),
        encoder=lb.EncoderConfig("tiny", size=SIDE),
        finetune=True,
        settings={
            "scaling": "none",  # features of a network that changes have no fixed mean
            "recipe.epochs": 12,
            "recipe.batch_size": 16,
            "recipe.encoder_rate": 1.0,
        },
        report=print,
    )
    print(f"subset accuracy on held-out pictures: {run.metrics['subset_accuracy']:.2f}")
    run.save(folder / "run", overwrite=True)

    rng, new, true_tags = np.random.default_rng(1), [], {}
    for number in range(4):
        picture, tags = draw_picture(rng)
        new.append(folder / f"new{number}.png")
        picture.save(new[-1])
        true_tags[str(new[-1])] = tags
    for prediction in lb.load(folder / "run").tag(new):
        said = ", ".join(f"{one.label} {one.score:.2f}" for one in prediction.labels)
        print(f"{Path(prediction.image).name}: {said}   (true: {', '.join(true_tags[prediction.image])})")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("own_csv"))
