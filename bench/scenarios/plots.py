"""SVG plots without a library: lines over a logarithmic or a linear x axis."""

import math
import os

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 190, 40, 50
COLOURS = ["#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#64748b"]


class Axis:
    def __init__(self, low, high, start, end, logarithmic=False):
        self.log = logarithmic
        self.low, self.high = self.scale(low), self.scale(high)
        self.start, self.end = start, end

    def scale(self, value):
        return math.log10(value) if self.log else value

    def place(self, value):
        share = (self.scale(value) - self.low) / ((self.high - self.low) or 1)
        return self.start + share * (self.end - self.start)


def nice_ticks(high, count=5):
    step = 10 ** math.floor(math.log10(high / count))
    step *= next(factor for factor in (1, 2, 5, 10) if high / (step * factor) <= count)
    return [step * i for i in range(int(high / step) + 1)]


def text(x, y, words, anchor="middle", colour="#334155"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
            f'{words}</text>')


def plot(path, title, x_name, y_name, series, x_ticks, logarithmic=False):
    """series: name -> list of (x, y); x_ticks: list of (value, label)."""
    points = [point for line in series.values() for point in line]
    high = max(y for _, y in points) * 1.1
    x_axis = Axis(min(x for x, _ in points), max(x for x, _ in points), LEFT, WIDTH - RIGHT,
                  logarithmic)
    y_axis = Axis(0, high, HEIGHT - BOTTOM, TOP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             text(LEFT, 22, title, "start", "#0f172a")]
    for tick in nice_ticks(high):
        y = y_axis.place(tick)
        parts += [f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e2e8f0"/>',
                  text(LEFT - 8, y + 4, f"{tick:g}", "end")]
    for value, label in x_ticks:
        parts.append(text(x_axis.place(value), HEIGHT - BOTTOM + 18, label))
    parts += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_name),
              f'<g transform="translate(16 {HEIGHT / 2}) rotate(-90)">{text(0, 0, y_name)}</g>']
    for i, (name, line) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        path_data = "M" + "L".join(f"{x_axis.place(x):.1f} {y_axis.place(y):.1f}"
                                   for x, y in line)
        parts += [f'<path d="{path_data}" fill="none" stroke="{colour}" stroke-width="2"/>',
                  text(WIDTH - RIGHT + 12, TOP + 20 + 20 * i, name, "start", colour)]
    with open(path, "w") as file:
        file.write("\n".join([*parts, "</svg>", ""]))


def cost_against_streams(out, rows):
    points = next((row["data"]["points"] for row in rows if "points" in row["data"]), None)
    if points:
        plot(os.path.join(out, "cost-against-streams.svg"),
             "CPU of the responder for one delivery, rows one by one", "open streams",
             "ns", {name: [(p["streams"], p[key]) for p in points]
                    for name, key in (("rowcast", "rowcast"), ("bare send()", "floor"))},
             [(p["streams"], f"{p['streams']:,}") for p in points], logarithmic=True)


def latency_distribution(out, rows):
    for row in rows:
        series = row["data"].get("distribution")
        if not series:
            continue
        plot(os.path.join(out, f"latency-{row['data']['server']}.svg"),
             f"INSERT to receipt, {row['data']['server']}, 1,000 streams, paced",
             "share of deliveries, %", "ms",
             {name: [(100 * i / (len(us) - 1), value / 1000) for i, value in enumerate(us)]
              for name, us in series.items()},
             [(share, str(share)) for share in (0, 25, 50, 75, 90, 99)])


def write_all(out, kept):
    rows = [row for rows in kept.values() for row in rows]
    cost_against_streams(out, rows)
    latency_distribution(out, rows)
