"""Every preset of the playground, trained with two seeds, weekly with five: its caption has to hold for each."""

import json
import math
import shutil
import subprocess

import pytest

from conftest import ROOT, mostly_weekly

NODE = shutil.which("node")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NODE is None, reason="Node is not installed")]
EVERY_SEED = pytest.mark.parametrize("seed", mostly_weekly(range(5), 0))
GUESSING = math.log(2)
SCRIPTS = "".join((ROOT / "web" / "elements" / f"{name}.js").read_text(encoding="utf-8")
                  for name in ("points", "loops", "engine", "presets"))

# Nets of a preset: losses and statistics at step 0 and at the caption's step, losses without each block at both.
TRAIN = """(preset, seed, sides, changes) => sides.map((side) => {
  const P = globalThis.PlaygroundPresets, E = globalThis.ResidualEngine;
  const spec = { ...P.specOf({ ...P.settingOf(preset), ...changes }, side), seed };
  const net = new E.Net(spec, globalThis.PlaygroundPoints.makeData(spec.data));
  const look = () => {
    const found = { loss: net.gradient(), ...net.statistics() };
    found.gradient = found.gradient1.map((g, l) => Math.hypot(g, found.gradient2[l]));
    found.without = ["lesion", "zero-init"].includes(preset) ? found.gradient.map((_, l) => {
      net.toggle(l);
      const loss = net.gradient();
      net.toggle(l);
      return loss;
    }) : [];
    return found;
  };
  const start = look();
  net.advance(P.PRESETS[preset].after);
  return { start, end: look() };
})"""


def trained(preset, seed, sides=(0, 1), **changes):
    """What TRAIN finds of the nets on these sides: 0 the plain one, 1 the other."""
    return node(f"({TRAIN})({json.dumps(preset)}, {seed}, {list(sides)}, {json.dumps(changes)})")


def node(expression):
    done = subprocess.run([NODE, "-e", f"{SCRIPTS}\nprocess.stdout.write(JSON.stringify({expression}));"],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def slope(look):
    """Gradient of the first block over that of the last."""
    return look["gradient"][0] / look["gradient"][-1]


def batch_norm(plain, residual):
    for net in (plain, residual):
        assert all(0.1 < s < 10 for look in net.values() for s in look["spread"])
    assert slope(plain["start"]) > 1000 and slope(residual["start"]) < 100
    assert residual["end"]["loss"] < 0.1 and abs(plain["end"]["loss"] - GUESSING) < 0.1


def signal_collapse(plain, residual):
    # Signal collapse, not degradation: the last blocks cannot tell the points apart.
    assert plain["start"]["spread"][-1] < 1e-8 and plain["start"]["angle"][-1] < 1e-8
    assert plain["start"]["gradient"][0] < 1e-8
    assert abs(plain["end"]["loss"] - GUESSING) < 5e-4
    assert residual["start"]["spread"][-1] > 0.1 and residual["end"]["loss"] < 0.1


def growing(plain, residual):
    assert residual["start"]["spread"][-1] > 20 * residual["start"]["spread"][0]
    assert residual["start"]["loss"] > 1


def scaled(plain, residual):
    assert 1 / 3 < residual["start"]["spread"][-1] / residual["start"]["spread"][0] < 3
    assert residual["end"]["loss"] < 0.1


def zero_init(plain, residual):
    start, end = residual["start"], residual["end"]
    assert set(start["without"]) == {start["loss"]} and len(set(start["spread"])) == 1
    assert end["loss"] < 0.1 and min(end["without"]) > end["loss"]
    assert len(set(end["spread"])) > 1 and start["spread"][0] != plain["start"]["spread"][-1]


def shallow(plain, residual):
    assert plain["end"]["loss"] < 0.02 and residual["end"]["loss"] < 0.02


def halved_skip(plain, halved):
    assert slope(plain["start"]) > 1000 and slope(halved["start"]) > 1000
    assert plain["end"]["loss"] > 0.5 and halved["end"]["loss"] > 0.5


def lesion(plain, residual):
    assert plain["end"]["loss"] < 0.2 and residual["end"]["loss"] < 0.2
    assert min(plain["end"]["without"]) > 0.5
    assert min(residual["end"]["without"]) < min(plain["end"]["without"])
    assert residual["end"]["without"][0] > 1


def curve(plain, residual):
    assert residual["end"]["loss"] < 0.01 and plain["end"]["loss"] > 0.3


CLAIMS = {"batch-norm": batch_norm, "signal-collapse": signal_collapse, "growing": growing, "scaled": scaled,
          "zero-init": zero_init, "shallow": shallow, "halved-skip": halved_skip, "lesion": lesion, "curve": curve}


def test_every_preset_has_its_claims():
    assert node("Object.keys(PlaygroundPresets.PRESETS)") == list(CLAIMS)


@EVERY_SEED
@pytest.mark.parametrize("preset", CLAIMS)
def test_what_the_caption_says_holds_for_every_seed(preset, seed):
    CLAIMS[preset](*trained(preset, seed))


@EVERY_SEED
def test_what_the_answers_on_the_page_say_holds_for_every_seed(seed):
    plain, residual = trained("signal-collapse", seed, norm="on")  # question 1
    for look in (plain["start"], residual["start"]):
        assert min(look["spread"]) > 0.1 and min(look["angle"]) > 0.1
    assert slope(plain["start"]) > 1000 and plain["end"]["loss"] > 0.6 and residual["end"]["loss"] < 0.1
    (plain,) = trained("growing", seed, sides=[0])  # question 2
    assert plain["start"]["spread"][-1] < plain["start"]["spread"][0] / 2
    (zero,) = trained("zero-init", seed, sides=[1])  # question 3
    assert set(zero["start"]["gradient1"]) == {0} and min(zero["start"]["gradient2"]) > 0
    assert min(zero["end"]["gradient1"]) > 0
    plain = {n: trained("shallow", seed, sides=[0], blocks=n)[0] for n in (2, 8, 16)}  # question 5
    assert plain[8]["end"]["loss"] < 0.05 and plain[16]["end"]["loss"] > 0.3
    assert slope(plain[2]["start"]) < 5 and slope(plain[16]["start"]) > 50
    for key in ("spread", "angle"):
        assert all(0.2 < value < 2 for net in plain.values() for value in net["start"][key])


def test_the_nets_of_a_preset_share_the_weights_of_f():
    same = node("""Object.keys(PlaygroundPresets.PRESETS).filter((p) => p !== "zero-init").map((preset) => {
        const P = PlaygroundPresets, E = ResidualEngine, nets = [0, 1].map((side) => {
          const spec = P.specOf(P.settingOf(preset), side);
          return new E.Net(spec, PlaygroundPoints.makeData(spec.data)); });
        const part = (net, name) => { const p = net.parts.find((q) => q.name === name);
          return [...net.theta.subarray(p.at, p.at + p.rows * p.cols)]; };
        return nets[0].parts.every(({ name }) => String(part(nets[0], name)) === String(part(nets[1], name))); })""")
    assert len(same) == len(CLAIMS) - 1 and all(same)


def test_the_word_degradation_is_used_only_to_deny_it():
    """It may name a plain net only where its signals are measured healthy; that holds for none of these."""
    for text in node("Object.values(PlaygroundPresets.PRESETS).map((p) => p.seen)"):
        assert "degradation" not in text or "not what He et al. call degradation" in text


@pytest.mark.parametrize("text, setting, words", [
    ("batch-norm,width:0", {"width": 2}, "Width w goes from 2 to 24; 0 became 2."),
    ("batch-norm,blocks:1000000", {"blocks": 60}, "1000000 became 60."),
    ("batch-norm,rate:NaN", {"rate": 0.003}, "“NaN” is not a number; 0.003 stays."),
    ("batch-norm,rate:-1", {"rate": 0.00001}, "-1 became 0.00001."),
    ("batch-norm,rate:Infinity", {"rate": 10}, "Infinity became 10."),
    ("batch-norm,seed:1.5", {"seed": 2}, "1.5 became 2."),
    ("signal-collapse,skip:sideways", {"skip": "identity", "norm": "off"}, "“sideways” is not offered"),
    ("batch-norm,toString:1", {}, "“toString:1” is not a setting"),
    ("toString", {"blocks": 27}, "no preset “toString”"),
    ("blocks:3", {"blocks": 3}, ""),
    ("", {"blocks": 27}, "There is no preset"),
])
def test_impossible_settings_are_clamped_or_passed_over_with_a_word(text, setting, words):
    found = node(f"PlaygroundPresets.unpack({json.dumps(text)})")
    assert {key: found["setting"][key] for key in setting} == setting
    assert words in " ".join(found["words"]) and bool(words) == bool(found["words"])


def test_a_setting_survives_its_address():
    assert node("""Object.keys(PlaygroundPresets.PRESETS).every((preset) => {
        const P = PlaygroundPresets, setting = { ...P.settingOf(preset), blocks: 9, rate: 0.125, skip: "linear" };
        const back = P.unpack(P.pack(preset, setting));
        return back.preset === preset && JSON.stringify(back.setting) === JSON.stringify(setting); })""")


def test_the_points_lie_where_their_names_say():
    """Circles: a disk inside a ring, each filled evenly; spirals: two arms, as long as each other."""
    for name in ("circles", "spirals"):
        data = node(f'globalThis.PlaygroundPoints.makeData("{name}")')
        n, labels = data["n"], [data["t"][str(p)] for p in range(data["n"])]
        at = [(data["x"][str(p)], data["x"][str(n + p)]) for p in range(n)]
        radii = {k: sorted(math.hypot(*xy) for xy, label in zip(at, labels, strict=True) if label == k) for k in (0, 1)}
        assert len(radii[0]) == len(radii[1]) == n // 2
        if name == "circles":
            assert radii[0][-1] <= 0.5 and 0.75 <= radii[1][0] and radii[1][-1] <= 0.95
            assert abs(radii[0][n // 4] - 0.5 * math.sqrt(0.5)) < 0.08  # half of an even disk lies inside of this
        else:
            assert radii[0][-1] < 1.05 and abs(radii[0][n // 4] - radii[1][n // 4]) < 0.1
