"""A run's checkpoint: what is in it, whose it is, and reading its file without running anything from it."""

from pathlib import Path

import torch

from ..wording import advice

STATE = ("recipe_id", "spec", "recipe", "data", "semantics", "at", "net", "optimizer", "generator", "counter", "rows",
         "probes", "segments")


def refuse_others(mine: dict, state: dict) -> None:
    """ValueError unless ``state`` is a checkpoint of the run ``mine`` (its id, spec, recipe, data and semantics)."""
    missing = [key for key in STATE if key not in state] if isinstance(state, dict) else STATE
    if missing:
        raise ValueError(f"this is not a checkpoint of a run: it lacks {', '.join(missing)}")
    if state["recipe_id"] != mine["recipe_id"]:
        raise ValueError(f"this checkpoint belongs to another run: {_difference(mine, state)}. Run what it was "
                         f"made for, or start anew {advice('without --resume', 'and load none')}")


def _difference(mine: dict, state: dict) -> str:
    found = []
    for part in ("spec", "recipe", "data", "semantics"):
        ours, theirs = mine[part], state[part]
        if not isinstance(ours, dict) or not isinstance(theirs, dict):
            ours, theirs = {part: ours}, {part: theirs}
        found += [f"{key} {theirs.get(key)!r} there, {ours.get(key)!r} here"
                  for key in sorted(set(ours) | set(theirs)) if ours.get(key) != theirs.get(key)]
    return "; ".join(found[:4]) or "no recipe in it"


def read_checkpoint(path: str | Path) -> dict:
    """The state in a file that `Run.save` wrote, on the CPU; ValueError, with the way out, where that fails."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        found = advice("--resume without a file", "experiments.run")
        raise ValueError(f"there is no checkpoint {path}; those of this machine are in _build/runs, where {found} "
                         f"finds them") from None
    except OSError:
        raise
    except Exception as error:  # a truncated zip, a pickle with code in it, another format
        raise ValueError(f"{path} is not a readable checkpoint ({type(error).__name__}); delete it and begin the run "
                         f"anew{advice(', without --resume', '')}") from error
