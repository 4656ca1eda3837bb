"""CMCD is read as players send it: what can be used is kept, what cannot is told."""

from __future__ import annotations

from typing import Any

import cmcd_samples
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_strategies import records

import config
from models.cmcd.decoding import Decoded, Decoder, payload_of_query
from models.cmcd.encoding import encode, encode_query
from models.cmcd.keys import KEYS, Kind
from models.cmcd.members import split_members
from topics.cmcd import Carriage, CmcdKeys

SETTINGS = config.load({}).settings.cmcd
NOW_MS = 1_795_374_350_000
STEADY = settings(derandomize=True, deadline=None, max_examples=80)


def read(text: str, carriage: Carriage = Carriage.QUERY) -> Decoded:
    return Decoder(SETTINGS).decode(text, carriage, NOW_MS)


def usable(decoded: Decoded) -> dict[str, Any]:
    assert decoded.keys is not None
    return {name: value for name, value in msgspec.to_builtins(decoded.keys).items() if name != "v"}


GOOD = [
    ("su=?0,bl=0", {"su": False, "bl": [(0, "")]}),
    ("su=?1", {"su": True}),
    ("br=5000", {"br": [(5000, "")]}),
    ("br=5000,ot=v", {"br": [(5000, "v")], "ot": "v"}),
    ("br=5000,ot=m", {"br": [(5000, "")], "ot": "m"}),
    ("br=(5000;v 320;a),ot=v", {"br": [(5000, "v"), (320, "a")], "ot": "v"}),
    ("tpb=(1017.636;v)", {"tpb": [(1018, "v")]}),
    ("bl=1999.5", {"bl": [(2000, "")]}),
    ('nor="a.mp4",nrr="0-99"', {"nor": [("a.mp4", "0-99")]}),
    ('nor="..%2Fa.mp4"', {"nor": [("../a.mp4", "")]}),
    ('nor=("..%2Fa.mp4";r="0-9" "b"),v=2', {"nor": [("..%2Fa.mp4", "0-9"), ("b", "")]}),
    ('ec=("E1" "E2"),v=2', {"ec": ["E1", "E2"]}),
    ('ec="E1",v=2', {"ec": ["E1"]}),
    ('cid="a\\"b\\\\c,d(e"', {"cid": 'a"b\\c,d(e'}),
    ('cid="smile 😀"', {"cid": "smile 😀"}),
    ("pr=1.08", {"pr": 1.08}),
    ("com.example-x=abc", {"custom": {"com.example-x": "abc"}}),
    ('com.example-x="a b"', {"custom": {"com.example-x": "a b"}}),
    (" bl=1 , su ", {"bl": [(1, "")], "su": True}),
    ("br=1150,bl=4000,nor=(\"x\"),v=2", {"br": [(1150, "")], "bl": [(4000, "")], "nor": [("x", "")]}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "keys"), GOOD, ids=[text for text, _ in GOOD])
def test_what_is_well_formed_or_can_be_set_right_is_used(text: str, keys: dict[str, Any]) -> None:
    decoded = read(text)

    assert usable(decoded) == keys
    assert decoded.wrong == []


BAD = [
    ("bl=(,su", "bl", "a list without end"),
    ("bl=(1,su", "bl", "a list without end"),
    ('cid="abc,su', "cid", "a quote without end"),
    ('cid="a\0b",su', "cid", "a control character in a string"),
    ("bl=,su", "bl", "no value"),
    ("bl=(),su", "bl", "an empty list"),
    ("br=abc,su", "br", "expected a list of numbers"),
    ('br="5",su', "br", "expected a list of numbers"),
    ("br=0,su", "br", "0 is not within 1 and 1e+06"),
    ("bl=-1,su", "bl", "-1 is not within 0 and 3.6e+06"),
    ("bl=9999999999999999999,su", "bl", "unexpected '9999'"),
    ("ot=zz,su", "ot", "unknown token 'zz'"),
    ('ot="v",su', "ot", "expected a token"),
    ("cid=demo,su", "cid", "expected a string"),
    ("bs=1,su", "bs", "expected a flag"),
    ("bs=?2,su", "bs", "a flag is ?0 or ?1"),
    ("sn=(1 2),su", "sn", "expected a number, not a list"),
    (f'sid="{"s" * 65}",su', "sid", "65 characters exceed 64"),
    (f'cid="{"c" * 129}",su', "cid", "129 characters exceed 128"),
    ("xyz=1,su", "xyz", "unknown key"),
    (f"a-b={'x' * 65},su", "a-b", "65 characters exceed 64"),
    ("a-b=1,su", "a-b", "expected a string or a token"),
    ("su,BL=1", "", "no key"),
    ("su,,", "", "no key"),
    ("rc=200,su", "rc", "not allowed in a request"),
    ("su,v=0", "v", "0 is not within 1 and inf"),
]


@pytest.mark.parametrize(("text", "key", "reason"), BAD, ids=[text[:20] for text, _, _ in BAD])
def test_a_key_that_cannot_be_used_is_left_out_alone_and_told(text: str, key: str, reason: str) -> None:
    decoded = read(text)

    assert usable(decoded) == {"su": True}
    assert decoded.wrong == [(key, reason)]


def test_the_last_of_two_counts() -> None:
    decoded = read("bl=1,bl=2")

    assert usable(decoded) == {"bl": [(2, "")]}
    assert decoded.wrong == [("bl", "told twice; the last counts")]


def test_one_bad_item_of_a_list_leaves_the_others() -> None:
    decoded = read("br=(5000;v fast;a),v=2")

    assert usable(decoded) == {"br": [(5000, "v")]}
    assert decoded.wrong == [("br", "expected a list of numbers")]


@pytest.mark.parametrize("text", ["bl=1,v=3", "v=999", "bl=1,v=3,e=t"])
def test_a_version_that_is_not_understood_drops_the_report(text: str) -> None:
    decoded = read(text)

    assert decoded.keys is None
    assert decoded.wrong[0].key == "v"


@pytest.mark.parametrize("text", ["", " ", "xyz", "v=2", "=", '"', "((((", "\0"])
def test_a_report_of_nothing_is_dropped_and_told(text: str) -> None:
    decoded = read(text)

    assert decoded.keys is None
    assert decoded.wrong[-1] == ("", "nothing in it can be used")


def test_a_report_of_too_many_keys_or_characters_is_refused_whole() -> None:
    many = read(",".join(f"a-{number}=x" for number in range(10_000)))
    long = read(f'cid="{"c" * 20_000}"')
    crowd = read(",".join(f"a-{number}=x" for number in range(201)))

    assert many.keys is long.keys is crowd.keys is None
    assert crowd.wrong == [("", "201 members exceed 200")]
    assert long.wrong == [("", "20006 characters exceed 16384")]


def test_two_reports_glued_together_are_read_as_one_and_told() -> None:
    decoded = read('e=t,sn=1,ts=1795374350000,v=2cid="demo",e=ps,sn=2,sta=p', Carriage.EVENT)

    assert usable(decoded) == {"e": "ps", "sn": 2, "sta": "p", "ts": NOW_MS}
    assert {wrong.key for wrong in decoded.wrong} == {"v", "e", "sn"}


@pytest.mark.parametrize(
    ("ts", "read_ms", "reasons"),
    [
        (NOW_MS - 5_000, NOW_MS - 5_000, []),
        (NOW_MS // 1000 - 5, NOW_MS - 5_000, ["in seconds; taken as such"]),
        (NOW_MS - 86_400_001, None, [f"{NOW_MS - 86_400_001} is too far from its arrival at {NOW_MS}"]),
        (0, None, [f"0 is too far from its arrival at {NOW_MS}"]),
    ],
)
def test_a_players_time_is_taken_where_it_can_be_true(
    ts: int, read_ms: int | None, reasons: list[str]
) -> None:
    decoded = read(f"e=t,ts={ts}", Carriage.EVENT)

    assert decoded.keys is not None
    assert decoded.keys.ts == read_ms
    assert [wrong.reason for wrong in decoded.wrong] == reasons


@pytest.mark.parametrize(
    ("query", "payload", "wrongs"),
    [
        ("CMCD=", "", 0),
        ("CMCD", None, 0),
        ("cmcd=su", None, 0),
        ("a=b", None, 0),
        ("CMCD=su", "su", 0),
        ("CMCD=bl%3D1%2Csu&x=1", "bl=1,su", 0),
        ("CMCD=cid%3D%22a%2Bb+c%22", 'cid="a+b c"', 0),
        ("CMCD=bl%253D1%252Csu", "bl=1,su", 1),
        ("CMCD=bl%3d1", "bl=1", 0),
        ("CMCD=%FF", "\ufffd", 0),
    ],
)
def test_the_payload_of_a_query_is_decoded_once_and_twice_where_it_was_encoded_twice(
    query: str, payload: str | None, wrongs: int
) -> None:
    found, wrong = payload_of_query(query)

    assert (found, len(wrong)) == (payload, wrongs)


def test_headers_are_read_as_one_report_whatever_their_case() -> None:
    found = Decoder(SETTINGS).decode_headers(
        {"cmcd-request": "bl=100", "CMCD-OBJECT": "br=5,ot=a", "Cmcd-Status": "", "Other": "su"}, NOW_MS
    )

    assert found is not None
    assert usable(found) == {"bl": [(100, "a")], "br": [(5, "a")], "ot": "a"}
    assert Decoder(SETTINGS).decode_headers({"Other": "su"}, NOW_MS) is None


def test_a_batch_is_read_line_by_line_and_a_bad_line_leaves_the_others() -> None:
    body = b'e=t,sid="a"\r\n\n  e=ps,sta=p,sid="b"\n\xff\xfe\n' + b"x" * 20_000 + b"\ne=t,v=9\n"

    found = list(Decoder(SETTINGS).decode_lines(body, NOW_MS))

    assert [each.keys and each.keys.sid for each in found] == ["a", "b", None, None, None]
    assert [each.wrong[0].reason for each in found[2:]] == [
        "no UTF-8",
        "20000 bytes exceed 16384",
        "version 9 is not understood",
    ]


def test_the_json_form_of_version_1_is_read() -> None:
    body = b'[{"bl": 2000, "ot": "v", "su": true, "sid": "s", "nor": "a.mp4"}, {"bl": "x"}, 7]'

    first, second, third = Decoder(SETTINGS).decode_json(body, NOW_MS)

    assert usable(first) == {
        "bl": [(2000, "v")],
        "ot": "v",
        "su": True,
        "sid": "s",
        "nor": [("a.mp4", "")],
    }
    assert second.keys is None
    assert third.wrong == [("", "expected a JSON object")]


def test_reports_of_real_players_are_read_as_before() -> None:
    golden = [msgspec.json.decode(line) for line in cmcd_samples.GOLDEN.read_bytes().splitlines()]

    found = [msgspec.json.encode(cmcd_samples.golden_line(sample)) for sample in cmcd_samples.samples()]

    assert [msgspec.json.decode(line) for line in found] == golden


def test_every_report_of_a_real_player_is_usable_and_only_wild_times_are_left_out() -> None:
    decoded = [each for sample in cmcd_samples.samples() for each in cmcd_samples.decode(sample)]

    assert len(decoded) == 123
    assert all(each.keys is not None for each in decoded)
    assert {wrong.key for each in decoded for wrong in each.wrong} == {"ttfb"}


@given(body=st.binary(max_size=400))
@STEADY
def test_no_bytes_whatever_upset_the_decoder(body: bytes) -> None:
    decoder = Decoder(SETTINGS)

    list(decoder.decode_lines(body, NOW_MS))
    list(decoder.decode_json(body, NOW_MS))
    decoder.decode_query(body.decode("latin-1"), NOW_MS)
    decoder.decode_headers({"cmcd-request": body.decode("latin-1")}, NOW_MS)


PIECES = st.sampled_from(
    [*KEYS, "=", ",", '"', "(", ")", ";", " ", "\\", "?1", "5", "-", ".5", "v", "\0", "é"]
)


@given(text=st.lists(PIECES, max_size=30).map("".join))
@STEADY
def test_no_mixture_of_its_own_pieces_upsets_the_decoder(text: str) -> None:
    for carriage in Carriage:
        read(text, carriage)
    list(Decoder(SETTINGS).decode_json(text.encode(), NOW_MS))

    assert ",".join(split_members(text)) in {text, text.removesuffix(",")}


@given(text=st.lists(PIECES, max_size=12).map("".join))
@STEADY
def test_what_a_decoder_remembers_changes_nothing(text: str) -> None:
    decoder = Decoder(SETTINGS)

    assert decoder.decode(text, Carriage.EVENT, NOW_MS) == decoder.decode(text, Carriage.EVENT, NOW_MS)


@st.composite
def reports(draw: st.DrawFn) -> CmcdKeys:
    """Reports that keep the standard."""
    text = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
    values: dict[str, Any] = {}
    for name, key in KEYS.items():
        if name in {"v", "nrr", "ts"} or draw(st.booleans()):
            continue
        most = getattr(SETTINGS.bounds, key.bound) if key.bound else 10**9
        number = st.integers(max(key.least, 0), int(most))
        kind = st.sampled_from(["", "v", "a", "av"])
        strategies = {
            Kind.INTEGER: number,
            Kind.DECIMAL: st.integers(0, 999).map(lambda value: value / 100),
            Kind.FLAG: st.booleans(),
            Kind.STRING: text,
            Kind.TOKEN: st.sampled_from(sorted(key.tokens)) if key.tokens else text,
            Kind.INTEGERS: st.lists(st.tuples(number, kind), min_size=1, max_size=3),
            Kind.STRINGS: st.lists(
                st.tuples(text, st.sampled_from(["", "0-9"])) if name == "nor" else text,
                min_size=1,
                max_size=3,
            ),
        }
        values[name] = draw(strategies[key.kind])
    if values.get("ot") in {"a", "v", "av", "tt", "c"}:
        for name, key in KEYS.items():
            if key.names_type and name in values:
                values[name] = [(figure, kind or values["ot"]) for figure, kind in values[name]]
    custom = draw(st.dictionaries(st.sampled_from(["com.example-x", "a-b"]), text, max_size=2))
    return CmcdKeys(v=2, ts=NOW_MS, custom=custom, **values)


@given(keys=reports())
@STEADY
def test_what_is_encoded_is_read_as_it_was(keys: CmcdKeys) -> None:
    decoded = read(encode(keys), Carriage.EVENT)

    assert decoded == Decoded(keys, [])


@given(keys=reports())
@STEADY
def test_a_query_carries_what_a_request_may_say(keys: CmcdKeys) -> None:
    query = encode_query(keys)
    found = Decoder(SETTINGS).decode_query(f"a=1&{query}&b=2", NOW_MS)

    assert found is not None
    events = {name for name, key in KEYS.items() if key.event_only}
    assert {wrong.key for wrong in found.wrong if wrong.key} <= events


@given(keys=records(CmcdKeys))
@STEADY
def test_what_no_player_should_say_is_written_without_upset(keys: CmcdKeys) -> None:
    read(encode(keys), Carriage.EVENT)
