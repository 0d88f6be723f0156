"""Results as Markdown tables and SVG charts."""

import html
import statistics

from proxies import NAMES

COLOURS = {"bare": "#8a8f98", "palisade": "#1f6feb", "nginx": "#2da44e", "haproxy": "#bf8700", "envoy": "#a475f9", "modsecurity": "#cf222e"}


def middle(values):
    return statistics.median(values)


def spread(values, digits=1):
    """The median, and the lowest and highest round."""
    return f"{middle(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def milliseconds(micros):
    return f"{middle(micros) / 1000:.2f}"


def comparison(name, results):
    """One table of a scenario. `results`: {request: {kind: measured}}."""
    rows = []
    for request, by_kind in results.items():
        floor = by_kind.get("bare") or by_kind.get("palisade")
        for kind, found in by_kind.items():
            ratio = middle(found["cpu"]) / middle(floor["cpu"])
            rows.append([
                request, NAMES.get(kind, kind), spread(found["cpu"]), f"{ratio:.2f} ×", f"{middle(found['throughput']):,.0f}",
                *(milliseconds(found[key]) for key in ("p50", "p99", "p999")), f"{found['rate']:,}", f"{middle(found['rss']):.0f}",
            ])
    against = "against bare" if any("bare" in by_kind for by_kind in results.values()) else "against Palisade"
    columns = ["request", "proxy", "CPU µs a request", against, "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "at requests/s", "RSS MiB"]
    return f"### {name[0].upper()}{name[1:]}\n\n{table(columns, rows)}"


def bars(title, results):
    """CPU per request of every proxy, as an SVG."""
    groups = [(request, {kind: middle(found["cpu"]) for kind, found in by_kind.items()}) for request, by_kind in results.items()]
    most = max(cost for _, costs in groups for cost in costs.values())
    out, at = [], 34
    for request, costs in groups:
        out.append(f'<text x="10" y="{at + 12}" class="g">{html.escape(request)}</text>')
        at += 20
        for kind, cost in costs.items():
            width = max(1.0, cost / most * 420)
            out.append(f'<text x="118" y="{at + 11}" text-anchor="end">{html.escape(NAMES.get(kind, kind))}</text>')
            out.append(f'<rect x="124" y="{at}" width="{width:.1f}" height="13" fill="{COLOURS.get(kind, "#57606a")}"/>')
            out.append(f'<text x="{130 + width:.1f}" y="{at + 11}">{cost:.0f} µs</text>')
            at += 17
        at += 8
    return svg(f"{title}: CPU per request", out, at)


def curves(title, unit, series):
    """Cost against size, both on logarithmic scales: `series` is {name: [(x, y)]}. Linear growth is the dashed diagonal."""
    from math import log10

    points = [point for line in series.values() for point in line if point[0] > 0 and point[1] > 0]
    if not points:
        return None
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    down, up = min(y for _, y in points), max(y for _, y in points)
    if high <= low or up <= down:
        up, high = up * 1.01 + 1e-9, high * 1.01 + 1e-9

    def place(x, y):
        right = 60 + 440 * log10(x / low) / log10(high / low)
        return right, 260 - 210 * log10(y / down) / log10(up / down)

    out = ['<path d="M60 40V260H510" fill="none" stroke="#57606a"/>']
    palette = ["#1f6feb", "#cf222e", "#2da44e", "#bf8700", "#a475f9", "#57606a", "#0a7ea4", "#953800"]
    for number, (name, line) in enumerate(series.items()):
        colour = palette[number % len(palette)]
        places = [place(*point) for point in line if point[0] > 0 and point[1] > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="520" y="{50 + 16 * number}" fill="{colour}">{html.escape(name)}</text>')
    out.append(f'<text x="60" y="276">{low:g}</text><text x="510" y="276" text-anchor="end">{high:g} {html.escape(unit)}</text>')
    out.append(f'<text x="54" y="260" text-anchor="end">{down:.3g}</text><text x="54" y="50" text-anchor="end">{up:.3g}</text>')
    return svg(title, out, 290, 700)


def svg(title, body, height, width=640):
    style = "text{font:11px sans-serif;fill:#24292f}.t{font-weight:bold;font-size:13px}.g{font-style:italic}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="10" y="20" class="t">{html.escape(title)}</text>{"".join(body)}</svg>\n'
    )
