"""Mistakes in a definitions file, each with what its author is told."""

from __future__ import annotations

import time
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstream.core.definitions import find_mistakes, read_definitions
from segstream.errors import DefinitionError

FEATURES = """\
version: 1
features:
  orders: {op: count}
  revenue: {op: sum, of: properties.revenue}
  last_order: {op: last_time}
  first_order: {op: first_time}
  visits_7d: {op: count, window: 7d}
  visit_rate: {op: rate, half_life: 7d}
  plan: {op: last, of: properties.plan}
traits: {country: text, age: number, newsletter: boolean, born: time}
segments:
  big: {when: orders > 30}
"""

# (the condition of a segment as written in YAML, column in it that the caret shows, message)
CONDITIONS = [
    ("orderz >= 3", 1, "unknown name 'orderz'; did you mean 'orders'?"),
    ("country == 'NO'", 1, "unknown name 'country'; did you mean 'traits.country'?"),
    ("traits.country == NO", 19, "unknown name 'NO'; a text needs quotes: 'NO'"),
    ("x > 1", 1, "unknown name 'x'; known are first_order, last_order, orders, plan, revenue, traits.age, …"),
    ("big or orders > 3", 1, "'big' is a segment; write in_segment('big')"),
    ("orders = 3", 8, "'=' was not expected here; to compare, write =="),
    ("orders <> 3", 9, "'>' was not expected here; to compare, write !="),
    ("orders is 3", 8, "'is' was not expected here; to compare, write =="),
    ("orders ≥ 3", 8, "'≥' was not expected here; write >="),
    ("orders > 3 && revenue > 3", 12, "'&' was not expected here; write and"),
    ("orders > 3 AND revenue > 5", 12, "'AND' was not expected here; write and in small letters"),
    ("'orders >= 1,000'", 13, "',' was not expected here; write numbers without commas: 1000"),
    ("revenue > $500", 11, "'$' was not expected here; amounts are plain numbers: 500"),
    ("orders >= .5", 11, "'.' was not expected here; write 0.5, not .5"),
    ("orders > 3 3", 12, "'3' was not expected here"),
    ("orders between 1 and 3", 8, "'between' was not expected here; write x >= 1 and x <= 5"),
    ("traits.country == “NO”", 19, "'“' was not expected here; use straight quotes: 'text'"),
    ("traits.country == 'NO", 19, "this text has no closing quote"),
    ("orders >= 3 and", 16, "the condition ends too early: something is missing after 'and'"),
    ("(orders >= 3", 13, "the condition ends too early: a closing ) is missing"),
    ("3 < orders < 5", 12, "comparisons cannot be chained; write 3 < orders and orders < 5"),
    ("orders", 1, "orders is a number, not a condition; compare it, for instance orders > 3"),
    ("plan", 1, "plan is a value of any kind, not a condition; compare it, for instance plan == true"),
    (
        "since(last_order)",
        1,
        "since(last_order) is a duration, not a condition; compare it, for instance since(last_order) > 30d",
    ),
    (
        "since(last_order) > 60",
        21,
        "since(last_order) is a duration and 60 is a number; write a unit, for instance 60d",
    ),
    ("60d < orders", 1, "60d is a duration and orders is a number; write a unit, for instance orders * 1d"),
    ("last_order > 60d", 14, "last_order is a time and 60d is a duration; write since(last_order)"),
    (
        "since(orders) > 3d",
        7,
        "since() needs a time and orders is a number; use a feature with op last_time or first_time",
    ),
    (
        "since(last_order) > 2 months",
        21,
        "months is not a unit, its length varies; write days, for instance 30d or 365d",
    ),
    ("since(last_order) > 60 days", 21, "write 60d, without a space and with one letter for the unit"),
    ("since(last_order) > 60days", 21, "write 60d, without a space and with one letter for the unit"),
    ("since(last_order) > 1.5d", 21, "a duration is made of whole numbers: write 36h, not 1.5d"),
    ("since(last_order) > 99999d", 21, "99999d is too long; at most 36500d"),
    (
        "since(last_order) == 60d",
        1,
        "since(last_order) moves all the time and equals a value only for an instant; use <, <=, > or >=",
    ),
    (
        "'visit_rate in [1]'",
        2,
        "visit_rate moves all the time and equals a value only for an instant; use <, <=, > or >=",
    ),
    (
        "visit_rate > visits_7d",
        1,
        "visit_rate > visits_7d compares a decaying rate with a value that moves too; compare each with a number that stands still",
    ),
    (
        "visit_rate + 1 > 3",
        1,
        "visit_rate + 1 adds to a decaying rate; put the rate alone on one side: rate > b - a, not rate + a > b",
    ),
    (
        "3 > revenue / visit_rate",
        15,
        "cannot divide by visit_rate, which moves all the time; multiply instead: a > b * visit_rate, not a / visit_rate > b",
    ),
    (
        "since(last_order) / 1d * visit_rate > 1",
        1,
        "since(last_order) / 1d * visit_rate combines two values that both move all the time; compare them one by one, joined by and",
    ),
    (
        "since(last_order) - since(first_order) > 3d",
        1,
        "the times passed cancel each other out; write last_a - last_b in place of since(last_b) - since(last_a)",
    ),
    (
        "since(last_order) * orders > since(first_order)",
        1,
        "since(last_order) * orders > since(first_order) lets two times pass at speeds that depend on other features; multiply by plain numbers only",
    ),
    (
        "since(last_order) * since(first_order) > 3",
        19,
        "cannot multiply since(last_order) (a duration) and since(first_order) (a duration)",
    ),
    (
        "orders + 7d > 3",
        8,
        "cannot add orders (a number) and 7d (a duration); give the number a unit, for instance 7d",
    ),
    ("orders / 0 > 1", 10, "this divides by zero"),
    ("orders > '3'", 10, "orders is a number and '3' is a text; without quotes it is a number"),
    (
        "traits.newsletter > true",
        1,
        "traits.newsletter is true or false and has no order; compare it with == or !=",
    ),
    (
        "plan > 30d",
        8,
        "plan is a value of any kind and 30d is a duration; say in what unit it was told, for instance plan * 1s",
    ),
    (
        "traits.born > 'yesterday'",
        15,
        "'yesterday' is not a time; write for instance '1997-06-11' or '1997-06-11T12:00:00Z'",
    ),
    (
        "(orders > 3) == true",
        2,
        "(orders > 3) is true or false, not a value; combine conditions with and, or, not",
    ),
    ("'traits.country in []'", 20, "the list is empty; name at least one value"),
    ("'orders in [1, revenue]'", 16, "a list holds plain values only, such as 'DE', 3 or 30d"),
    (
        "count(orders) > 3",
        1,
        "unknown function 'count'; there are since(x), exists(x) and coalesce(x, 0); counts and sums are features",
    ),
    ("sinc(last_order) > 3d", 1, "unknown function 'sinc'; did you mean 'since'?"),
    ("last_order > 2024-01-31", 14, "2024-01-31 is no number; a date needs quotes: '2024-01-31'"),
    ("last_order > 31.01.2024", 14, "31.01.2024 is no number; a date needs quotes: '2024-01-31', year first"),
    (
        "traits.plan == 'pro'",
        1,
        "unknown name 'traits.plan'; declare it under traits, for instance traits: {plan: text}",
    ),
    ("traits.contry == 'NO'", 1, "unknown name 'traits.contry'; did you mean 'traits.country'?"),
    (
        "properties.total > 500",
        1,
        "unknown name 'properties.total'; conditions read features: define one with of: properties.total",
    ),
    ("NOT traits.newsletter", 5, "'traits.newsletter' was not expected here; write not in small letters"),
    ("traits.newsletter == TRUE", 22, "unknown name 'TRUE'; write true in small letters"),
    ("traits.newsletter == yes", 22, "unknown name 'yes'; truth values are true and false"),
    ("orders == yes", 11, "unknown name 'yes'; truth values are true and false"),
    ("orders > 3 || revenue > 3", 12, "'|' was not expected here; write or"),
    ("'!traits.newsletter'", 2, "'!' was not expected here; to negate, write not; to compare, write !="),
    ("traits.country == ‘NO’", 19, "'‘' was not expected here; use straight quotes: 'text'"),  # noqa: RUF001 (the mistake)
    (
        "since(last_order) > 60d ago",
        25,
        "'ago' was not expected here; the time passed is since(x): since(x) > 60d",
    ),
    (
        "last_order < 60",
        14,
        "last_order is a time and 60 is a number; write since(last_order) > 60d, or a date in quotes: '2024-01-31'",
    ),
    ("revenue > 500€", 14, "'€' was not expected here; amounts are plain numbers: 500"),
    ("revenue > 500 EUR", 15, "'EUR' was not expected here; amounts are plain numbers: 500"),
    ("revenue > 10%", 13, "'%' was not expected here; write a fraction: 0.1 for 10 percent"),
    ("revenue > 1 000", 13, "'000' was not expected here; write numbers without separators: 1000"),
    ("revenue > 1.000.000", 16, "'.' was not expected here; write numbers without separators: 1000000"),
    ("orders => 3", 8, "'=' was not expected here; write >="),
    ("orders > 3)", 11, "')' was not expected here; no ( is open; remove it or open one before"),
    ("orders > 3;", 11, "';' was not expected here; a condition is one line without ; at its end"),
    ("orders > 3 and and revenue > 5", 20, "'revenue' was not expected here; one and is enough"),
    ("'>= 3'", 2, "'>=' was not expected here; name what is compared before it"),
    ("more than 3", 6, "'than' was not expected here; write > or <"),
    ("plan == null", 9, "unknown name 'null'; whether a value is known is asked by exists(x)"),
    ("traits.country is not 'NO'", 16, "'is' was not expected here; to compare, write !="),
    (
        "traits.country like 'N%'",
        16,
        "'like' was not expected here; write x contains 'text', x starts_with 'text' or x matches 'pattern'",
    ),
    (
        "traits.country not contains 'N'",
        20,
        "'contains' was not expected here; write not before the whole: not x contains 'text'",
    ),
    (
        "traits.country == 'NO' or 'SE'",
        27,
        "'SE' alone is no condition; compare each value, or list them: x in ['DE', 'NO']",
    ),
    (
        "'traits.country in (''NO'')'",
        20,
        "'(' was not expected here; a list stands after in, in square brackets: x in ['DE', 'NO']",
    ),
    ("exists traits.country", 8, "'traits.country' was not expected here; write exists(traits.country)"),
    ("exists(visit_rate)", 8, "visit_rate is a rate and always known, 0 before the first event; compare it"),
    ("exists(orders / 2)", 8, "exists() takes the name of a feature or trait, not orders / 2"),
    ("coalesce(orders) > 3", 1, "coalesce() takes a value and what stands in for it, not 1 value"),
    ("'coalesce(3, orders) > 3'", 11, "3 is always known; name a feature or trait first"),
    (
        "'coalesce(since(last_order) * 2, 1d) > 3d'",
        11,
        "since(last_order) * 2 moves all the time; in coalesce() only since(x) may: compute with coalesce(...), not in it",
    ),
    ("orders contains '3'", 1, "orders is a number and contains takes texts; compare it with == or <"),
    ("traits.country contains 3", 25, "3 is a number and contains takes texts; in quotes it is a text: '3'"),
    (
        "traits.country matches '(N'",
        24,
        "'(N' is not a pattern: missing ); close the (, or write \\( for the character",
    ),
    (
        "traits.country matches '(?=N)'",
        24,
        "'(?=N)' is not a pattern: invalid perl operator; look-ahead and look-behind are not possible",
    ),
    (f"traits.country matches '{'a' * 201}'", 24, "the pattern has 201 characters; at most 200 are allowed"),
    ("traits.country matches plan", 24, "a pattern is a text in quotes, for instance '^pro'"),
    ("now() - last_order > 60d", 1, "unknown function 'now'; the time passed is since(x): since(x) > 60d"),
    (
        "lower(traits.country) == 'no'",
        1,
        "unknown function 'lower'; texts are compared as they are; for any case write x matches '(?i)^vip$'",
    ),
    (
        "since(last_order)\u00a0> 60\u00a0days",
        21,
        "write 60d, without a space and with one letter for the unit",
    ),
    ("orders\u200b > 3", 7, "'\\u200b' was not expected here; it is invisible; delete it"),
    ("orders – 1 > 3", 8, "'–' was not expected here; for minus, write -"),  # noqa: RUF001 (the mistake)
    ("orders > 3 and 'x", 16, "this text has no closing quote"),
    ("'orders in [1'", 14, "the condition ends too early: a closing ] is missing"),
    ("''", 2, "the condition is empty; write for instance orders >= 3"),
]

# (whole file, its mistakes)
FILES = [
    ("", ["f.yaml:1:1: the file is empty; begin with version: 1"]),
    ("features: {}", ["f.yaml:1:1: the file needs 'version'"]),
    ("version: 2", ["f.yaml:1:10: version must be 1, not 2"]),
    ("- a", ["f.yaml:1:1: the file must be a mapping, key: value"]),
    ("version: 1\nsegmnts: {}", ["f.yaml:2:1: unknown key 'segmnts' in the file; did you mean 'segments'?"]),
    ("version: 1\nfeatures: [a]", ["f.yaml:2:11: features must be a mapping, key: value"]),
    (
        "version: 1\nfeatures: {a: {op: count}, a: {op: count}}",
        ["f.yaml:2:28: 'a' is already defined in line 2; give it another name or remove one"],
    ),
    (
        "version: 1\nfeatures: {a: {op: count",
        [
            "f.yaml:2:25: not valid YAML: expected ',' or '}', but got '<stream end>'; a condition with [ ] { } , or : needs quotes"
        ],
    ),
    (
        "version: 1\nfeatures:\n  a   {op: count, event: A}",
        ["f.yaml:3:4: not valid YAML: write a : after a"],
    ),
    (
        "version: 1\nfeatures:\n  a   {op: count}",
        ["f.yaml:3:3: 'a   {op' is not a name; write a : before the {"],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count}\n\u00a0 b: {op: count}\n  c: {op: count}",
        [
            "f.yaml:4:1: not valid YAML: this line begins with U+00A0, not with a blank, as in a copied text; type the blanks anew"
        ],
    ),
    (
        "version: 1\nsegments:\n  s:\n    description: |\n      \u3000a text\n    when: 'a > 1\nfeatures: {}",
        ["f.yaml:6:11: not valid YAML: found unexpected end of stream; this quote is never closed"],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count}\n\u00a0 b: {op: count}\n  c: {op: count}\n  d: {op: count",
        [
            "f.yaml:4:1: not valid YAML: this line begins with U+00A0, not with a blank, as in a copied text; type the blanks anew"
        ],
    ),
    (
        "version: 1\nfeatures:\n  \u00a0a: {op: count}\n  b: {op:count}\n  c: {op: count, <<: {window: 3d}}",
        [
            "f.yaml:3:3: '\\xa0a' is not a name; it has a blank that does not break, as word processors make them; type it anew",
            "f.yaml:4:3: the feature 'b' needs 'op'",
            "f.yaml:4:7: 'op:count' is no key; write a blank after the :",
            "f.yaml:5:18: '<<' is no key; keys are not merged; write them out, or repeat the whole by an alias: name: *other",
        ],
    ),
    (
        "version: 1\nfeatures:\n"
        + "".join(
            f"  {name}: {{op: count, window: {window}}}\n"
            for name, window in zip(
                "abcdefgh", ("0", "-3d", "1e999", ".inf", "[3d]", "9999999999999d", "1e9d", "3"), strict=True
            )
        ),
        [
            "f.yaml:3:26: window: 0 is not a duration; write for instance 90s, 15m, 12h, 30d or 8w",
            "f.yaml:4:26: window: '-3d' is not a duration; it cannot be negative",
            "f.yaml:5:26: window: inf is not a duration; write for instance 90s, 15m, 12h, 30d or 8w",
            "f.yaml:6:26: window: '.inf' is not a duration; write for instance 90s, 15m, 12h, 30d or 8w",
            "f.yaml:7:26: window: ['3d'] is not a duration; write for instance 90s, 15m, 12h, 30d or 8w",
            "f.yaml:8:26: window: '9999999999999d' is not a duration; it is too long",
            "f.yaml:9:26: window: '1e9d' is not a duration; write for instance 90s, 15m, 12h, 30d or 8w",
            "f.yaml:10:26: window: 3 has no unit; write for instance 3d",
        ],
    ),
    (
        f'version: 1\nfeatures:\n  a: {{op: count}}\nsegments:\n  s: {{when: a > 1, label: "\\ud800"}}\n  t: {{when: {"a" * 2001}}}',
        [
            "f.yaml:5:27: label has half of a character (U+D800 to U+DFFF); write the whole one",
            "f.yaml:6:13: when is too long; at most 2000 characters are allowed",
        ],
    ),
    (
        "version: *x",
        ["f.yaml:1:10: not valid YAML: found undefined alias 'x'; a text that begins with * needs quotes"],
    ),
    (
        "version: !!python/object:os.system 1",
        ["f.yaml:1:10: the tag tag:yaml.org,2002:python/object:os.system has no meaning here; remove it"],
    ),
    (
        "version: 1\nfeatures:\n  orders: {op: cuont, windw: 3d}\n  Orders: {op: count}\n  empty:\n",
        [
            "f.yaml:3:16: unknown op 'cuont'; did you mean 'count'?",
            "f.yaml:3:23: unknown key 'windw' in the feature 'orders'; did you mean 'window'?",
            "f.yaml:4:3: 'Orders' is not a name; use small letters, digits and _, beginning with a letter, at most 64",
            "f.yaml:5:3: the feature 'empty' is empty",
        ],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count, window: 30}\n  b: {op: count, window: month}\n  c: {op: count, expose: yes}\n  d: {op: count, of: a..b}\n  e: {window: 3d}",
        [
            "f.yaml:3:26: window: 30 has no unit; write for instance 30d",
            "f.yaml:4:26: window: 'month' is not a duration; write for instance 90s, 15m, 12h, 30d or 8w",
            "f.yaml:5:26: expose must be true or false, not 'yes'",
            "f.yaml:6:22: of: 'a..b' is not a path; write keys joined by dots, for instance properties.revenue",
            "f.yaml:7:3: the feature 'e' needs 'op'",
        ],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: sum}\n  b: {op: rate}\n  c: {op: first, of: x, window: 3d}\n  d: {op: count, window: 99999d}\n  since: {op: count}",
        [
            "f.yaml:3:11: sum needs of: where the value is in the event, for instance of: properties.revenue",
            "f.yaml:4:11: rate needs half_life: after how long an event counts half, for instance half_life: 7d",
            "f.yaml:5:25: first takes no window; count, sum, mean, min, max, distinct, share, days_active do",
            "f.yaml:6:26: window: 99999d is too long; at most 36500d",
            "f.yaml:7:3: 'since' is a word of the condition language; choose another name",
        ],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count, event: A, type: page}\n  b: {op: count, name: A}\n  c: {op: count, name: A, event: B}\n  d: {op: count, event: [A, 3]}",
        [
            "f.yaml:3:18: event names track events; for type page write name",
            "f.yaml:4:18: name needs type: page or type: screen; for track events write event",
            "f.yaml:5:18: name is for pages and screens; an event has its name in event",
            "f.yaml:6:25: event must be a text or a list of texts",
        ],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count, event: A, type: page}\n  b: {op: count, name: A}\n  c: {op: count, name: A, event: B}",
        [
            "f.yaml:3:18: event names track events; for type page write name",
            "f.yaml:4:18: name needs type: page or type: screen; for track events write event",
            "f.yaml:5:18: name is for pages and screens; an event has its name in event",
        ],
    ),
    ("version: 1\ntraits: {age: numbr}", ["f.yaml:2:15: unknown type 'numbr'; did you mean 'number'?"]),
    (
        "version: 1\nsegments:\n  a: {wen: x}\n  b: {when: true, label: 5, tags: x, min_dwell: 1}",
        [
            "f.yaml:3:3: the segment 'a' needs 'when'",
            "f.yaml:3:7: unknown key 'wen' in the segment 'a'; did you mean 'when'?",
            'f.yaml:4:13: when must be a text, not true; put it in quotes: "true"',
            'f.yaml:4:26: label must be a text, not 5; put it in quotes: "5"',
            "f.yaml:4:35: tags must be a list, for instance [money]",
            "f.yaml:4:49: min_dwell: 1 has no unit; write for instance 1d",
        ],
    ),
    (
        "version: 1\nsegments: {s: {when: 'true'}, t: {when: 'true'}}\ngroups:\n  s: {first_of: [s, u, s]}\n  g: {first_of: [s]}\ndiscovered: {t: {model: kmeans, clusters: 2, features: ['1']}}",
        [
            "f.yaml:4:3: 's' is the name of a segment already; choose another",
            "f.yaml:4:21: unknown segment 'u'",
            "f.yaml:4:24: the segment 's' is in the list twice; a segment has one place at most",
            "f.yaml:5:18: the segment 's' is in the group 's' already; a segment has one place at most",
            "f.yaml:6:14: 't' is the name of a segment already; choose another",
        ],
    ),
    (
        "version: 1\ngroups: {g: {first_of: s}, h: {first_of: []}}\ndiscovered:\n  d: {model: kmens, clusters: 99, features: a}",
        [
            "f.yaml:2:24: first_of must be a list, for instance [active, lapsed]",
            "f.yaml:2:42: first_of must not be empty",
            "f.yaml:4:14: unknown model 'kmens'; did you mean 'kmeans'?",
            "f.yaml:4:31: clusters must be a whole number between 2 and 64, not 99",
            "f.yaml:4:45: features must be a list, for instance [orders, since(last_order)]",
        ],
    ),
    (
        "version: 1\nfeatures: {a: {op: count}, t: {op: last_time}}\ndiscovered:\n  d: {model: kmeans, clusters: 3, features: [a, t, ' a', a > 3]}",
        [
            "f.yaml:4:49: t is a time, not a number or a duration; write since(t)",
            "f.yaml:4:52: a is in the list twice; remove one",
            "f.yaml:4:58: a > 3 is true or false, not a number or a duration",
        ],
    ),
    (
        "version: 1\nfeatures:\n\torders: {op: count}",
        [
            "f.yaml:3:1: not valid YAML: found character '\\t' that cannot start any token; indent with blanks, not tabs"
        ],
    ),
    (
        "version: 1\nfeatures:\n  orders:\n    op: count\n   event: A",
        [
            "f.yaml:5:4: not valid YAML: expected <block end>, but found '<block mapping start>'; indent this line like those around it"
        ],
    ),
    (
        "version: 1\nfeatures:\n  orders: op: count",
        [
            "f.yaml:3:13: not valid YAML: mapping values are not allowed here; put a text with a : into quotes, or begin a new line and indent it"
        ],
    ),
    (
        "version: 1\nsegments:\n  a: {when: 'orders > 3}\n",
        ["f.yaml:3:13: not valid YAML: found unexpected end of stream; this quote is never closed"],
    ),
    (
        "version: 1\nsegments:\n  a:\n    when: !traits.vip\n",
        ["f.yaml:4:11: the tag !traits.vip has no meaning here; remove it, or put the text into quotes"],
    ),
    (
        "version: 1\nfeatures:\n  a:{op: count}",
        ["f.yaml:3:3: 'a:{op' is not a name; write a blank after the :"],
    ),
    (
        "version: 1\nfeatures: {a: {op: count, event = A}}",
        ["f.yaml:2:27: 'event = A' is no key; write key: value"],
    ),
    (
        "version: 1\nfeatures:\n\u00a0\u00a0a: {op: count}",
        [
            "f.yaml:3:1: '\\xa0\\xa0a' is no key; it has blanks that do not break, as word processors make them; type them anew"
        ],
    ),
    (
        "version: 1\nsegments: {a: {when: coalesce(plan, 0) > 3}}",
        ["f.yaml:2:37: '0) > 3' is no key; in { } a text with a comma needs quotes around it"],
    ),
    (
        "version: 1\nsegments:\n  a: orders > 3",
        ["f.yaml:3:6: the segment 'a' must be a mapping, key: value; a segment begins with when:"],
    ),
    (
        "version: 1\nfeatures: {a: {op: COUNT}, b: {op: avg, of: x}, c: {op: count, expose: on}}\nsegments: {s: {when: 'true', min_dwell: 60 days}}",
        [
            "f.yaml:2:20: unknown op 'COUNT'; did you mean 'count'?",
            "f.yaml:2:36: unknown op 'avg'; did you mean 'mean'?",
            "f.yaml:2:72: expose must be true or false, not 'on'",
            "f.yaml:3:41: min_dwell: '60 days' is not a duration; write 60d, without a space and with one letter for the unit",
        ],
    ),
    (
        "version: 1\nfeatures:\n  a: {op: count, where: propertis.x > 3}\n  b: {op: count, where: total > 3}\n  c: {op: count, where: since(timestamp) > 3d}\n  d: {op: count, where: properties.country == NO}\n  e: {op: count, where: properties.a < properties.b}\n  f: {op: count, where: properties == 3}",
        [
            "f.yaml:3:25: unknown name 'propertis.x'; did you mean 'properties.x'?",
            "f.yaml:4:25: unknown name 'total'; did you mean 'properties.total'? An event has properties, traits, context, integrations and fields such as event",
            "f.yaml:5:25: a filter looks at one event and no time passes in it; use since() in a segment's when",
            "f.yaml:6:47: unknown name 'NO'; a text needs quotes: 'NO'; a field, where it is: properties.NO",
            "f.yaml:7:25: properties.a is a value of any kind and has no order; compare it with == or !=, numbers by properties.a - properties.b < 0",
            "f.yaml:8:25: unknown name 'properties'; properties holds other fields, name one of them: properties.category",
        ],
    ),
    (
        # Of each kind one, in one go; what reads the broken feature, trait or segment is not blamed for it.
        "features:\n  a: {op: cuont}\n  b: {op: sum}\n  c: {op: count}\n  c: {op: count}\ntraits: {t: numbr}\nsegments:\n  r: {wen: x}\n  s: {when: a > 1 and b > 2}\n  u: {when: d > 1}\n  v: {when: c = 1}\n  w: {when: traits.t > 1}\n  x: {when: \"in_segment('r')\"}\ngroups: {g: {first_of: [r, y]}}",
        [
            "f.yaml:1:1: the file needs 'version'",
            "f.yaml:2:11: unknown op 'cuont'; did you mean 'count'?",
            "f.yaml:3:11: sum needs of: where the value is in the event, for instance of: properties.revenue",
            "f.yaml:5:3: 'c' is already defined in line 4; give it another name or remove one",
            "f.yaml:6:13: unknown type 'numbr'; did you mean 'number'?",
            "f.yaml:8:3: the segment 'r' needs 'when'",
            "f.yaml:8:7: unknown key 'wen' in the segment 'r'; did you mean 'when'?",
            "f.yaml:10:13: unknown name 'd'; known are c",
            "f.yaml:11:15: '=' was not expected here; to compare, write ==",
            "f.yaml:14:28: unknown segment 'y'",
        ],
    ),
]


@pytest.mark.parametrize(("condition", "column", "message"), CONDITIONS, ids=[row[0] for row in CONDITIONS])
def test_a_mistake_in_a_condition_is_shown_with_its_place_and_a_way_out(
    condition: str, column: int, message: str
) -> None:
    """The error names file, line and column, shows the line with a caret, and says what to write."""
    with pytest.raises(DefinitionError) as caught:
        read_definitions(f"{FEATURES}  s: {{when: {condition}}}\n", "shop.yaml")
    error = caught.value
    before = "  s: {when: "
    assert str(error) == f"shop.yaml:13:{len(before) + column}: {message}"
    assert error.excerpt() == f"{before}{condition}}}\n{' ' * (len(before) + column - 1)}^"


@pytest.mark.parametrize(("text", "messages"), FILES, ids=range(len(FILES)))
def test_a_mistake_in_the_file_is_told_at_its_place(text: str, messages: list[str]) -> None:
    """Mistakes that do not follow from each other are told in one go, from top to bottom."""
    assert [str(mistake) for mistake in find_mistakes(text, "f.yaml")] == messages


@pytest.mark.parametrize(
    "written",
    [
        "orders > 1 and orderz > 1",
        "'traits.country == ''NO'' and orderz > 1'",
        '"traits.country == \\"NO\\" and orderz > 1"',
        '"traits.country == \\x22NO\\u0022 and orderz > 1"',
        "\n      orders > 1 and\n      orderz > 1",
        ">-\n      orders > 1 and\n\n      orderz > 1",
        "|\n      orders > 1\n      and orderz > 1",
        "|\n      orders > 1\n\n      # a text, not a comment\n      and orderz > 1",
        '"orders > 1 and \\\n      orderz > 1"',
        "'  orderz > 1'",
    ],
)
def test_the_caret_finds_the_word_however_the_text_is_quoted(written: str) -> None:
    """Quotes, escapes, folded and literal blocks: the place is that in the file."""
    (mistake,) = find_mistakes(f"{FEATURES}  s:\n    when: {written}\n    label: s\n")
    caught = "#" if "#" in written else "orderz"
    assert mistake.source[mistake.column - 1 :].startswith(caught)


def test_there_are_fifty_mistakes_and_more() -> None:
    """Each is a mistake of its own: no two have one message."""
    messages = [message for _, _, message in CONDITIONS]
    messages += [message.split(": ", 1)[1] for _, told in FILES for message in told]
    assert len(set(messages)) > 100


def test_a_billion_laughs_are_not_laughed() -> None:
    """Aliases that multiply are cut off after 100,000 values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    began = time.process_time()
    (mistake,) = find_mistakes("\n".join(lines))
    assert mistake.message == "the file has more than 100000 values, aliases included"
    assert time.process_time() - began < 5


@pytest.mark.parametrize("text", ["a: &a {b: *a}", "[" * 1500, "a: " + "[" * 15 + "]" * 15])
def test_nesting_without_end_is_refused(text: str) -> None:
    """A value inside itself, or brackets without number, is told as too deep."""
    (mistake,) = find_mistakes(text)
    assert "nested too deeply" in mistake.message


def test_a_file_over_the_limit_is_refused_unread() -> None:
    """One MiB is the most."""
    (mistake,) = find_mistakes("# " + "x" * (1 << 20))
    assert (
        mistake.message
        == "the file has more than 1,048,576 bytes, the most there may be; is it the right one?"
    )


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=60)
    | st.sampled_from(dedent(FEATURES).splitlines()).flatmap(
        lambda line: st.text(max_size=8).map(lambda more: line + more)
    )
)
def test_whatever_is_in_the_file_is_read_or_refused(text: str) -> None:
    """No text makes reading fail in another way than with a DefinitionError."""
    for mistake in find_mistakes(text, "f.yaml"):
        assert str(mistake).startswith("f.yaml")
