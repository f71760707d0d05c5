"""Names that nothing is called: quotes and blanks that came along from elsewhere."""

from __future__ import annotations

import pytest

from segstream.core.definitions import find_mistakes, read_definitions

QUOTES = "the quotes around it count as part of it; write {} without quotes, or in straight ones"
BEGINS = "it begins with a blank, which counts as part of it; remove that"
ENDS = "it ends with a blank, which counts as part of it; remove that"
UNBROKEN = "it has a blank that does not break, as word processors make them; type it anew"
UNSEEN = "it has an invisible character, U+200B, which counts as part of it; delete that"
ONE_END = "it has a quote at one end only, which counts as part of it; use straight quotes"

# (what of a feature is written, with what begins where the caret stands, message)
WRITTEN = [
    ("event: “Order Completed”", "“", "event: '“Order Completed”': " + QUOTES.format("Order Completed")),
    ("event: «Order Completed»", "«", "event: '«Order Completed»': " + QUOTES.format("Order Completed")),
    ("event: \"'Cart'\"", "\"'", "event: \"'Cart'\": " + QUOTES.format("Cart")),
    ('event: "Order Completed "', ' "', "event: 'Order Completed ': " + ENDS),
    ("event: 'Order Completed  '", "  '", "event: 'Order Completed  ': " + ENDS),
    ("event: ' Order Completed'", "' ", "event: ' Order Completed': " + BEGINS),
    ("event: Order Completed\u00a0", "\u00a0", "event: 'Order Completed\\xa0': " + UNBROKEN),
    ("event: \u00a0Order Completed", "\u00a0", "event: '\\xa0Order Completed': " + UNBROKEN),
    ("event: Order\u00a0Completed", "\u00a0", "event: 'Order\\xa0Completed': " + UNBROKEN),
    ('event: "Order\\u200bCompleted"', "\\u200b", "event: 'Order\\u200bCompleted': " + UNSEEN),
    ("event: [Cart, “Order”]", "“", "event: '“Order”': " + QUOTES.format("Order")),
    ("event: [“Order Completed, Cart]", "“", "event: '“Order Completed': " + ONE_END),
    ("event: [Cart, Order Completed”]", "”", "event: 'Order Completed”': " + ONE_END),
    ("type: page, name: “Pricing”", "“", "name: '“Pricing”': " + QUOTES.format("Pricing")),
    ("topic: 'events '", " '", "topic: 'events ': " + ENDS),
    ("of: “properties.x”", "“", "of: '“properties.x”': " + QUOTES.format("properties.x")),
    ('event: " "', '" ', "event: ' ': it is blank; write a name, or remove it"),
    ("of: properties.x, equals: [a, “b”]", "“", "equals: '“b”': " + QUOTES.format("b")),
]


@pytest.mark.parametrize(("written", "caught", "message"), WRITTEN, ids=[row[0] for row in WRITTEN])
def test_a_name_that_nothing_is_called_is_a_mistake(written: str, caught: str, message: str) -> None:
    """Else it would be valid and count nothing for ever, and nobody would see why."""
    op = "share" if "equals" in written else "sum" if "of:" in written else "count"
    line = f"  found: {{op: {op}, {written}}}"
    column = line.index(written) + written.rindex(caught) + 1
    (mistake,) = find_mistakes(f"version: 1\nfeatures:\n{line}\n", "shop.yaml")
    assert str(mistake) == f"shop.yaml:3:{column}: {message}"
    assert mistake.excerpt().splitlines()[1] == " " * (mistake.column - 1) + "^"


def test_a_name_in_a_block_ends_with_a_line_break() -> None:
    """What follows | keeps its last break, and no event has one."""
    text = "version: 1\nfeatures:\n  found:\n    op: count\n    event: |\n      Order Completed\n"
    (mistake,) = find_mistakes(text, "shop.yaml")
    assert str(mistake) == (
        "shop.yaml:6:22: event: 'Order Completed\\n': it ends with a line break, which counts as part of it; write it in "
        "the line of its key, without | or >"
    )


def test_what_a_source_calls_its_events_is_held_to_the_same() -> None:
    """Features that name it as it is meant would never see one."""
    text = "version: 1\nsources: {crm: {type: track, event: “Called”, user: id}}\n"
    (mistake,) = find_mistakes(text, "shop.yaml")
    assert str(mistake) == f"shop.yaml:2:{mistake.column}: event: '“Called”': {QUOTES.format('Called')}"
    assert mistake.source[mistake.column - 1] == "“"


@pytest.mark.parametrize(
    "written",
    [
        "event: Order Completed",
        "event: '“Buy” pressed'",
        "event: Don’t stop",  # noqa: RUF001 (an apostrophe as people type it)
        'event: 5" pizza',
        "event: Customers’",  # noqa: RUF001 (as above)
        "event: Bestellung « Büro » fertig",
        "event: [Order Completed, 'Cart: Viewed']",
        "of: properties.x, equals: 'mobile '",
        "where: event == 'Order Completed '",
    ],
)
def test_what_may_be_meant_is_taken(written: str) -> None:
    """Quotes within a name, apostrophes, values that end with a blank; and a condition looks for any name there is."""
    op = "share" if "equals" in written else "count"
    assert read_definitions(f"version: 1\nfeatures:\n  found: {{op: {op}, {written}}}\n").features
