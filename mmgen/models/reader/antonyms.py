"""Pairs of English words of which a question means something else when one takes the other's place."""

from __future__ import annotations

PAIRS = """
first last|before after|most least|more less|more fewer|largest smallest|larger smaller|biggest smallest|bigger smaller
highest lowest|higher lower|oldest youngest|older younger|oldest newest|best worst|better worse|longest shortest|longer shorter
fastest slowest|faster slower|early late|earliest latest|earlier later|maximum minimum|always never|often rarely
all none|everyone nobody|north south|northern southern|east west|eastern western|northeast southwest|northwest southeast
left right|top bottom|upper lower|above below|inside outside|indoor outdoor|internal external|inner outer|front back
increase decrease|increased decreased|increasing decreasing|rise fall|rose fell|grew shrank|gain lose|gained lost|add remove
added removed|win lose|won lost|winner loser|winning losing|victory defeat|succeed fail|succeeded failed|success failure
begin end|began ended|start finish|started finished|starting finishing|open close|opened closed|opening closing
born died|birth death|alive dead|founded dissolved|established abolished|built demolished|created destroyed|construct demolish
buy sell|bought sold|purchase sell|purchased sold|import export|imports exports|lend borrow|give take|gave took|given taken
accept reject|accepted rejected|allow forbid|allowed forbidden|permitted prohibited|legal illegal
agree disagree|agreed disagreed
approve oppose|approved opposed|support oppose|supported opposed|supporters opponents|attack defend
attacked defended
include exclude|included excluded|including excluding|appear disappear|appeared disappeared|arrive depart|arrived departed
enter leave|entered left|join leave|joined left|married divorced|hired fired|appointed dismissed|elected defeated
love hate|loved hated|like dislike|liked disliked|positive negative|advantage disadvantage|advantages disadvantages
benefit drawback|benefits drawbacks|strength weakness|strengths weaknesses|pros cons|praised criticized|praise criticism
easy difficult|easier harder|hard easy|simple complex|cheap expensive|cheaper costlier|rich poor|strong weak|stronger weaker
heavy light|heavier lighter|hot cold|hotter colder|warm cool|wet dry|summer winter|spring autumn|day night|morning evening
old new|ancient modern|young old|public private|national local|foreign domestic|urban rural|civilian military|male female
men women|man woman|boy girl|boys girls|father mother|son daughter|sons daughters|brother sister|brothers sisters
husband wife|king queen|uncle aunt|grandfather grandmother|parents children|employer employee|teacher student|hero villain
major minor|majority minority|primary secondary|common rare|usual unusual|known unknown|famous obscure|popular unpopular
true false|possible impossible|similar different|same different|equal unequal|single multiple|full empty|complete incomplete
safe dangerous|healthy ill|good bad|happy sad|clean dirty|wide narrow|deep shallow|thick thin|tall short|near far
natural artificial|direct indirect|formal informal|temporary permanent|voluntary mandatory|active passive|religious secular
cause prevent|caused prevented|protect harm|protected harmed|help hinder|helped hindered|encourage discourage
discovered lost|hidden visible|expand shrink|expanded shrank|raise lower|raised lowered|remember forget|reveal conceal
predecessor successor|preceded succeeded|ancestor descendant|ancestors descendants|maternal paternal|senior junior
"""

Antonyms = dict[str, list[str]]


def _table() -> Antonyms:
    table: Antonyms = {}
    for pair in PAIRS.replace("\n", "|").split("|"):
        if pair.strip():
            one, other = pair.split()
            table.setdefault(one, []).append(other)
            table.setdefault(other, []).append(one)
    return table


ANTONYMS: Antonyms = _table()
"""A lower-case word -> its opposites."""
