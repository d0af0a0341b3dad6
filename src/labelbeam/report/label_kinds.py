"""What kind of thing a label names: an object, a scene, or an activity.

A small table for the names of VOC, COCO and NUS-WIDE; other names have no kind, and nothing is guessed. The split
of NUS-WIDE's 81 concepts is this project's own reading of their names.
"""

OBJECTS = (
    # VOC
    *(
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "diningtable",
        "dog",
    ),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    # COCO
    *(
        "motorcycle",
        "airplane",
        "truck",
        "traffic light",
        "fire hydrant",
        "stop sign",
        "parking meter",
        "bench",
    ),
    *(
        "elephant",
        "bear",
        "zebra",
        "giraffe",
        "backpack",
        "umbrella",
        "handbag",
        "tie",
        "suitcase",
        "frisbee",
    ),
    *(
        "skis",
        "snowboard",
        "sports ball",
        "kite",
        "baseball bat",
        "baseball glove",
        "skateboard",
        "surfboard",
    ),
    *("tennis racket", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich"),
    *("orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "couch", "potted plant", "bed"),
    *(
        "dining table",
        "toilet",
        "tv",
        "laptop",
        "mouse",
        "remote",
        "keyboard",
        "cell phone",
        "microwave",
        "oven",
    ),
    *("toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier"),
    "toothbrush",
    # NUS-WIDE
    *(
        "elk",
        "toy",
        "computer",
        "sign",
        "flowers",
        "plants",
        "window",
        "food",
        "tattoo",
        "birds",
        "fox",
        "flags",
    ),
    *(
        "animal",
        "map",
        "vehicle",
        "leaf",
        "coral",
        "plane",
        "horses",
        "tree",
        "police",
        "rocks",
        "whales",
        "fish",
    ),
    *("tiger", "statue", "cars", "boats", "swimmers"),
)
SCENES = (
    *(
        "tower",
        "nighttime",
        "road",
        "clouds",
        "cityscape",
        "airport",
        "mountain",
        "harbor",
        "sky",
        "railroad",
    ),
    *("house", "water", "bridge", "lake", "grass", "glacier", "frost", "beach", "sun", "street", "waterfall"),
    *(
        "sunset",
        "moon",
        "town",
        "buildings",
        "sand",
        "castle",
        "ocean",
        "rainbow",
        "reflection",
        "valley",
        "temple",
    ),
    *("garden", "snow"),
)
ACTIVITIES = (
    *(
        "wedding",
        "running",
        "sports",
        "military",
        "dancing",
        "protest",
        "fire",
        "soccer",
        "surf",
        "earthquake",
    ),
)

KINDS = {
    **dict.fromkeys(OBJECTS, "object"),
    **dict.fromkeys(SCENES, "scene"),
    **dict.fromkeys(ACTIVITIES, "activity"),
}
"""Label name -> `object`, `scene` (places, weather, light) or `activity` (events too)."""


def kind_of(name: str) -> str | None:
    """Return the kind of a label by its name; None where the table does not have it.

    Example:
        >>> kind_of("Traffic_Light"), kind_of("sunset"), kind_of("birthday")
        ('object', 'scene', None)
    """
    return KINDS.get(name.casefold().replace("_", " "))
