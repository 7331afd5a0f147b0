"""The architecture text: what it means, what is refused, and that it is the unit of identity."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from attentune.errors import MAX_SHOWN_LENGTH, ArchitectureError
from attentune.spaces.architecture import (
    ALL,
    MAX_INSERTIONS,
    MAX_TEXT_LENGTH,
    POSITIONS,
    Architecture,
    Insertion,
    Place,
    merge_places,
    parse,
    parse_recorded,
)
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.entry import Option
from chaos.hostile_architectures import ARCHITECTURES
from chaos.hostile_texts import forbidden_in
from hypothesis import given, settings
from hypothesis import strategies as st

# --- every architecture ---------------------------------------------------------------------------


def values(option: Option) -> st.SearchStrategy:
    if option.choices:
        return st.sampled_from(option.choices)
    if isinstance(option.default, bool):
        return st.booleans()
    numbers = st.integers(option.low or 0, 99)
    if option.odd:
        numbers = numbers.filter(lambda n: n % 2)
    return numbers | st.just("auto") if option.default == "auto" else numbers


def places() -> st.SearchStrategy[Place]:
    number = st.integers(1, 12)
    ranges = st.tuples(number, number).map(lambda pair: Place(min(pair), max(pair)))
    blocks = st.builds(lambda stage, block: Place(stage, stage, block), number, number)
    return st.just(ALL) | ranges | blocks


@st.composite
def insertions(draw: st.DrawFn) -> Insertion:
    name = draw(st.sampled_from(sorted(ATTENTIONS)))
    chosen = draw(st.sets(st.sampled_from([o.name for o in ATTENTIONS[name].options])))
    options = {key: draw(values(ATTENTIONS[name].option(key))) for key in sorted(chosen)}
    where = draw(st.lists(places(), min_size=1, max_size=4))
    return Insertion.of(name, draw(st.sampled_from(POSITIONS)), where, **options)


def architectures() -> st.SearchStrategy[Architecture]:
    backbones = st.from_regex(r"[a-z][a-z0-9_]{0,20}(\.[a-z0-9_]+)?", fullmatch=True)
    removed = st.lists(places(), max_size=4).map(merge_places)
    return st.builds(
        Architecture, backbones, st.lists(insertions(), max_size=4).map(tuple), removed
    )


@given(architectures())
@settings(max_examples=300, deadline=None)
def test_text_of_every_architecture_means_the_architecture(architecture):
    text = str(architecture)
    assert parse(text) == architecture
    assert str(parse(text)) == text
    assert parse(text).key == architecture.key


@given(architectures())
@settings(max_examples=300, deadline=None)
def test_recorded_text_says_the_same_without_the_catalogue(architecture):
    found = parse_recorded(str(architecture))
    assert (str(found), found.key, found.bare) == (
        str(architecture),
        architecture.key,
        architecture.bare,
    )
    parts = [(i.attention, i.places, i.position) for i in architecture.insertions]
    assert [(i.attention, i.places, i.position) for i in found.insertions] == parts
    assert found.removed == architecture.removed


@given(architectures(), st.sampled_from(["+", "@", "(", ")", ",", ".", "=", " ", "§", "s0", "x"]))
@settings(max_examples=300, deadline=None)
def test_damaged_text_is_read_or_refused_with_a_caret_inside_the_text(architecture, noise):
    text = str(architecture)
    damaged = text[: len(text) // 2] + noise + text[len(text) // 2 :]
    for reading in (parse, parse_recorded):
        try:
            again = reading(damaged)
        except ArchitectureError as error:
            refusal = error
        else:
            assert reading(str(again)) == again
            continue
        assert refusal.text == damaged
        assert 0 <= refusal.offset <= len(damaged)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_as_an_architecture_error(text):
    try:
        architecture = parse(text)
    except ArchitectureError:
        return
    assert parse(str(architecture)) == architecture


# --- what texts mean ------------------------------------------------------------------------------

EXAMPLES = [
    "resnet18",
    "resnet50+se(r=16)@all.residual",
    "mobilenetv2_100+ca(r=32)@all.mid",
    "resnet18+cbam(r=8)@s3-s4.post+eca@s2b1.mid",
    "resnet18+se(r=16,start=identity)@all.residual",
    "efficientnet_b0(attention=none)+eca@all.mid",
    "efficientnet_b0(attention=none@s1b2,s3-s4,s6)+eca@s3-s4.mid",
    "resnet50.a1_in1k+nl(r=2)@s3b2,s3b4.post",
    "resnet18+cbam(r=16,k=3,bias=true,start=identity)@s1.stage",
    "my_module:make_model+se(r=4)@{neck}.post",
    "../models/my-net.py:make_model+eca@all.post",
    "/models/net.py:make_model",
]


@pytest.mark.parametrize(
    "text",
    [
        "resnet18+wave(r=4,gain=0.5,mode=sum,joined=true)@s3-s4.residual",  # not registered
        "resnet18+se(r=16,novel=1e-05)@all.residual",  # an option of another version
        "resnet18+wave(gain=1e20,shift=-3,odd=007,not=nan,at=inf)@s1.mid",
    ],
)
def test_recorded_text_needs_nothing_that_it_names(text):
    assert str(parse_recorded(text)) == text
    with pytest.raises(ArchitectureError, match=r"unknown attention|has no option"):
        parse(text)


def test_a_file_in_the_current_folder_has_one_name():
    assert str(parse(".//./net.py:make+eca@all.post")) == "net.py:make+eca@all.post"


def test_recorded_options_are_what_they_look_like():
    text = "resnet18+wave(a=4,b=-1,c=0.5,d=true,e=sum,f=007,g=nan)@all.mid"
    (insertion,) = parse_recorded(text).insertions
    values = (4, -1, 0.5, True, "sum", "007", "nan")
    assert insertion.options == tuple(zip("abcdefg", values, strict=True))


@pytest.mark.parametrize("text", EXAMPLES)
def test_recorded_text_of_the_catalogue_is_the_parsed_architecture(text):
    assert parse_recorded(text) == parse(text)


@pytest.mark.parametrize("text", EXAMPLES)
def test_regular_text_stays_as_it_is(text):
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "regular"),
    [
        ("resnet18+cbam(r=8,k=7)@s3-s4.post", "resnet18+cbam(r=8)@s3-s4.post"),
        ("resnet18+se@all.residual", "resnet18+se(r=16)@all.residual"),
        ("resnet18+se(start=paper,bias=false,r=4)@all.pre", "resnet18+se(r=4)@all.pre"),
        ("resnet18+se(start=identity,r=4)@s1.mid", "resnet18+se(r=4,start=identity)@s1.mid"),
        ("resnet18+eca(k=auto)@s1.mid", "resnet18+eca@s1.mid"),
        ("resnet18+eca@s2,s1,s3.mid", "resnet18+eca@s1-s3.mid"),
        ("resnet18+eca@s4,s1-s2,s2b1.mid", "resnet18+eca@s1-s2,s4.mid"),
        ("resnet18+eca@s1,all.mid", "resnet18+eca@all.mid"),
        ("resnet18+eca@s2-s2.mid", "resnet18+eca@s2.mid"),
        ("resnet18+eca@s2b2,s2b1,s2b2.mid", "resnet18+eca@s2b1,s2b2.mid"),
        ("resnet18+eca@s1b10,s1b9.mid", "resnet18+eca@s1b9,s1b10.mid"),
        (" resnet18 + se ( r = 4 ) @ s1 , s2 . mid ", "resnet18+se(r=4)@s1-s2.mid"),
        ("resnet18+se(r=016)@s01.mid", "resnet18+se(r=16)@s1.mid"),
        (
            "r18( attention = none @ s2 , s1b3,s1 )+eca@s1.mid",
            "r18(attention=none@s1-s2)+eca@s1.mid",
        ),
        ("r18(attention=none@all)", "r18(attention=none)"),
        ("r18(attention=none@s3,all)", "r18(attention=none)"),
    ],
)
def test_text_is_made_regular(text, regular):
    assert str(parse(text)) == regular
    assert parse(text) == parse(regular)
    assert parse(text).key == parse(regular).key


def test_parts_are_what_the_text_says():
    architecture = parse("efficientnet_b0(attention=none)+cbam(r=8,k=5)@s1,s3b2.post")
    assert architecture == Architecture(
        "efficientnet_b0",
        (Insertion.of("cbam", "post", [Place(1, 1), Place(3, 3, 2)], r=8, k=5),),
        removed=(ALL,),
    )
    (insertion,) = architecture.insertions
    assert insertion.settings == {"r": 8, "k": 5, "bias": False, "start": "paper"}
    assert not architecture.bare
    assert not parse("efficientnet_b0(attention=none@s3)").bare
    assert parse("resnet18").bare


def test_the_changes_begin_with_the_removal():
    removal, insertion = parse("r18(attention=none@s2-s3)+eca@s1.mid").changes
    assert (removal.attention, removal.position) == ("own removed", "own")
    assert removal.places == (Place(2, 3),)
    assert parse("r18+eca@s1.mid").changes == (insertion,)


@pytest.mark.parametrize("text", EXAMPLES)
def test_key_is_the_first_twelve_hex_digits_of_sha256(text):
    key = parse(text).key
    assert key == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_keys_of_a_bare_backbone_never_change():
    assert parse("resnet18").key == "552760e5d559"


def test_order_of_insertions_is_part_of_the_architecture():
    one, other = parse("r18+se@s1.mid+eca@s1.mid"), parse("r18+eca@s1.mid+se@s1.mid")
    assert one != other
    assert one.key != other.key


@pytest.mark.parametrize(
    ("place", "stage", "block", "covered"),
    [
        ("all", 3, 2, True),
        ("s3", 3, 2, True),
        ("s3", 2, 2, False),
        ("s2-s4", 3, 9, True),
        ("s2-s4", 5, 1, False),
        ("s3b2", 3, 2, True),
        ("s3b2", 3, 1, False),
    ],
)
def test_place_covers_its_blocks_and_no_others(place, stage, block, covered):
    (insertion,) = parse(f"r18+eca@{place}.mid").insertions
    assert insertion.places[0].covers(stage, block) is covered


@given(st.lists(places(), min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_merging_places_keeps_the_blocks_and_their_order_does_not_matter(given_places):
    merged = merge_places(given_places)
    assert merge_places(reversed(given_places)) == merged == merge_places(merged)
    for stage in range(1, 14):
        for block in range(1, 14):
            before = any(place.covers(stage, block) for place in given_places)
            assert any(place.covers(stage, block) for place in merged) is before


# --- what is refused ------------------------------------------------------------------------------

WRONG = [
    # text, offset of the caret, words of the message
    ("", None, "starts with a backbone"),
    ("   ", None, "starts with a backbone"),
    ("+se@all.mid", 0, "the name of a timm backbone"),
    ("resnet18 resnet34", 9, "expected '+' and another insertion"),
    ("resnet18+", 9, "the name of an attention"),
    ("resnet18+ecca@all.mid", 9, "unknown attention 'ecca'; did you mean 'eca'"),
    ("resnet18+cbm@all.mid", 9, "did you mean 'cbam'"),
    ("resnet18+qqqq@all.mid", 9, "known: a2, bam, ca, cbam, channel, eca, "),
    ("resnet18+none@all.mid", 9, "unknown attention 'none'"),
    ("resnet18+se(k=3)@all.mid", 12, "se has no option 'k'"),
    ("resnet18+se(bais=true)@all.mid", 12, "did you mean 'bias'"),
    ("resnet18+se(r=0)@all.mid", 14, "r cannot be '0'; legal: whole number ≥ 1"),
    ("resnet18+se(r=-4)@all.mid", 14, "r cannot be '-4'"),
    ("resnet18+se(r=4.5)@all.mid", 14, "r cannot be '4.5'"),
    ("resnet18+se(r=four)@all.mid", 14, "r cannot be 'four'"),
    ("resnet18+se(r=4,r=8)@all.mid", 16, "r is given twice"),
    ("resnet18+se(r=4@all.mid", 15, "or ')' after an option"),
    ("resnet18+se()@all.mid", 12, "an option, as in (r=16)"),
    ("resnet18+se(r)@all.mid", 13, "expected '=' after r"),
    ("resnet18+se(r=)@all.mid", 14, "a value for r"),
    ("resnet18+se(start=warm)@all.mid", 18, "start cannot be 'warm'; legal: paper or identity"),
    ("resnet18+cbam(k=4)@all.mid", 16, "k cannot be '4'; legal: odd whole number ≥ 3"),
    ("resnet18+eca", 12, "a place after eca, as in eca@all.residual"),
    ("resnet18+eca@", 13, "a place: all, s3, s2-s4 or s3b2"),
    ("resnet18+eca@stage1.mid", 13, "a place: all, s3, s2-s4 or s3b2"),
    ("resnet18+eca@s0.mid", 13, "counted from 1"),
    ("resnet18+eca@s1b0.mid", 13, "counted from 1"),
    ("resnet18+eca@s4-s2.mid", 13, "s4-s2 runs backwards; write s2-s4"),
    ("resnet18+eca@s1", 15, "a position after the place"),
    ("resnet18+eca@s1.", 16, "a position: residual, mid"),
    ("resnet18+eca@s1.residuel", 16, "unknown position 'residuel'; did you mean 'residual'?"),
    ("resnet18+eca@s1,.mid", 16, "a place: all"),
    ("resnet18(attn=none)", 9, "the only setting of a backbone is attention=none"),
    ("resnet18(attention=se)", 19, "attention can only be none"),
    ("resnet18(attention=none", 23, "expected ')'"),
    ("resnet18(attention=none@", 24, "a place: all, s3, s2-s4 or s3b2"),
    ("resnet18(attention=none@s4-s3)", 24, "s4-s3 runs backwards; write s3-s4"),
    ("resnet18(attention=none@s3", 26, "expected ')'"),
    ("resnet18(attention=none@s3.mid)", 26, "expected ')'"),
    ("resnet18(attention=none@{layer1})", 24, "is removed by stage or block, as s3 or s3b2"),
    ("resnet18+eca@s1.mid)", 19, "expected '+'"),
]


@pytest.mark.parametrize(("text", "offset", "words"), WRONG, ids=[repr(w[0]) for w in WRONG])
def test_wrong_text_says_what_where_and_what_would_be_right(text, offset, words):
    with pytest.raises(ArchitectureError) as caught:
        parse(text)
    message = str(caught.value)
    assert words in message
    if offset is not None:
        shown, caret = message.splitlines()[-2:]
        assert shown == f"  {text}"
        assert caret == f"  {' ' * offset}^"


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("ecca", "mid"), {}, "did you mean 'eca'"),
        (("se", "middle"), {}, "unknown position 'middle'"),
        (("se", "mid"), {"k": 3}, "se has no option 'k'"),
        (("se", "mid"), {"r": 0}, "r cannot be '0'"),
        (("se", "mid"), {"r": 2.5}, "r cannot be '2.5'"),
        (("se", "mid"), {"bias": 1}, "bias cannot be '1'; legal: true or false"),
        (("cbam", "mid"), {"k": 4}, "k cannot be '4'; legal: odd"),
    ],
)
def test_wrong_insertion_is_refused_as_a_value_too(arguments, options, words):
    with pytest.raises(ArchitectureError, match=words):
        Insertion.of(*arguments, **options)


def test_values_are_frozen():
    architecture = parse("resnet18+eca@s1.mid")
    with pytest.raises(AttributeError):
        architecture.backbone = "resnet34"  # type: ignore[misc]
    assert len({architecture, parse("resnet18+eca@s1-s1.mid")}) == 1


@pytest.mark.parametrize("text", ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.parametrize("read", [parse, parse_recorded])
def test_a_hostile_text_is_parsed_or_refused_in_a_few_short_lines(read, text):
    try:
        architecture = read(text)
    except ArchitectureError as error:
        message = str(error)
    else:
        assert len(architecture.insertions) <= MAX_INSERTIONS
        assert len(str(architecture)) <= 2 * MAX_TEXT_LENGTH
        return
    assert len(message) < 2 * MAX_TEXT_LENGTH
    if "\n" in message:
        *_, shown, caret = message.splitlines()
        assert len(shown) <= len(caret) + 4 * MAX_SHOWN_LENGTH
        assert not forbidden_in(shown)


def test_the_caret_stays_under_its_character_in_a_long_text():
    text = "resnet18" + "+se@all.residual" * 200 + "+se@all.residuel" + "+se@all.residual" * 40
    with pytest.raises(ArchitectureError) as caught:
        parse(text)
    shown, caret = str(caught.value).splitlines()[-2:]
    assert shown[len(caret) - 1 :].startswith("residuel+se")
    assert shown.endswith("…")
    assert len(shown) < 500


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4), st.integers(0, 3))))
def test_merged_places_cover_the_same_blocks(numbers):
    places = [Place(a, a, block) if block else Place(a, a + more) for a, more, block in numbers]
    merged = merge_places(places)
    for stage in range(1, 15):
        for block in range(1, 5):
            covered = any(place.covers(stage, block) for place in places)
            assert covered == any(place.covers(stage, block) for place in merged)
    assert len(merged) <= len(set(places))
    assert list(merged) == sorted(merged)
    ends = [place for place in merged if not place.block]
    assert all(b.first > a.last + 1 for a, b in itertools.pairwise(ends))
