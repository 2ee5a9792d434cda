"""What is wrong with a page's markup: as a browser reads it, as Word draws it, as spam filters count it."""

from __future__ import annotations

import pytest

from billing.mail.markup import html_faults, spam_faults, word_faults

CELL = '<td bgcolor="#123456" style="mso-padding-alt:9px 20px">'


@pytest.mark.parametrize(
    ("page", "faults"),
    [
        ("<p>a<br>b<img></p>", []),
        ("<p><b></b></p>", []),
        ("<p>", ["<p> is never closed"]),
        ("</p>", ["</p> closes <nothing>"]),
        ('<p class="a" class="b"></p>', ["<p> has the attribute class twice"]),
        ("<!--[if mso]><table><![endif]--><p>&lt;b&gt;</p>", []),
    ],
)
def test_html_is_read_as_a_browser_would(page: str, faults: list[str]) -> None:
    assert html_faults(page) == faults


# -- Word ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        '<td bgcolor="#123456" style="padding:9px">x</td>',
        '<td style="padding:9px"><a style="color:#fff;padding:0">x</a></td>',
        '<h1 style="padding:4px">x</h1><ul style="padding-left:20px"></ul>',
        '<p style="margin:0 0 16px">x</p><div style="background-color:#eee;padding:0 0px">x</div>',
        f'{CELL}<a style="display:inline-block;padding:9px 20px;background-color:#123456">x</a></td>',
        '<span style="background:none">x</span>',
        '<span style="mso-padding-alt:9px">x</span>',
    ],
)
def test_what_word_draws_is_right(page: str) -> None:
    assert list(word_faults(page)) == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<a style="padding:9px 20px">x</a>', "<a> has a padding, which Word does not draw"),
        ('<td><a style="padding-left:9px">x</a></td>', "<a> has a padding-left, which"),
        ('<span style="background-color:#eee">x</span>', "<span> has a background-color, which"),
        ('<td><code style="BACKGROUND: #eee">x</code></td>', "<code> has a background, which"),
        ('<div style="margin:0;padding:8px 20px">x</div>', "<div> has a padding, which Word does not draw"),
        ('<p style="padding: 0 0 1px">x</p>', "<p> has a padding, which"),
        (
            '<td bgcolor="#123456"><b><a style="padding:9px">x</a></b></td>',
            "<a> has a padding, which Word does not draw; give it to a table cell around it: <td bgcolor=",
        ),
        (
            '<td bgcolor="#123456"><a style="padding:9px">x</a></td>',
            "the button's cell has no mso-padding-alt: Word draws the colour close around the words",
        ),
        (
            f'{CELL}<a style="color:rgba(0,0,0,.5)">x</a></td>',
            "the button uses 'rgba(', which Word does not know",
        ),
        (f'{CELL}<a style="display: flex">x</a></td>', "the button uses 'display: flex', which"),
        (f'{CELL}<a style="color:#fff !important">x</a></td>', "the button uses '!important', which"),
        (f'{CELL}<a style="font-size:1.2rem">x</a></td>', "the button uses '1.2rem', which"),
        (
            '<td bgcolor="#123456" style="background:linear-gradient(red,blue)"><a>x</a></td>',
            "the button uses 'linear-gradient(', which Word does not know; use plain colours, px and a table",
        ),
    ],
)
def test_what_word_leaves_out_is_named_with_the_remedy(page: str, fault: str) -> None:
    (found,) = word_faults(page)
    assert found.startswith(fault)


# -- spam filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        '<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">For Gold plan.</div>',
        '<p style="font-size:10px">x</p><p style="font-size:1.2em">x</p><p style="font-size:16px">x</p>',
        '<div style="background-color:transparent">x</div>',
        '<div style="display:none">ا\u200cب</div>',  # a joiner belongs to the word
    ],
)
def test_what_costs_nothing_is_right(page: str) -> None:
    assert list(spam_faults(page)) == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ('<div style="display:none;font-size:1px">x</div>', "<div> has letters that nobody can see"),
        ('<span style="font-size: 0">x</span>', "<span> has letters that nobody can see"),
        ('<p style="color:transparent">x</p>', "<p> has letters that nobody can see"),
        ('<div style="display:none;color:#f1f3f6">x</div>', "the preheader has a colour: "),
        (
            '<div style="display:none">x&#847;&zwnj;&nbsp;&#847;</div>',
            "the preheader is filled up with invisible",
        ),
        (
            '<p style="display:none">x</p><p style="display: none">y</p>',
            "2 elements are hidden with display:none",
        ),
    ],
)
def test_what_spam_filters_count_is_named(page: str, fault: str) -> None:
    (found,) = spam_faults(page)
    assert found.startswith(fault)
