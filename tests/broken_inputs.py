"""Plausible but broken input: odd values, and valid bytes, lines and JSON with a few changes, as hypothesis draws."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

# Generated cases of all fuzz tests together: 200 that are the same every time, or as many others as asked for.
CASES = int(os.environ.get("SUPERTICKETS_FUZZ", "200"))
PROFILE = settings(
    deadline=None,
    database=None,
    derandomize="SUPERTICKETS_FUZZ" not in os.environ,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

WORDS = (
    *("", " ", "~", "no", "null", "nan", "-1", "0", "1e999", "0x10", "1_000", "../../escape", "/etc/passwd", ".", ".."),
    *("a/b", "a\\b", "C:\\x", "x" * 300, "y" * 5000, "é", "🙂", "\ufeff", "\x00", "a\nb", "\r\n", "\t", "\x1b[31m"),
    *("<script>alert(1)</script>", "'; --", '"', "{{7*7}}", "%s%n", "${HOME}", "--help", "-", "=", "*a", "&a x", "!!x"),
    *("\u202e", "\u2028", "\ud800", "~root", "con", "file:///etc/passwd", "name:split", ":", "a:b:c"),
)
NUMBERS = (-1, 0, 1, 2, 7, 2**31, 2**63, 10**40, 0.5, -0.5, 1.0, 1e308, -0.0, 5e-324, float("nan"), float("inf"))
# Copied as drawn: a later change goes into lists and dicts drawn before, which must not change what is drawn next.
ODD = st.sampled_from([None, True, False, [], {}, [[]], [None], {"": None}, {"a": [1]}, *WORDS, *NUMBERS]).map(
    copy.deepcopy
)
BYTES = (
    b"\x00",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n\n",
    b'"',
    b",,,,",
    b"\t",
    b"\x1a",
    b"{",
    b"9" * 5000,
)


@st.composite
def broken_bytes(draw: st.DrawFn, body: bytes) -> bytes:
    """The bytes with up to three changes: cut, a flipped bit, something inserted, a part gone, twice or moved."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(0, len(body) - 1)))
        length = draw(st.sampled_from([0, 1, 2, 8, 100, len(body)]))
        part, kind = body[start : start + length], draw(st.integers(0, 6))
        if kind == 0:
            body = body[:start]
        elif kind == 1 and body:
            flipped = body[start] ^ (1 << draw(st.integers(0, 7)))
            body = body[:start] + bytes([flipped]) + body[start + 1 :]
        elif kind == 2:
            body = body[:start] + draw(st.sampled_from(BYTES)) + body[start:]
        elif kind == 3:
            body = body[:start] + body[start + length :]
        elif kind == 4:
            body = body[:start] + part + body[start:]
        elif kind == 5:
            body = body[start:] + body[:start]
        else:
            body = draw(st.binary(max_size=40))
    return body


@st.composite
def broken_lines(draw: st.DrawFn, text: str) -> bytes:
    """Lines with up to four changes (gone, twice, swapped, a cell or an indent changed), in some encoding."""
    lines = text.split("\n")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(lines) - 1)))
        kind = draw(st.integers(0, 6))
        line = lines[place] if lines else ""
        if kind == 0:
            lines[place : place + 1] = []
        elif kind == 1:
            lines[place:place] = [line]
        elif kind == 2:
            lines.sort()
        elif kind == 3:
            lines[place : place + 1] = [draw(st.sampled_from(["  ", " ", "\t", "- ", "# "])) + line]
        elif kind == 4:
            cut = draw(st.integers(0, len(line)))
            lines[place : place + 1] = [line[:cut] + draw(st.sampled_from(WORDS)) + line[cut:]]
        elif kind == 5:
            separator = draw(st.sampled_from([",", ":", "\t", " "]))
            cells = line.split(separator)
            cells[draw(st.integers(0, len(cells) - 1))] = draw(st.sampled_from([*WORDS, *map(str, NUMBERS)]))
            lines[place : place + 1] = [separator.join(cells)]
        else:
            lines[place : place + 1] = [line[::-1]]
    encoding = draw(st.sampled_from(["utf-8"] * 5 + ["utf-8-sig", "utf-16", "latin-1", "cp500"]))
    end = draw(st.sampled_from(["\n"] * 4 + ["\r\n", "\r", "\u2028"]))
    return end.join(lines).encode(encoding, errors="replace" if encoding != "utf-8" else "surrogatepass")


@st.composite
def broken_tree(draw: st.DrawFn, tree: Any) -> Any:
    """A JSON value with up to three changes somewhere in it: a part gone, replaced by something odd, or added."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        around, key = None, None
        inside = tree
        while isinstance(inside, dict | list) and inside and (around is None or draw(st.booleans())):
            keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            around, key = inside, keys[draw(st.integers(0, len(keys) - 1))]
            inside = around[key]
        if around is None:
            return draw(ODD)
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del around[key]
        elif kind == 3 and isinstance(around, dict):
            around[draw(st.sampled_from(WORDS))] = draw(ODD)
        else:
            around[key] = draw(ODD)
    return tree


def as_json(tree: Any) -> bytes:
    """JSON as a careless program writes it: with NaN and lone surrogates."""
    return json.dumps(tree).encode()
