"""The rows of a table by verdict, in Chromium: buttons of HTML and a few lines of style, no script."""

import pytest

from conftest import ROOT
from .conftest import is_accessible_and_fits_a_phone, without_scripts, write

pytestmark = pytest.mark.browser
CHOICES = (ROOT / "web" / "static" / "verdicts.html").read_text(encoding="utf-8")
STYLE = f'<style>{(ROOT / "web" / "static" / "book.css").read_text(encoding="utf-8")}</style>'
KINDS = ("false", "half", "under", "open", "false")
ROWS = "".join(f'<tr><td>claim {k}</td><td>what is true</td><td><span class="rn-{kind}">{kind}</span></td></tr>'
               for k, kind in enumerate(KINDS))
BODY = (f'{CHOICES}<div class="rn-claims"><table><thead><tr><th>often repeated</th><th>what is true</th>'
        f'<th>verdict</th></tr></thead><tbody>{ROWS}</tbody></table></div>')


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdicts")
    write(folder, BODY, head=STYLE)
    return folder


def shown(page):
    return page.locator("tbody tr:visible td:last-child").all_inner_texts()


def test_each_choice_shows_its_rows_and_all_shows_all(page):
    assert shown(page) == list(KINDS)
    for name, kind in (("false", "false"), ("half-true", "half"), ("true under …", "under"), ("open", "open")):
        page.get_by_role("radio", name=name, exact=True).check()
        assert shown(page) == [k for k in KINDS if k == kind]
    page.get_by_role("radio", name="all").check()
    assert shown(page) == list(KINDS)


def test_it_works_with_the_keyboard(page):
    page.get_by_role("radio", name="all").focus()
    page.keyboard.press("ArrowDown")
    assert shown(page) == ["false", "false"]
    page.keyboard.press("ArrowUp")
    assert len(shown(page)) == len(KINDS)


def test_it_works_without_scripts(chromium, folder):
    with without_scripts(chromium, folder) as page:
        assert shown(page) == list(KINDS)
        page.get_by_role("radio", name="open").check()
        assert shown(page) == ["open"]


def test_without_has_there_are_no_buttons_and_all_rows(chromium, tmp_path):
    write(tmp_path, BODY, head=STYLE.replace("selector(:has(a))", "selector(:unknown(a))"))
    with without_scripts(chromium, tmp_path) as page:
        assert not page.locator("fieldset").is_visible() and shown(page) == list(KINDS)


def test_it_is_accessible_and_fits_a_phone(faults):
    is_accessible_and_fits_a_phone(faults, {"body": BODY, "head": STYLE})
