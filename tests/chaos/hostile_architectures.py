"""Architecture texts that are meant to keep a program busy, or to break what shows them."""

from __future__ import annotations

SE = "+se@all.residual"
ARCHITECTURES: dict[str, str] = {
    "a range of a thousand million stages": "resnet18+se@s1-s999999999.residual",
    "a range of 9 999 stages": "resnet18+se@s1-s9999.residual",
    "a stage of 5 000 digits": f"resnet18+se@s{'9' * 5000}.residual",
    "a block of 5 000 digits": f"resnet18+se@s1b{'9' * 5000}.residual",
    "a ratio of 5 000 digits": f"resnet18+se(r={'9' * 5000})@all.residual",
    "a ratio of 30 digits": f"resnet18+se(r={'9' * 30})@all.residual",
    "a ratio of other digits": "resnet18+se(r=١٦)@all.residual",
    "5 000 insertions": "resnet18" + SE * 5000,
    "1 000 insertions": "resnet18" + SE * 1000,
    "2 000 places": f"resnet18+se@{','.join(f's{n}' for n in range(1, 4000, 2))}.residual",
    "2 000 blocks": f"resnet18+se@{','.join(f's{n}b{n}' for n in range(1, 2000))}.residual",
    "2 000 options": f"resnet18+se({','.join(f'r{n}=1' for n in range(2000))})@all.residual",
    "19 000 brackets": "resnet18+se" + "(" * 19_000,
    "19 000 spaces": "resnet18" + " " * 19_000 + "x",
    "a name of 19 000 letters": f"resnet18+{'s' * 19_000}@all.residual",
    "a backbone of 19 000 letters": "r" * 19_000,
    "10 MB of letters": "x" * 10**7,
    "10 MB of plus signs": "+" * 10**7,
    "10 MB of insertions": "resnet18" + SE * 600_000,
    "nothing": "",
    "only spaces": "   ",
    "an escape sequence": "resnet18+se\x1b[31m@all.residual",
    "an escape sequence as backbone": "\x1b]0;owned\x07",
    "NUL": "resnet18\x00+se@all.residual",
    "a lone surrogate": "resnet18+se\udce9@all.residual",
    "a line break": "resnet18\n+bogus@all.residual",
    "reversed text": "resnet18+\u202ees@all.residual",
    "markup": "resnet18[/]+se[link=https://evil.example]@all.residual",
    "HTML": "<script>alert(1)</script>+se@all.residual",
    "a path": "../../../etc/passwd",
    "an address": "https://evil.example/model",
}
