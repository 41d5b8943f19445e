"""What a text holds that no text of this repository needs: long numbers, opaque runs, odd signs.

It does not ask how a patient's number could be hidden, but what texts are made of: words, numbers
of up to seven digits, fractions, days, and signs of living alphabets. The rest is named, and
`tools/guard.py` refuses it unless it is listed. Whatever else one may write for a digit (escapes,
entities, raised or circled digits, names of digits, codes of letters) is made a digit first.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from datetime import date

# Letters of the languages that people's tables come in, and signs that prose and terminals show.
_SIGNS = re.compile(
    "[^\n -~\xa0-\xac\xae-\u024f\u0370-\u052f\u0621-\u064a\u1e00-\u1eff\u2010-\u2016\u2018-\u2027"
    "\u2030-\u205e\u2070-\u209c\u20a0-\u20bf\u2100-\u22ff\u2500-\u25ff\u2700-\u2757\u3040-\u30ff\u4e00-\u9fff"
    "\uac00-\ud7a3\uff00-\uffef]"
)
# As many letters as a word has between two changes of kind; random signs change far more often.
_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_WORDS = re.compile(r"[A-Z]?[a-z]{2,}")
_RUN = re.compile(r"[A-Za-z0-9+/=_-]{12,}")
_UNBROKEN = re.compile(r"[A-Za-z0-9]{14,}")
_MIXED = re.compile(r"[A-Za-z]\d+[A-Za-z]+\d+[A-Za-z]")
_PUNCTUATED = re.compile(r"[0-9A-Za-z!#$%&*+;<=>?@^_`{|}~-]{15,}")
_LINES = re.compile(r"(?:^[ >]*[A-Za-z0-9+/=]{4,}\n){2,}", re.MULTILINE)  # a run in lines
_PADDED = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/-]{2,}={1,6}(?![\w=\"'({\[<])")
_MARKED = re.compile(r"<[~]\S{4,}~>|[+]AD[A-Za-z0-9+/]{3,}-")  # Ascii85, UTF-7
_CODE_IN_PROSE = re.compile(r"(?s)```.*?```|`[^`\n]*`|\]\([^)]*\)|https?://\S+|<[^>]*>|\$[^$]*\$")
_SIGN_IN_WORD = re.compile(r"[A-Za-z0-9][!\"#$%&*+;<=>?@^~(),]+(?=[A-Za-z0-9])")
_BYTES = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\[0-3][0-7]{2}){8}")
_HASH = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9A-Za-z])")
_CLASS = re.compile(r"\[[^\]\n]*\]")  # of a regular expression

# One digit written as an escape of Python, JSON, CSS, an address or a mail.
_ESCAPE = re.compile(
    r"\\+(?:x|u\{?0*|U0*)([0-9a-fA-F]{2,6})\}?"  # Python, JSON and JavaScript
    r"|\\N\{([A-Z -]+)\}"
    r"|\\0*(3\d) ?(?!\d)"  # CSS
    r"|%(3\d)"
    r"|\\0?([67][0-7])"  # octal
)
_BETWEEN = re.compile(  # what may stand between digits and is not seen, or joins two strings
    r"(?<=\d)(?:"
    r"<(?!/?(?:td|th|tr|li|p|br|div|h\d|dt|dd|option|text|tspan x)\b)[^<>]{0,200}>"
    r"|\{,\}|\{\}|\\[,;:! ]|[*~`^_{}$]{1,4}"  # LaTeX and Markdown
    r"|\\\n\s*|-\n\s*|/\*.{0,80}?\*/"
    r"|[\"']\s*\+?\s*[brfu]?[\"']"
    r")+(?=\d)"
)
# Ways to write ten digits, each as a word.
_CODES = [
    [str(code) for code in range(48, 58)],
    [f"{code:x}" for code in range(48, 58)],
    [f"{code:08b}" for code in range(48, 58)],
    [f"{code:o}" for code in range(48, 58)],
    [f"{digit:04b}" for digit in range(10)],
]
_SPELLED = [
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
    ["-----", ".----", "..---", "...--", "....-", ".....", "-....", "--...", "---..", "----."],
]


def _chain(ways: list[list[str]]) -> re.Pattern:
    """Eight such words or more in a row."""
    word = "(?:" + "|".join(sorted({re.escape(word) for words in ways for word in words})) + ")"
    return re.compile(rf"{word}(?:(?:[^\w.\n-]{{1,4}}|[-_.])(?:0?x|chr\()?{word}){{7,}}(?![\w.-])")


_CHAIN_OF_CODES, _CHAIN_OF_WORDS = _chain(_CODES), _chain(_SPELLED)
_HAS_DIGIT = re.compile(r"\d").search
_LONG = re.compile(r"\d{8,}")
_SPLIT = re.compile(
    r"(?<![\w.,:/+\[(-])[123]\d{0,6}([-./_:'·\\*, ])\d{1,7}(?:\1\d{1,7})*(?![-./:,]?\w)"
)
_PARTED = re.compile(  # by what stands between two strings, before a footnote, or in attributes
    r"(?<![\w.,:/#-])([123]\d{1,5})"
    r"(?:[\"'>]+[^\w\n]{0,4}[\"'<]+|\[[^\]\n]{0,9}\]|[\"'] \w+=[\"'])"
    r"(\d{2,6})(?![\w.:/%]|,\d)"
)
_PIECES_OF_ONE = re.compile(  # groups of digits with little between them
    r"(?<![\w.])(?<!\d[,:/-])\d{1,7}(?:(?:[^\w\n]{1,4}|[^\w\n]{0,3}\n[ >]*(?:[-*|] )?"
    r"| (?:and|und|or) )\d{1,7})+(?!\w|[.,:/-]\d)"
)
_TAG = re.compile(r"<[^<>]{1,200}>\s*")
_LOOKALIKE = re.compile(r"(?<!\w)(?=[0-9OoIl]*[OoIl])(?=(?:\D*\d){4})[1-3Il][0-9OoIl]{7}(?!\w)")
_POWER = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?) ?"
    r"(?:(million|Mio|M\b)|(thousand|k\b)"
    r"|(?:[eE]\+?|[x×·*] ?10(?:\*\*|\^)?\{?)(\d{1,2})(?!\w))"
)
_OTHER_BASE = re.compile(
    r"(?<!\w)(0[xX][0-9a-fA-F_]{6,9}|0[oO][0-7]{8,9}|0[bB][01]{24,26}"
    r"|#[0-9a-fA-F]{6}|&H[0-9a-fA-F]{6,7})\b"
)
_BARE = re.compile(
    r"(?<![\w#&.-])(?<!commit )(?<!commit `)(?:[1-9a-fA-F][0-9a-fA-F]{5,6}h?|0[0-9a-f]{7})(?![\w-])"
)
_CODE = re.compile(r"[A-Z]\d[0-9AB]\d{0,4}[A-F]?")  # of ICD
_LIKE_DIGITS = str.maketrans("OoIl", "0011")
LOWEST, HIGHEST = 10**7, 4 * 10**7  # of subjects, admissions and stays


def odd_sign(text: str) -> str:
    """The first sign that no text here needs, by its code; "" when there is none."""
    found = _SIGNS.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


def opaque(text: str, prose: bool = False) -> int:
    """How long the first run of signs is that reads as no words; 0 when there is none.

    Parameters
    ----------
    text : str
    prose : bool, default False
        Whether it is no program, so that no word holds several signs between its letters.
    """
    if prose:
        for found in re.findall(r"\S{8,}", _CODE_IN_PROSE.sub("", text)):
            if len(_SIGN_IN_WORD.findall(found)) > 2:
                return len(found)
    if found := _BYTES.search(text):
        return len(found[0])
    text = _CLASS.sub("", text)
    text = _LINES.sub(lambda found: re.sub(r"[\s>]+", "", found[0]) + "\n", text)
    for found in (*_RUN.findall(text), *_PUNCTUATED.findall(text)):
        if _is_random(found):
            return len(found)
    if ("<~" in text or "+AD" in text) and (found := _MARKED.search(text)):
        return len(found[0])
    for found in _PADDED.findall(text):
        whole = len(found) % (8 if found.isupper() else 4) == 0
        if whole and (len(_PIECES.findall(found)) > 1 or (prose and found.isupper())):
            return len(found)
    return 0


def without_hashes(text: str) -> str:
    """The text without checksums."""
    return _HASH.sub("", text)


def _is_random(run: str) -> bool:
    """Whether its pieces are shorter than those of words joined, as in a name of a program."""
    for one in _UNBROKEN.findall(run):
        mixed = re.search("[a-z]", one) and re.search("[A-Z]", one)
        if mixed and 2 * len("".join(_WORDS.findall(one))) < len(one):
            return True
    if max(map(len, re.split("[_-]+", run))) < 10:
        return False  # names of columns, as x1_y2_z3
    pieces = _PIECES.findall(run)
    letters = sum(map(len, pieces))
    if len(pieces) < 4 or letters >= 2.7 * len(pieces) or run.isdecimal():
        return False
    if not re.search(r"[^\w+/=-]", run):
        return letters < 2 * len(pieces) or _MIXED.search(run) is not None
    kinds = all(re.search(kind, run) for kind in (r"\d", "[A-Z]", "[a-z]"))
    return kinds and 0.5 < letters / len(run) < 0.95 and letters < 1.9 * len(pieces)


def numbers(text: str, prose: bool = False) -> set[int]:
    """Numbers of eight digits and more, however they are written; no days, no round ones.

    Parameters
    ----------
    text : str
    prose : bool, default False
        Whether it is no program and no table, where small numbers stand side by side.
    """
    plain = _plain(text)
    found = set(_as_written(plain)) | set(_in_pieces(plain, prose))
    return found if plain == text else found | set(_long(text))


def _plain(text: str) -> str:
    """The text with every digit as a digit, and without what stands unseen between digits."""
    if "&" in text:
        text = html.unescape(text)
    text = text.replace("%25", "%")
    if "\\" in text or "%3" in text:
        text = _ESCAPE.sub(_unescaped, text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = re.sub(r"[^\x00-\x7f]", _as_digit, text)
    return _BETWEEN.sub("", text)


def _unescaped(found: re.Match) -> str:
    code, name, style, address, octal = found.groups()
    if name:
        try:
            sign = unicodedata.lookup(name)
        except KeyError:
            return found[0]
    else:
        point = int(octal, 8) if octal else int(code or style or address, 16)
        sign = chr(point) if point < 0x110000 else ""
    digit = unicodedata.digit(sign, None) if len(sign) == 1 else None
    return found[0] if digit is None else str(digit)


def _as_digit(sign: re.Match) -> str:
    value = unicodedata.numeric(sign[0], -1)
    return str(int(value)) if value in range(10) else sign[0]


def _long(text: str) -> Iterator[int]:
    for hit in _LONG.finditer(text):
        before = text[max(hit.start() - 2, 0) : hit.start()]
        if before.endswith(".") and not re.match(r"[A-Za-z)]", before):
            # Of fractions only those with as many digits as a patient; others are natural.
            if len(hit[0]) != 8 or hit[0][0] not in "123":
                continue
        if not _is_day(hit[0]) and not _is_round(hit[0]):
            yield without_zeros(hit[0])


def without_zeros(written: str) -> int:
    """A number without zeros behind its first eight digits."""
    kept = max(len(written.rstrip("0")), 8)
    return int(written[: min(kept, 30)])  # Python converts no thousands of digits


def _as_written(text: str) -> Iterator[int]:
    for hit in _CHAIN_OF_WORDS.finditer(text.lower()):
        yield from _spelled(hit[0], _SPELLED)
    text = "\n".join(filter(_HAS_DIGIT, text.split("\n")))
    yield from _long(text)
    for hit in _CHAIN_OF_CODES.finditer(text):
        yield from _spelled(hit[0], _CODES)
    for hit in _SPLIT.finditer(text):
        if _is_split(hit[0], hit[1]):
            yield from _in_range(int(re.sub(r"\D", "", hit[0])))
    for hit in _PARTED.finditer(text):
        years = all(re.match("1[5-9]|2[0-2]", part) for part in hit.groups())
        if len(hit[1] + hit[2]) == 8 and not years:
            yield from _in_range(int(hit[1] + hit[2]))
    for hit in _LOOKALIKE.finditer(text):
        yield from _in_range(int(hit[0].translate(_LIKE_DIGITS)))
    for hit in _POWER.finditer(text):
        power = 6 if hit[2] else 3 if hit[3] else int(hit[4])
        yield from _in_range(float(hit[1]) * 10.0**power)
    for hit in _OTHER_BASE.finditer(text):
        base = 0 if hit[1][0] == "0" else 16
        yield from _in_range(int(hit[1].lstrip("#&H"), base))
    for hit in _BARE.finditer(text):
        if (
            re.search(r"\d", hit[0])
            and re.search("[a-fA-F]", hit[0])
            and not _CODE.fullmatch(hit[0])
        ):
            yield from _in_range(int(hit[0].rstrip("h"), 16))


def _in_pieces(text: str, prose: bool) -> Iterator[int]:
    """Numbers that stand in the text digit by digit, or in prose in groups of digits."""
    if prose and "<" in text:
        text = _TAG.sub("|", text)
    for hit in _PIECES_OF_ONE.finditer(text):
        parts = re.findall(r"\d+", hit[0])
        if sum(map(len, parts)) != 8:
            continue
        if len(parts) == 8:
            if set("".join(parts)) - set("012") and not re.search(r"\d\.\d", hit[0]):
                yield from _in_range(int("".join(parts)))
        elif prose and len(parts) > 2 and not re.search(r"\d[.,]\d|[|:]|\d, ", hit[0]):
            if tuple(map(len, parts)) not in ((4, 2, 2), (2, 2, 4)):  # days
                yield from _in_range(int("".join(parts)))


def _spelled(chain: str, ways: list[list[str]]) -> Iterator[int]:
    """The number that a chain of digits' names or codes spells."""
    for words in ways:
        parts = re.findall("|".join(map(re.escape, words)), chain)
        yield from _in_range(int("".join(str(words.index(part)) for part in parts[:20]) or 0))


def _in_range(value: float) -> Iterator[int]:
    if LOWEST <= value < HIGHEST:
        whole = str(round(value))
        if not _is_day(whole) and not _is_round(whole):
            yield int(whole)


def _is_round(written: str) -> bool:
    return len(written.strip("0")) < 4


def _is_split(written: str, sign: str) -> bool:
    """Whether these are parts of one number of eight digits, and no day, years or a decimal."""
    parts = written.split(sign)
    sizes = tuple(map(len, parts))
    if sum(sizes) != 8:
        return False
    if sizes == (4, 2, 2):
        return not ("01" <= parts[1] <= "12" and "01" <= parts[2] <= "31")
    if sizes == (2, 2, 4):
        return parts[0] > "31" or parts[1] > "31"
    if len(parts) == 2 and sign in ".,":
        return False
    if len(parts) == 8 and not set(written) - set("01" + sign):
        return False
    if sizes == (4, 4):
        return sign == " " and not all(re.match("1[5-9]|2[0-2]", part) for part in parts)
    return True


def _is_day(written: str) -> bool:
    """Whether this is a day of these years, as 20240131, or a time of it."""
    if len(written) not in (8, 12, 14):
        return False
    try:
        day = date(int(written[:4]), int(written[4:6]), int(written[6:8]))
    except ValueError:
        return False
    return 1990 <= day.year <= 2039
