"""The block builder: its numbers against PyTorch's, and how it behaves."""

import pytest

import site_browser
from resnet_lib import blocks, nets
from resnet_lib.lab import profiling

from .conftest import element_head, is_accessible_and_fits_a_phone, without_scripts, write

pytestmark = pytest.mark.browser
PAGE = {"body": "<block-builder><p>Without scripts.</p></block-builder>", "head": element_head("block-builder")}
SETTINGS = [(kind, channels, width, size, stride)
            for channels, width in ((64, 16), (64, 128), (256, 64), (256, 256), (512, 96))
            for size in (8, 14, 32) for stride in ("none", "1x1", "3x3") for kind in ("bottleneck", "basic")]


def block_of(kind, channels, width, stride):
    c_in, step = (channels, 1) if stride == "none" else (channels // 2, 2)
    if kind == "basic":
        return blocks.BasicBlock(c_in, channels, step), c_in
    block = blocks.Bottleneck(c_in, width, step, stride_in="3x3" if stride == "none" else stride, expansion=1)
    if width != channels:  # any ratio of widths, not only whole expansions
        block.conv3 = blocks.conv1x1(width, channels)
        block.bn3 = type(block.bn3)(channels)
        block.downsample = blocks.make_shortcut("B", c_in, channels, step)
    return block, c_in


def oracle(kind, channels, width, size, stride):
    """Weights of the convolutions, MACs and numbers moved, counted by PyTorch."""
    block, c_in = block_of(kind, channels, width, stride)
    weights = sum(p.numel() for p in block.parameters() if p.dim() == 4)
    return [weights, nets.cost(block, (c_in, size, size)).macs, profiling.moved(block, (c_in, size, size))]


@pytest.fixture
def page(chromium, tmp_path):
    write(tmp_path, **PAGE)
    with site_browser.served(tmp_path) as base, site_browser.opened(chromium, base + "index.html") as watched:
        yield watched.page
        assert watched.errors == []


def test_costs_are_those_that_pytorch_counts(page):
    found = page.evaluate("""settings => settings.map(s => {
        const b = BlockCost.blockCost(...s); return [b.weights, b.macs, b.moved]; })""", SETTINGS)
    wrong = [(s, ours, theirs) for s, ours in zip(SETTINGS, found, strict=True) if ours != (theirs := oracle(*s))]
    assert not wrong, wrong[:3]


def test_the_block_of_equal_cost_costs_the_same(page):
    ratios = page.evaluate("""() => { const all = [];
        for (const channels of BlockCost.CHANNELS) for (const ratio of BlockCost.RATIOS)
          for (const size of BlockCost.SIZES) for (const stride of BlockCost.STRIDES) {
            const c = BlockCost.compare({ channels, ratio, size, stride });
            all.push([c.equal.channels, c.equal.macs / c.bottleneck.macs]); }
        return all; }""")
    assert len(ratios) == 6 * 9 * 6 * 3
    for channels, ratio in ratios:  # channels are whole, so small blocks can only come close
        assert ratio == pytest.approx(1, abs=2.6 / channels), (channels, ratio)


def test_it_begins_with_figure_5_of_the_paper(page):
    text = page.locator("block-builder").inner_text()
    assert "64 of 256 channels" in text and "Without scripts" not in text
    page.locator("summary", has_text="Data table").click()
    rows = page.locator("block-builder tbody tr").all_inner_texts()
    assert [r.split("\t")[4] for r in rows if r.startswith("bottleneck\ttogether")] == ["69,632"]
    assert [r.split("\t")[4] for r in rows if r.startswith("basic, same channels\ttogether")] == ["1,179,648"]


def test_turning_it_changes_the_conclusion(page):
    verdict = page.locator(".rn-builder-verdict")
    assert "takes 16.9 times the multiply–adds" in verdict.inner_text()
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "384 of 256 channels"
    assert "no longer cheaper" in verdict.inner_text()


def test_the_address_keeps_the_setting_and_reset_forgets_it(page):
    page.locator("summary", has_text="More").click()
    page.get_by_label("Stride").select_option("1x1")
    page.get_by_label("Outer channels").select_option("512")
    # the count is that of profiling.moved, which lets a convolution read its whole input
    verdict = page.locator(".rn-builder-verdict").inner_text()
    assert "use only every second pixel" in verdict and "still charges the whole map" in verdict
    address = page.url
    assert "builder1=512%2C0.25%2C56%2C1x1%2Cbottleneck" in address
    page.get_by_role("button", name="Reset").click()
    assert "#" not in page.url and "64 of 256 channels" in page.locator("block-builder").inner_text()
    page.goto(address)
    page.reload()
    assert "128 of 512 channels" in page.locator("block-builder").inner_text()
    page.goto(address.replace("512", "7"))
    page.reload()  # nonsense in the address is passed over
    assert "64 of 256 channels" in page.locator("block-builder").inner_text()


def test_the_drawing_shows_shapes_and_the_stride(page):
    def words():
        return page.evaluate("[...document.querySelectorAll('block-builder svg text')].map(t => t.textContent)")

    assert words().count("64 × 56 × 56") == 2 and words().count("256 × 56 × 56") == 2
    page.locator("summary", has_text="More").click()
    page.get_by_label("Stride").select_option("3x3")
    assert "3×3 conv /2, BN, ReLU" in words() and "64 × 56 × 56" in words() and "64 × 28 × 28" in words()
    page.get_by_label("Drawn block").select_option(label="basic, same channels")
    assert words().count("3×3 conv, BN") == 1 and "1×1 conv, BN" not in words()


def test_it_is_accessible_and_fits_a_phone(faults):
    is_accessible_and_fits_a_phone(faults, PAGE)


def test_without_scripts_its_content_shows(chromium, tmp_path):
    write(tmp_path, **PAGE)
    with without_scripts(chromium, tmp_path) as page:
        assert page.locator("block-builder").inner_text() == "Without scripts."


