"""A small byte-level BPE tokenizer in CLIP's own format, trained on the words of the captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

VOCABULARY_SIZE: Final = 2048
START_TOKEN: Final = "<|startoftext|>"
END_TOKEN: Final = "<|endoftext|>"
END_TOKEN_ID: Final = VOCABULARY_SIZE - 1
START_TOKEN_ID: Final = VOCABULARY_SIZE - 2
WORD_END: Final = "</w>"

# Word pattern of openai/CLIP's simple_tokenizer.py, as transformers' CLIPTokenizer has it.
_WORD_PATTERN: Final = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_merges(texts: Iterable[str], count: int) -> list[tuple[str, str]]:
    """Learn byte-pair merges from texts.

    Args:
        texts: Any texts; a word that comes often is merged early.
        count: The most merges wanted.

    Returns:
        Up to `count` pairs in the order in which the tokenizer applies them; of pairs that come equally often
        the alphabetically first goes first, so the same texts give the same merges (the library's own trainer orders
        them at random).
    """
    splitter = Tokenizer(models.BPE())
    _add_text_steps(splitter)
    counts: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        for word, _ in splitter.pre_tokenizer.pre_tokenize_str(splitter.normalizer.normalize_str(text)):
            spelling = (*word[:-1], word[-1] + WORD_END)
            counts[spelling] += 1
    spelled = {word: list(word) for word in counts}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in spelled.items():
            for pair in pairwise(symbols):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for symbols in spelled.values():
            _merge(symbols, best)
    return merges


def build_tokenizer(merges: Sequence[tuple[str, str]]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Number the tokens of a CLIP vocabulary of exactly `VOCABULARY_SIZE` entries.

    The 256 bytes come first, then the 256 bytes that end a word, then the merges, then fillers that no text can
    reach, and last the start and the end token. Any Unicode text is tokenised by its bytes.

    Args:
        merges: Pairs in order of application.

    Returns:
        The vocabulary and the merges that fit in it.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(byte + WORD_END for byte in alphabet)]
    kept: list[tuple[str, str]] = []
    known = set(tokens)
    for left, right in merges:
        if len(tokens) == START_TOKEN_ID:
            break
        kept.append((left, right))
        if left + right not in known:
            known.add(left + right)
            tokens.append(left + right)
    tokens += [f"<|unused_{index}|>" for index in range(START_TOKEN_ID - len(tokens))]
    tokens += [START_TOKEN, END_TOKEN]
    return {token: index for index, token in enumerate(tokens)}, kept


def text_tokenizer(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """Make the tokenizer that `tokenizer.json` holds: lower-cased text between the start and the end token.

    Args:
        vocabulary: Token to id, from `build_tokenizer`.
        merges: The merges that belong to it.

    Returns:
        A tokenizer without padding or truncation.
    """
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=list(merges),
            continuing_subword_prefix="",
            end_of_word_suffix=WORD_END,
            fuse_unk=False,
            unk_token=END_TOKEN,
        )
    )
    _add_text_steps(tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([START_TOKEN, END_TOKEN])
    tokenizer.post_processor = processors.RobertaProcessing(
        (END_TOKEN, END_TOKEN_ID), (START_TOKEN, START_TOKEN_ID), trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def _add_text_steps(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD_PATTERN), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )


def _merge(symbols: list[str], pair: tuple[str, str]) -> None:
    place = 0
    while place < len(symbols) - 1:
        if symbols[place] == pair[0] and symbols[place + 1] == pair[1]:
            symbols[place : place + 2] = [pair[0] + pair[1]]
        place += 1
