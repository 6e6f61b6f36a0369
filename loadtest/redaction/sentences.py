"""Sentences of Presidio's generator, with what is a person's in them and what Presidio's own patterns find, as JSON lines.

It runs in an environment of its own, with ``presidio-evaluator``: ``python sentences.py 5000 sentences.jsonl``.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
from faker import Faker
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)
from presidio_evaluator.data_generator import PresidioSentenceFaker

KINDS = {
    "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "US_SSN": "national_id",
    "PHONE_NUMBER": "phone",
}


def main(count: int, file: Path) -> None:
    """Write them. What the generator draws is nearly the same every time."""
    os.environ["TLDEXTRACT_CACHE"] = os.devnull
    logging.disable(logging.ERROR)  # its e-mail recognizer asks the net for a list, and does without
    Faker.seed(1)
    random.seed(1)
    np.random.seed(1)
    recognizers = [
        *(CreditCardRecognizer(), EmailRecognizer(), IbanRecognizer()),
        *(IpRecognizer(), PhoneRecognizer(), UsSsnRecognizer()),
    ]
    lines = []
    for sentence in PresidioSentenceFaker("en_US", lower_case_ratio=0.05).generate_new_fake_sentences(num_samples=count):
        text, begin = sentence.full_text, time.perf_counter()
        found = [one for recognizer in recognizers for one in recognizer.analyze(text, recognizer.supported_entities, None)]
        line = {
            "text": text,
            "spans": [(one.start_position, one.end_position, KINDS.get(one.entity_type, "other")) for one in sentence.spans],
            "presidio": [(one.start, one.end) for one in found],
            "seconds": time.perf_counter() - begin,
        }
        lines.append(json.dumps(line) + "\n")
    file.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
