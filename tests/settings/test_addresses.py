"""The address grammar of systemd.socket(5): what is read, what is written, and what systemd itself says of both."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit.settings import addresses
from initkit.settings.addresses import IPV4, IPV6, UNIX, VSOCK, Address

GOOD = {
    "/run/app.sock": Address(UNIX, "/run/app.sock"),
    "/run//a/./b": Address(UNIX, "/run/a/b"),
    "@app": Address(UNIX, "@app"),
    "/" + "a" * 106: Address(UNIX, "/" + "a" * 106),
    "8080": Address(IPV6, "", 8080),
    "127.0.0.1:80": Address(IPV4, "127.0.0.1", 80),
    "0.0.0.0:65535": Address(IPV4, "0.0.0.0", 65535),
    "[::]:80": Address(IPV6, "::", 80),
    "[::1]:1": Address(IPV6, "::1", 1),
    "[0:0::1]:1": Address(IPV6, "::1", 1),
    "[::ffff:1.2.3.4]:5": Address(IPV6, "::ffff:1.2.3.4", 5),
    "[fe80::1]:80%lo": Address(IPV6, "fe80::1", 80, "lo"),
    "[fe80::1]:80%1": Address(IPV6, "fe80::1", 80, "1"),
    "vsock:2:1234": Address(VSOCK, "2", 1234, kind="vsock"),
    "vsock::1234": Address(VSOCK, "", 1234, kind="vsock"),
}
BAD = [
    "", "@", "/", "/" + "a" * 107, "@" + "a" * 107, "app.sock", "./app.sock", "0", "65536", "-1", "8080x", "80 81",
    "1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "1.2.3:80", "256.1.1.1:80", "::1", "[::1]", "[::1]:", "[::1]:0",
    "[::1:80", "::1]:80", "[1.2.3.4]:80", "[fe80::1%lo]:80", "[fe80::1]%lo:80", "localhost:80", "*:80", ":80",
    "[]:80", "vsock:", "vsock:2", "vsock:x:1", "vsock:2:x", "8080%", "[::1]:80%", "[::1]:80#name",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_is_an_address(text: str) -> None:
    assert addresses.parse(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        addresses.parse(text)


names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0/"), min_size=1, max_size=20)
ports = st.integers(1, 65535)
scopes = st.sampled_from(["", "lo", "eth0", "7"])
any_address = st.one_of(
    st.builds(lambda parts: "/" + "/".join(parts), st.lists(names.filter(lambda n: n not in (".", "..")), min_size=1))
    .filter(lambda path: len(path.encode()) <= 107)
    .map(lambda path: Address(UNIX, path)),
    names.filter(lambda name: len(name.encode()) <= 106).map(lambda name: Address(UNIX, f"@{name}")),
    ports.map(lambda port: Address(IPV6, "", port)),
    st.builds(lambda ip, port, scope: Address(IPV4, str(ip), port, scope), st.ip_addresses(v=4), ports, scopes),
    st.builds(
        lambda ip, port, scope: Address(IPV6, addresses.parse(f"[{ip}]:1").host, port, scope),
        st.ip_addresses(v=6).filter(lambda ip: not ip.scope_id), ports, scopes,
    ),
    st.builds(
        lambda cid, port: Address(VSOCK, str(cid) if cid else "", port, kind="vsock"),
        st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1),
    ),
)  # fmt: skip


@given(any_address)
def test_what_is_written_is_read_again(address: Address) -> None:
    assert addresses.parse(addresses.write(address)) == address


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = addresses.parse(text)
    except ValueError as fault:
        assert "\n" not in str(fault) or "\n" in text
        return
    assert addresses.parse(addresses.write(found)) == found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_says_the_same(tmp_path: Path) -> None:
    """Each address in a unit of its own, all verified by one systemd-analyze."""
    texts = [text for text in (*GOOD, *BAD) if text]
    for number, text in enumerate(texts):
        escaped = text.replace("%", "%%")
        (tmp_path / f"a{number}.socket").write_text(f"[Socket]\nListenStream={escaped}\nService=b.service\n")
    (tmp_path / "b.service").write_text("[Service]\nExecStart=/bin/true\n")
    units = [str(tmp_path / f"a{number}.socket") for number in range(len(texts))]
    ran = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    refused = [text for number, text in enumerate(texts) if f"a{number}.socket:2:" in ran.stderr]
    assert refused == [text for text in BAD if text]
