"""Figures: what is drawn comes from the records, and the SVG is fit for a page."""

from itertools import pairwise
from xml.etree import ElementTree
import re

from matplotlib.backends.backend_agg import FigureCanvasAgg
import numpy as np
import pytest

from resnet_lib import plots, records, widgets
from resnet_lib.widgets import player


def record(variant="plain-20", seed=0, errors=(0.9, 0.5, 0.2), live=True, steps=None):
    rows = [{"step": 10 * (k + 1), "train_error": e, "test_error": e} for k, e in enumerate(errors)]
    data = {"name": "digits", "n_train": 100, "n_test": 50, "shape": [1, 8, 8], "sha256": "", "fallback": None}
    segment = {"from_step": 0, "seconds": 3.0, "date": "2026-01-01", "device": "CPU x86_64", "execution": {},
               "versions": {"python": "3", "torch": "2"}, "threads": 1}
    probes = [{"step": s, "layer": ["a", "b", "c"], "weight_norm": [1, 2, 4], "weight_grad_norm": [8, 4, 2],
               "output_std": [1, 1, 1], "output_grad_norm": [1e-3, 1e-2, 1e-1]} for s in (0, 5)]
    recipe = {"steps": steps or rows[-1]["step"]}
    return records.Record("degradation", "quick", variant, seed, "0" * 64, recipe, {"name": "cifar_resnet"}, data,
                          [segment], rows, probes, live=live)


def test_curve_is_the_mean_and_band_of_the_seeds():
    group = [record(seed=0, errors=(0.9, 0.4)), record(seed=1, errors=(0.7, 0.2))]
    ax = plots.curves(group)
    mean = ax.lines[-1]
    assert mean.get_xdata().tolist() == [10, 20]
    assert mean.get_ydata() == pytest.approx([0.8, 0.3])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(0.3 - np.std([0.4, 0.2], ddof=1))
    assert mean.get_linestyle() == "--" and plots.curves(group, "test_error").lines[-1].get_linestyle() == "-"


def test_a_stopped_run_is_never_drawn_as_finished():
    """An open mark and words where it ends, an axis to where it should have ended, and no part in a mean."""
    whole, stopped = [record(seed=s, errors=(0.9, 0.5, 0.4)) for s in (0, 1)], record(seed=2, errors=(0.8,), steps=30)
    ax = plots.curves([*whole, stopped])
    lines = [line for line in ax.lines if line.get_linestyle() != "None" and line.get_linewidth() > 1]
    assert sorted(len(line.get_xdata()) for line in lines) == [1, 3]
    assert lines[0].get_ydata() == pytest.approx([0.9, 0.5, 0.4])  # the mean is that of the finished ones
    mark, = (line for line in ax.lines if line.get_marker() == "s")
    assert (mark.get_xdata()[0], mark.get_ydata()[0], mark.get_markerfacecolor()) == (10, 0.8, "none")
    assert [t.get_text().strip() for t in ax.texts if "stopped" in t.get_text()] == [
        "plain-20, stopped at step 10 of 30"]
    assert plots.curves([stopped]).get_xlim() == (0, 30)
    html = plots.credit([*whole, stopped])
    assert ">unfinished</span>" in html and "stopped at step 10 of 30" in html and ">live</span>" in html
    assert "unfinished" not in plots.credit(whole)


def test_marks_mean_the_same_everywhere():
    colors = {v: plots.COLORS[plots.kind(v)] for v in ("plain-20", "plain-56-3x", "residual-110", "adam-20")}
    assert colors == {"plain-20": "#D55E00", "plain-56-3x": "#D55E00", "residual-110": "#0072B2", "adam-20": "#009E73"}
    assert [plots.depth(v) for v in ("plain-20", "plain-56-lr0.015", "plain-56-3x", "pool")] == [20, 56, 56, 20]
    assert plots.weight("plain-20") < plots.weight("plain-32") < plots.weight("plain-56")


def test_layers_draws_the_probe_of_the_step():
    assert plots.layer_values(record(), "relative_grad", 5).tolist() == [8, 8, 8]
    line = plots.layers([record()], "output_grad_norm", 0).lines[0]
    assert line.get_ydata() == pytest.approx([1e-3, 1e-2, 1e-1])
    with pytest.raises(ValueError, match="0, 5"):
        plots.layer_values(record(), "output_grad_norm", 7)


def test_labels_do_not_overlap():
    ax = plots.curves([record(f"plain-{d}", errors=(0.9, 0.3)) for d in (20, 32, 44, 56)])
    heights = sorted(t.xy[1] for t in ax.texts)
    assert min(np.diff(heights)) > 0.05 * (ax.get_ylim()[1] - ax.get_ylim()[0])


def test_dots_of_the_last_rows_in_per_cent():
    found = [record(seed=s, errors=(0.9, 0.1 * s + 0.2)) for s in (0, 1)] + [record("residual-20", errors=(0.9, 0.1))]
    groups = plots.finals(found, "test_error")
    assert groups == {"plain-20": pytest.approx([0.2, 0.3]), "residual-20": [0.1]}
    ax = plots.dots(groups, dict.fromkeys(groups, "#000000"), "test error", percent_to=0.5)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(groups) and ax.get_xlim() == (-0.01, 0.5)
    assert ax.xaxis.get_major_formatter()(0.25) == "25%"
    assert [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1][0] == pytest.approx(0.25)


def test_a_bare_panel_has_neither_ticks_nor_frame():
    ax = plots.axes((1, 1))[1][0]
    plots.bare(ax)
    assert not [*ax.get_xticks(), *ax.get_yticks()] and not any(s.get_visible() for s in ax.spines.values())


def test_svg_is_well_formed_follows_the_theme_and_is_stable():
    texts = [plots.svg(plots.curves([record(seed=s) for s in (0, 1)]).figure, "falls & <falls>") for _ in range(2)]
    assert texts[0] == texts[1]
    root = ElementTree.fromstring(texts[0])
    assert root.get("role") == "img" and root.get("aria-label") == "falls & <falls>"
    lower = texts[0].lower()
    for color in plots.PAGE:
        left_over = lower.replace(f", {color.lower()})", "")  # the defaults of var(--…, #…) stay
        assert color.lower() not in left_over
    assert "currentColor" in texts[0] and "var(--rn-plain, #D55E00)" in texts[0]
    assert "<style" not in lower and "dejavu" not in lower and "<metadata" not in lower
    ids = re.findall(r' id="([^"]+)"', texts[0])
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', texts[0]))
    assert len(ids) == len(set(ids)) and {a or b for a, b in used} == set(ids)
    other = plots.svg(plots.curves([record("residual-20")]).figure, "another")
    assert not set(ids) & set(re.findall(r' id="([^"]+)"', other))


def test_every_figure_says_where_its_data_come_from():
    ax = plots.curves([record()])
    html = plots.show(ax.figure, [record()], alt="a curve", caption="Caption.").html
    assert "rn-live" in html and records.provenance([record()]) in html and "Caption." in html
    assert "rn-recorded" in plots.credit([record(live=False)])
    with pytest.raises(ValueError, match="records"):
        plots.show(plots.curves([record()]).figure, alt="a curve")
    with pytest.raises(ValueError, match="alt"):
        plots.show(plots.curves([record()]).figure, [record()])


def test_published_points_are_open_circles_at_the_papers_values():
    ax = plots.axes()[1][0]
    plots.published_points(ax, "he15-table6", "test_error", deepest=56)
    line = ax.containers[0].lines[0]
    assert line.get_xdata().tolist() == [20, 32, 44, 56]
    assert line.get_ydata() == pytest.approx([0.0875, 0.0751, 0.0717, 0.0697])
    assert line.get_markerfacecolor() == "none" and line.get_linestyle() == "None"


def draw(step):
    return plots.layers([record()], "output_grad_norm", step).figure


def test_frames_in_the_book(monkeypatch):
    monkeypatch.setenv("RESNET_LIB_BOOK", "1")
    html = widgets.frames(draw, (0, 5), "step", lambda s: f"norms at {s}", [record()], start=1)._repr_html_()
    assert html.count("<svg") == 2 and html.count(" hidden>") == 1 and 'values="[&quot;0&quot;, &quot;5&quot;]"' in html
    assert html.index(" hidden>") < html.index("<svg")  # the first is hidden, the start frame is not


def test_a_slider_elsewhere(monkeypatch):
    monkeypatch.delenv("RESNET_LIB_BOOK", raising=False)
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda html: shown.append(html.data))
    box = widgets.frames(draw, (0, 5), "step", str, [record()], start=1)
    assert '<div class="rn-still">' in shown[-1] and shown[-1].count("<svg") == 1 and "step 5. " in shown[-1]
    slider = box.children[0]
    assert [v for _, v in slider.options] == [0, 5]
    slider.value = 5  # redraws without an error


@pytest.mark.parametrize("values, mode, word", [((), "frames", "1 to 20"), (range(21), "frames", "1 to 20"),
                                                ((0,), "movie", "auto, frames, ipywidgets")])
def test_frames_refuses(values, mode, word):
    with pytest.raises(ValueError, match=word):
        widgets.frames(draw, tuple(values), "step", str, [record()], mode=mode)


def test_frames_refuses_heavy_pages(monkeypatch):
    monkeypatch.setattr(player, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="kB"):
        widgets.frames(draw, (0, 5), "step", str, [record()], mode="frames")


def test_a_measurement_that_is_no_run_says_whether_it_is_live():
    figure, _ = plots.axes((2, 1))
    for kind in ("published", "live", "recorded"):
        html = plots.show(figure, alt="Nothing.", source="CPU, 1 thread", kind=kind).html
        assert f'<span class="rn-badge rn-{kind}">{kind}</span> <span class="rn-provenance">CPU, 1 thread<' in html
    with pytest.raises(ValueError, match="published, live, recorded, got 'measured'"):
        plots.show(figure, alt="Nothing.", source="CPU", kind="measured")


def test_a_measurement_names_this_machine():
    import torch

    said = plots.here()
    assert said.startswith("CPU ") and f", 1 thread · torch {torch.__version__} · 20" in said
    assert ", 2 threads · " in plots.here(2)


def test_no_words_stay_black_on_a_dark_page():
    figure, (axes,) = plots.axes((2, 1))
    axes.annotate("outside the style", (0.5, 0.5))
    axes.annotate("meant so", (0.5, 0.2), color="#D55E00")
    found = re.findall(r"<text style=\"([^\"]*)\"[^>]*>([^<]*)<", plots.svg(figure, "Words."))
    words = {said: style for style, said in found}
    assert "fill: currentColor" in words["outside the style"]
    assert "fill: var(--rn-plain-word, #A34700)" in words["meant so"]  # darker than the line


def test_words_in_the_colors_of_lines_are_dark_enough_on_white():
    """WCAG 2.1, 1.4.3: 4.5 to 1, with the relative luminance of its glossary."""
    from resnet_lib.plots import page

    def luminance(color):
        parts = [int(color[k:k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return sum(weight * v for weight, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    assert all(1.05 / (luminance(color) + 0.05) >= 4.5 for color in page.WORDS.values())
    assert min(1.05 / (luminance(color) + 0.05) for color in plots.COLORS.values()) < 4.5


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("values", [(0.5, 0.5, 0.5), (0.99, 1, 1), (0.001, 0.0011, 0.9), (0.1, 0.5, 0.52)])
def test_names_at_the_ends_of_lines_do_not_overlap_and_keep_their_order(scale, values):
    figure, [ax] = plots.axes((5.6, 3.1))
    ax.set(xlim=(0, 1), ylim=(0.001, 1), yscale=scale)
    plots.label_ends(ax, [(y, f"net {k}", plots.INK, 1) for k, y in enumerate(values)])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [t.get_window_extent(canvas.get_renderer()) for t in ax.texts]
    assert [t.get_text() for t in ax.texts] == ["net 0", "net 1", "net 2"]
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    frame = ax.get_window_extent()
    assert all(frame.y0 - 6 < (b.y0 + b.y1) / 2 < frame.y1 + 6 for b in boxes)
    lonely = (boxes[2].y0 + boxes[2].y1) / 2 - ax.transData.transform((1, values[2]))[1]
    assert abs(lonely) < 3 or values[2] - values[1] < 0.1
