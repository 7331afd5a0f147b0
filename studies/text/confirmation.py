"""A confirmation in words: what can be claimed, and what cannot."""

from __future__ import annotations

from ..analysis.confirmation import Agreement, Confirmation
from ..analysis.paired_comparisons import Difference
from . import formatting

WELL, MODERATELY = 0.8, 0.5
"""Spearman's correlation from which ranks agree well, or at least moderately."""


def verdict(found: Confirmation) -> str:
    """One sentence for the claims, and one for every reason to be careful."""
    if not found.contenders:
        return "Nothing is confirmed yet: no confirming trial is complete."
    if found.bare is None:
        return "Nothing can be claimed yet: the bare backbone has no complete confirming trial."
    if not found.others:
        return "Nothing can be claimed yet: only the bare backbone is complete."
    if not found.freedom:
        return (
            "Nothing can be claimed yet: two seeds at least have to be complete before a "
            "difference can be told from the luck of a seed."
        )
    return _claims(found) + _still_running(found)


def warning(found: Confirmation) -> str:
    """A plain warning when the search's ranks are not those of longer trials; else empty."""
    agreement = found.agreement
    if agreement is None or agreement.rho >= MODERATELY:
        return ""
    lengths = f"{agreement.searched_epochs} epochs and at {agreement.confirmed_epochs}"
    if not found.better and not found.worse:
        return (
            f"The ranks at {lengths} hardly agree (ρ = {agreement.rho:.2f}), but these "
            "architectures differ by no more than seeds do, so there was little to agree on."
        )
    return (
        f"The ranks at {lengths} hardly agree (ρ = {agreement.rho:.2f}): what the search found is "
        f"no guide to longer training. Search again with more epochs."
    )


def chance(p: float) -> str:
    """`p = 0.01`, `p < 0.001`."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.1g}" if p < 0.1 else f"p = {p:.2f}"


def size(difference: Difference) -> str:
    """`0.41 ± 0.15`, without a sign: the words around it say in which direction."""
    digits = 2 if difference.standard_error < 0.005 else 1
    mean, error = 100 * abs(difference.mean), 100 * difference.standard_error
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def _claims(found: Confirmation) -> str:
    parts = [_against_bare(found)]
    if found.better:
        parts.append(_among_themselves(found))
    if found.agreement is not None:
        parts.append(_ranks(found.agreement))
    return "; ".join(filter(None, parts)) + "."


def _against_bare(found: Confirmation) -> str:
    if not found.better:
        return _nothing_better(found)
    first = found.better[0]
    assert first.gain is not None  # what is claimed has a gain
    name = f"`{formatting.short_architecture(first.architecture)}`"
    sentence = f"{name} is better than the bare backbone by {_told(first.gain)}"
    more = [f"`{formatting.short_architecture(c.architecture)}`" for c in found.better[1:]]
    if more:
        sentence += f", and so {'is' if len(more) == 1 else 'are'} {formatting.listed(more)}"
    return sentence + _worse(found)


def _nothing_better(found: Confirmation) -> str:
    best = next((c for c in found.others if c.gain is not None), None)
    if best is None or best.gain is None:
        return "No architecture shares a seed with the bare backbone, so nothing can be claimed"
    name = formatting.short_architecture(best.architecture)
    direction = "above" if best.gain.mean >= 0 else "below"
    sentence = (
        "It cannot be claimed that any architecture is better than the bare backbone: the best, "
        f"`{name}`, is {direction} it by {_told(best.gain)}"
    )
    if found.detectable:
        sentence += (
            f"; a difference of {100 * found.detectable:.1f} points would have been found in four "
            "of five such confirmations"
        )
    return sentence + _worse(found)


def _told(difference: Difference) -> str:
    seeds = formatting.plural(difference.pairs, "seed")
    return f"{size(difference)} points ({seeds}, {chance(difference.corrected)} after correction)"


def _worse(found: Confirmation) -> str:
    names = [f"`{formatting.short_architecture(c.architecture)}`" for c in found.worse]
    if not names:
        return ""
    return f"; {formatting.listed(names)} {'is' if len(names) == 1 else 'are'} worse than it"


def _among_themselves(found: Confirmation) -> str:
    count = len(found.others)
    if count == 1:
        return ""
    if found.alike == 1:
        first = found.better[0] is found.others[0]
        return "it is better than every other" if first and _stands_out(found) else ""
    if found.alike == count:
        return f"the {_number(count)} architectures cannot be told apart"
    return f"the first {_number(found.alike)} cannot be told apart"


def _stands_out(found: Confirmation) -> bool:
    first, *rest = (contender.architecture for contender in found.others)
    told = (found.pairs.get((first, other)) for other in rest)
    return all(pair is not None and pair.claimed and pair.mean > 0 for pair in told)


def _number(count: int) -> str:
    words = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[count - 2] if 2 <= count <= 10 else str(count)


def _ranks(agreement: Agreement) -> str:
    if agreement.rho >= WELL:
        how = "well"
    elif agreement.rho >= MODERATELY:
        how = "only moderately"
    else:
        how = "hardly"
    return (
        f"ranks at {agreement.searched_epochs} epochs agree with ranks at "
        f"{agreement.confirmed_epochs} {how} (ρ = {agreement.rho:.2f})"
    )


def _still_running(found: Confirmation) -> str:
    missing = []
    if found.unfinished:
        missing.append(f"{formatting.plural(found.unfinished, 'trial')} not finished yet")
    if found.failed:
        missing.append(f"{formatting.plural(found.failed, 'trial')} failed")
    return f" This rests on what is complete: {' and '.join(missing)}." if missing else ""
