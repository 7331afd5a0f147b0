"""A confirmation in sentences: what can be claimed, and what cannot."""

from __future__ import annotations

from ..analysis.confirmation import Agreement, Confirmation, needed_for_a_claim
from ..analysis.paired_comparisons import Difference
from ..objectives import Objective
from . import formatting
from .metric_format import MetricFormat
from .study_warnings import USUAL_DISAGREEMENT, chance_sentence, few_images_warning, unmoved_warning

RHO_WELL, RHO_MODERATELY = 0.8, 0.5
"""Spearman's correlations from which ranks agree well, and moderately."""
MIN_ROUNDED = 100
"""From here on, a needed number of seeds or images has two digits."""
PRECISE_ERROR = 0.005
"""Gains have two decimals if their standard error is below this fraction, else one."""


def conclusion(confirmation: Confirmation) -> str:
    """What can be claimed, in one sentence; a second sentence says which trials are missing."""
    if not confirmation.contenders:
        return "Nothing is confirmed yet: no confirming trial is complete."
    if confirmation.bare is None:
        return "Nothing can be claimed yet: the bare backbone has no complete confirming trial."
    if not confirmation.challengers:
        return "Nothing can be claimed yet: only the bare backbone is complete."
    if not confirmation.freedom:
        return (
            "Nothing can be claimed yet: at least two seeds must be complete, otherwise a "
            "difference may be due to the seed."
        )
    if confirmation.at_chance:
        score, metric = confirmation.contenders[0].score, confirmation.metric
        highest = chance_sentence(score, confirmation.images, "test", metric)
        return (
            f"Nothing can be claimed: {highest}. Train for longer, or with another learning rate, "
            f"before architectures are compared.{_unfinished(confirmation)}"
        )
    return _claims(confirmation) + _unfinished(confirmation)


def confirmation_warnings(confirmation: Confirmation) -> tuple[str, ...]:
    """What a reader has to know before believing the conclusion, a sentence or two each."""
    if not confirmation.freedom or not confirmation.challengers:
        return ()
    warnings = (
        _image_warning(confirmation),
        _split_warning(confirmation),
        unmoved_warning(confirmation.unmoved),
        rank_warning(confirmation),
    )
    return tuple(warning for warning in warnings if warning is not None)


def rank_warning(confirmation: Confirmation) -> str | None:
    """A warning if the ranks of the search disagree with those of longer trials, else None."""
    agreement = confirmation.agreement
    if agreement is None or agreement.rho >= RHO_MODERATELY:
        return None
    is_longer = agreement.searched_epochs != agreement.confirmed_epochs
    ranks = "The ranks of the search and of the confirmation"
    if is_longer:
        lengths = f"{agreement.searched_epochs} epochs and at {agreement.confirmed_epochs}"
        ranks = f"The ranks at {lengths}"
    if not confirmation.better and not confirmation.worse:
        return (
            f"{ranks} agree poorly (ρ = {_rho(agreement)}), but these "
            "architectures differ by no more than seeds do, so there is little to rank."
        )
    if not is_longer:
        return (
            f"{ranks} agree poorly (ρ = {_rho(agreement)}): the search had too few trials to rank "
            "these architectures. Trust the confirmation, or search again with more trials."
        )
    return (
        f"{ranks} agree poorly (ρ = {_rho(agreement)}): what the search found is "
        f"no guide to longer training. Search again with more epochs."
    )


def p_value(p: float | None) -> str:
    """A p value with its relation: `p = 0.01`, `p < 0.001`."""
    if p is None:
        return "no p value"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.1g}" if p < 0.1 else f"p = {p:.2f}"


def gain_text(
    difference: Difference, metric: Objective, *, signed: bool = True, error: bool = True
) -> str:
    """A difference without its unit, as precise as it was measured: `+0.41 ± 0.15`.

    Args:
        difference: of two scores.
        metric: of the scores.
        signed: whether to show the sign; the words around an unsigned number give the direction.
        error: whether to add the standard error.
    """
    return MetricFormat(metric).gain(
        difference.mean if signed else abs(difference.mean),
        difference.standard_error if error else None,
        signed=signed,
        decimals=_decimals(difference),
    )


def interval_text(difference: Difference, metric: Objective) -> str:
    """The 95 % interval of a difference, without its unit: `+0.11 to +0.71`."""
    ends, form = (difference.low, difference.high), MetricFormat(metric)
    return " to ".join(form.gain(end, decimals=_decimals(difference)) for end in ends)


def describe_sample(confirmation: Confirmation, difference: Difference) -> str:
    """What a difference was measured on: `5 seeds and 500 test images`, or `3 splits`.

    Args:
        confirmation: with the difference.
        difference: of two of its contenders.
    """
    if confirmation.splits > 1:
        return formatting.plural(difference.pairs, "split")
    seeds, images = formatting.plural(difference.pairs, "seed"), confirmation.images.count
    if images is None:
        return seeds
    return f"{seeds} and {formatting.plural(images, 'test image')}"


def describe_test_images(confirmation: Confirmation) -> str:
    """Where accuracies were measured: `on the test split`, or `on 3 test splits`."""
    splits = confirmation.splits
    return "on the test split" if splits == 1 else f"on {splits} test splits"


def _decimals(difference: Difference) -> int:
    return 2 if difference.standard_error < PRECISE_ERROR else 1


def _claims(confirmation: Confirmation) -> str:
    clauses = [_against_bare(confirmation)]
    if confirmation.better:
        clauses.append(_among_themselves(confirmation))
    if confirmation.agreement is not None:
        clauses.append(_rank_agreement(confirmation.agreement))
    return "; ".join(filter(None, clauses)) + "."


def _against_bare(confirmation: Confirmation) -> str:
    if not confirmation.better:
        return _nothing_better(confirmation)
    first = confirmation.better[0]
    assert first.gain is not None  # what is claimed has a gain
    name = f"`{formatting.short_architecture(first.architecture)}`"
    sentence = f"{name} is better than the bare backbone by {_gain(confirmation, first.gain)}"
    more = [f"`{formatting.short_architecture(c.architecture)}`" for c in confirmation.better[1:]]
    if more:
        sentence += f", and so {'is' if len(more) == 1 else 'are'} {formatting.enumeration(more)}"
    return sentence + _worse(confirmation)


def _nothing_better(confirmation: Confirmation) -> str:
    best = next((c for c in confirmation.challengers if c.gain is not None), None)
    if best is None or best.gain is None:
        return "No architecture shares a seed with the bare backbone, so nothing can be claimed"
    name = formatting.short_architecture(best.architecture)
    direction = "above" if best.gain.mean >= 0 else "below"
    sentence = (
        "No architecture can be claimed to be better than the bare backbone: the best, "
        f"`{name}`, is {direction} it by {_gain(confirmation, best.gain)}"
    )
    if confirmation.detectable:
        sentence += f"; {_power(confirmation)}"
    return sentence + _worse(confirmation)


def _gain(confirmation: Confirmation, difference: Difference) -> str:
    form = MetricFormat(confirmation.metric)
    magnitude = form.with_unit(gain_text(difference, confirmation.metric, signed=False))
    sample = describe_sample(confirmation, difference)
    return f"{magnitude} ({sample}, {p_value(difference.corrected)} after correction)"


def _power(confirmation: Confirmation) -> str:
    """What this confirmation detects, and how many seeds or images the difference would need."""
    form = MetricFormat(confirmation.metric)
    detectable = form.gain_with_unit(confirmation.detectable or 0.0, signed=False)
    sentence = (
        f"a confirmation of this size detects a difference of {detectable} with a power of 80 %"
    )
    needed = needed_for_a_claim(confirmation)
    if needed is None:
        return sentence
    size = form.gain(abs(needed["difference"]), signed=False, decimals=2)
    if not size.strip("0."):  # It may have an exponent, which Python does not read.
        return sentence
    size = form.with_unit(size)
    if confirmation.splits > 1:
        ways = [(needed["splits"], "split")]
    else:
        ways = [(needed["seeds"], "seed"), (needed["images"], "test image")]
    enough = [
        f"{'about ' if number >= MIN_ROUNDED else ''}{formatting.plural(_round_up(number), noun)}"
        for number, noun in ways
        if number is not None
    ]
    if not enough:
        names = " or ".join(f"{noun}s" for number, noun in ways)
        return f"{sentence}, and no number of {names} alone would detect {size}"
    if len(enough) == len(ways):
        return f"{sentence}; one of {size} would take {' or '.join(enough)}"
    missing = next(noun for number, noun in ways if number is None)
    if missing == "test image" and confirmation.images.count is None:
        return f"{sentence}; one of {size} would take {enough[0]}"
    return (
        f"{sentence}; one of {size} would take {enough[0]}, and no number of {missing}s "
        "alone would do"
    )


def _round_up(number: int) -> int:
    """The number with two digits, rounded up, if it is large: an estimate has no more."""
    if number < MIN_ROUNDED:
        return number
    unit = 10 ** (len(str(number)) - 2)
    return int(-(-number // unit) * unit)


_MISSING_PREDICTIONS = (
    "The predictions of these trials were not kept, or are not beside this database"
)


def _image_warning(confirmation: Confirmation) -> str | None:
    """What the claims do not cover because of the test images, or because there are too few."""
    images = confirmation.images
    if confirmation.splits > 1:
        return None
    if images.count is None:
        return (
            "The number of test images is not known, so the intervals cover new seeds, but not new "
            "images."
        )
    gains = [c.gain for c in confirmation.challengers if c.gain is not None]
    if gains and all(gain.image_error is None for gain in gains):
        return (
            f"{_MISSING_PREDICTIONS}, so the intervals of the {confirmation.metric.noun} cover new "
            "seeds, but not new images."
        )
    if not images.predictions_kept and not any(gain.disagreement is not None for gain in gains):
        return (
            f"{_MISSING_PREDICTIONS}. So the intervals assume that two "
            f"networks err on the {formatting.plural(images.count, 'test image')} independently of "
            "each other, which makes them wider than they need be."
        )
    shares = [gain.disagreement for gain in gains if gain.disagreement is not None]
    disagreement = max(shares, default=USUAL_DISAGREEMENT)
    return few_images_warning(images.count, "test", confirmation.metric, disagreement)


def _split_warning(confirmation: Confirmation) -> str | None:
    if confirmation.splits == 1:
        return None
    return (
        "The test images of all splits but the first are images that the search has trained or "
        "selected on, so what it chose may do better on them than on new ones."
    )


def _worse(confirmation: Confirmation) -> str:
    names = [f"`{formatting.short_architecture(c.architecture)}`" for c in confirmation.worse]
    if not names:
        return ""
    return f"; {formatting.enumeration(names)} {'is' if len(names) == 1 else 'are'} worse than it"


def _among_themselves(confirmation: Confirmation) -> str:
    count = len(confirmation.challengers)
    if count == 1:
        return ""
    if confirmation.tied == 1:
        first = confirmation.better[0] is confirmation.challengers[0]
        return "the first is better than all others" if first and _stands_out(confirmation) else ""
    if confirmation.tied == count:
        return f"the {_number(count)} architectures cannot be told apart"
    return f"the first {_number(confirmation.tied)} cannot be told apart"


def _stands_out(confirmation: Confirmation) -> bool:
    first, *rest = (contender.architecture for contender in confirmation.challengers)
    differences = (confirmation.pairs.get((first, architecture)) for architecture in rest)
    return all(d is not None and d.claimed and d.mean > 0 for d in differences)


def _number(count: int) -> str:
    words = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[count - 2] if 2 <= count <= 10 else str(count)


def _rank_agreement(agreement: Agreement) -> str:
    if agreement.rho >= RHO_WELL:
        degree = "well"
    elif agreement.rho >= RHO_MODERATELY:
        degree = "only moderately"
    else:
        degree = "poorly"
    if agreement.searched_epochs == agreement.confirmed_epochs:
        return (
            f"the ranks of the search agree {degree} with those of the confirmation "
            f"(ρ = {_rho(agreement)})"
        )
    return (
        f"ranks at {agreement.searched_epochs} epochs agree {degree} with ranks at "
        f"{agreement.confirmed_epochs} (ρ = {_rho(agreement)})"
    )


def _rho(agreement: Agreement) -> str:
    return f"{agreement.rho:.2f}".replace("-", formatting.MINUS)


def _unfinished(confirmation: Confirmation) -> str:
    missing = []
    if confirmation.unfinished:
        missing.append(f"{formatting.plural(confirmation.unfinished, 'trial')} unfinished")
    if confirmation.failed:
        missing.append(f"{formatting.plural(confirmation.failed, 'trial')} failed")
    return f" Based on complete trials only ({', '.join(missing)})." if missing else ""
