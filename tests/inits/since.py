"""What systemd knows since which version: one assignment a line, with the first version that takes it."""

from __future__ import annotations

#: Directives, of which a version before is to be refused.
DIRECTIVES = {
    "[Unit] AssertPathExists=/etc": 218,
    "[Unit] AssertCPUs=>1": 242,
    "[Unit] ConditionArchitecture=x86-64": 210,
    "[Unit] ConditionHost=a": 189,
    "[Unit] ConditionUser=root": 234,
    "[Unit] ConditionKernelVersion=>4": 237,
    "[Unit] ConditionMemory=>1": 242,
    "[Unit] JobRunningTimeoutSec=5": 234,
    "[Unit] JobTimeoutAction=reboot": 217,
    "[Unit] OnSuccessJobMode=fail": 249,
    "[Service] StateDirectory=a": 235,
    "[Service] StateDirectoryMode=0750": 235,
    "[Service] CacheDirectory=a": 235,
    "[Service] LogsDirectory=a": 235,
    "[Service] ConfigurationDirectory=a": 235,
    "[Service] RuntimeDirectory=a": 211,
    "[Service] RuntimeDirectoryMode=0750": 211,
    "[Service] MemoryLow=1M": 231,
    "[Service] MemoryMin=1M": 240,
    "[Service] NoExecPaths=/srv": 248,
    "[Service] StartupMemoryMax=1M": 254,
    "[Service] StartupAllowedCPUs=0": 250,
    "[Service] LoadCredentialEncrypted=a:/run/b": 250,
    "[Install] UpheldBy=a.service": 254,
}

#: What 219, the oldest systemd that is still cared for anywhere, knows.
OLD = (
    "[Unit] ConditionPathExists=/etc",
    "[Unit] ConditionVirtualization=no",
    "[Unit] ConditionKernelCommandLine=quiet",
    "[Unit] JobTimeoutSec=5",
    "[Unit] StartLimitIntervalSec=5",  # by an older name
    "[Service] ReadOnlyPaths=/etc",
    "[Service] DeviceAllow=/dev/null rw",
    "[Service] KillMode=process",
    "[Service] StandardOutput=journal",
    "[Service] ExecStart=-/bin/echo %n %i $X $$ 5%%",
    "[Service] Environment=A=%%D",
    "[Service] SystemCallFilter=~open",
    "[Service] LimitNOFILE=1024",
    "[Service] SuccessExitStatus=3 SIGTERM",
    "[Service] Delegate=yes",
    "[Service] ProtectSystem=no",
)

#: Values, prefixes and specifiers, and what stands in the message.
PARTS = {
    "[Service] Type=exec": (240, "exec"),
    "[Service] Type=notify-reload": (253, "notify-reload"),
    "[Service] Restart=on-abnormal": (214, "on-abnormal"),
    "[Service] RestartMode=debug": (257, "debug"),
    "[Service] NotifyAccess=exec": (233, "exec"),
    "[Service] KillMode=mixed": (209, "mixed"),
    "[Service] SuccessExitStatus=3 DATAERR": (243, "DATAERR"),
    "[Service] StandardInput=data": (236, "data"),
    "[Service] StandardOutput=fd:a": (232, "fd:a"),
    "[Service] StandardOutput=file:/run/a": (236, "file:/run/a"),
    "[Service] StandardOutput=append:/run/a": (240, "append:/run/a"),
    "[Service] StandardError=truncate:/run/a": (248, "truncate:/run/a"),
    "[Service] ExecStart=+/bin/true": (231, "the prefix +"),
    "[Service] ExecStart=!/bin/true": (235, "the prefix !"),
    "[Service] ExecStart=!!/bin/true": (235, "the prefix !!"),
    "[Service] ExecStart=-:/bin/true": (242, "the prefix :"),
    "[Service] ExecStartPre=|/bin/true": (258, "the prefix |"),
    "[Service] ExecStop=true": (239, "a program without its path"),
    "[Service] ExecStart=/bin/echo %v": (206, "the specifier %v"),
    "[Service] ExecStart=/bin/echo %S": (236, "the specifier %S"),
    "[Service] ExecStart=/bin/echo %T": (239, "the specifier %T"),
    "[Service] ExecStart=/bin/echo %g": (240, "the specifier %g"),
    "[Service] Environment=A=%l": (246, "the specifier %l"),
    "[Unit] Description=of %M": (249, "the specifier %M"),
    "[Service] Environment=A=%n,%d": (251, "the specifier %d"),
    "[Service] WorkingDirectory=%D": (256, "the specifier %D"),
    "[Service] WorkingDirectory=~": (227, "~"),
    "[Service] ProtectSystem=strict": (232, "strict"),
    "[Service] ProtectHome=tmpfs": (238, "tmpfs"),
    "[Service] ProtectHostname=private": (258, "private"),
    "[Service] ProtectControlGroups=strict": (257, "strict"),
    "[Service] PrivateTmp=disconnected": (257, "disconnected"),
    "[Service] PrivateTmp=connected": (257, "connected"),
    "[Service] PrivateUsers=identity": (257, "identity"),
    "[Service] PrivateUsers=full": (258, "full"),
    "[Service] PrivateUsers=managed": (260, "managed"),
    "[Service] RestrictAddressFamilies=none": (249, "none"),
    "[Service] RuntimeDirectory=a b/c": (235, "b/c"),
    "[Service] RuntimeDirectory=a:b": (250, "a:b"),
    "[Service] StateDirectory=a::ro": (257, "a::ro"),
    "[Service] CPUAffinity=0-1": (228, "0-1"),
    "[Service] CPUAffinity=numa": (246, "numa"),
    "[Service] SystemCallFilter=@clock": (231, "@clock"),
    "[Service] SystemCallFilter=~@swap": (233, "~@swap"),
    "[Service] SystemCallFilter=open @system-service": (239, "@system-service"),
    "[Service] SystemCallFilter=@pkey": (244, "@pkey"),
    "[Service] SystemCallFilter=@known": (247, "@known"),
    "[Service] SystemCallFilter=@sandbox": (254, "@sandbox"),
    "[Service] SystemCallFilter=~open:EPERM": (236, "~open:EPERM"),
    "[Service] SystemCallFilter=~open:kill": (247, "~open:kill"),
    "[Service] SystemCallErrorNumber=kill": (247, "kill"),
    "[Service] ImportCredential=a*:b": (257, "a*:b"),
    "[Service] LimitCORE=1G": (228, "1G"),
    "[Service] LimitCPU=5min": (228, "5min"),
    "[Service] LimitNOFILE=1:2": (229, "1:2"),
    "[Service] LimitNICE=+5": (230, "+5"),
    "[Service] TasksMax=50%": (231, "50%"),
    "[Service] TasksMax=5‰": (240, "5‰"),
    "[Service] CPUWeight=idle": (252, "idle"),
    "[Service] Delegate=cpu": (236, "cpu"),
    "[Unit] FailureAction=exit": (240, "exit"),
    "[Unit] SuccessAction=soft-reboot": (254, "soft-reboot"),
    "[Unit] FailureAction=kexec": (254, "kexec"),
    "[Unit] OnFailureJobMode=restart-dependencies": (254, "restart-dependencies"),
    "[Unit] OnFailureJobMode=lenient": (258, "lenient"),
    "[Unit] ConditionSecurity=|!tpm2": (248, "|!tpm2"),
    "[Unit] ConditionSecurity=measured-uki": (255, "measured-uki"),
}

#: The same of a timer and a socket of the service's name.
COMPANIONS = {
    "[Timer] OnCalendar=Mon..Fri 10:00": (231, "Mon..Fri"),
    "[Timer] OnCalendar=*-02~03": (233, "*-02~03"),
    "[Timer] OnCalendar=02~03": (233, "02~03"),
    "[Timer] OnCalendar=*-*-* 10:00 Europe/Berlin": (235, "Europe/Berlin"),
    "[Timer] OnCalendar=minutely": (217, "minutely"),
    "[Socket] ListenStream=vsock::1234": (233, "vsock::1234"),
    "[Socket] ListenStream=vsock-stream:2:1234": (254, "vsock-stream:2:1234"),
    "[Socket] SocketProtocol=mptcp": (257, "mptcp"),
}


def unit(line: str) -> dict[str, str]:
    """Suffix -> text of the units that hold an assignment, each fit to be loaded."""
    section, _, assignment = line[1:].partition("] ")
    if section == "Timer":
        return {"service": "[Service]\nExecStart=/bin/true\n", "timer": f"[Timer]\n{assignment}\n"}
    if section == "Socket":
        listen = "" if assignment.startswith("Listen") else "ListenStream=/run/since\n"
        return {"service": "[Service]\nExecStart=/bin/true\n", "socket": f"[Socket]\n{listen}{assignment}\n"}
    start = "" if assignment.startswith("ExecStart=") else "[Service]\nExecStart=/bin/true\n"
    return {"service": f"{start}[{section}]\n{assignment}\n"}
