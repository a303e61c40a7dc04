"""The inits that may have a service, and the words for each verb: data for `initkit.cli.charge`."""

from __future__ import annotations

from initkit.settings.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: Signals as the programs of the daemontools family call them: sv(8), s6-svc.
_RUNIT_SIGNALS = {
    "HUP": "hup", "ALRM": "alarm", "INT": "interrupt", "QUIT": "quit", "USR1": "1", "USR2": "2", "TERM": "term",
    "KILL": "kill", "CONT": "cont", "STOP": "pause",
}  # fmt: skip
_S6_SIGNALS = {
    "ALRM": "-a", "ABRT": "-b", "QUIT": "-q", "HUP": "-h", "KILL": "-k", "TERM": "-t", "INT": "-i", "USR1": "-1",
    "USR2": "-2", "STOP": "-p", "CONT": "-c", "WINCH": "-y",
}  # fmt: skip


class Init(Record):
    """An init, and the words for each verb.

    `runs`: one of these paths is there where it runs. `has`: one of these is there where it has the service; `asks` is
    a command that answers "loaded" when it has. In paths and words stand {name}, {unit}, {place} (the path of `has`
    that was found), {signal}, {whom} (main or all), {runtime}, {home}, {SVDIR}. `signals` translates signal names;
    `stopped` is how a line of its status begins that tells what the exit status does not; `users`: it is a user's own.
    """

    name: str
    runs: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]
    has: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    signals: Mapping[str, str] = {}
    stopped: str = ""
    users: bool = False


def _words(*program: str, **verbs: str) -> dict[str, tuple[str, ...]]:
    return {verb.replace("_", "-"): (*program, *words.split()) for verb, words in verbs.items()}


def _systemctl(*program: str, log: str) -> dict[str, tuple[str, ...]]:
    verbs = ("start", "stop", "restart", "try-restart", "reload")
    return {
        **{verb: (*program, verb, "{unit}") for verb in verbs},
        "status": (*program, "status", "--no-pager", "{unit}"),
        "kill": (*program, "kill", "--kill-who={whom}", "--signal={signal}", "{unit}"),
        "logs": ("journalctl", log, "{unit}"),
    }


def _dinitctl(whose: str) -> dict[str, tuple[str, ...]]:
    """dinitctl(8), whose own "reload" reads the service's description anew."""
    plain = {verb: ("dinitctl", whose, verb, "{name}") for verb in ("start", "stop", "restart", "status")}
    signals = _words("dinitctl", whose, reload="signal HUP {name}", kill="signal {signal} {name}")
    return {**plain, **signals}


_LOADED = ("show", "--property=LoadState", "--value", "{unit}")

#: In the order of asking.
INITS = (
    Init(
        "systemd --user",
        runs=("{runtime}/systemd/private",),
        asks=("systemctl", "--user", *_LOADED),
        words=_systemctl("systemctl", "--user", log="--user-unit"),
        users=True,
    ),
    Init(  # sd_booted(3)
        "systemd",
        runs=("/run/systemd/system",),
        asks=("systemctl", *_LOADED),
        words=_systemctl("systemctl", log="--unit"),
    ),
    Init(
        "OpenRC",
        runs=("/run/openrc/softlevel",),
        has=("/etc/init.d/{name}",),
        words={
            **_words("rc-service", start="{name} start", stop="{name} stop", restart="{name} restart"),
            **_words("rc-service", try_restart="--ifstarted {name} restart", reload="{name} reload"),
            **_words("rc-service", status="{name} status"),
        },
    ),
    Init(
        "runit",
        runs=("{SVDIR}/{name}/supervise", "/etc/service/{name}/supervise", "/var/service/{name}/supervise"),
        has=("{SVDIR}/{name}", "/etc/service/{name}", "/var/service/{name}"),
        words={
            **_words("sv", start="start {place}", stop="stop {place}", restart="restart {place}"),
            **_words("sv", try_restart="try-restart {place}", reload="reload {place}", status="status {place}"),
            **_words("sv", kill="{signal} {place}"),
        },
        signals=_RUNIT_SIGNALS,
        stopped="down:",
    ),
    Init(
        "s6",
        runs=("/run/service/{name}/event", "/run/s6-rc/servicedirs/{name}/event"),
        has=("/run/service/{name}", "/run/s6-rc/servicedirs/{name}"),
        words={
            **_words("s6-svc", start="-wu -u {place}", stop="-wD -d {place}", restart="-wR -r {place}"),
            **_words("s6-svc", reload="-h {place}", kill="{signal} {place}"),
            **_words("s6-svstat", status="{place}"),
        },
        signals=_S6_SIGNALS,
        stopped="down ",
    ),
    Init(
        "dinit --user",
        runs=("{runtime}/dinitctl",),
        has=("{home}/.config/dinit.d/{name}",),
        words=_dinitctl("--user"),
        stopped="    State: STOPPED",
        users=True,
    ),
    Init(
        "dinit",
        runs=("/run/dinitctl",),
        has=("/etc/dinit.d/{name}",),
        words=_dinitctl("--system"),
        stopped="    State: STOPPED",
    ),
    Init(
        "the init script",
        runs=("/usr/sbin/service", "/sbin/service"),
        has=("/etc/init.d/{name}",),
        words={
            **_words("service", start="{name} start", stop="{name} stop", restart="{name} restart"),
            **_words("service", try_restart="{name} try-restart", reload="{name} reload", status="{name} status"),
        },
    ),
    Init(
        "the init script",
        runs=("/etc/init.d/{name}",),
        has=("/etc/init.d/{name}",),
        words={
            **_words("{place}", start="start", stop="stop", restart="restart", try_restart="try-restart"),
            **_words("{place}", reload="reload", status="status"),
        },
    ),
)
