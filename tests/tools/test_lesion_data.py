"""The data file of the lesion lab against the records, and a handful of its lesions recomputed from the weights."""

import base64
import json

import pytest
import torch
import torch.nn.functional as F

from conftest import ROOT
from resnet_lib import data, records
from resnet_lib.experiments import weights
from resnet_lib.lab import lesions

from lesions import measured, normalized, per_class

FILE = ROOT / "data" / "lesions" / "clothes.json"
KINDS = ("residual", "plain")
needs_pictures = pytest.mark.skipif(not data.available("fashion_mnist"), reason="Fashion-MNIST is not in data/")


def held() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8"))


def trained(origin: dict) -> torch.nn.Module:
    record = records.read(ROOT / origin["record"])
    assert record.recipe_id == origin["recipe_id"] and record.commit == origin["commit"] and not record.dirty
    return weights.load(record, ROOT / origin["weights"])


def place(free: list[int], gone: tuple[int, ...]) -> int:
    return sum(2 ** free.index(k) for k in gone)


def test_it_holds_every_combination():
    content = held()
    assert FILE.stat().st_size < 100_000
    assert {kind: content["nets"][kind]["free"] for kind in KINDS} == {
        "residual": list(range(9)), "plain": [0, 1, 2, 4, 5, 7, 8]}  # 3 and 6 change the shape
    for kind in KINDS:
        net = content["nets"][kind]
        n = 2 ** len(net["free"])
        assert (len(net["correct"]), len(net["again"]), len(net["answers"])) == (10 * n, n, 10 * n)
        assert [s["pair"] for s in net["swaps"]] == [[0, 1], [0, 2], [1, 2], [4, 5], [7, 8]]
        assert all(0 <= right <= of for right, of in zip(net["correct"], n * content["of_class"], strict=True))
    assert sum(content["of_class"]) == content["n"]


def test_the_whole_nets_are_as_good_as_their_records_say():
    content = held()
    for kind in KINDS:
        # the recorded error is that of twice as many pictures: five standard deviations
        error = content["nets"][kind]["origin"]["test_error"]
        assert lesions.right(content, kind) == pytest.approx(1 - error, abs=0.015)


@needs_pictures
def test_the_pictures_are_those_of_the_test_set():
    content, images = held(), data.load("fashion_mnist")
    assert base64.b64decode(content["pictures"]) == images.test_x[content["shown"]].numpy().tobytes()
    assert images.test_y[content["shown"]].tolist() == list(range(10))
    assert torch.bincount(images.test_y[:content["n"]]).tolist() == content["of_class"]


@needs_pictures
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_lesions_computed_again(kind):
    """Without block 2, without 9, without both; and two of a stage exchanged: answers and counts are the file's."""
    content, images = held(), data.load("fashion_mnist")
    net, found = trained(content["nets"][kind]["origin"]), content["nets"][kind]
    torch.set_num_threads(1)
    x, y = normalized(images, images.test_x[:content["n"]]), images.test_y[:content["n"]]
    possible = [(False, True) if k in (1, 8) else (True,) for k in range(9)]
    again = lesions.answers(net, x, possible, at=lesions.reestimated(net, measured(images), possible))
    for kept, answers in lesions.answers(net, x, possible).items():
        at = place(found["free"], tuple(k for k in (1, 8) if not kept[k]))
        expected = found["correct"][10 * at:10 * at + 10]
        # a near tie may fall otherwise on another processor
        assert all(abs(a - b) <= 2 for a, b in zip(per_class(answers, y), expected, strict=True)), kept
        assert "".join(map(str, answers[content["shown"]].tolist())) == found["answers"][10 * at:10 * at + 10]
        assert abs(int((again[kept] == y).sum()) - found["again"][at]) <= 5
    swapped = lesions.answers(net, x, [(True,)] * 9, lesions.swapped(net, 1, 2)).popitem()[1]
    assert abs(int((swapped == y).sum()) - sum(found["swaps"][2]["correct"])) <= 5


@pytest.mark.parametrize("kind", KINDS)
def test_seed_zero_is_the_same_in_both_files(kind):
    one, net = lesions.results("seeds")["nets"][kind][0], held()["nets"][kind]
    assert one["origin"] == net["origin"] and one["free"] == net["free"]
    places = [0, *(2**p for p in range(len(net["free"])))]
    assert one["correct"] == [sum(net["correct"][10 * at:10 * at + 10]) for at in places]
    assert one["again"] == [net["again"][at] for at in places]


def test_every_seed_is_there_and_as_good_as_its_record_says():
    content = lesions.results("seeds")
    for kind in KINDS:
        assert [net["seed"] for net in content["nets"][kind]] == [0, 1, 2]
        for net in content["nets"][kind]:
            assert len(net["correct"]) == len(net["again"]) == 1 + len(net["free"])
            record = records.read(ROOT / net["origin"]["record"])
            assert (record.seed, record.recipe_id) == (net["seed"], net["origin"]["recipe_id"])
            right = net["correct"][0] / content["n"]
            assert right == pytest.approx(1 - net["origin"]["test_error"], abs=0.015)


@needs_pictures
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", (1, 2))
def test_a_single_lesion_of_another_seed_computed_again(kind, seed):
    """Block 5 cut out of the module tree: the count is the file's, but for near ties."""
    content, images = lesions.results("seeds"), data.load("fashion_mnist")
    found = content["nets"][kind][seed]
    net = trained(found["origin"])
    net.layer2 = torch.nn.Sequential(net.layer2[0], net.layer2[2])
    x, y = normalized(images, images.test_x[:content["n"]]), images.test_y[:content["n"]]
    with torch.no_grad():
        right = sum(int((net(part).argmax(1) == labels).sum())
                    for part, labels in zip(x.split(500), y.split(500), strict=True))
    assert abs(right - found["correct"][1 + found["free"].index(4)]) <= 5


@needs_pictures
@pytest.mark.parametrize("kind", KINDS)
def test_a_lesion_by_hand(kind):
    """Block 2 cut out of the module tree, on the first 500 pictures, against the walk that made the file."""
    content, images = held(), data.load("fashion_mnist")
    net = trained(content["nets"][kind]["origin"])
    x = normalized(images, images.test_x[:500])
    ours, = lesions.answers(net, x, [(k != 1,) for k in range(9)]).values()
    net.layer1 = torch.nn.Sequential(net.layer1[0], net.layer1[2])
    with torch.no_grad():
        assert torch.equal(ours, net(x).argmax(1))
        pixels = F.relu(net.bn1(net.conv1(x[:1])))
    assert pixels.min() >= 0  # what enters the blocks is not negative: relu(x) is x
