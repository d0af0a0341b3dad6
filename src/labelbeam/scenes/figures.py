"""Figures of the scenes: people, animals, vehicles and things, painted on a canvas.

Each is small but unlike everything else, in saturated colours that the light tints only in part, so that a
small network reads it almost without error. Knows nothing of labels, odds or where figures stand.
"""

from labelbeam.scenes.canvas import Canvas, Colour, Point

LIT = 0.45
"""Share of the light's tint on figures: they stand out even at night."""


def paint_person(canvas: Canvas, x: float, foot: float, *, height: float) -> None:
    """Paint a standing person, feet at (x, foot); size as a share of the picture."""
    h = height * canvas.between(0.92, 1.08)
    skin = canvas.lit(canvas.pick([(244, 206, 176), (214, 160, 118), (128, 84, 58)]), strength=LIT)
    shirt = canvas.lit(
        canvas.pick([(226, 40, 60), (255, 205, 30), (235, 90, 200), (250, 120, 20)]), strength=LIT
    )
    trousers = canvas.lit(canvas.pick([(34, 44, 92), (60, 50, 60)]), strength=LIT)
    hair = canvas.lit(canvas.pick([(50, 32, 24), (110, 66, 30), (24, 22, 26)]), strength=LIT)
    for side in (-1, 1):
        canvas.line(
            [(x + side * h * 0.05, foot - h * 0.45), (x + side * h * 0.08, foot)], trousers, width=h * 0.10
        )
        lift = canvas.between(-0.10, 0.22)
        canvas.line(
            [(x + side * h * 0.12, foot - h * 0.76), (x + side * h * 0.24, foot - h * (0.52 + lift))],
            skin,
            width=h * 0.075,
        )
    canvas.box(x - h * 0.14, foot - h * 0.80, x + h * 0.14, foot - h * 0.42, colour=shirt)
    canvas.ellipse(x, foot - h * 0.92, h * 0.24, h * 0.25, colour=hair)
    canvas.ellipse(x, foot - h * 0.885, h * 0.20, h * 0.20, colour=skin)


def paint_bird(canvas: Canvas, x: float, y: float, *, size: float) -> None:
    """Paint a gull in flight around (x, y): white wings with black tips, an orange beak."""
    white, black = (252, 252, 252), (22, 22, 30)
    lift = canvas.between(0.25, 0.45)
    for side in (-1, 1):
        tip: Point = (x + side * size * 0.55, y - size * lift * 0.55)
        elbow: Point = (x + side * size * 0.26, y - size * lift)
        canvas.polygon(
            [
                (x, y - size * 0.10),
                elbow,
                tip,
                (x + side * size * 0.20, y - size * 0.02),
                (x, y + size * 0.12),
            ],
            black,
        )
        inner: Point = (x + side * size * 0.36, y - size * lift * 0.72)
        canvas.polygon(
            [
                (x, y - size * 0.06),
                (x + side * size * 0.25, y - size * lift * 0.9),
                inner,
                (x, y + size * 0.10),
            ],
            white,
        )
    canvas.ellipse(x, y + size * 0.03, size * 0.20, size * 0.32, colour=black)
    canvas.ellipse(x, y + size * 0.03, size * 0.15, size * 0.26, colour=white)
    canvas.ellipse(x, y + size * 0.19, size * 0.10, size * 0.12, colour=(255, 130, 0))


def paint_boat(canvas: Canvas, x: float, y: float, *, size: float, sailing: bool) -> None:
    """Paint a boat on the waterline (x, y): under sail, or a motor boat with a cabin."""
    hull = canvas.lit(canvas.pick([(200, 36, 40), (150, 70, 30), (226, 90, 20)]), strength=LIT)
    if sailing:
        sail = canvas.lit(
            canvas.pick([(255, 255, 250), (255, 232, 120), (255, 170, 170)]), strength=LIT * 0.6
        )
        lean = canvas.between(-0.04, 0.04)
        mast: Point = (x + lean * size, y - size * 1.05)
        canvas.polygon([mast, (x + size * 0.46, y - size * 0.20), (x + size * 0.03, y - size * 0.20)], sail)
        canvas.polygon(
            [mast, (x - size * 0.36, y - size * 0.20), (x - size * 0.03, y - size * 0.20)],
            canvas.lit((236, 236, 226), strength=LIT * 0.6),
        )
        canvas.line([(x, y - size * 0.1), mast], canvas.lit((90, 60, 40)), width=0.012)
    else:
        canvas.box(
            x - size * 0.20,
            y - size * 0.44,
            x + size * 0.22,
            y - size * 0.16,
            colour=canvas.lit((250, 250, 250), strength=LIT),
        )
        for step in range(3):
            left = x + size * (-0.15 + 0.12 * step)
            canvas.box(
                left, y - size * 0.37, left + size * 0.08, y - size * 0.27, colour=canvas.lit((40, 70, 110))
            )
        canvas.box(
            x - size * 0.02,
            y - size * 0.60,
            x + size * 0.10,
            y - size * 0.44,
            colour=canvas.lit((220, 60, 40), strength=LIT),
        )
    half = size * 0.52
    canvas.polygon(
        [
            (x - half, y - size * 0.18),
            (x + half, y - size * 0.18),
            (x + half * 0.7, y + size * 0.06),
            (x - half * 0.75, y + size * 0.06),
        ],
        hull,
    )
    canvas.polygon(
        [
            (x - half, y - size * 0.18),
            (x + half, y - size * 0.18),
            (x + half * 0.94, y - size * 0.13),
            (x - half * 0.95, y - size * 0.13),
        ],
        canvas.lit((250, 246, 236), strength=LIT),
    )


def paint_car(canvas: Canvas, x: float, foot: float, *, size: float) -> None:
    """Paint a car from the side, wheels on (x, foot)."""
    body = canvas.lit(
        canvas.pick([(20, 150, 70), (20, 110, 220), (40, 190, 200), (245, 245, 245)]), strength=LIT
    )
    facing = 1 if canvas.random.random() < 0.5 else -1
    top, mid, low = foot - size * 0.40, foot - size * 0.25, foot - size * 0.06
    roof = [(-0.30, mid), (-0.18, top), (0.14, top), (0.28, mid)]
    canvas.polygon([(x + facing * dx * size, y) for dx, y in roof], body)
    glass = [(-0.24, mid), (-0.15, top + size * 0.035), (0.12, top + size * 0.035), (0.22, mid)]
    canvas.polygon(
        [(x + facing * dx * size, y) for dx, y in glass], canvas.lit((190, 226, 244), strength=LIT)
    )
    canvas.box(x - size * 0.015, top, x + size * 0.015, mid, colour=body)
    hood = [
        (-0.50, mid + size * 0.01),
        (0.34, mid - size * 0.01),
        (0.50, mid + size * 0.06),
        (0.51, low),
        (-0.50, low),
    ]
    canvas.polygon([(x + facing * dx * size, y) for dx, y in hood], body)
    lamp: Colour = (255, 240, 150)
    canvas.ellipse(x + facing * size * 0.48, mid + size * 0.08, size * 0.07, size * 0.07, colour=lamp)
    for side in (-1, 1):
        canvas.ellipse(x + side * size * 0.28, low, size * 0.21, size * 0.21, colour=(20, 20, 24))
        canvas.ellipse(x + side * size * 0.28, low, size * 0.10, size * 0.10, colour=(190, 190, 196))


def paint_traffic_light(canvas: Canvas, x: float, foot: float, *, height: float) -> None:
    """Paint a traffic light on its pole, its foot at (x, foot); one of its three lamps is lit."""
    canvas.box(x - 0.012, foot - height * 0.6, x + 0.012, foot, colour=(44, 46, 52))
    top, half = foot - height, 0.062
    canvas.box(
        x - half - 0.012, top - 0.012, x + half + 0.012, top + height * 0.55 + 0.012, colour=(250, 210, 40)
    )
    canvas.box(x - half, top, x + half, top + height * 0.55, colour=(16, 18, 20))
    lit = int(canvas.random.integers(3))
    lamps: list[tuple[Colour, Colour]] = [
        ((255, 40, 30), (110, 22, 20)),
        ((255, 190, 20), (110, 80, 16)),
        ((40, 250, 110), (16, 96, 44)),
    ]
    for i, (on, off) in enumerate(lamps):
        canvas.ellipse(x, top + height * (0.10 + 0.175 * i), 0.088, 0.088, colour=on if i == lit else off)


def paint_cow(canvas: Canvas, x: float, foot: float, *, size: float) -> None:
    """Paint a black and white cow from the side, hooves on (x, foot)."""
    white, black = canvas.lit((252, 250, 246), strength=LIT), canvas.lit((24, 22, 24), strength=LIT)
    facing = 1 if canvas.random.random() < 0.5 else -1
    for dx in (-0.34, -0.22, 0.18, 0.30):
        canvas.box(
            x + dx * size - size * 0.035, foot - size * 0.28, x + dx * size + size * 0.035, foot, colour=white
        )
    canvas.ellipse(x, foot - size * 0.38, size * 0.86, size * 0.40, colour=white)
    for dx, dy, scale in ((-0.24, -0.44, 0.22), (0.04, -0.34, 0.24), (0.24, -0.46, 0.16)):
        wobble = canvas.between(-0.04, 0.04)
        canvas.ellipse(
            x + (dx + wobble) * size, foot + dy * size, size * scale, size * scale * 0.85, colour=black
        )
    head = x + facing * size * 0.46
    canvas.ellipse(head, foot - size * 0.56, size * 0.24, size * 0.26, colour=black)
    canvas.ellipse(
        head + facing * size * 0.06,
        foot - size * 0.49,
        size * 0.17,
        size * 0.13,
        colour=canvas.lit((248, 168, 176), strength=LIT),
    )
    canvas.ellipse(
        x - facing * size * 0.02,
        foot - size * 0.20,
        size * 0.14,
        size * 0.10,
        colour=canvas.lit((248, 168, 176), strength=LIT),
    )
    for side in (-1, 1):
        canvas.polygon(
            [
                (head + side * size * 0.08, foot - size * 0.66),
                (head + side * size * 0.16, foot - size * 0.78),
                (head + side * size * 0.03, foot - size * 0.70),
            ],
            canvas.lit((230, 210, 170)),
        )


def paint_cup(canvas: Canvas, x: float, foot: float, *, size: float) -> None:
    """Paint a mug with a handle, standing on (x, foot)."""
    glaze = canvas.lit(canvas.pick([(230, 40, 50), (30, 90, 220), (20, 160, 90)]), strength=LIT)
    canvas.ellipse(x + size * 0.42, foot - size * 0.48, size * 0.56, size * 0.60, colour=glaze)
    canvas.ellipse(
        x + size * 0.42,
        foot - size * 0.48,
        size * 0.30,
        size * 0.34,
        colour=canvas.lit((252, 252, 250), strength=LIT),
    )
    canvas.box(x - size * 0.40, foot - size, x + size * 0.40, foot, colour=glaze)
    canvas.box(
        x - size * 0.40,
        foot - size * 0.62,
        x + size * 0.40,
        foot - size * 0.40,
        colour=canvas.lit((255, 250, 236), strength=LIT),
    )
    canvas.ellipse(x, foot - size, size * 0.80, size * 0.26, colour=canvas.lit((70, 40, 24), strength=LIT))


def paint_pot(canvas: Canvas, x: float, foot: float, *, size: float) -> None:
    """Paint a boiling pot over a flame, standing on (x, foot), with steam."""
    for dx in (-0.22, 0.0, 0.22):
        canvas.polygon(
            [
                (x + (dx - 0.12) * size, foot + size * 0.04),
                (x + (dx + 0.12) * size, foot + size * 0.04),
                (x + dx * size, foot - size * 0.18),
            ],
            (255, 120, 10),
        )
    steam = canvas.lit((255, 255, 255), strength=LIT)
    for dx in (-0.22, 0.06, 0.30):
        puff = canvas.between(0.18, 0.26)
        for step in range(3):
            sway = 0.06 * (-1) ** step
            canvas.ellipse(
                x + (dx + sway) * size,
                foot - size * (0.95 + 0.22 * step),
                size * puff,
                size * puff,
                colour=steam,
            )
    canvas.box(
        x - size * 0.46,
        foot - size * 0.72,
        x + size * 0.46,
        foot - size * 0.12,
        colour=canvas.lit((214, 60, 34), strength=LIT),
    )
    canvas.box(
        x - size * 0.54,
        foot - size * 0.78,
        x + size * 0.54,
        foot - size * 0.66,
        colour=canvas.lit((150, 34, 24), strength=LIT),
    )
    canvas.box(
        x - size * 0.64,
        foot - size * 0.56,
        x + size * 0.64,
        foot - size * 0.46,
        colour=canvas.lit((60, 30, 26), strength=LIT),
    )
