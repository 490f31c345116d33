"""The net builder: shapes, parameters and multiply–adds against PyTorch's, the line it gives, and how it behaves."""

import pytest
import torch

import site_browser
import site_checks
from resnet_lib import nets

from .conftest import element_head, without_scripts, write

pytestmark = pytest.mark.browser
PAGE = {"body": "<net-builder><p>Without scripts.</p></net-builder>", "head": element_head("net-builder")}
COMMON = {"size": 32, "channels": 3, "classes": 10, "strideIn": "3x3", "kind": "residual", "shortcut": "A", "width": 16,
          "block": "post"}
KINDS = [{"kind": "plain"}, *({"shortcut": s, "block": b} for s in "ABC" for b in ("post", "pre"))]


def imagenet(depth, **changes):
    return COMMON | {"family": "imagenet", "depth": depth, "size": 224, "classes": 1000, "shortcut": "B",
                     "width": 64} | changes


def cifar(depth, **changes):
    return COMMON | {"family": "cifar", "depth": depth} | changes


FAMILY = [imagenet(d, strideIn=s, size=size) for d in nets.IMAGENET for s in ("3x3", "1x1") for size in (224, 97)]
DEPTHS = [cifar(6 * n + 2, **kind) for n in (1, 2, 3, 9, 18) for kind in KINDS]  # all counts are linear in n
WIDTHS = [cifar(14, width=w, size=size, **kind) for kind in KINDS
          for w, size in ((1, 32), (5, 33), (7, 28), (12, 1), (40, 2), (64, 65), (160, 32))]
ODD = [imagenet(d, size=size, channels=c, classes=k, strideIn="1x1") for d in (18, 50)
       for size, c, k in ((1, 3, 10), (2, 1, 7), (31, 3, 100), (32, 4, 10), (33, 1, 1000), (225, 3, 1))]
ODD += [cifar(8, size=size, channels=c, classes=k) for size, c, k in ((1, 1, 2), (28, 1, 10), (37, 64, 100))]
DEEP = [cifar(164), cifar(1202, shortcut="B")]


def spec(s):
    """The spec of a setting's net, from the setting and not from the line that is under test."""
    common = {"depth": s["depth"], "num_classes": s["classes"], "in_channels": s["channels"]}
    if s["family"] == "imagenet":
        return nets.complete({"name": "resnet", "stride_in": s["strideIn"], **common})
    return nets.complete({"name": "cifar_resnet", "residual": s["kind"] == "residual", "shortcut": s["shortcut"],
                          "width": s["width"], "block": s["block"], **common})


def built(s):
    with torch.device("meta"):
        return nets.build(spec(s))


def counted_by_hooks(s):
    """Multiply–adds of each top-level part: a layer's weights for one output, times the outputs."""
    net, seen = built(s).eval(), {}
    for part, child in net.named_children():
        def hook(layer, _inputs, out, part=part):
            seen[part] = seen.get(part, 0) + layer.weight[0].numel() * out.numel()

        for module in child.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                module.register_forward_hook(hook)
    net(torch.empty(1, s["channels"], s["size"], s["size"], device="meta"))
    return seen


def evaluated(line):
    with torch.device("meta"):
        return eval(line, {"nets": nets})


@pytest.fixture
def page(chromium, tmp_path):
    write(tmp_path, **PAGE)
    with site_browser.served(tmp_path) as base, site_browser.opened(chromium, base + "index.html") as watched:
        yield watched.page
        assert watched.errors == []


@pytest.mark.parametrize("settings", [
    pytest.param(FAMILY, id="imagenet", marks=pytest.mark.slow), pytest.param(WIDTHS, id="widths"),
    pytest.param(DEPTHS, id="depths", marks=pytest.mark.slow), pytest.param(ODD, id="odd sizes"),
    pytest.param(DEEP, id="very deep", marks=pytest.mark.slow)])
def test_every_number_and_the_line_are_pytorchs(page, settings):
    found = page.evaluate("""settings => settings.map(s => {
        const c = NetCost.netCost(s), [kept, changed] = NetCost.settle(s);
        return { parameters: c.parameters, macs: c.macs, line: NetCost.line(s), changed, kept,
                 stages: c.parts.map(p => [p.name, p.side === null ? [p.channels] : [p.channels, p.side, p.side]]),
                 parts: c.parts.map(p => [p.name, p.parameters]) }; })""", settings)
    assert len(found) == len(settings)
    for s, ours in zip(settings, found, strict=True):
        net = evaluated(ours["line"])
        assert net.spec == spec(s), ours["line"]
        theirs = nets.cost(net, (s["channels"], s["size"], s["size"]))
        assert (ours["parameters"], ours["macs"]) == (theirs.parameters, theirs.macs), s
        assert [(name, tuple(shape)) for name, shape in ours["stages"]] == list(theirs.stages), s
        for name, parameters in ours["parts"]:
            if name.startswith("layer"):
                assert parameters == sum(p.numel() for p in getattr(net, name).parameters()), (s, name)
        assert ours["changed"] == [], s  # the page accepts all that the library does


def test_macs_of_each_stage_add_up_to_those_of_its_blocks(page):
    for s in (imagenet(50), imagenet(50, strideIn="1x1"), imagenet(18, size=97), cifar(20, shortcut="C"),
              cifar(14, block="pre", shortcut="B")):
        parts = page.evaluate("s => NetCost.netCost(s).parts.map(p => [p.name, p.macs])", s)
        assert {name: macs for name, macs in parts if macs} == counted_by_hooks(s), s


def test_the_numbers_that_stand_beside_the_nets(page):
    """The same against tables written elsewhere: torchvision's in the library, and the paper's Table 6 rounded."""
    for depth, (parameters, v15, paper) in nets.IMAGENET_COST.items():
        for stride, giga in (("3x3", v15), ("1x1", paper)):
            c = page.evaluate("s => NetCost.netCost(s)", imagenet(depth, strideIn=stride))
            assert c["parameters"] == parameters and round(c["macs"] / 1e9, 3) == giga
    for depth, (parameters, mega) in nets.CIFAR_COST.items():
        c = page.evaluate("s => NetCost.netCost(s)", cifar(depth))
        assert c["parameters"] == parameters and round(c["macs"] / 1e6, 2) == mega


def stage_table(page):
    return [row.split("\t") for row in page.locator(".rn-net-stages tbody tr").all_inner_texts()]


def verdict(page):
    return page.locator(".rn-net-verdict").inner_text()


def more(page):
    page.locator("summary", has_text="More").click()


def test_it_begins_with_resnet_50(page):
    assert "Without scripts" not in page.locator("net-builder").inner_text()
    assert [row[0] for row in stage_table(page)] == [
        "7×7 conv /2", "max-pool /2", "stage 1: 3 blocks", "stage 2: 4 blocks", "stage 3: 6 blocks",
        "stage 4: 3 blocks", "mean, linear", "together"]
    assert stage_table(page)[5][1] == "2048 × 7 × 7" and stage_table(page)[7][2:] == ["25.6 M", "4.09 G"]
    page.locator("summary", has_text="Data table").click()
    assert "25,557,032\t4,089,184,256" in page.locator("net-builder .rn-data").inner_text()
    assert page.locator(".rn-net-line code").inner_text() == "nets.resnet(50)"


def test_the_verdict_follows_the_setting(page):
    assert "Most parameters sit in stage 4 (59 %), most multiply–adds in stage 3 (36 %)" in verdict(page)
    wide, narrow = (nets.cost(built(imagenet(50, strideIn=s)), (3, 224, 224)).macs for s in ("3x3", "1x1"))
    assert f"{(wide - narrow) / 1e6:.0f} M multiply–adds less ({100 * (wide - narrow) / wide:.1f} %)" in verdict(page)
    more(page)
    page.get_by_label("Stride").select_option("1x1")
    assert "read by neither path" in verdict(page)
    page.get_by_label("Side of the input").fill("32")
    assert "one pixel" in verdict(page) and stage_table(page)[5][1] == "2048 × 1 × 1"
    page.get_by_label("Family").select_option("cifar")
    assert "nearly the same" in verdict(page) and stage_table(page)[0][1] == "16 × 32 × 32"
    page.get_by_label("Side of the input").fill("33")
    costs = [cifar(20, size=33)]
    parts = page.evaluate("s => NetCost.netCost(s).parts.filter(p => p.blocks).map(p => p.macs)", costs[0])
    ratios = " : ".join(f"{m / parts[0]:.2f}".rstrip("0").rstrip(".") for m in parts)
    assert ratios in verdict(page)
    page.get_by_label("Side of the input").fill("32")
    for option in "BC":
        page.get_by_label("Shortcut").select_option(option)
        a, b = (nets.cost(built(cifar(20, shortcut=o)), (3, 32, 32)) for o in ("A", option))
        share = f"{100 * (b.parameters / a.parameters - 1):.{1 if b.parameters < 1.0995 * a.parameters else 0}f} %"
        assert f"{b.parameters - a.parameters:,} parameters ({share})" in verdict(page)
        assert page.locator(".rn-net-projection").count() == {"B": 2, "C": 9}[option]
    page.get_by_label("Blocks", exact=True).select_option("plain")
    assert "neither number" in verdict(page) and page.locator(".rn-net-arc").count() == 0
    assert page.locator(".rn-net-line code").inner_text() == "nets.cifar_resnet(20, residual=False)"
    assert not page.get_by_label("Shortcut").is_visible() and not page.get_by_label("Order").is_visible()


@pytest.mark.parametrize("width", [1, 16, 40])
def test_what_is_said_of_pre_activation_and_of_the_plain_net_is_true(width):
    a = nets.cost(built(cifar(20, width=width)), (3, 32, 32))
    for other in ({"kind": "plain"}, {"block": "pre"}):
        b = nets.cost(built(cifar(20, width=width, **other)), (3, 32, 32))
        assert (a.parameters, a.macs) == (b.parameters, b.macs)


def test_numbers_out_of_range_are_changed_with_a_word(page):
    more(page)
    size = page.get_by_label("Side of the input")
    for typed, kept in (("0", "1"), ("99999", "1024"), ("", "224"), ("-5", "1")):
        size.fill(typed)
        size.press("Enter")
        size.blur()
        assert size.input_value() == kept, typed
        assert "Changed to what such a net can have: side of the input" in page.locator(".rn-net-note").inner_text()
    size.fill("64")
    assert page.locator(".rn-net-note").inner_text() == "" and stage_table(page)[0][1] == "64 × 32 × 32"


def test_the_keyboard_turns_the_depth(page):
    depth = page.get_by_role("slider", name="Depth")
    for key, name in (("ArrowRight", "ResNet-101"), ("End", "ResNet-152"), ("ArrowRight", "ResNet-152"),
                      ("Home", "ResNet-18")):
        depth.press(key)
        assert depth.get_attribute("aria-valuetext") == name
    assert "1 + 2 · 8 + 1" in verdict(page)
    page.get_by_label("Family").select_option("cifar")
    depth.press("End")
    assert page.locator(".rn-net-line code").inner_text() == "nets.cifar_resnet(1202)"
    assert page.locator(".rn-net-block").count() == 3 * 11  # more than twelve become a row of dots


def test_the_address_keeps_the_setting_and_nonsense_is_mended(page):
    more(page)
    page.get_by_label("Family").select_option("cifar")
    page.get_by_label("Order").select_option("pre")
    page.get_by_label("Channels of the first stage").fill("40")
    address, line = page.evaluate("location.href"), page.locator(".rn-net-line code").inner_text()
    assert line == 'nets.cifar_resnet(20, width=40, block="pre")'
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate("location.hash") == ""
    page.goto(address)
    page.reload()
    assert page.locator(".rn-net-line code").inner_text() == line and page.locator(".rn-net-note").inner_text() == ""
    bare = address.split("#")[0]
    for wanted, line, word in (
            ("cifar,21,32,3,10,16,residual,A,post,3x3", "nets.cifar_resnet(20)", "depth"),
            ("cifar,20,1e9,3,10,16,plain,A,pre,3x3", "nets.cifar_resnet(20, residual=False)", "side of the input"),
            ("imagenet,34", "nets.resnet(34)", "classes"), ("vgg,16", "nets.resnet(50)", "family"),
            ("constructor,20", "nets.resnet(50)", "family"), ("%00", "nets.resnet(50)", "family")):
        page.goto(f"{bare}#net1={wanted}")
        page.reload()
        assert page.locator(".rn-net-line code").inner_text() == line
        assert word in page.locator(".rn-net-note").inner_text()


def test_the_line_is_copied_or_selected_with_a_word(page):
    said = page.locator(".rn-net-said")
    page.evaluate("""() => Object.defineProperty(navigator, "clipboard",
        { value: { writeText: async (text) => { globalThis.taken = text; } }, configurable: true })""")
    page.get_by_role("button", name="Copy").press("Enter")
    said.get_by_text("Copied.").wait_for()
    assert page.evaluate("taken") == "nets.resnet(50)"
    for clipboard in ("{ value: { writeText: async () => { throw new Error('no'); } } }", "{ value: undefined }"):
        page.reload()
        page.evaluate(f"() => Object.defineProperty(navigator, 'clipboard', {clipboard})")
        page.get_by_role("button", name="Copy").click()
        said.get_by_text("refused the clipboard").wait_for()
        assert page.evaluate("getSelection().toString()") == "nets.resnet(50)"


def test_the_drawing_says_what_it_shows(page):
    name = page.locator("net-builder svg[role=img]").get_attribute("aria-label")
    assert "stage 3: 6 blocks, 1024 × 14 × 14" in name
    assert page.locator(".rn-net-block").count() == 16 and page.locator(".rn-net-projection").count() == 4


@pytest.mark.parametrize("state", ["", "#net1=cifar,1202,1024,64,10000,256,residual,C,pre,3x3"])
def test_it_is_accessible_and_fits(chromium, tmp_path, state):
    write(tmp_path, **PAGE)
    for width, theme in ((390, "dark"), (1280, "light")):
        address = site_browser.file_address(tmp_path) + "index.html" + state
        with site_browser.opened(chromium, address, width=width, theme=theme) as watched:
            watched.page.evaluate("(t) => { document.documentElement.dataset.theme = t; }", theme)
            for _ in range(2):
                assert site_checks.axe_faults(watched.page) == [] and site_checks.scroll_faults(watched.page) == []
                for summary in watched.page.locator("summary").all():
                    summary.click()
            assert watched.errors == [] and watched.violations() == []


def test_without_scripts_its_content_shows(chromium, tmp_path):
    write(tmp_path, **PAGE)
    with without_scripts(chromium, tmp_path) as page:
        assert page.locator("net-builder").inner_text() == "Without scripts."
