"""What a run is called: a hash of all that decides its result."""

import hashlib
import inspect
import json

import torch.nn as nn

from .nets import without_defaults
from .recipe import Recipe

# Raise whenever the same recipe and seed would give other numbers than before. It is part of every
# run's id, so records of the old mathematics are no longer taken for the new (tests/lib/train/test_golden.py).
SEMANTICS = 1


def run_id(spec: dict, recipe: dict | None, identity: dict) -> str:
    """SHA-256 of everything that decides the result: net, recipe with seed, data, SEMANTICS.

    ``recipe`` is `Recipe.to_json`, None where nothing is trained. Values that are defaults are left out,
    so that a field added later, with a default that changes nothing, leaves the ids of old runs as they
    are. (A *changed* default changes results and ids: the golden test asks for new SEMANTICS.)
    """
    if recipe is not None:
        usual = Recipe().to_json()
        recipe = {k: v for k, v in recipe.items() if k not in usual or v != usual[k]}
    content = {"net": without_defaults(spec), "recipe": recipe, "data": identity, "semantics": SEMANTICS}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def spec_of(net: nn.Module, with_weights: bool = False) -> dict:
    """What stands for a net in a run's id: its builder's spec, or a hash of the code of a net of one's own.

    ``with_weights`` adds a hash of its weights, for runs that begin with those it came with.
    """
    spec = getattr(net, "spec", None)
    if spec is None:
        digest = hashlib.sha256(str(net).encode())
        for kind in dict.fromkeys(type(m) for m in net.modules() if not type(m).__module__.startswith("torch.")):
            digest.update(inspect.getsource(kind).encode())
        spec = {"name": type(net).__name__, "code": digest.hexdigest()}
    if with_weights:
        digest = hashlib.sha256()
        for name, value in net.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        spec = {**spec, "weights": digest.hexdigest()}
    return spec
