"""Classes of characters, as flags on each byte of a text."""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
import numpy.typing as npt

SPACE = 1
NEWLINE = 2  # SPACE too
STOP = 4  # may belong to an abbreviation or a number
TERMINATOR = 8
WIDE = 16  # a STOP, TERMINATOR or CLAUSE that needs no space behind it
CLOSER = 32
OPENING_QUOTE = 64  # which closes in German
CLAUSE = 128
LOWER = 256
UPPER = 512
DIGIT = 1024
PHRASED = 2048  # letters of scripts whose spaces part phrases, not words: Thai, Lao

MOST_CLOSING_BYTES = 12
"""How many bytes of closing quotes and brackets may stand behind the mark that ends a sentence."""

_NARROW_TERMINATORS = "!?…؟۔։;।॥።፧။။។៕༎།‼⁇⁈⁉"
_WIDE_TERMINATORS = "。！？｡"
_CLAUSES = ",;:،؛—–၊"
_WIDE_CLAUSES = "，、；：､"
_CLOSING_CATEGORIES = {"Pe", "Pf"}
_CLOSING_MARKS = "\"'*_`"


@functools.cache
def _table() -> npt.NDArray[np.uint16]:
    """Flags of each code point of the Basic Multilingual Plane, uint16 [65536]."""
    table = np.zeros(0x10000, np.uint16)
    by_category = {"Ll": LOWER, "Lu": UPPER, "Lt": UPPER, "Nd": DIGIT, "Zs": SPACE, "Zl": SPACE, "Zp": SPACE}
    for code in range(0x10000):
        category = unicodedata.category(chr(code))
        table[code] = CLOSER if category in _CLOSING_CATEGORIES else by_category.get(category, 0)
    for characters, flags in (("\t\r\v\f", SPACE), ("\n", SPACE | NEWLINE), (".", STOP), ("．", STOP | WIDE),
                              (_NARROW_TERMINATORS, TERMINATOR), (_WIDE_TERMINATORS, TERMINATOR | WIDE),
                              (_CLAUSES, CLAUSE), (_WIDE_CLAUSES, CLAUSE | WIDE), (_CLOSING_MARKS, CLOSER),
                              ("“‘", OPENING_QUOTE)):
        table[[ord(character) for character in characters]] = flags
    table[0x0E01:0x0E5C] |= PHRASED
    table[0x0E81:0x0EE0] |= PHRASED
    return table


def flags_of(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Flags of the character that each byte of UTF-8 `text` [n] belongs to, uint16 [n + 1], the last 0; 0 for bytes of
    broken characters and for those beyond the Basic Multilingual Plane."""
    table = _table()
    flags = np.zeros(len(text) + 1, np.uint16)
    flags[:-1] = np.where(np.arange(256) < 0x80, table[:256], 0).astype(np.uint16)[text]
    padded = np.concatenate((text, np.zeros(2, np.uint8)))
    for first, last, length, bits in ((0xC2, 0xDF, 2, 0x1F), (0xE0, 0xEF, 3, 0x0F)):
        leads = np.flatnonzero((text >= first) & (text <= last))
        code = padded[leads].astype(np.int32) & bits
        whole = np.ones(len(leads), np.bool_)
        for offset in range(1, length):
            following = padded[leads + offset]
            whole &= (following & 0xC0) == 0x80
            code = (code << 6) | (following & 0x3F)
        leads, code = leads[whole], code[whole]
        for offset in range(length):
            flags[leads + offset] = table[code]
    return flags
