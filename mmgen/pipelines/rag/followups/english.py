"""Closed classes and the common verbs, adjectives and relational nouns of English, by which questions are parsed."""

from __future__ import annotations

from mmgen.function_words import ARTICLES, FUNCTION_WORDS

VOWELS = "aeiou"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION = FUNCTION_WORDS
WH = _words("what who whom whose which when where why how")
BE = _words("is are was were am be been being 's 're isn't aren't wasn't weren't")
DO = _words("do does did don't doesn't didn't can can't could couldn't will won't would should may might must shall")
HAVE = _words("has have had hasn't haven't hadn't having")
AUXILIARIES = BE | DO | HAVE
DETERMINERS = ARTICLES | _words("any some each every all both no another other more most many few several much such")
POSSESSIVES = {"its": "it", "their": "they", "his": "he", "her": "she"}
PERSONS = _words("he him she her")
PRONOUNS = {"it": "it", "they": "they", "them": "they", "he": "he", "him": "he", "she": "she", "her": "she"}
OTHER_PRONOUNS = _words(
    """i me my mine myself you your yours yourself we us our ours itself themselves himself herself someone somebody anyone
    anybody everyone everybody something anything everything nothing nobody there here"""
)
DEMONSTRATIVES = _words("this that these those")
PREPOSITIONS = _words(
    """of in on at by for from with without to into onto about after before during between among against through over under
    since until till than as like near within across behind beyond around along off up down out outside inside per via
    versus vs despite above below towards toward upon besides except regarding"""
)
LOCATIVES = _words("in at on from near to into inside outside across around within")
COMPARING = _words("versus vs with from than as to")
CONJUNCTIONS = _words("and or but nor if when while because so though although whether")
PERHAPS_ADJECTIVE = ("ual", "ial", "onal", "eral", "tic", "nic", "mic", "ive", "ary")
"""Endings of an adjective where "and" and another one follow."""
ADVERBS = _words(
    """actually again ago almost already also always away back currently else even ever far first generally instead just
    long much n't never not now often once only quite rather really so still then today together too usually very well"""
)
LY_NOUNS = _words("family supply italy reply assembly monopoly anomaly jelly belly july ally bully")
NUMBERS = _words(
    """one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million
    billion"""
)
ADJECTIVES = _words(
    """good bad big small large long short high low old new young great main major minor key important common different
    similar same rare early late recent modern ancient popular famous dangerous safe healthy unhealthy natural legal illegal
    possible impossible true false real wrong right best worst better worse largest biggest smallest longest shortest highest
    lowest oldest newest youngest earliest latest greatest deadliest fastest slowest strongest average typical negative
    positive original final next last previous various certain specific special primary secondary local national
    international human social political economic environmental physical mental medical chronic severe strong weak hot cold
    warm cool dry wet fast slow hard soft easy difficult heavy light expensive cheap rich poor free full empty black white
    red green blue yellow brown deep shallow wide narrow thick thin tall close open public private
    technological key due bigger smaller larger older younger taller longer shorter higher lower faster slower
    profitable edible endangered likely able"""
)
SUPERLATIVES = _words(
    """best worst largest biggest smallest longest shortest highest lowest oldest newest youngest earliest latest greatest
    deadliest fastest slowest strongest tallest heaviest richest cheapest hottest coldest first second third last next"""
)
ADJECTIVE_ENDINGS = ("able", "ible", "ous", "ful", "less", "ical", "ish", "-term", "-old")
VERBS = _words(
    """accept achieve act add adopt affect agree allow announce appear apply approve argue arise arrive ask attack attend
    avoid base bear beat become begin believe belong bite blow boil born break bring build burn buy call capture carry
    catch cause celebrate change choose claim climb collapse collect come compare compete complete conquer consider
    consist contain contribute control convert convince cook cope create cross crash cry cure damage deal decide
    declare decline defeat define deliver depend describe design destroy detect determine develop die differ disappear
    discover distinguish divide draw drink drive drop earn eat elect enable end enjoy enter erupt escape establish
    evolve exist expand experience explain explode export express extract face fail fall feed feel fight fill find
    finish fit fix flow fly follow force forget form found free function gain get give go govern grow handle happen
    harm hatch hear heal help hide hit hold host hunt hurt identify improve include increase infect influence inspire
    install introduce invade invent invest involve issue join jump keep kill know land last launch lay lead learn leave
    lend let lie limit live look lose love make manage market marry matter mean measure meet melt migrate move name
    need notice obtain occur offer open operate oppose orbit organize originate overcome own paint pass pay perform
    play prefer prepare prevent proceed produce promote protect prove provide publish purchase push put qualify raise
    reach react read receive recognize recommend record recover reduce refer refuse reject release rely remain remove
    repair replace represent require resign respond rest restore result retire return reveal ride ring rise rule run
    sail salvage save say see seem sell send separate serve settle shape share shine shoot show shut sing sink sit
    sleep smoke solve speak spend split spread stand start stay steal stop store strike study succeed suffer suggest
    support suppress surrender survive swim take talk taste teach tell think threaten throw touch trade train transform
    translate transmit travel treat trigger try turn understand unite use vary visit vote wait walk want warn wash
    watch wear weigh win withdraw work worry write yield conduct capture cultivate domesticate diagnose manufacture
    differ relate mix bake brew grind ferment breed milk compose direct star film ban abolish amend ratify crown behead
    execute overthrow fund found locate situate nickname dissolve inherit sponsor televise broadcast fit abandon absorb
    accommodate accompany accomplish activate adapt adjust admit afford analyze arrest assassinate assemble assign
    assist assume attach attract award bend blame bomb borrow breathe bury cease chop clarify colonize combine
    commemorate commit communicate compensate comply conclude condemn configure confirm connect consolidate consume
    continue contract criticize crucify debate declare defend delete denote depict derive dig digest disable discourage
    discuss dominate drown elevate eliminate embrace emerge emigrate emit encounter encourage engage enslave ensure
    erode evaluate exceed exclude exhibit expel explore expose extend finance flip float gather generate grab grasp
    guard hibernate hire honor ignore imitate implement import impose impress imprison incorporate indicate inform
    inhabit inhibit initiate inject injure inspect integrate interfere interpret interview investigate invite isolate
    justify legalize liberate lift listen maintain manage mate mention modify motivate nominate pick possess pour
    prescribe preserve pull pursue recruit refill reflect regulate relieve rent replicate reproduce resolve restart
    resume retain reverse revolutionize rotate scrape seek shrink slip soak specify speed sponsor squeeze stabilize
    stimulate strengthen submit swallow symbolize translate twist uncover undergo unify upload vaccinate verify weaken
    widen wipe withstand"""
)
IN_SOMETHING = _words("happen occur change die participate compete take serve live work end begin start appear")
NOT_ALONE = _words(
    """act advance answer approach attack attend balance ban base bear beat bite break breed burn call challenge change check
    claim control cook cost cover crown cure damage deal decrease demand design direct download drain draw drink drive
    drop end estimate exercise experience export face fall feed fight film fit fix flow force form function fund gain
    harm help hit hold host hunt increase influence issue land last launch lead limit look love market matter measure
    milk move name need nest offer open orbit own paint pass pay place plan plant play purchase record register
    release repair rest result return ride ring rise rule run sail save search shape share shoot show smoke split
    spread stand star start stay stop store strike study support talk taste touch trade train travel treat trigger
    turn upgrade use visit vote wait walk watch wear win work yield"""
)
"""Verbs whose bare form and -s form are nouns as well: verbs only where one is due."""
VERBS |= NOT_ALONE | IN_SOMETHING
IRREGULAR = {
    one.partition(":")[0]: one.partition(":")[2]
    for one in _words(
        """ate:eat became:become began:begin begun:begin bit:bite bitten:bite blew:blow blown:blow broke:break broken:break
        brought:bring built:build burnt:burn bought:buy caught:catch chose:choose chosen:choose came:come drew:draw
        drawn:draw drank:drink drunk:drink drove:drive driven:drive fed:feed fell:fall fallen:fall felt:feel fought:fight
        found:find flew:fly flown:fly forgot:forget got:get gotten:get gave:give given:give went:go gone:go grew:grow
        grown:grow heard:hear held:hold hid:hide hidden:hide kept:keep knew:know known:know laid:lay led:lead learnt:learn
        left:leave lent:lend lost:lose made:make meant:mean met:meet paid:pay rode:ride ridden:ride rang:ring rung:ring
        rose:rise risen:rise ran:run said:say saw:see seen:see sold:sell sent:send shone:shine shot:shoot sang:sing
        sung:sing sank:sink sunk:sink sat:sit slept:sleep spoke:speak spoken:speak spent:spend stood:stand stole:steal
        stolen:steal struck:strike swam:swim took:take taken:take taught:teach told:tell thought:think threw:throw
        thrown:throw understood:understand withdrew:withdraw withdrawn:withdraw wore:wear worn:wear won:win wrote:write
        written:write dug:dig sought:seek lain:lie"""
    )
}
"""Past forms, with their bare forms."""
PARTICIPLES = _words(
    """begun bitten blown broken chosen drawn drunk driven eaten fallen flown given gone grown hidden known ridden rung risen
    seen sung sunk spoken stolen swum taken thrown withdrawn worn written become come run"""
)
"""Irregular ones that differ from the past tense, or may."""
RELATIONAL = _words(
    """abundance accomplishment achievement advantage age aim alternative ancestor anatomy application area argument aspect
    author award background beginning behavior behaviour benefit brand breed builder capacity capital career category cause
    ceremony challenge change character characteristic child color colour company competitor complication component
    composition con concern condition consequence contribution cost course creator criticism culture currency cycle danger
    date death decline definition depth descendant design designer development diameter diet difference dimension director
    disadvantage discoverer discovery distance distribution downside drawback duration effect ending environment evidence
    evolution example expectancy experience explanation factor fact feature fee figure finding focus form formula founder
    function future goal government group guideline habitat height history idea impact implication importance influence
    ingredient inhabitant inspiration inventor issue job key kind landmark language law leader legacy length level lifespan
    limitation location maker manufacturer material meaning measure member mechanism message method mission mortality motive
    name nature neighbor neighbour number objective opinion option origin outcome owner parent part pattern percentage period
    phase piece plot point policy popularity population position precaution predator predecessor prevalence prevention price
    principle pro problem procedure process product production property prognosis purpose qualification quality range rate
    ratio reaction reason recipe recommendation region relation relationship remedy requirement result review rise risk rival
    role root rule salary scale season section sign significance similarity size skill solution sort source species speed
    spelling stage standard start state statistic status step story strategy strength structure style success successor
    summary supporter surface symbol symptom synonym taste technique temperature tendency term territory test theme theory
    time title tool topic trait treatment trend type usage use user vaccine value variation variety velocity version victim
    view warning weakness weight width winner writer"""
)
"""Nouns that are of something: a question that names nothing else asks about the topic."""
PERSON_NOUNS = _words(
    """man woman king queen emperor president author inventor founder writer scientist physicist engineer architect artist
    actor actress director singer composer leader person wife husband son daughter father mother brother sister boy girl
    astronomer philosopher poet painter general officer captain teacher doctor winner player discoverer creator designer
    builder maker owner explorer historian botanist chemist biologist"""
)
PLACES = _words(
    """uk us usa america europe asia africa australia canada china india japan germany france england britain scotland ireland
    wales italy spain portugal greece russia mexico brazil california texas florida london paris york switzerland earth world"""
)
IRREGULAR_PLURALS = _words("people men women children mice geese feet teeth species cattle police data media criteria bacteria")
PLURAL_IN_LOOKS = _words(
    """physics mathematics economics politics ethics athletics gymnastics news series diabetes always across glass mars lens
    is his its gas bus as us thus plus species analysis basis crisis olympics"""
)
VAGUE = _words(
    """way thing kind lot time day year month week century people person case fact example difference differences similarity
    else bit number amount type sort everyone ones who me being use usage purpose life world"""
)
"""Nouns that are no topic by themselves."""
COMMON_IN_NAMES = _words(
    """war age disease cancer experiment college school university film movie story book sea ocean island strait canal stone
    rush party race act museum bank exchange company house hall street bridge tower wall light rocks empire dynasty republic
    union states kingdom city world cup prize award games tour music syndrome virus law theory effect revolution collapse
    vote compact river lake mountain mountains park bay desert valley telescope mission program project shark sharks goats
    computer language scale system club team league dance gazette culture punk beach point fort ship record day"""
)
"""Last words of names that are no person's."""
MOTION = _words("travel go move come get fly drive visit walk sail return migrate emigrate ship send bring take flee")
PARTS_PLAYED = _words("role part importance significance influence impact")
COMPARED_WITH = {"different": "from", "differ": "from", "compare": "to"}
"""What ends a comparison with something that is not said, and the preposition before it."""
PLACE_NOUNS = _words("capital location place city town country village island museum state region continent")
TITLES = _words(
    "king queen emperor president sir saint captain general professor doctor dr mr mrs ms lord lady prince princess"
)


def lemma(word: str) -> str:
    """The base form of a verb's form, or else the word."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in VERBS:
        return word
    for ending, replacements in (
        ("ies", "y"),
        ("ied", "y"),
        ("es", ("e", "")),
        ("s", ("",)),
        ("ed", ("", "e")),
        ("ing", ("", "e")),
    ):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            stem = word[: -len(ending)]
            for one in (stem + end for end in replacements):
                if one in VERBS:
                    return one
            if ending in ("ed", "ing") and stem[-1:] == stem[-2:-1] and stem[:-1] in VERBS:
                return stem[:-1]
    return word


def is_verb(word: str) -> bool:
    return lemma(word) in VERBS


def is_plural(noun: str) -> bool:
    """By its looks."""
    low = noun.lower()
    if low in IRREGULAR_PLURALS:
        return True
    if noun[:1].isupper() and low.endswith(("os", "as", "ens")):
        return False  # Pharos, Texas, Athens
    return len(low) > 2 and low.endswith("s") and not low.endswith(("ss", "us", "is", "'s")) and low not in PLURAL_IN_LOOKS


def singular(noun: str) -> str:
    low = noun.lower()
    if not is_plural(noun) or low in IRREGULAR_PLURALS:
        return {"people": "person", "men": "man", "women": "woman", "children": "child"}.get(low, noun)
    if low.endswith("ies") and len(low) > 4:
        return noun[:-3] + "y"
    if low.endswith(("ches", "shes", "xes", "sses", "zes")):
        return noun[:-2]
    return noun[:-1]
