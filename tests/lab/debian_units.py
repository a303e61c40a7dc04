"""Services as Debian packages them: which units the tests run, and what they need beside what their packages bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .machine import INITTAB_HOOKS, SYSTEMD_HOOKS, Kind


@dataclass(frozen=True)
class DebianUnit:
    """A unit, `name` without its suffix, of a package that is there for something (`use`).

    Before the start `files` are written, and `lines` added to files, by path: one service's ports are moved out of
    another's way. `socket` says that the machine with systemd has to start the unit's socket as well: initkit opens the
    one beside a service. `differs` tells of the fields that cannot agree, as patterns, why.
    """

    name: str
    package: str
    use: str
    files: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)
    socket: bool = False
    differs: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """Its file, or for an instance where its file would be."""
        return f"/usr/lib/systemd/system/{self.name}.service"


def _drop_in(name: str, text: str) -> dict[str, str]:
    return {f"/etc/systemd/system/{name}.service.d/lab.conf": text}


_STRICT = (
    "a path with an entry of its own is read-only or not executable like what is around it, as systemd.exec(5) has it;"
    " systemd 257 lifts both, and of /run the first, where ProtectControlGroups= makes an entry of it"
)
_LEADER = {"session": "daemon(7): it must not lead its session, lest it gets a terminal; nobody stays to be its parent"}
_PIDS = "made by the program, of process numbers"

UNITS = (
    DebianUnit("redis-server", "redis-server", "database", differs={"view *": _STRICT}),
    DebianUnit(
        "valkey-server",
        "valkey-server",
        "database",
        lines={"/etc/valkey/valkey.conf": "port 6380"},
        differs={"view *": _STRICT},
    ),
    DebianUnit("memcached", "memcached", "database"),
    DebianUnit(
        "mariadb",
        "mariadb-server",
        "database",
        # Where the container's host keeps the controller, systemd goes on without the limit, and initkit does not.
        files=_drop_in("mariadb", "[Service]\nTasksMax=\n"),
        socket=True,
    ),
    DebianUnit("postgresql@17-main", "postgresql-17", "database", differs={"environment PG_GRANDPARENT_PID": _PIDS}),
    DebianUnit("slapd", "slapd", "database"),
    DebianUnit("pgbouncer", "pgbouncer", "database", socket=True),
    DebianUnit("apache2", "apache2", "web"),
    DebianUnit("nginx", "nginx-light", "web", files={"/etc/nginx/sites-enabled/default": "server { listen 8081; }\n"}),
    DebianUnit(
        "lighttpd", "lighttpd", "web", files={"/etc/lighttpd/conf-enabled/99-lab.conf": "server.port := 8082\n"}
    ),
    DebianUnit(
        "haproxy",
        "haproxy",
        "web",
        lines={"/etc/haproxy/haproxy.cfg": "listen lab\n  bind 127.0.0.1:8083"},
        differs={"environment HAPROXY_PROCESSES": _PIDS},
    ),
    DebianUnit("php8.4-fpm", "php8.4-fpm", "web"),
    DebianUnit("squid", "squid", "web"),
    DebianUnit("tinyproxy", "tinyproxy", "web", differs=_LEADER),
    DebianUnit("privoxy", "privoxy", "web"),
    DebianUnit("opensmtpd", "opensmtpd", "mail"),
    DebianUnit("dovecot", "dovecot-core", "mail", socket=True),
    DebianUnit("opendkim", "opendkim", "mail"),
    DebianUnit("postgrey", "postgrey", "mail"),
    DebianUnit(
        "named",
        "bind9",
        "dns",
        files={
            "/etc/bind/named.conf.options": 'options { directory "/var/cache/bind"; listen-on port 5301 { any; };'
            " listen-on-v6 { none; }; };\n"
        },
    ),
    DebianUnit(
        "unbound",
        "unbound",
        "dns",
        files={"/etc/unbound/unbound.conf.d/lab.conf": "server:\n  interface: 127.0.0.1@5302\n"},
    ),
    DebianUnit("nsd", "nsd", "dns", files={"/etc/nsd/nsd.conf.d/lab.conf": "server:\n  ip-address: 127.0.0.1@5303\n"}),
    DebianUnit("knot", "knot", "dns", lines={"/etc/knot/knot.conf": "server:\n    listen: 127.0.0.1@5304"}),
    DebianUnit("dnsmasq", "dnsmasq", "dns"),
    DebianUnit("avahi-daemon", "avahi-daemon", "dns", socket=True),
    DebianUnit(
        "chrony",
        "chrony",
        "time",
        # A container may not set the clock.
        files={
            **_drop_in("chrony", "[Unit]\nConditionCapability=\n"),
            "/etc/default/chrony": 'DAEMON_OPTS="-F 1 -x"\n',
        },
    ),
    DebianUnit("mosquitto", "mosquitto", "broker"),
    DebianUnit("beanstalkd", "beanstalkd", "broker", socket=True),
    DebianUnit("rabbitmq-server", "rabbitmq-server", "broker"),
    DebianUnit("nats-server", "nats-server", "broker"),
    DebianUnit("gearman-job-server", "gearman-job-server", "broker"),
    DebianUnit("prometheus-node-exporter", "prometheus-node-exporter", "monitoring"),
    DebianUnit("prometheus-redis-exporter", "prometheus-redis-exporter", "monitoring"),
    DebianUnit("snmpd", "snmpd", "monitoring"),
    DebianUnit("zabbix-agent", "zabbix-agent", "monitoring"),
    DebianUnit(
        "collectd",
        "collectd-core",
        "monitoring",
        files={"/etc/collectd/collectd.conf": "FQDNLookup false\nLoadPlugin load\n"},
    ),
    DebianUnit("monit", "monit", "monitoring"),
    DebianUnit("lldpd", "lldpd", "monitoring"),
    DebianUnit("nagios-nrpe-server", "nagios-nrpe-server", "monitoring"),
    DebianUnit("ssh", "openssh-server", "remote access", socket=True),
    DebianUnit("vsftpd", "vsftpd", "files"),
    DebianUnit("rsync", "rsync", "files", files={"/etc/rsyncd.conf": ""}),
    DebianUnit("tftpd-hpa", "tftpd-hpa", "files"),
    DebianUnit("cron", "cron", "jobs"),
    DebianUnit("atd", "at", "jobs"),
    DebianUnit("tor@default", "tor", "network"),
    DebianUnit(
        "stunnel@lab",
        "stunnel4",
        "network",
        files={
            "/etc/stunnel/lab.conf": "foreground=yes\n[lab]\nclient=yes\n"
            "accept=127.0.0.1:7001\nconnect=127.0.0.1:6379\n"
        },
    ),
    DebianUnit("rpcbind", "rpcbind", "network", socket=True),
    DebianUnit("ngircd", "ngircd", "network"),
    DebianUnit("ser2net", "ser2net", "devices", differs=_LEADER),
    DebianUnit(
        "irqbalance",
        "irqbalance",
        "devices",
        files=_drop_in("irqbalance", "[Unit]\nConditionVirtualization=\n"),
        differs={"view /run*": _STRICT},
    ),
    DebianUnit("fail2ban", "fail2ban", "security"),
)

_HOOKS = (
    *SYSTEMD_HOOKS,
    *INITTAB_HOOKS,
    # Of the packages' scripts none starts anything but the log and the bus.
    'find "$1"/etc/rc[2-5].d -name "S*" ! -name "*dbus" ! -name "*inetutils-syslogd" -delete',
    'rm -f "$1"/etc/rcS.d/S*rpcbind',
)
#: One root for both, so that it is made once, and users have the same numbers.
UNITS_SYSTEMD = Kind(
    "trixie",
    "systemd",
    257,
    (
        *("dbus", "inetutils-syslogd", "initscripts", "procps", "startpar", "systemd", "sysv-rc", "sysvinit-core"),
        *("ca-certificates", "python3", "python3-jinja2", "python3-sdnotify", "python3-seccomp", "util-linux"),
        *sorted({unit.package for unit in UNITS}),
    ),
    _HOOKS,
)
UNITS_SYSV = replace(UNITS_SYSTEMD, init="sysv", version=0, tree=UNITS_SYSTEMD)
