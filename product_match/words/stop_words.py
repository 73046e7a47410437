"""Words that say next to nothing beside others; alone, as in "The Who", they are all that somebody typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LISTS: Final[Mapping[str, str]] = {
    "english": """
        a an and any are as at be but by buy can do find for from have i if in into is it its looking me my need no
        not of on or our please show so some something such that the their then there these they this to want was we
        what which who will with without you your
    """,
    "german": """
        aber als am an auch auf aus bei das dem den der des die ein eine einem einen einer etwas für gibt habe hat
        ich ihr ihre im in ist kein keine mein meine mich mit nach nicht ohne oder sie sind so suche um und von was
        wie wir zu zum zur
    """,
    "french": """
        à au aux avec ce ces cherche dans de des du elle en et il je la le les mais mon ne ou par pas pour que qui
        sans ses son sur un une vous
    """,
    "spanish": "a al busco como con de del el en es la las lo los no o para por que se sin su un una y",
    "italian": "a al che con cerco da dei del della di e il in la le lo non o per su un una",
}


def stop_words(language: str) -> frozenset[str]:
    """Return the stop words of a language, in lower case; none for a language without a list."""
    return frozenset(_LISTS.get(language, "").split())
