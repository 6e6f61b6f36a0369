"""Texts that no one would think of."""

from hypothesis import strategies as st

SNIPPETS = (
    "plain words",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "语言模型很有趣",
    "한국어 テキスト",
    "مرحبا بالعالم",
    "\u05e9\u05dc\u05d5\u05dd \u202eabc\u202c",
    "e\u0301 \u00e9 \ufb01 \u2126",
    "nul\x00 bell\x07 delete\x7f",
    "\ufeff\u200b\u00a0\u2028",
    "\U0010ffff \ufffd \ue000",
    "[CLS] [SEP] [MASK] [PAD] ##ing",
    "x" * 150,
)

any_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(st.sampled_from(SNIPPETS), max_size=6).map(" ".join),
)
"""Any Unicode text: all planes, control characters, NUL; no surrogates, which no UTF-8 can hold."""

wild_text = any_text.filter(str.strip)
"""The same, with something in it."""
