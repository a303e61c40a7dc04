"""XML-RPC's text, with `xmlrpc.client` for a judge."""

from __future__ import annotations

import math
import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initkit.run import xmlvalues

#: XML has no place for most control characters, and its parsers make "\r" another line end.
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n")
)
INTEGERS = st.integers(-(1 << 31), (1 << 31) - 1)
SCALARS = st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)


@given(st.lists(VALUES | st.none(), max_size=4), st.sampled_from(["ping", "supervisor.getState", "a_b.c"]))
def test_calls(arguments: list[Any], method: str) -> None:
    written = xmlrpc.client.dumps(tuple(arguments), method, allow_none=True).encode()
    assert xmlvalues.read(written) == (method, tuple(arguments))


@given(VALUES)
def test_responses(value: Any) -> None:
    (found,), method = xmlrpc.client.loads(xmlvalues.response(value))
    assert (found, method) == (value, None)
    assert repr(found) == repr(value)  # True is not 1


@given(INTEGERS, TEXT)
def test_faults(code: int, text: str) -> None:
    with pytest.raises(xmlrpc.client.Fault) as caught:
        xmlrpc.client.loads(xmlvalues.fault(code, text))
    assert (caught.value.faultCode, caught.value.faultString) == (code, text)


@given(st.text())
def test_no_text_breaks_the_xml(text: str) -> None:
    (found,), _ = xmlrpc.client.loads(xmlvalues.response([text]))
    assert len(found[0]) == len(text)
    assert all(one in (other, "\ufffd") for one, other in zip(found[0], text, strict=True))


def test_what_xml_rpc_cannot_hold() -> None:
    (found,), _ = xmlrpc.client.loads(
        xmlvalues.response({"large": 1 << 40, "none": None, "list": [None], "inf": math.inf})
    )
    assert found == {"large": float(1 << 40), "list": [None], "inf": math.inf}


def test_other_types_of_values() -> None:
    stamp, data = xmlrpc.client.DateTime("20260102T03:04:05"), b"\x00\xff<&"
    written = xmlrpc.client.dumps((stamp, data, "<a>&amp;"), "m").encode()
    assert xmlvalues.read(written) == ("m", ("20260102T03:04:05", data, "<a>&amp;"))
    bare = b"<methodCall><methodName> m </methodName><params><param><value> s </value></param></params></methodCall>"
    assert xmlvalues.read(bare) == ("m", (" s ",))
    assert xmlvalues.read(b"<methodCall><methodName>m</methodName></methodCall>") == ("m", ())


def call(inner: str) -> bytes:
    return f"<methodCall><methodName>m</methodName><params><param>{inner}</param></params></methodCall>".encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no XML",
        b"<methodCall>",
        b"<methodCall/>",
        b"<methodCall><params/></methodCall>",
        b"<methodCall><methodName>m</methodName><methodName>n</methodName></methodCall>",
        b"<methodCall><methodName>m</methodName><params/><params/></methodCall>",
        b"<methodCall>text<methodName>m</methodName></methodCall>",
        b"<methodResponse><params/></methodResponse>",
        b"<!DOCTYPE methodCall><methodCall><methodName>m</methodName></methodCall>",
        b"<methodCall><methodName>&entity;</methodName></methodCall>",
        b'<?xml version="1.0" encoding="nothing"?><methodCall><methodName>m</methodName></methodCall>',
        call(""),
        call("<value/><value/>"),
        call("<value><int>x</int></value>"),
        call("<value><int></int></value>"),
        call("<value><int>" + "9" * 20 + "</int></value>"),
        call("<value><int>" + "9" * 50_000 + "</int></value>"),
        call("<value><boolean>2</boolean></value>"),
        call("<value><double>x</double></value>"),
        call("<value><base64>x</base64></value>"),
        call("<value>text<int>1</int></value>"),
        call("<value><int>1</int><int>2</int></value>"),
        call("<value><array/></value>"),
        call("<value><array><data/><data/></array></value>"),
        call("<value><struct><member><name>a</name></member></struct></value>"),
        call("<value><struct><member><value>a</value><value>b</value></member></struct></value>"),
        call("<value><struct><member><value>a</value><name>b</name></member></struct></value>"),
        call("<value><other/></value>"),
        call("<value><array><data>" * 1000 + "</data></array></value>" * 1000),
    ],
)
def test_what_is_no_call(body: bytes) -> None:
    with pytest.raises(ValueError):
        xmlvalues.read(body)


@given(st.binary(max_size=200) | st.text("<>/&;methodCallNameprsvi4 ", max_size=200).map(str.encode))
def test_noise_is_an_error_and_nothing_else(body: bytes) -> None:
    with pytest.raises(ValueError):
        xmlvalues.read(body)
