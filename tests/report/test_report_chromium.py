"""The page in a real headless Chromium, opened from disk with the network off: keys, filters, links, hostile texts.

Real: browser, files, keys and clicks through the DevTools protocol. Doubles: the rows. Skipped without a browser.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from clair.report.write import write_report
from tests.dataset.dataset_examples import reject
from tests.report.chromium import BINARY, Chromium
from tests.report.examples import HOSTILE, asking, hostile_run, measured, small_run, write_run

pytestmark = pytest.mark.skipif(BINARY is None, reason="no Chromium on this machine")

SHOWN = "document.querySelector('#detail h3')?.textContent"
COUNT = "document.querySelector('#count').textContent"
TITLES = "[...document.querySelectorAll('#list .title')].map((it) => it.textContent)"
FILL = "(() => {{ const it = document.getElementById({0!r}); it.value = {1!r};" \
    " it.dispatchEvent(new Event('input', {{bubbles: true}})) }})()"  # fmt: skip


@pytest_asyncio.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with Chromium.started(tmp_path) as page:
        yield page
        assert page.problems == []
        assert {url.partition("#")[0] for url in page.requests} <= {(tmp_path / "run/report.html").as_uri()}


async def opened(browser: Chromium, tmp_path: Path, fragment: str = "") -> Chromium:
    await browser.open(write_report(small_run(tmp_path / "run")), fragment)
    return browser


async def test_keys_walk_through_the_rows_and_filter_them(browser: Chromium, tmp_path: Path):
    page = await opened(browser, tmp_path)
    assert (await page.value(SHOWN), await page.value(COUNT)) == ("Pair 1", "13 of 13 rows")
    await page.press("j", "j", "k")
    assert (await page.value(SHOWN), await page.value("location.hash")) == ("Pair 2", f"#{1:032x}")
    await page.press("k", "k", "k")
    assert await page.value(SHOWN) == "Pair 1"
    await page.press("r")
    assert (await page.value(COUNT), await page.value(SHOWN)) == ("3 of 13 rows", "Reject 2")
    await page.press("p")
    assert await page.value(COUNT) == "10 of 13 rows"
    await page.press("a")
    assert await page.value(COUNT) == "13 of 13 rows"


async def test_search_looks_into_all_texts_and_escape_clears_it(browser: Chromium, tmp_path: Path):
    page = await opened(browser, tmp_path)
    await page.press("/", *"Blue SKY")
    assert await page.value("document.querySelector('#search').value") == "Blue SKY"
    assert (await page.value(COUNT), await page.value(TITLES)) == ("1 of 13 rows", ["Why is the sky blue?"])
    await page.press("Enter", "j")
    assert await page.value("document.activeElement.id") == "list"
    await page.press("Escape")
    assert await page.value(COUNT) == "13 of 13 rows"
    await page.press("/", *"no such words")
    assert await page.value("document.querySelector('#detail').textContent") == "No row passes these filters."
    await page.press("Escape", "j")
    assert await page.value(SHOWN) == "Pair 2"


async def test_filters_by_reason_kind_similarity_and_order(browser: Chromium, tmp_path: Path):
    page = await opened(browser, tmp_path)
    await page.click('[data-reason="truncated"]')
    assert await page.value(TITLES) == ["Name all primes."]
    await page.value(FILL.format("kind", "pair"))
    assert (await page.value("document.querySelector('#reason').value"), await page.value(COUNT)) == (
        "", "10 of 13 rows",
    )  # fmt: skip
    await page.value(FILL.format("low", "30"))
    await page.value(FILL.format("high", "50"))
    assert [title.split()[-1] for title in await page.value(TITLES)] == ["epsilon.", "zeta.", "eta."]
    await page.value(FILL.format("order", "most"))
    assert [title.split()[-1] for title in await page.value(TITLES)] == ["eta.", "zeta.", "epsilon."]
    await page.click("#filters button[type=reset]")
    assert await page.becomes(COUNT, "13 of 13 rows")
    await page.value(FILL.format("order", "least"))
    assert [title.split()[-1] for title in await page.value(TITLES)][:2] == ["alpha.", "beta."]


async def test_the_diff_is_marked_word_by_word_and_side_by_side(browser: Chromium, tmp_path: Path):
    page = await opened(browser, tmp_path)
    await page.press("j")
    marks = "[...document.querySelectorAll('#detail .diff')].map((it) => it.innerHTML)"
    rest = " " + " ".join(f"word{place}" for place in range(2, 10))
    assert await page.value(marks) == [f"<del>word0 word1</del><ins>new0 new1</ins>{rest}"]
    await page.press("d")
    assert await page.value(marks) == [f"<del>word0 word1</del>{rest}", f"<ins>new0 new1</ins>{rest}"]
    await page.press("d")
    text = await page.value("document.querySelector('#detail').innerText")
    assert "off by one" in text
    assert "prompts.jsonl, record 1" in text


async def test_a_link_opens_its_row_whatever_the_filters(browser: Chromium, tmp_path: Path):
    page = await opened(browser, tmp_path, f"#{7:032x}")
    assert await page.value(SHOWN) == "Pair 8"
    await page.press("r")
    await page.value(f"location.hash = '#{3:032x}'")
    assert await page.becomes(SHOWN, "Pair 4")
    assert await page.value(COUNT) == "13 of 13 rows"
    await page.value(f"location.hash = '#{'f' * 32}'")
    shown = f"document.querySelector('#detail').textContent.includes('clair show RUN {'f' * 32}')"
    assert await page.becomes(shown, True)


async def test_arrows_move_in_the_list_and_letters_typed_elsewhere_do_nothing(browser: Chromium, tmp_path: Path):
    page = await opened(browser, tmp_path)
    await page.value("document.querySelector('#list').focus()")
    await page.press("ArrowDown", "ArrowDown", "ArrowUp")
    assert await page.value(SHOWN) == "Pair 2"
    await page.press("End")
    assert await page.value("document.querySelector('[aria-selected=true] .title').textContent") == "Name all primes."
    await page.press("Home", "/", "j", "k")
    assert await page.value("document.querySelector('#search').value") == "jk"


async def test_a_list_of_many_rows_grows_as_one_walks(browser: Chromium, tmp_path: Path):
    pairs = [measured(n, f"a b c {n}", f"a b c x{n}", prompt=asking(f"Question {n}")) for n in range(450)]
    await browser.open(write_report(write_run(tmp_path / "run", pairs)))
    entries = "document.querySelectorAll('#list li').length"
    assert await browser.value(entries) < 450
    await browser.value("document.querySelector('#list').focus()")
    await browser.press("End")
    assert (await browser.value(SHOWN), await browser.value(entries)) == ("Pair 450", 450)


async def test_steps_of_a_chain_and_their_pair_lead_to_each_other(browser: Chromium, tmp_path: Path):
    whole = measured(1, "a b c", "x y c")
    steps = [
        measured(2, "a y c", "x y c", parent_id=whole.id, step=1),
        measured(3, "a b c", "a y c", parent_id=whole.id, step=2),
    ]
    await browser.open(write_report(write_run(tmp_path / "run", [whole, *steps])))
    assert "Made in steps: step 1 step 2" in await browser.value("document.querySelector('.family').textContent")
    await browser.click(".family a:last-child")
    assert await browser.becomes(SHOWN, "Pair 3")
    assert "Step 2 of the pair" in await browser.value("document.querySelector('.family').textContent")
    assert "2 step pairs come on top" in await browser.value("document.querySelector('#funnel').textContent")


async def test_hostile_texts_do_nothing_but_show(browser: Chromium, tmp_path: Path):
    path = write_report(hostile_run(tmp_path / "run"))
    await browser.open(path)
    elements = await browser.value("document.querySelectorAll('body *').length")
    shown = ""
    rows = int((await browser.value(COUNT)).split()[0])
    for _ in range(rows):
        shown += await browser.value("document.querySelector('#detail').textContent")
        await browser.press("j")
        assert (
            await browser.value("document.querySelectorAll('#detail :is(script, style, img, svg, iframe)').length") == 0
        )
    assert rows == 2 * len(HOSTILE) + 4
    for text in HOSTILE[:5]:
        assert text in shown
    assert "⟨U+202E⟩gnp.exe" in shown
    assert "characters not shown" in shown
    assert await browser.value("window.hacked === undefined && document.querySelectorAll('script').length === 2")
    assert await browser.value("document.querySelectorAll('style').length") == 1
    assert await browser.value("document.querySelectorAll('body *').length") < elements + 100


async def test_markup_that_came_in_somehow_would_still_not_run(browser: Chromium, tmp_path: Path):
    """The policy as a second wall: an element put in by force neither runs, nor styles, nor loads."""
    page = await opened(browser, tmp_path)
    await page.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=1\">"
                     "<style>body { display: none }</style><p onclick=\"window.hacked=2\" id=bait>x</p>')")  # fmt: skip
    await page.click("#bait")
    await page.value("new Promise((done) => setTimeout(done, 100))")
    assert await page.value("[window.hacked === undefined, getComputedStyle(document.body).display]") == [True, "block"]
    assert page.problems
    assert all("Content Security Policy" in problem for problem in page.problems)
    page.problems.clear()
    page.requests.clear()  # the image is named there before it is refused


async def test_every_control_and_chart_has_a_name(browser: Chromium, tmp_path: Path):
    page = await opened(browser, tmp_path)
    tree = (await page.send("Accessibility.getFullAXTree"))["nodes"]
    named = [
        (it["role"]["value"], it.get("name", {}).get("value", ""))
        for it in tree
        if not it.get("ignored") and it["role"]["value"] in
        {"button", "link", "combobox", "searchbox", "spinbutton", "listbox", "image", "article", "navigation", "form"}
    ]  # fmt: skip
    assert [role for role, name in named if not name.strip()] == []
    for expected in (
        ("combobox", "reject reason"), ("searchbox", "search"), ("listbox", "Rows"), ("form", "Filters"),
        ("spinbutton", "word similarity at least, percent"), ("button", "Next row (j)"), ("navigation", "Sections"),
        ("image", "Edits: Half of the pairs lie between 1 and 1, the median is 1"),
    ):  # fmt: skip
        assert expected in named


@pytest.mark.parametrize(("width", "phone"), [(1280, False), (390, True), (320, True)])
@pytest.mark.parametrize("dark", [False, True])
async def test_the_page_fits_a_desk_and_a_phone_by_day_and_night(
    browser: Chromium, tmp_path: Path, width: int, phone: bool, dark: bool
):
    await browser.size(width, 800, dark=dark, phone=phone)
    long = reject(99, reason="too_different", detail="x" * 300, prompt=asking("y" * 300), response="z" * 300)
    pairs = [measured(n, f"{'word ' * 90} {n}", f"{'word ' * 90} x") for n in range(3)]
    await browser.open(write_report(write_run(tmp_path / "run", pairs, [long])))
    await browser.press("r")
    assert await browser.value("document.documentElement.scrollWidth <= innerWidth")
    back, ink = await browser.value(
        "(() => { const it = getComputedStyle(document.body); return [it.backgroundColor, it.color] })()"
    )
    brightness = [sum(map(int, color[4:-1].split(","))) for color in (back, ink)]
    assert (brightness[0] < brightness[1]) == dark
