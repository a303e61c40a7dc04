"""initkit beside its peers: size and speed, measured in one run.

    python tests/bench [--quick] [--markdown | --json]

Makes a virtual environment with the wheel of this checkout and the `bench` extra, and needs a C compiler for the
program that is looked after. Rounds of all peers are interleaved and medians are printed; a figure of a peer's is
followed by its ratio to initkit's. A peer that is not installed is left out, with its name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import measures
import sandbox
import show
from peers import ALL, Peer
from place import Place

_ABOUT_MANAGERS = """\
`python tests/bench --markdown` prints this: medians of {} interleaved rounds on one machine, in brackets the ratio to
initkit's figure. A manager's memory is that of all its processes; PSS counts once what they share. A daemon's start is
over for initkit when it says that the service is ready, for python-daemon when there is a PID file.
"""
_ABOUT_STARTS = "What a start costs, medians of {}, as a ratio to a bare Python that does nothing:\n"
_ABOUT_SANDBOXES = """\
What a sandbox costs, medians of {}, in brackets the ratio to the same without any. A start lasts from the exec of who
makes it to the program's first instruction, a restart from the end of a program to that of the next. bwrap has the
nearest options, and initkit's own filters; systemd is asked in a machine that has booted it, and initkit beside it.
"""
_ABOUT_GROWTH = "How `initkit up` grows with the number of services:\n"


def main(argv: list[str]) -> int:
    """Measure, and print."""
    given = _options(argv)
    with Place(given.bin) as place:
        peers = [each(place) for each in ALL if not given.only or each.title in given.only]
        for peer in peers:
            if missing := peer.missing():
                print(f"left out: {peer.title}: not installed: {', '.join(missing)}", file=sys.stderr)
        peers = [peer for peer in peers if not peer.missing()]
        starting = _starts(place, given.starts)
        results = _managers(place, peers, given, starting)
        sandboxed = sandbox.measured(place, given.only or [], given.sandboxes, given.lived, _say)
        growth = list(measures.growth(place, tuple(given.growth), 1 if given.quick else 3))
    _print(given, peers, results, starting, growth, sandboxed)
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    made = argparse.ArgumentParser(prog="python tests/bench", description="initkit beside its peers: size and speed.")
    made.add_argument("--quick", action="store_true", help="few rounds, and a short idle time")
    made.add_argument("--rounds", type=int, help="how often each manager is measured (7; quick: 2)")
    made.add_argument("--starts", type=int, help="how often each start is measured (40; quick: 5)")
    made.add_argument("--sandboxes", type=int, help="how often each sandboxed start is measured (15; quick: 3)")
    made.add_argument("--idle", type=float, metavar="SECONDS", help="how long nothing happens (60; quick: 5)")
    made.add_argument("--lived", type=float, default=1.5, metavar="SECONDS", help="of a program that crashes (1.5)")
    made.add_argument("--services", type=int, default=200, help="how many under one manager (200)")
    made.add_argument("--growth", type=int, nargs="*", default=[1, 10, 100, 1000], help="numbers of services to plot")
    made.add_argument(
        "--only", nargs="+", metavar="PEER", help="these: " + ", ".join([*(each.title for each in ALL), *sandbox.PEERS])
    )
    made.add_argument("--bin", type=Path, metavar="DIR", help="where initkit and its peers are installed already")
    shape = made.add_mutually_exclusive_group()
    shape.add_argument("--markdown", action="store_true", help="the README's tables")
    shape.add_argument("--json", action="store_true", help="every single figure")
    given = made.parse_args(argv)
    usual = (2, 5, 3, 5.0) if given.quick else (7, 40, 15, 60.0)
    for name, value in zip(("rounds", "starts", "sandboxes", "idle"), usual, strict=True):
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _starts(place: Place, rounds: int) -> show.Results:
    todo = measures.starts(place)
    for measure in todo.values():  # warm, and bytecode written
        measure()
    found: show.Results = {name: {name: []} for name in todo}
    for number in range(rounds):
        _say(f"starts: round {number + 1} of {rounds}") if number % 10 == 0 else None
        for name, measure in todo.items():
            found[name][name].append(measure())
    return found


def _managers(place: Place, peers: list[Peer], given: argparse.Namespace, starting: show.Results) -> show.Results:
    found: show.Results = {}

    def note(figures: measures.Found) -> None:
        for row, who, value in figures:
            found.setdefault(row, {}).setdefault(who, []).append(value)

    for number in range(given.rounds):
        _say(f"managers: round {number + 1} of {given.rounds}")
        for peer in peers:
            note(measures.one(place, peer, given.lived))
        for peer in peers:
            if peer.most >= given.services:
                note(measures.many(place, peer, given.services))
    _say(f"idle for {given.idle:g} s")
    note(measures.idle(place, peers, given.idle))
    found["status"][show.BARE] = starting[show.BARE][show.BARE]
    sources = {show.US: measures.READY, measures.PYTHON_DAEMON: measures.ITS_PID_FILE}
    found["--daemon start, until ready"] = {
        who: starting[name][name] for who, name in sources.items() if name in starting
    }
    return found


def _print(
    given: argparse.Namespace,
    peers: list[Peer],
    results: show.Results,
    starting: show.Results,
    growth: show.Growth,
    sandboxed: show.Results,
) -> None:
    if given.json:
        print(show.as_json(results, starting, growth, sandboxed))
        return
    columns = [peer.title for peer in peers if peer.title != show.US] + [measures.PYTHON_DAEMON, show.BARE]
    columns = [who for who in columns if any(who in found for found in results.values())]
    shape = show.markdown if given.markdown else show.plain
    fence = ["```"] if given.markdown else []
    print(_ABOUT_MANAGERS.format(given.rounds), *shape(show.table(results, columns)), "", sep="\n")
    print(_ABOUT_STARTS.format(given.starts), *shape(show.starts(starting)), "", sep="\n")
    print(_ABOUT_SANDBOXES.format(given.sandboxes), *shape(show.sandboxes(sandboxed)), "", sep="\n")
    print(_ABOUT_GROWTH, *fence, *show.plot(growth), *fence, sep="\n")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
