"""English words that say little by themselves: what search, grounding and the comparison of answers pass over.

Each use adds its own words where it needs them; in other languages all words count.
"""

ARTICLES = frozenset({"a", "an", "the"})
FUNCTION_WORDS = ARTICLES | frozenset(
    """about and are as at be been but by can could did do does for from had has have how i if in into is it its may of on or
    our should so than that their them then there these they this to was we were what when where which who whom whose why
    will with would you your""".split()  # noqa: SIM905  a list of words
)
