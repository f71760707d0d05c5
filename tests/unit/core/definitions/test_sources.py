"""Sources in a definitions file: what each mistake is told, and that a meaning is no spelling."""

from __future__ import annotations

import pytest

from segstream.core.definitions import find_mistakes, read_definitions
from segstream.core.difference import differences

SURVEYS = "{type: track, event: Answered, user: who.id}"


def mistakes_of(source: str) -> list[tuple[int, str]]:
    """Return column and message of what is wrong with a source, which begins in column 6."""
    found = find_mistakes(f"version: 1\nsources:\n  crm: {source}\n", "shop.yaml")
    return [(mistake.column, mistake.message) for mistake in found]


# (the source as written, column that the caret shows, message)
MISTAKES = [
    # --- paths
    (
        "{type: identify, user: customer-id}",
        39,
        (
            "user: '-' was not expected here; a key with other signs than a to z, 0 to 9 and _ needs double quotes, for "
            "instance '\"customer-id\"'"
        ),
    ),
    (
        "{type: identify, user: $.customer.id}",
        31,
        "user: '$' was not expected here; a path begins with the first key: address.country, not $.address.country",
    ),
    (
        "{type: identify, user: customer/id}",
        39,
        "user: '/' was not expected here; keys are joined by dots: address.country",
    ),
    (
        "{type: identify, user: customer id}",
        40,
        "user: 'id' was not expected here; a key with a blank needs double quotes, for instance '\"customer id\"'",
    ),
    (
        "{type: identify, user: kundennümmer}",
        38,
        (
            "user: 'ü' was not expected here; a key with other signs than a to z, 0 to 9 and _ needs double quotes, for "
            "instance '\"customer-id\"'"
        ),
    ),
    ("{type: identify, user: customer.}", 40, "user: the path ends too early: something is missing"),
    (
        "{type: identify, user: \"customer['id']\"}",
        41,
        "user: a key comes after a dot: write customer.id",
    ),
    ('{type: identify, user: "name == \'ada"}', 40, "user: this quote is never closed"),
    (
        "{type: identify, user: \"a = 'b'\"}",
        34,
        "user: '=' was not expected here; to compare, write ==",
    ),
    (
        "{type: identify, user: price + tax}",
        37,
        "user: '+' was not expected here; there is no arithmetic here; send the value as it is to count",
    ),
    (
        '{type: identify, user: "lenght(id)"}',
        32,
        "user: there is no function lenght(); did you mean length()?",
    ),
    (
        '{type: identify, user: "concat(a, b)"}',
        32,
        "user: there is no function concat(); did you mean join()?",
    ),
    ('{type: identify, user: "length(a, b)"}', 32, "user: length() takes 1 value, not 2"),
    ('{type: identify, user: "not_null()"}', 32, "user: not_null() takes 1 value or more, not 0"),
    (
        "{type: identify, user: id, traits: {plan: 5}}",
        50,
        "plan: write where it is, or for a constant plan: '`5`'",
    ),
    (
        "{type: identify, user: id, traits: {address: {city: a.city}}}",
        53,
        'address: there is one level of fields; for an object write "{city: a.city}" in quotes',
    ),
    (
        "{type: identify, user: [id, key]}",
        31,
        "user: write one path; of several, the first that is there: a || b",
    ),
    (
        "{type: identify, user: \"'everybody'\"}",
        31,
        "user: 'everybody' is the same for everybody; write where the id is",
    ),
    (
        "{type: identify, user: '" + "[@, @] | " * 6 + "[@, @]'}",
        32,
        "user: the path repeats parts of the document more than 64 times",
    ),
    (
        "{type: identify, user: '" + "(" * 60 + "a" + ")" * 60 + "'}",
        None,
        None,
    ),
    (
        "{type: identify, user: '" + "!" * 60 + "a'}",
        32,
        "user: the path is nested too deeply; at most 40 levels",
    ),
    (
        "{type: identify, user: id, traits: {tags: 'join(sep, tags)'}}",
        51,
        "tags: join() takes a text as it stands as value 1, such as ', '; never a path",
    ),
    (
        "{type: identify, user: id, traits: {tags: 'join(`5`, tags)'}}",
        51,
        "tags: join() takes a text as it stands as value 1, such as ', '; never a path",
    ),
    (
        "{type: identify, user: id, traits: {n: 'a && &b'}}",
        53,
        "n: & stands only where a function takes an expression, as in sort_by(items, &price)",
    ),
    (
        "{type: identify, user: id, traits: {n: '&a'}}",
        48,
        "n: & stands only where a function takes an expression, as in sort_by(items, &price)",
    ),
    (
        "{type: identify, user: id, traits: {n: 'to_string(&a)'}}",
        58,
        "n: & stands only where a function takes an expression, as in sort_by(items, &price)",
    ),
    (
        "{type: identify, user: id, traits: {n: 'sort_by(items, price)'}}",
        48,
        "n: sort_by() takes an expression, such as &price, as value 2",
    ),
    (
        "{type: identify, user: id, message_id: \"'x'\"}",
        47,
        (
            "message_id: 'x' is the same for every document, so all but the first of a user would be dropped as repeats; "
            "write where the id is"
        ),
    ),
    ("{type: identify, user: ''}", 31, "user must not be empty"),
    ("{type: identify, user: " + "a" * 501 + "}", 31, "user is too long; at most 500 characters are allowed"),
    # --- what a source is
    ("{}", 3, "the source 'crm' says nothing; give it a type and a user, or keyed: false"),
    ("{topic: rows}", 3, "the source 'crm' says nothing; give it a type and a user, or keyed: false"),
    ("crm-rows", 8, "the source 'crm' must be a mapping, key: value; a source begins with type:"),
    ("{type: identify}", 3, "the source 'crm' needs user, for instance user: customer.id"),
    ("{type: track, user: id}", 3, "the source 'crm' needs event, for instance event: Survey Answered"),
    ("{user: id}", 9, "user needs type: without it the documents of a source are events already"),
    (
        "{type: survey, user: id}",
        15,
        "unknown type 'survey'; known are identify, track, page, screen, group, alias",
    ),
    (
        "{type: track, user: id, event: A, event_from: kind}",
        42,
        "event and event_from exclude each other; keep one",
    ),
    ("{type: page, user: id, event: A}", 31, "event is not for type: page; write name"),
    ("{type: identify, user: id, name: A}", 35, "name is not for type: identify; they have no names"),
    (
        "{type: track, event: A, user: id, traits: {country: c}}",
        42,
        "traits are not for type: track; write properties",
    ),
    (
        "{type: identify, user: id, properties: {country: c}}",
        35,
        "properties are not for type: identify; write traits",
    ),
    (
        "{type: identify, user: id, timestamp_unit: s}",
        35,
        "timestamp_unit needs timestamp: where the time is",
    ),
    (
        "{type: identify, user: id, timestamp: t, timestamp_unit: seconds}",
        65,
        "unknown timestamp_unit 'seconds'; did you mean 's'?",
    ),
    ("{type: identify, user: id, keyed: 'no'}", 42, "keyed must be true or false, not 'no'"),
    (
        "{type: identify, user_id: id}",
        25,
        "unknown key 'user_id' in the source 'crm'; did you mean 'user'?",
    ),
    (
        "{topic: crm rows, keyed: false}",
        16,
        "topic: 'crm rows' is no topic of Kafka: letters, digits, . _ and -, at most 249",
    ),
    (
        "{type: identify, user: id, traits: {home town: t}}",
        44,
        "'home town' cannot be the name of a field: no dots, blanks or brackets, at most 64 signs",
    ),
]


@pytest.mark.parametrize(
    ("source", "column", "message"), MISTAKES, ids=[message or source for source, _, message in MISTAKES]
)
def test_a_mistake_is_told_at_its_place(source: str, column: int | None, message: str | None) -> None:
    """One line that says what to write; the caret stands under what is meant."""
    assert mistakes_of(source) == ([] if message is None else [(column, message)])


def test_a_topic_has_one_source() -> None:
    """Whether named by a source's own name or by its key: two could not both be right."""
    text = f"version: 1\nsources:\n  surveys: {SURVEYS}\n  others: {{topic: surveys, keyed: false}}\n"
    (mistake,) = find_mistakes(text, "shop.yaml")
    assert str(mistake) == (
        "shop.yaml:4:19: the topic 'surveys' has the source 'surveys' already; it can have one"
    )


def test_mistakes_of_sources_do_not_hide_those_of_segments() -> None:
    """All are told in one go."""
    text = "version: 1\nsources: {crm: {user: id}}\nsegments: {big: {when: orders > 3}}\n"
    assert [mistake.line for mistake in find_mistakes(text, "shop.yaml")] == [2, 3]


def test_how_paths_are_spaced_means_nothing_and_what_they_say_does() -> None:
    """So the same definitions, written anew, are no new version; another path is, and a source that goes too."""

    def text(source: str) -> str:
        return f"version: 1\nsources: {{crm: {source}}}\nfeatures: {{n: {{op: count}}}}\n"

    one = "{type: identify, user: \"join('-', [shop, id])\", traits: {country: address . country}}"
    same = "{traits: {country: address.country}, user: \"join( '-',[shop,id] )\", type: identify, topic: crm}"
    other = one.replace("shop", "store")
    definitions = [read_definitions(text(source)) for source in (one, same, other)]
    plain = read_definitions("version: 1\nfeatures: {n: {op: count}}\n")
    assert definitions[0].content_hash == definitions[1].content_hash != definitions[2].content_hash
    assert differences(definitions[0], definitions[1]) == []
    (changed,) = differences(definitions[0], definitions[2])
    assert (changed.section, changed.name, changed.change) == ("source", "crm", "changed")
    (removed,) = differences(definitions[0], plain)
    assert (removed.section, removed.name, removed.change) == ("source", "crm", "removed")
    (added,) = differences(plain, definitions[0])
    assert (added.change, added.after) == (
        "added",
        "{type: identify, user: join('-', [shop, id]), traits: {country: address . country}}",
    )
    # What a feature has counted before its source was described otherwise stays.
    assert {feature.fingerprint for feature in definitions[0].features} == {
        feature.fingerprint for feature in plain.features
    }


def test_a_source_for_a_topic_that_nobody_reads_is_told() -> None:
    """Which topics are read is a setting, so a file alone cannot tell."""
    definitions = read_definitions(f"version: 1\nsources: {{surveys: {SURVEYS}, events: {{keyed: false}}}}\n")
    assert definitions.unread(("events", "surveys")) == []
    assert definitions.unread(("events", "crm")) == [
        (
            "the source 'surveys' is for the topic surveys, which no worker reads: add it to SEGSTREAM_TOPICS, which has "
            "events, crm"
        )
    ]
