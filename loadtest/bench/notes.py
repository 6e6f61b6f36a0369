"""What a person wrote about the figures: sections of a Markdown file, each put where its heading is on the page."""

from __future__ import annotations


def sections(text: str) -> dict[str, str]:
    """By heading (``## Heading``), what stands below it.

    >>> sections("## A\\none\\n\\n## B\\ntwo\\n")
    {'A': 'one', 'B': 'two'}
    """
    found: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ").strip()
            found[heading] = []
        elif heading:
            found[heading].append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}
