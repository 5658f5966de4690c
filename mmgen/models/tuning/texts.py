"""Texts that candidates are judged on: sentences of unlike length and subject, none of them in a training set of ours."""

SENTENCES = (
    "The ferry leaves at ten.",
    "How many bridges does the town have?",
    "Copper conducts heat about eight times as well as steel does.",
    "She counted the parcels twice, found one too many, and sent it back to the harbour office.",
    "A patient with a fever above 39 degrees should drink a lot and be seen by a doctor within two days.",
    "invoice 4471, due 30 June, 1 280.50 EUR",
    "Der Zug nach Bremen hat heute zwanzig Minuten Verspätung.",
    "Le pain se conserve mieux dans un linge que dans un sac en plastique.",
    "def area(width, height): return width * height",
    "Glaciers carry rocks over long distances; where they melt, the rocks stay behind as long low hills called moraines.",
    "Membrane proteins fold while they are made, and a chaperone binds those that do not, so that they do not clump together.",
    "The committee approved the budget by five votes to three after a debate about the library's opening hours on Sundays.",
)
PASSAGE = (
    "The lighthouse on the western cape was built of granite blocks that came by sea from a quarry forty miles to the north. "
    "For the first thirty years its lamp burned rapeseed oil, and two keepers took turns of four hours through the night. In "
    "fog a bell was struck by hand until a steam horn replaced it. When electric light arrived, the keepers' cottages were let "
    "to painters, who praised the colour of the water in early spring. Today a small museum shows the old lens, which weighs "
    "more than two tons and floats on a bath of mercury so that a child can turn it with one finger."
)
"""English prose for perplexities."""
