"""What came later to systemd than the directives that hold it: values, prefixes of commands, specifiers.

From systemd's NEWS, where nothing else is said; `systemd-analyze verify` of several versions is asked in the lab.
"""

from __future__ import annotations

from initkit.settings import command, specifiers, syntax
from initkit.settings.values import EXIT_STATUSES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from initkit.settings.directives import Directive

#: The prefixes of a command: systemd.service(5).
PREFIXES = {"+": 231, "!": 235, "!!": 235, ":": 242, "|": 258}
#: A program that is named without its path.
BARE_PROGRAM = 239

#: Letter -> version: systemd.unit(5), "SPECIFIERS". Those that are not here have always been there.
SPECIFIERS = {
    **dict.fromkeys("uhs", 187),
    **dict.fromkeys("Hmb", 190),
    "U": 197,
    "v": 206,
    **dict.fromkeys("SCL", 236),
    **dict.fromkeys("jJTVE", 239),
    **dict.fromkeys("gG", 240),
    **dict.fromkeys("aowBWl", 246),
    **dict.fromkeys("MA", 249),
    **dict.fromkeys("yYqd", 251),
    "D": 256,
}

#: A pattern of a word, and the version that first took it. What matches several needs the latest of them.
Values = dict[str, int]

_STREAM: Values = {"fd(:.*)?": 232, "file:.*": 236, "append:.*": 240, "truncate:.*": 248}
_DIRECTORY: Values = {"[^:]+:[^:].*": 250, ".*:ro": 257}
_LIMIT: Values = {r".*[0-9][KMGTPE].*": 228, ".+:.+": 229}
_TIME_LIMIT: Values = {".*[0-9] ?[a-z].*": 228, ".+:.+": 229}
_COUNT_LIMIT: Values = {".+:.+": 229}
_AMOUNT: Values = {".*%": 231, ".*‰": 240, r".*\.[0-9]%": 240, ".*‱": 248, r".*\.[0-9]{2}%": 248}
_SYSTEM_CALLS: Values = {
    "~?@.*": 231,
    "~?@(basic-io|file-system|reboot|resources|swap).*": 233,
    "~?@(aio|chown|memlock|setuid|signal|sync|timer).*": 235,
    ".*:.*": 236,
    "~?@system-service.*": 239,
    "~?@pkey.*": 244,
    "~?@known.*": 247,
    ".*:kill": 247,
    "~?@sandbox.*": 254,
}
_STATUS: Values = {f"(EX_)?({'|'.join(EXIT_STATUSES)})": 243}
_SECURITY: Values = {
    "[|!]*audit": 218,
    "[|!]*tomoyo": 236,
    "[|!]*uefi-secureboot": 239,
    "[|!]*tpm2": 248,
    "[|!]*cvm": 254,
    "[|!]*measured-uki": 255,
}
_ADDRESS: Values = {"vsock:.*": 233, "vsock-.*": 254}  # 254 has the kinds in its library; NEWS has AF_VSOCK
_CALENDAR: Values = {
    "annually|yearly": 209,
    "minutely|quarterly|semi-?annually": 217,
    "UTC": 228,
    r".*:[0-9/]+\.[0-9].*": 228,
    r".*\.\..*": 231,
    ".*~.*": 233,
    r"[A-Z]\w+/[\w/+-]+": 235,
}

#: A directive's name goes before its kind, as in `choices`.
VALUES: dict[str, Values] = {
    # systemd.service(5)
    "SERVICETYPE": {"exec": 240, "notify-reload": 253},
    "SERVICERESTART": {"on-watchdog": 207, "on-abnormal": 214},
    "SERVICERESTARTMODE": {"debug": 257},
    "ACCESS": {"exec": 233},
    "SuccessExitStatus": _STATUS,
    "RestartPreventExitStatus": _STATUS,
    "RestartForceExitStatus": _STATUS,
    # systemd.kill(5)
    "KILLMODE": {"mixed": 209},
    # systemd.exec(5)
    "WorkingDirectory": {"-?~": 227},
    "INPUT": {**_STREAM, "data": 236},
    "OUTPUT": _STREAM,
    "ProtectSystem": {"strict": 232},
    "ProtectHome": {"tmpfs": 238},
    "ProtectHostname": {"private": 258, ".*:.*": 258},
    "ProtectControlGroups": {"private|strict": 257},
    "PrivateTmp": {"(dis)?connected": 257},
    "PrivateUsers": {"self|identity": 257, "full": 258, "managed": 260},
    "RestrictAddressFamilies": {"none": 249},
    "RuntimeDirectory": {**_DIRECTORY, "[^:]+/.*": 235},
    "StateDirectory": _DIRECTORY,
    "CacheDirectory": _DIRECTORY,
    "LogsDirectory": _DIRECTORY,
    "ConfigurationDirectory": {".*:ro": 257},
    "CPUAFFINITY": {".*[0-9]-[0-9].*": 228, "numa": 246},
    "CPUSCHEDPOLICY": {"ext": 260},
    "NUMAPolicy": {"preferred-many|weighted-interleave": 262},
    "SECUREBITS": {"(no-cap-ambient-raise|exec-restrict-file|exec-deny-interactive)(-locked)?": 262},
    "SystemCallFilter": _SYSTEM_CALLS,
    "SystemCallLog": _SYSTEM_CALLS,
    "ERRNO": {"kill": 247},
    "ImportCredential": {".+:.+": 257},
    **dict.fromkeys(("LimitFSIZE", "LimitDATA", "LimitSTACK", "LimitCORE", "LimitRSS", "LimitAS"), _LIMIT),
    **dict.fromkeys(("LimitMEMLOCK", "LimitMSGQUEUE"), _LIMIT),
    **dict.fromkeys(("LimitCPU", "LimitRTTIME"), _TIME_LIMIT),
    **dict.fromkeys(("LimitNOFILE", "LimitNPROC", "LimitLOCKS", "LimitSIGPENDING", "LimitRTPRIO"), _COUNT_LIMIT),
    "LimitNICE": {".+:.+": 229, ".*[+-].*": 230},
    # systemd.resource-control(5)
    **dict.fromkeys(("MemoryMin", "MemoryLow", "MemoryHigh", "MemoryMax", "MemorySwapMax", "TasksMax"), _AMOUNT),
    "MemoryLimit": _AMOUNT,
    "CPUQuota": {each: since for each, since in _AMOUNT.items() if since > 231},
    "CPUWEIGHT": {"idle": 252},
    "DeviceAllow": {"(char|block)-.*": 210},
    "Delegate": {"(?!(1|0|yes|no|true|false|on|off|y|n|t|f)$).+": 236},
    # systemd.unit(5)
    "ACTION": {"exit(-force)?": 240, "(soft-reboot|kexec|halt).*": 254},  # all are in 254's manual, and none in 252's
    "OnFailureJobMode": {"triggering": 244, "restart-dependencies": 254, "lenient": 258},
    "OnSuccessJobMode": {"restart-dependencies": 254, "lenient": 258},
    "ConditionSecurity": _SECURITY,
    "AssertSecurity": _SECURITY,
    "ConditionVirtualization": {"[|!]*private-users": 232},
    "AssertVirtualization": {"[|!]*private-users": 232},
    # systemd.socket(5), systemd.timer(5)
    **dict.fromkeys(("ListenStream", "ListenDatagram", "ListenSequentialPacket"), _ADDRESS),
    "SocketProtocol": {"mptcp": 257},
    "OnCalendar": _CALENDAR,
}


def parts(row: Directive, value: str) -> Iterator[tuple[str, int]]:
    """What a value of a directive holds that came later than the directive: its name for people, and its version."""
    for letter in sorted(specifiers.used(value)):
        if letter in SPECIFIERS:
            yield f"the specifier %{letter}", SPECIFIERS[letter]
    if row.is_command:
        yield from _of_commands(value)
        return
    from re import ASCII, fullmatch

    patterns = VALUES.get(row.name) or VALUES.get(row.kind) or {}
    for word in _words(value) if patterns else ():
        yield from ((word, since) for each, since in patterns.items() if fullmatch(each, word, ASCII))


def newer(row: Directive, value: str, version: int) -> tuple[str, int]:
    """The latest of the parts of a value that systemd `version` does not know; ("", 0) where it knows all."""
    return max(((each, since) for each, since in parts(row, value) if since > version), key=_by_age, default=("", 0))


def _by_age(part: tuple[str, int]) -> int:
    return part[1]


def _of_commands(value: str) -> Iterator[tuple[str, int]]:
    for each in command.parse(value) if value else ():  # an empty one takes back those before it
        for prefix in PREFIXES:
            if prefix in each.prefix and (prefix != "!" or each.no_setuid):
                yield f"the prefix {prefix}", PREFIXES[prefix]
        if "/" not in each.path:
            yield "a program without its path", BARE_PROGRAM


def _words(value: str) -> Sequence[str]:
    try:
        return syntax.split(value)
    except ValueError:  # a value that has no quotes, but characters of them
        return value.split()
