"""What the scenes' pictures are painted of: backdrops, people, animals, vehicles and things, on a canvas."""

import math

from labelbeam.scenes.canvas import Box, Canvas, Colour, Coordinate, Light, Point

# Backdrops of the scenes: sky, sea, street, kitchen, farm and mountain, painted on a canvas.
#
# Each paints everything behind the figures, and nothing in it bears on a label but the scene and the light.
# Knows nothing of labels or odds.

LOOKS: dict[str, Light] = {
    "dawn": Light(((236, 140, 178), (255, 226, 206)), (1.0, 0.86, 0.88), 0.35, (255, 244, 214), dark=False),
    "mist": Light(((196, 203, 206), (230, 233, 231)), (0.88, 0.92, 0.93), 0.75, None, dark=False),
    "noon": Light(((38, 112, 214), (158, 212, 248)), (1.0, 1.0, 1.0), 0.25, (255, 250, 205), dark=False),
    "gold": Light(((242, 138, 36), (255, 218, 120)), (1.06, 0.86, 0.58), 0.35, (255, 246, 180), dark=False),
    "dusk": Light(((74, 38, 124), (206, 104, 164)), (0.74, 0.58, 0.86), 0.30, (255, 150, 130), dark=False),
    "night": Light(((8, 12, 40), (34, 46, 96)), (0.40, 0.46, 0.68), 0.20, (244, 244, 224), dark=True),
}
"""How each light of `world.LIGHTS` looks."""


def paint_sky(canvas: Canvas, *, box: Box) -> None:
    """Paint the sky of the light into a box: gradient, sun or moon, stars, clouds."""
    left, top, right, bottom = box
    light, width, height = canvas.light, right - left, bottom - top
    shift = int(canvas.random.integers(-10, 11))
    zenith, horizon = ((red + shift, green + shift, blue + shift) for red, green, blue in light.sky)
    canvas.gradient(zenith, horizon, box=box)
    if light.dark:
        for _ in range(14):
            x, y = canvas.between(left, right), canvas.between(top, bottom)
            canvas.ellipse(x, y, 0.010, 0.010, colour=(235, 235, 250))
    if light.disc is not None:
        size = canvas.between(0.13, 0.19) * width
        x = left + width * canvas.between(0.15, 0.85)
        y = top + height * canvas.between(0.25, 0.60)
        halo = _mix(light.disc, light.sky[1 if not light.dark else 0], 0.65)
        canvas.ellipse(x, y, size * 1.7, size * 1.7, colour=halo)
        canvas.ellipse(x, y, size, size, colour=light.disc)
    for _ in range(int(canvas.random.integers(1, 4)) if light.disc else 3):
        margin = 0.05 if width == 1 else 0.28  # clouds stay inside a window
        x, y = left + width * canvas.between(margin, 1 - margin), top + height * canvas.between(0.15, 0.6)
        _paint_cloud(canvas, x, y, width)


def _paint_cloud(canvas: Canvas, x: float, y: float, width: Coordinate) -> None:
    white: Colour = (70, 80, 125) if canvas.light.dark else (255, 255, 255)
    colour = _mix(white, canvas.light.sky[1], 0.35)
    size = width * canvas.between(0.07, 0.13)
    for dx, scale in ((-0.9, 0.7), (0.0, 1.0), (0.9, 0.75), (0.4, 0.9)):
        canvas.ellipse(
            x + dx * size,
            y - (scale - 0.7) * size * 0.5,
            size * 1.6 * scale,
            size * 0.8 * scale,
            colour=colour,
        )


def paint_sea(canvas: Canvas) -> None:
    """Paint sky, water with waves, and a beach in front."""
    horizon = canvas.between(0.42, 0.50)
    paint_sky(canvas, box=(0, 0, 1, horizon))
    far, near = canvas.lit((40, 150, 190), far=0.5), canvas.lit((14, 88, 150))
    canvas.gradient(far, near, box=(0, horizon, 1, 1))
    if canvas.random.random() < 0.5:
        x, rise = canvas.between(0.05, 0.95), canvas.between(0.03, 0.06)
        island = canvas.lit((96, 134, 110), far=1.0)
        shore = [(x - 0.24, horizon), (x - 0.12, horizon - rise), (x + 0.02, horizon - rise * 0.6)]
        canvas.polygon([*shore, (x + 0.10, horizon - rise * 0.8), (x + 0.22, horizon)], island)
    foam = canvas.lit((205, 236, 244))
    for row in range(5):
        y = horizon + 0.05 + row * 0.065
        for _ in range(2 + row // 2):
            x, size = canvas.between(0, 1), 0.03 + row * 0.012
            points: list[Point] = [
                (x - size, y),
                (x - size / 2, y - 0.010),
                (x, y),
                (x + size / 2, y - 0.010),
                (x + size, y),
            ]
            canvas.line(points, foam, width=0.008)
    sand, phase = canvas.lit(canvas.pick([(240, 214, 150), (230, 198, 140)])), canvas.between(0, 6.3)
    edge = [(i / 8, 0.84 + 0.025 * math.sin(i * 0.8 + phase)) for i in range(9)]
    canvas.polygon([(x, y - 0.02) for x, y in edge] + [(1, 1), (0, 1)], foam)
    canvas.polygon([*edge, (1, 1), (0, 1)], sand)


def paint_street(canvas: Canvas) -> None:
    """Paint sky, a row of houses with windows, a pavement and a road."""
    paint_sky(canvas, box=(0, 0, 1, 0.62))
    walls = [(176, 92, 78), (206, 170, 120), (150, 150, 165), (120, 132, 140), (196, 140, 110)]
    left = canvas.between(-0.15, 0.0)
    while left < 1:
        width, top = canvas.between(0.18, 0.28), canvas.between(0.20, 0.42)
        wall = canvas.lit(canvas.pick(walls), far=0.5)
        canvas.box(left, top, left + width, 0.62, colour=wall)
        canvas.box(left, top, left + width, top + 0.02, colour=_mix(wall, (30, 30, 35), 0.4))
        glass = (255, 222, 120) if canvas.light.dark else canvas.lit((206, 226, 238), far=0.5)
        for row in range(int((0.58 - top) / 0.095)):
            for column in range(3):
                x, y = left + width * (0.14 + 0.28 * column), top + 0.045 + row * 0.095
                shown = (
                    glass
                    if not canvas.light.dark or canvas.random.random() < 0.7
                    else _mix(wall, (0, 0, 0), 0.4)
                )
                canvas.box(x, y, x + width * 0.17, y + 0.05, colour=shown)
        left += width + canvas.between(0.0, 0.03)
    for _ in range(int(canvas.random.integers(1, 4))):
        x, crown = canvas.between(0, 1), canvas.between(0.08, 0.12)
        canvas.box(x - 0.01, 0.55, x + 0.01, 0.63, colour=canvas.lit((96, 70, 50)))
        for dx, dy in ((-0.3, 0.1), (0.3, 0.1), (0.0, -0.3)):
            leaf = canvas.lit(canvas.pick([(70, 128, 66)]), far=0.2)
            canvas.ellipse(x + dx * crown, 0.53 + dy * crown, crown, crown, colour=leaf)
    canvas.box(0, 0.62, 1, 0.74, colour=canvas.lit((178, 176, 172)))
    canvas.box(0, 0.735, 1, 0.755, colour=canvas.lit((215, 213, 208)))
    canvas.box(0, 0.755, 1, 1, colour=canvas.lit((84, 86, 92)))
    phase = canvas.between(0, 0.25)
    for i in range(-1, 5):
        x = i * 0.25 + phase
        canvas.polygon(
            [(x, 0.94), (x + 0.13, 0.94), (x + 0.12, 0.965), (x - 0.01, 0.965)], canvas.lit((240, 238, 225))
        )


def paint_farm(canvas: Canvas) -> None:
    """Paint sky, fields, a barn and a fence."""
    horizon = canvas.between(0.46, 0.52)
    paint_sky(canvas, box=(0, 0, 1, horizon + 0.1))
    phase = canvas.between(0, 6.3)
    hills = [(i / 10, horizon + 0.04 * math.sin(i * 0.55 + phase)) for i in range(11)]
    canvas.polygon(
        [*hills, (1, 1), (0, 1)], canvas.lit(canvas.pick([(150, 178, 84), (206, 190, 90)]), far=0.5)
    )
    x, red = canvas.between(0.08, 0.66), canvas.lit(canvas.pick([(186, 52, 42), (170, 60, 44)]), far=0.15)
    y = horizon + 0.12
    canvas.box(x, y - 0.13, x + 0.22, y, colour=red)
    canvas.polygon(
        [(x - 0.02, y - 0.13), (x + 0.05, y - 0.22), (x + 0.17, y - 0.22), (x + 0.24, y - 0.13)],
        _mix(red, (60, 40, 40), 0.5),
    )
    canvas.box(x + 0.08, y - 0.09, x + 0.14, y, colour=canvas.lit((240, 232, 220)))
    canvas.box(x + 0.25, y - 0.20, x + 0.32, y, colour=canvas.lit((200, 204, 208), far=0.15))
    canvas.ellipse(x + 0.285, y - 0.20, 0.07, 0.06, colour=canvas.lit((150, 156, 162), far=0.15))
    canvas.gradient(canvas.lit((112, 170, 62)), canvas.lit((66, 128, 44)), box=(0, horizon + 0.12, 1, 1))
    for i in range(9):
        x = i / 8 + 0.02
        canvas.box(x - 0.006, horizon + 0.10, x + 0.006, horizon + 0.18, colour=canvas.lit((226, 214, 190)))
    canvas.box(0, horizon + 0.115, 1, horizon + 0.128, colour=canvas.lit((226, 214, 190)))
    for _ in range(14):
        x, y = canvas.between(0, 1), canvas.between(horizon + 0.22, 1)
        canvas.line([(x - 0.01, y), (x, y - 0.02), (x + 0.01, y)], canvas.lit((88, 150, 52)), width=0.006)


def paint_mountain(canvas: Canvas) -> None:
    """Paint sky, snowy peaks, firs and a meadow."""
    paint_sky(canvas, box=(0, 0, 1, 0.62))
    rock, snow = canvas.pick([(104, 112, 134), (120, 110, 112)]), (250, 252, 255)
    for far, base_x, height in (
        (0.8, 0.15, 0.30),
        (0.8, 0.80, 0.33),
        (0.35, canvas.between(0.35, 0.62), 0.40),
    ):
        x, top = base_x + canvas.between(-0.08, 0.08), 0.64 - height - canvas.between(-0.02, 0.04)
        width = height * canvas.between(0.95, 1.15)
        side, slope = canvas.lit(rock, far=far), width / (0.64 - top)
        canvas.polygon([(x, top), (x + width, 0.64), (x - width, 0.64)], side)
        canvas.polygon([(x, top), (x + width, 0.64), (x + width * 0.2, 0.64)], _mix(side, (20, 24, 44), 0.25))
        cap = 0.12
        edge = [
            (x + slope * cap * t, top + cap + (0.025 if i % 2 else -0.015))
            for i, t in enumerate((0.9, 0.45, 0.0, -0.45, -0.9))
        ]
        canvas.polygon([(x, top), *edge], canvas.lit(snow, far=far * 0.5))
    canvas.gradient(canvas.lit((120, 164, 92)), canvas.lit((72, 118, 66)), box=(0, 0.62, 1, 1))
    for _ in range(7):
        x, size = canvas.between(0, 1), canvas.between(0.07, 0.11)
        fir = canvas.lit((30, 84, 58), far=0.2)
        for step in range(3):
            y = 0.67 - size * (0.55 + step * 0.45)
            half = size * (0.42 - 0.09 * step)
            canvas.polygon([(x, y - size * 0.5), (x + half, y + size * 0.3), (x - half, y + size * 0.3)], fir)
    for _ in range(8):
        x, y = canvas.between(0, 1), canvas.between(0.72, 0.98)
        canvas.ellipse(x, y, 0.016, 0.012, colour=canvas.lit(canvas.pick([(250, 240, 150), (255, 255, 255)])))


def paint_kitchen(canvas: Canvas) -> None:
    """Paint a wall with a window, tiles, a shelf, a stove and a counter."""
    wall = canvas.pick([(238, 226, 200), (216, 230, 220), (226, 220, 236), (240, 214, 196)], jitter=6)
    canvas.gradient(
        canvas.lit(wall, strength=0.7),
        canvas.lit(_mix(wall, (120, 110, 100), 0.15), strength=0.7),
        box=(0, 0, 1, 0.72),
    )
    tile = canvas.lit((250, 250, 248), strength=0.7)
    for row in range(2):
        for column in range(11):
            x = column * 0.1 - (0.05 if row else 0)
            canvas.box(
                x + 0.006, 0.50 + row * 0.08 + 0.006, x + 0.094, 0.58 + row * 0.08 - 0.006, colour=tile
            )
    x, frame = canvas.between(0.06, 0.40), canvas.lit((250, 248, 244), strength=0.5)
    canvas.box(x - 0.025, 0.045, x + 0.505, 0.455, colour=frame)
    paint_sky(canvas, box=(x, 0.07, x + 0.48, 0.43))
    canvas.box(x + 0.23, 0.07, x + 0.25, 0.43, colour=frame)
    canvas.box(x - 0.05, 0.43, x + 0.53, 0.46, colour=frame)
    board = canvas.lit((140, 96, 62), strength=0.7)
    for y in (0.20, 0.40):
        canvas.box(x + 0.58, y, 1, y + 0.018, colour=board)
        for i in range(4):
            jar = canvas.pick([(196, 150, 110), (150, 176, 170), (222, 206, 170)])
            left, tall = x + 0.60 + i * 0.085, canvas.between(0.05, 0.10)
            canvas.box(left, y - tall, left + 0.055, y, colour=canvas.lit(jar, strength=0.7))
    canvas.box(0, 0.66, 1, 0.70, colour=canvas.lit(canvas.pick([(150, 104, 70), (96, 92, 92)]), strength=0.6))
    doors = canvas.lit(canvas.pick([(112, 146, 138), (176, 128, 88), (96, 118, 150)]), strength=0.7)
    canvas.box(0, 0.70, 1, 1, colour=doors)
    for i in range(5):
        canvas.box(i * 0.25 - 0.004, 0.72, i * 0.25 + 0.004, 1, colour=_mix(doors, (20, 20, 20), 0.35))
        canvas.box(i * 0.25 + 0.19, 0.76, i * 0.25 + 0.21, 0.84, colour=canvas.lit((220, 216, 206)))
    canvas.box(0.66, 0.70, 0.97, 1, colour=canvas.lit((232, 234, 236), strength=0.6))
    canvas.box(0.70, 0.78, 0.93, 0.94, colour=canvas.lit((52, 54, 60), strength=0.6))
    canvas.box(0.66, 0.655, 0.97, 0.70, colour=canvas.lit((50, 52, 58), strength=0.6))


def paint_nothing(canvas: Canvas) -> None:
    """Paint what a camera takes in a pocket or behind a thumb: one dark, blurred colour, whatever the light."""
    colour = canvas.pick([(24, 22, 26), (96, 44, 36), (70, 60, 54)])
    canvas.gradient(colour, _mix(colour, (10, 8, 8), canvas.between(0.1, 0.6)), box=(0, 0, 1, 1))


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    """The colour with a share of another one in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


# Figures of the scenes: people, animals, vehicles and things, painted on a canvas.
#
# Each is small but unlike everything else, in saturated colours that the light tints only in part, so that a
# small network reads it almost without error. Knows nothing of labels, odds or where figures stand.

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
