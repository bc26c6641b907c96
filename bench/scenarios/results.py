"""What was measured, as a table, JSON, RESULTS.md and plots."""

import datetime
import json
import os
import platform
import subprocess

import plots
from harness import BUILD, SOURCE

OUT = os.path.join(BUILD, "bench/out")
COLUMNS = "{:<58} {:>11} {:>11} {:>8}  {:<42} {}"


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def row_of(scenario, figure):
    return {"scenario": scenario, "figure": figure.name, "unit": figure.unit,
            "value": figure.value, "baseline": figure.baseline, "against": figure.against,
            "ratio": figure.ratio(), "target": figure.target, "verdict": figure.verdict(),
            "wall": figure.wall, "note": figure.note, "peers": figure.peers,
            "peers_ahead": figure.peers_ahead(), "data": figure.data}


def failure(scenario, why):
    return {"scenario": scenario, "figure": scenario, "unit": "", "value": None,
            "baseline": None, "against": "", "ratio": None, "target": "", "verdict": "FAILED",
            "wall": "", "note": str(why), "peers": {}, "peers_ahead": [], "data": {}}


def print_head():
    print(COLUMNS.format("figure", "measured", "baseline", "ratio", "to reach", ""))


def details_of(row):
    peers = ", ".join(f"{name} {number(value)}" for name, value in row["peers"].items())
    return [detail for detail in (peers, row["wall"], row["note"]) if detail]


def print_row(row):
    name = f"{row['figure']}, {row['unit']}"
    print(COLUMNS.format(name, number(row["value"]), number(row["baseline"]),
                         number(row["ratio"]), row["target"], row["verdict"]), flush=True)
    details = ([f"against {row['against']}"] if row["against"] else []) + details_of(row)
    if details:
        print("    " + "; ".join(details))


def load():
    try:
        with open(os.path.join(OUT, "results.json")) as file:
            return json.load(file)["scenarios"]
    except (OSError, ValueError, KeyError):
        return {}


def commit():
    git = ["git", "-C", SOURCE]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True,
                              text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True,
                                 text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + (" with changes in src" if changed else "")


def cpu_model():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def about():
    return {"date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
            "cpu": f"{cpu_model()}, {os.cpu_count()} cores",
            "kernel": platform.release(), "commit": commit(),
            "load average at the end": f"{os.getloadavg()[0]:.1f} (1 min), "
                                       f"{os.getloadavg()[2]:.1f} (15 min)"}


def save(kept):
    os.makedirs(OUT, exist_ok=True)
    facts = about()
    with open(os.path.join(OUT, "results.json"), "w") as file:
        json.dump({"about": facts, "scenarios": kept}, file, indent=1)
    plots.write_all(OUT, kept)
    with open(os.path.join(SOURCE, "bench/RESULTS.md"), "w") as file:
        file.write(markdown(facts, kept))
    print(f"\n{OUT}/results.json, *.svg; {SOURCE}/bench/RESULTS.md")


def beside(rows):
    """The section on attacks: quantiles at rest and beside each, in the same run."""
    measured = [row["data"]["beside"] for row in rows if "beside" in row["data"]]
    if not measured:
        return []
    lines = ["", "## Beside an attacker", "",
             "A row on a channel of its own, from the INSERT to its receipt by a live stream, in",
             "ms: at rest, then beside the attack (tests/clients/attacks.py), in turns of the same",
             "run. The longest turn of the loop is in processor time, so that neighbours on the",
             "machine are not in it.", "",
             "| attack | median | ratio | p99 | ratio | max | ratio | p99 added | longest turn |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for one in measured:
        cells = [one["attack"]]
        for rest, attacked in (one["median"], one["p99"], one["max"]):
            cells += [f"{rest:.2f} → {attacked:.2f}", f"{attacked / rest:.1f}"]
        cells += [f"{one['p99'][1] - one['p99'][0]:.2f} ms", f"{one['turn']:.1f} ms"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def markdown(facts, kept):
    lines = ["# Results", "",
             "Written by `bench/run`; README.md says how to read it.", "",
             *[f"- {name}: {value}" for name, value in facts.items()], "",
             "| figure | measured | baseline | ratio | to reach | |",
             "| --- | ---: | ---: | ---: | --- | --- |"]
    notes, ahead = [], []
    every = [row for rows in kept.values() for row in rows]
    for row in every:
        if "beside" in row["data"]:
            continue
        base = number(row["baseline"])
        if row["against"]:
            base += f" ({row['against']})"
        lines.append(f"| {row['figure']} | {number(row['value'])} {row['unit']} | {base} | "
                     f"{number(row['ratio'])} | {row['target'].replace('<', '&lt;')} | "
                     f"{row['verdict']} |")
        details = "; ".join(details_of(row))
        if details:
            notes.append(f"- {row['figure']}: {details}")
        ahead += [f"- {row['figure']}: {name} {number(row['peers'][name])}, rowcast "
                  f"{number(row['value'])} {row['unit']}" for name in row["peers_ahead"]]
    return "\n".join([*lines, *beside(every), "", "## Where a peer is ahead", "",
                      *(ahead or ["Nowhere."]), "", "## Beside them", "", *notes]) + "\n"
