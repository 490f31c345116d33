"""The playground's engine written again with PyTorch, and the cases on which the two are compared."""

import itertools
import json
from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "".join((ROOT / "web" / "elements" / f"{name}.js").read_text(encoding="utf-8")
                 for name in ("points", "loops", "engine"))
TOLERANCE = {"Float64Array": 1e-9, "Float32Array": 1e-4}  # relative to the largest entry of each tensor
BASE = {"blocks": 3, "width": 5, "skip": "identity", "norm": True, "scale": "one", "init": "he", "activation": "relu",
        "optimizer": "momentum", "rate": 1e-5, "seed": 0, "data": "spirals", "points": 26, "removed": []}
DATA = ("spirals", "circles", "xor", "curve")

# What the engine does for one case: initial weights shaken, so that scales, shifts and biases matter; then everything
# that it computes from them.  The update is driven by given gradients: Adam turns rounding into steps where a gradient
# is zero but for rounding.
COMPUTE = """(spec, kind) => {
  const E = globalThis.ResidualEngine, Float = globalThis[kind];
  const net = new E.Net(spec, globalThis.PlaygroundPoints.makeData(spec.data, spec.points, Float), Float);
  const { normal } = globalThis.PlaygroundPoints.random(7);
  for (let k = 0; k < net.theta.length; k++) net.theta[k] += 0.1 * normal();
  for (const block of spec.removed) net.toggle(block);
  const answer = { parts: net.parts, data: { x: [...net.data.x], t: [...net.data.t], task: net.data.task },
    theta: [...net.theta], loss: net.gradient(), z: [...net.space.z], grad: [...net.grad],
    statistics: net.statistics() };
  const other = Float.from(net.data.x, (v) => 0.7 * v + 0.1);
  answer.other = [...other];
  answer.predicted = [...net.predict(other)];
  answer.losses = net.advance(5);
  answer.trained = [...net.theta];
  net.step = 0;
  net.first.fill(0);
  net.second.fill(0);
  net.theta.set(answer.theta);
  answer.given = [0, 1, 2, 3].map(() => {
    const given = Float.from(net.theta, () => normal());
    net.grad.set(given);
    net.update();
    return [...given];
  });
  answer.updated = [...net.theta];
  return answer;
}"""


def cases():
    """Every pair of options that meet in the mathematics, over varying sizes and data."""
    found = [{"norm": norm, "activation": activation, "skip": skip}
             for norm, activation, skip in itertools.product((True, False), ("relu", "tanh", "silu", "linear"),
                                                             ("none", "identity", "half", "linear"))]
    found += [{"scale": scale, "init": init, "skip": skip, "norm": norm}
              for scale, init, skip, norm in itertools.product(("sqrt", "zero"), ("he", "glorot", "default"),
                                                               ("identity", "linear"), (True, False))]
    found += [{"removed": [0, 2], "skip": skip, "norm": norm, "scale": "sqrt"}
              for skip in ("none", "identity", "half", "linear") for norm in (True, False)]
    found += [{"width": width, "points": points, "norm": norm} for width, points in ((1, 4), (2, 7), (4, 33), (7, 30))
              for norm in (True, False) if not (norm and width == 1)]
    found += [{"optimizer": optimizer, "norm": False, "activation": "tanh", "rate": 0.02}
              for optimizer in ("sgd", "momentum", "adam")]
    found += [{"blocks": 27, "width": 12, "points": 256, "skip": "identity", "norm": norm, "scale": "sqrt"}
              for norm in (True, False)]
    # Not the curve for linear nets, nor width 1 with normalization: normalized numbers of one dimension are the same
    # after any linear map, so that their gradients are zero but for rounding.
    return [{**BASE, "seed": k, "data": DATA[k % (3 if case.get("activation") == "linear" else 4)], **case}
            for k, case in enumerate(found)]


class Oracle:
    """One net: parameters as leaves with gradients, the forward pass with PyTorch's own functions."""

    def __init__(self, spec, answer):
        self.spec = spec
        self.parameters = {}
        for part in answer["parts"]:
            rows, cols, at = part["rows"], part["cols"], part["at"]
            values = torch.tensor(answer["theta"][at:at + rows * cols], dtype=torch.float64)
            self.parameters[part["name"]] = values.view(rows, cols).requires_grad_()
        self.known = {}

    def normal_and_phi(self, name, x, training):
        if self.spec["norm"]:
            gamma, beta = self.parameters[name]
            if training:
                self.known[name] = x.mean(0).detach(), x.var(0, unbiased=False).detach()
                x = F.batch_norm(x, None, None, gamma, beta, training=True)
            else:
                x = F.batch_norm(x, *self.known[name], gamma, beta, training=False)
        return {"relu": F.relu, "tanh": torch.tanh, "silu": F.silu, "linear": lambda v: v}[self.spec["activation"]](x)

    def layer(self, name, x):
        bias = self.parameters.get(f"{name}.bias")
        return F.linear(x, self.parameters[f"{name}.weight"], None if bias is None else bias[0])

    def streams(self, x, training=True):
        """y_0 … y_L, each (points, width)."""
        blocks, skip = self.spec["blocks"], self.spec["skip"]
        scale = blocks ** -0.5 if self.spec["scale"] == "sqrt" and skip != "none" else 1.0
        found = [self.layer("stem", x)]
        for k in range(blocks):
            y = found[-1]
            removed = k in self.spec["removed"]
            if removed:
                branch = torch.zeros_like(y)
            else:
                branch = self.layer(f"{k}.layer1", self.normal_and_phi(f"{k}.norm1", y, training))
                branch = self.layer(f"{k}.layer2", self.normal_and_phi(f"{k}.norm2", branch, training))
            around = {"none": lambda v, r=removed: v if r else 0.0, "identity": lambda v: v, "half": lambda v: 0.5 * v,
                      "linear": lambda v, n=f"{k}.skip": F.linear(v, self.parameters[n])}[skip](y)
            found.append(scale * branch + around)
        return found

    def outputs(self, x, training=True):
        return self.layer("head", self.normal_and_phi("last.norm", self.streams(x, training)[-1], training))[:, 0]

    def loss(self, x, t, task):
        z = self.outputs(x)
        return F.mse_loss(z, t) if task == "regression" else F.binary_cross_entropy_with_logits(z, t)

    def optimizer(self):
        lr, values = self.spec["rate"], list(self.parameters.values())
        if self.spec["optimizer"] == "adam":
            return torch.optim.Adam(values, lr)
        return torch.optim.SGD(values, lr, momentum=0.9 if self.spec["optimizer"] == "momentum" else 0)

    def flat(self, gradients=False):
        return [(name, (v.grad if gradients else v).detach().clone() if not gradients or v.grad is not None
                 else torch.zeros_like(v)) for name, v in self.parameters.items()]


def points(values, inputs):
    """The engine keeps features together, PyTorch points."""
    return torch.tensor(values, dtype=torch.float64).view(inputs, -1).T


def spread(y):
    return y.var(0, unbiased=False).mean().sqrt()


def angle(y):
    """1 - mean cosine over all pairs of different points, pair by pair."""
    unit = F.normalize(y, dim=1)
    n = len(y)
    cosines = unit @ unit.T
    return 1 - (cosines.sum() - cosines.trace()) / (n * (n - 1))


def differences(spec, answer):
    """Names of what differs and by how much, relative to the largest entry of PyTorch's tensor."""
    inputs = 1 if spec["data"] == "curve" else 2
    data = answer["data"]
    x, t = points(data["x"], inputs), torch.tensor(data["t"], dtype=torch.float64)
    found = {}

    def compare(name, ours, theirs):
        theirs = torch.as_tensor(theirs, dtype=torch.float64).detach().reshape(-1)
        ours = torch.as_tensor(ours, dtype=torch.float64).reshape(-1)
        assert ours.shape == theirs.shape, name
        found[name] = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))

    def compare_parts(name, ours, theirs):
        for (part_name, theirs_part), part in zip(theirs, answer["parts"], strict=True):
            compare(f"{name} {part_name}", ours[part["at"]:part["at"] + part["rows"] * part["cols"]], theirs_part)

    net = Oracle(spec, answer)
    compare("z", answer["z"], net.outputs(x))
    loss = net.loss(x, t, data["task"])
    loss.backward()
    compare("loss", answer["loss"], loss)
    compare_parts("gradient", answer["grad"], net.flat(gradients=True))
    streams, statistics = net.streams(x), answer["statistics"]
    compare("spread", statistics["spread"], torch.stack([spread(y) for y in streams]))
    compare("angle", statistics["angle"], torch.stack([angle(y) for y in streams]))
    for which in (1, 2):
        norms = [net.parameters[f"{k}.layer{which}.weight"].grad for k in range(spec["blocks"])]
        compare(f"gradient norm {which}", statistics[f"gradient{which}"],
                [0.0 if g is None else float(g.norm()) for g in norms])
    for name in ("stem", "head"):
        compare(f"gradient norm {name}", statistics[name], net.parameters[f"{name}.weight"].grad.norm())
    other = net.outputs(points(answer["other"], inputs), training=False)
    compare("predicted", answer["predicted"], other if data["task"] == "regression" else other.sigmoid())

    optimizer, losses = net.optimizer(), []
    for _ in range(5):
        optimizer.zero_grad()
        loss = net.loss(x, t, data["task"])
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    compare("losses", answer["losses"], [*losses, net.loss(x, t, data["task"]).item()])
    compare_parts("trained", answer["trained"], net.flat())

    net = Oracle(spec, answer)
    optimizer = net.optimizer()
    for given in answer["given"]:
        for part in answer["parts"]:
            values = torch.tensor(given[part["at"]:part["at"] + part["rows"] * part["cols"]], dtype=torch.float64)
            net.parameters[part["name"]].grad = values.view(part["rows"], part["cols"])
        optimizer.step()
    compare_parts("updated", answer["updated"], net.flat())
    return found


def disagreements(run, kind):
    """`run(spec, kind)` gives the engine's answer; the differences above the tolerance, worst first."""
    worst = []
    for spec in cases():
        for name, difference in differences(spec, run(spec, kind)).items():
            if not difference <= _tolerance(name, kind):
                worst.append((difference, name, json.dumps(spec)))
    return sorted(worst, reverse=True)


def _tolerance(name, kind):
    # probabilities for the drawing leave the engine as 32-bit numbers, whatever it computes with
    return max(TOLERANCE[kind], 1e-6) if name == "predicted" else TOLERANCE[kind]
