"""Values of runs in words: what `{val}` shows on a page, and what `tell` shows in a notebook.

    degradation/quick/plain-56:train_error                              52.9 %   mean over the seeds, last row
    degradation/quick/plain-56:train_error|std                          ± 1.2    in points for errors
    degradation/quick/plain-56:train_error|seeds                        3
    degradation/quick/plain-56:train_error - plain-20:train_error       47.3     points
    degradation/quick:seconds                                           2 min 54 s
    degradation/quick:data                                              CIFAR-10
    degradation/quick/plain-56:steps                                    176      from the recipe
    degradation/paper/plain-56:step                                     1,200    how far a stopped run came: of such a
                                                                                 run this may be shown, no result
    published/he15-table6/residual-20:test_error                        8.75 %   with the paper's digits

Nothing heavy is imported before a value is asked for: the build of the book reads this module too.
"""

import math
import re
import statistics
from dataclasses import dataclass

from .wording import TITLES, duration, is_error, number, sign, spread

ABOUT_RUNS = ("seconds", "seeds", "data", "n_train", "n_test", "device", "date")
MODIFIERS = ("std", "seeds")
ABOUT_UNFINISHED = ("step", "seconds", "data", "n_train", "n_test", "device", "date")  # and what the recipe says


class ValueProblem(ValueError):
    """An expression that cannot be shown; the message names what would work."""


@dataclass(frozen=True)
class Shown:
    """Text for the page and, for the curious, where it comes from."""

    text: str
    origin: str


def resolve(expression, experiments, published):
    """Text of an expression.

    `experiments` has EXPERIMENTS and find(experiment, tier, variant) as resnet_lib.experiments does,
    `published` is the content of resnet_lib/published.json.  Raises ValueProblem.
    """
    body, _, modifier = expression.partition("|")
    modifier = modifier.strip()
    if modifier and modifier not in MODIFIERS:
        raise ValueProblem(f"unknown modifier |{modifier}; known: {', '.join(MODIFIERS)}")
    terms = [_split(term.strip()) for term in body.split(" - ")]
    if len(terms) == 1:
        return _single(*terms[0], modifier, experiments, published)
    if len(terms) > 2 or modifier:
        raise ValueProblem(f"{expression!r}: a difference has two terms and no modifier")
    return _difference(*terms, experiments, published)


def known_records(target, experiments, field=None):
    """Records behind 'experiment/tier/variant' (or 'experiment/tier': all variants), one for each seed.

    Runs that were stopped count only where there is no other, and only for a `field` that is no result."""
    parts = target.split("/")
    if len(parts) not in (2, 3):
        raise ValueProblem(f"{target!r} is not EXPERIMENT/TIER/VARIANT")
    experiment = _known("experiment", parts[0], experiments.EXPERIMENTS)
    tier = _known(f"tier of {parts[0]}", parts[1], experiment.tiers)
    if len(parts) == 3:
        _known(f"variant of {parts[0]}/{parts[1]}", parts[2], tier.variants)
    variants = [parts[2]] if len(parts) == 3 else list(tier.variants)
    found = []
    for variant in variants:
        try:
            found += _one_for_each_seed(experiments.find(parts[0], parts[1], variant, unfinished=True))
        except ValueError as problem:
            raise ValueProblem(str(problem)) from problem
    records = [r for r in found if r.finished]
    choice = f" --variants {parts[2]}" if len(parts) == 3 else ""
    if not records and found:
        allowed = [*ABOUT_UNFINISHED, *(found[0].recipe or ())]
        if field not in allowed:
            reached = ", ".join(f"{r.variant}-s{r.seed} {r.progress}" for r in found)
            raise ValueProblem(
                f"{target} has no finished run ({reached}), and an unfinished one has no {field or 'result'} to show; "
                f"it has {', '.join(ABOUT_UNFINISHED)}, or finish it: python -m resnet_lib run {parts[0]} --tier "
                f"{parts[1]}{choice} --resume --record"
            )
        return found
    if not records:
        raise ValueProblem(
            f"no valid record of {target} (never run, or made with other code, recipe or data); "
            f"python -m resnet_lib run {parts[0]} --tier {parts[1]}{choice}"
        )
    return records


def _one_for_each_seed(records):
    """A live record stands before a recorded one of the same seed: it is what the page just ran."""
    chosen = {}
    for record in sorted(records, key=lambda r: r.live):
        chosen[record.seed] = record
    return [chosen[seed] for seed in sorted(chosen)]


def _known(kind, name, names):
    if name not in names:
        raise ValueProblem(f"unknown {kind}: {name!r}; known: {', '.join(names)}")
    return names[name]


def _split(term):
    target, colon, field = term.rpartition(":")
    if not colon or not field:
        raise ValueProblem(f"{term!r} has no :field")
    return target.strip(), field.strip()


def _single(target, field, modifier, experiments, published):
    if target.startswith("published/"):
        if modifier:
            raise ValueProblem(f"{target}: a published value has no |{modifier}")
        value, source = _published(target, field, published)
        return Shown(number(field, value, digits=2), source)
    records = known_records(target, experiments, modifier or field)
    if modifier == "seeds" or field == "seeds":
        return Shown(str(len({r.seed for r in records})), _origin(target, "seeds", records))
    if field in ABOUT_RUNS:
        return Shown(_about(field, target, records), _origin(target, field, records))
    values = _last(target, field, records)
    if modifier == "std":
        if len(values) < 2:
            raise ValueProblem(f"{target}: |std needs at least two seeds, there is {len(values)}")
        return Shown(spread(field, statistics.stdev(values)), _origin(target, field, records))
    return Shown(number(field, statistics.fmean(values)), _origin(target, field, records))


def _difference(first, second, experiments, published):
    (target_a, field_a), (target_b, field_b) = first, second
    if "/" not in target_b:
        target_b = f"{target_a.rpartition('/')[0]}/{target_b}"
    values, origins = [], []
    for target, field in ((target_a, field_a), (target_b, field_b)):
        if target.startswith("published/"):
            value, origin = _published(target, field, published)
        else:
            records = known_records(target, experiments)
            if field in ABOUT_RUNS:
                raise ValueProblem(f"{field} of {target} cannot stand in a difference")
            value = statistics.fmean(_last(target, field, records))
            origin = _origin(target, field, records)
        values.append(value)
        origins.append(origin)
    if is_error(field_a) != is_error(field_b):
        raise ValueProblem(f"{field_a} and {field_b} have different units")
    gap = values[0] - values[1]
    text = sign(f"{100 * gap:.1f}") if is_error(field_a) else number(field_a, gap)
    return Shown(text, "; minus ".join(origins))


def _published(target, field, published):
    parts = target.split("/")
    if len(parts) != 3:
        raise ValueProblem(f"{target!r} is not published/KEY/VARIANT")
    entry = _known("published source", parts[1], published)
    row = _known(f"variant of published/{parts[1]}", parts[2], entry["values"])
    return _known(f"field of {target}", field, row), entry["source"]


def _last(target, field, records):
    values = []
    for record in records:
        known = {**(record.recipe or {}), **(record.final if record.rows else {})}
        if field not in known:
            names = ", ".join(sorted({*known, *ABOUT_RUNS}))
            raise ValueProblem(f"unknown field of {target}: {field!r}; known: {names}")
        value = known[field]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueProblem(f"{target}:{field} of seed {record.seed} is {value!r}, not a finite number")
        values.append(value)
    if len({r.variant for r in records}) > 1:
        raise ValueProblem(f"{target}:{field} mixes variants; name one: {target}/VARIANT:{field}")
    return values


def _about(field, target, records):
    if field == "seconds":
        return duration(sum(s["seconds"] for r in records for s in r.segments))
    if field in ("device", "date"):
        answers = {s[field] for r in records for s in r.segments}
        if field == "date":
            answers = {max(answers)[:10]}
    else:
        answers = {r.data["name" if field == "data" else field] for r in records}
    if len(answers) > 1:
        raise ValueProblem(f"{target} has more than one {field}: {', '.join(map(str, sorted(answers)))}")
    answer = answers.pop()
    if field == "data":
        return TITLES.get(answer, answer)
    return f"{answer:,}" if isinstance(answer, int) else str(answer)


def _origin(target, field, records):
    seeds = ", ".join(str(s) for s in sorted({r.seed for r in records}))
    kinds = " and ".join(sorted({"live" if r.live else "recorded" if r.finished else "unfinished" for r in records}))
    plural = "s" if len({r.seed for r in records}) > 1 else ""
    return f"{target.replace('/', ' · ')} · {field}, seed{plural} {seeds}, {kinds}"


# --- without a run: what the declaration says ------------------------------------------------------------


def declared(expression, experiments, data=True):
    """What an expression means before anything has run, as Shown; None where only a run can tell.

    Steps, rates and the like stand in the recipe.  With `data`, the data that lie here are asked for their
    name and sizes, which the recipe does not know."""
    target, colon, field = expression.partition(":")
    parts = target.split("/")
    if not colon or len(parts) not in (2, 3) or parts[0] not in experiments.EXPERIMENTS:
        return None
    tier = _known(f"tier of {parts[0]}", parts[1], experiments.EXPERIMENTS[parts[0]].tiers)
    variant = parts[2] if len(parts) == 3 else next(iter(tier.variants))
    changes = _known(f"variant of {parts[0]}/{parts[1]}", variant, tier.variants).changes
    origin = f"{target.replace('/', ' · ')} · {field}, declared"
    if data and field in ("data", "n_train", "n_test"):
        identity = experiments.job(parts[0], parts[1], variant).identity
        answer = identity["name" if field == "data" else field]
        text = TITLES.get(answer, answer) if field == "data" else f"{answer:,}"
        return Shown(text, origin.replace("declared", "as they lie here"))
    name = "steps" if field == "step" else field  # the last step of a finished run
    known = changes.get(name, getattr(tier.recipe, name, None))
    whole = len(parts) == 3 or len({v.changes.get(name) for v in tier.variants.values()}) == 1
    if not whole or isinstance(known, bool) or not isinstance(known, (int, float)):
        return None
    return Shown(number(field, known), origin)


# --- in a notebook ----------------------------------------------------------------------------------------

FIELD_NAMES = {
    "train_error": "training error", "test_error": "test error", "train_loss": "training loss",
    "train_error_eval": "training error in evaluation mode", "test_loss": "test loss", "seconds": "seconds of training",
    "test_error_mirrored": "test error with mirror images", "data": "name of the data",
    "n_train": "number of training pictures", "n_test": "number of test pictures", "seeds": "number of seeds",
    "step": "last step",
}


def name_of(expression):
    """A value's name in words: "plain-56 − plain-20: training error"."""
    body, _, modifier = expression.partition("|")
    terms = [_split(term.strip()) for term in body.split(" - ")]
    subjects = [("published " if t.startswith("published/") else "") + t.split("/")[-1] for t, _ in terms
                if t.count("/") != 1]  # of a whole experiment the field says enough
    fields = list(dict.fromkeys(FIELD_NAMES.get(f, f.replace("_", " ")) for _, f in terms))
    extra = {"std": ", standard deviation", "seeds": ", number of seeds"}.get(modifier.strip(), "")
    head = " − ".join(dict.fromkeys(subjects))
    return f"{head}{': ' * bool(head)}{' − '.join(fields)}{extra}"


def tell(*expressions):
    """Print values by name.  Runs of the quick tier that are missing are trained first."""
    rows = []
    for expression in expressions:
        shown = _here(expression)
        gap = " - " in expression and is_error(expression.partition("|")[0].rpartition(":")[2])
        origin = shown.origin if "published/" in expression else shown.origin.partition("; ")[0].partition(", ")[2]
        rows.append((name_of(expression), shown.text + " points" * gap, origin))
    wide = [max(len(row[k]) for row in rows) for k in (0, 1)]
    for name, text, origin in rows:
        print(f"{name:{wide[0]}}  {text:>{wide[1]}}" + (f"   {origin}" if origin else ""))


def fill(text):
    """Markdown in which each ⟨expression⟩ is replaced by its value, for a table of results."""
    from IPython.display import Markdown

    return Markdown(re.sub("⟨([^⟩]+)⟩", lambda m: _here(m[1]).text, text))


def _here(expression):
    """The value as this machine knows it, after training what is missing of the quick tier."""
    from . import experiments
    from .plots import published

    if shown := declared(expression, experiments):
        return shown
    for term in expression.partition("|")[0].split(" - "):
        parts = term.strip().partition(":")[0].split("/")
        if len(parts) == 1:  # "a/quick/x:field - y:field"
            parts = [*expression.split("/")[:2], *parts]
        if len(parts) == 3 and parts[1] == "quick":
            experiments.run(parts[0], "quick", None, [parts[2]])
    return resolve(expression, experiments, published())
