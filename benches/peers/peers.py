"""river's half of benches/peers: the same streams through river, and the table.

Called by run.sh as `peers.py FOLDER PIN`, after our half has written FOLDER.
"""

import array
import json
import pathlib
import platform
import statistics
import sys
import time
from importlib import metadata

from river import drift
from river.drift import binary

ROUNDS = 3
# Values between two looks at the clock: the time of one part is well below a millisecond.
PART = 200
KSWIN_PART = 2
# river's KSWIN sorts and tests at every value; a tenth of the stream is enough to time it.
KSWIN_VALUES = 4_000

CLASSES = {
    "ADWIN": drift.ADWIN,
    "PageHinkley": drift.PageHinkley,
    "KSWIN": lambda **settings: drift.KSWIN(seed=1, **settings),
    "DDM": binary.DDM,
    "EDDM": binary.EDDM,
    "HDDMA": binary.HDDMA,
    "HDDMW": binary.HDDMW,
    "FHDDM": binary.FHDDM,
}


def stream(folder, name):
    values = array.array("d")
    values.frombytes((folder / f"{name}.f64").read_bytes())
    if sys.byteorder == "big":
        values.byteswap()
    return [int(x) for x in values] if name.startswith("bits") else list(values)


def alarms(detector, values):
    """What a user of river writes, and pays."""
    found = []
    for i, x in enumerate(values):
        detector.update(x)
        if detector.drift_detected:
            found.append(i)
    return found


def nanoseconds(build, values, length):
    """Median over short parts of the stream, so that a busy machine does not count; as our half does."""
    parts = []
    for _ in range(ROUNDS):
        detector = build()
        for start in range(0, len(values), length):
            part = values[start : start + length]
            begun = time.perf_counter_ns()
            alarms(detector, part)
            parts.append((time.perf_counter_ns() - begun) / len(part))
    return statistics.median(parts)


def main():
    folder, pin = pathlib.Path(sys.argv[1]), sys.argv[2]
    names = [path.stem for path in folder.glob("*.f64")]
    streams = {name: stream(folder, name) for name in names}
    print(
        f"river {metadata.version('river')}, Python {platform.python_version()}, "
        f"numpy {metadata.version('numpy')}, scipy {metadata.version('scipy')}; {pin}\n"
    )
    print("| detector | stream | river, ns | ours, ns | river / ours | ours / loop | alarms |")
    print("|---|---|---|---|---|---|---|")
    different = 0
    for row in json.loads((folder / "ours.json").read_text()):
        def build(row=row):
            return CLASSES[row["theirs"]](**row["settings"])

        kswin = row["theirs"] == "KSWIN"
        values = streams[row["timed"]]
        part = KSWIN_PART if kswin else PART
        theirs = nanoseconds(build, values[:KSWIN_VALUES] if kswin else values, part)
        ratio = theirs / row["ns"]
        times = f"{ratio:.1f}x" if ratio < 10 else f"{ratio:,.0f}x"
        if kswin:
            agreement = "samples differ"
        else:
            pairs = [(alarms(build(), streams[name]), found) for name, found in row["alarms"].items()]
            equal = all(a == b for a, b in pairs)
            different += not equal
            number = sum(len(b) for _, b in pairs)
            agreement = f"{number}, the same" if equal else "DIFFERENT"
        settings = "".join(f", {key} {value}" for key, value in row["settings"].items())
        print(
            f"| {row['name']}{settings} | {row['timed']} | {theirs:,.0f} | {row['ns']:.1f} "
            f"| {times} | {row['ns'] / row['unit_ns']:.1f} | {agreement} |",
            flush=True,
        )
    if different:
        print(f"\nalarms differ for {different} detectors", file=sys.stderr)
        sys.exit(1)


main()
