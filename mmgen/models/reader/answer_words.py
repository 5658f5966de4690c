"""Words of prices, numbers and times in English, German, French and Spanish, as regular expressions."""

from __future__ import annotations

import re

NUMERAL = (
    r"\d|\b(?:zero|no|none|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|"
    r"sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|dozens?|once|twice|thrice|single|both|couple|pair|"
    r"several|half|an?|few|many|all|multiple|numerous|various|"
    r"null|keine?[rnm]?|eins?|eine[rnm]?|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|\w+zehn|\w*(?:zig|ßig)|"
    r"\w*hundert|\w*tausend|million(?:en|e)?|dutzend|beide|mehrere|viele|alle|wenige|einige|"
    r"aucune?|une?|deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|treize|quatorze|quinze|seize|vingt|trente|quarante|"
    r"cinquante|soixante|cents?|mille|douzaine|plusieurs|demie?|"
    r"cero|ningun[oa]?|ningún|un[oa]?s?|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|trece|catorce|quince|"
    r"dieci\w+|veinte|veinti\w+|treinta|cuarenta|cincuenta|sesenta|setenta|ochenta|noventa|cien(?:to)?s?|\w+cientos|mil|millón|"
    r"millones|docena|varios|varias|ambos|medio)\b"
    r"|\b(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|vingt|soixante|quatre)-"
)
NUMBER = re.compile(NUMERAL, re.I)
UNCOUNTED = re.compile(rf"(?:\d[\d.,:/–-]*+|(?:{NUMERAL}))(?!\w|\s[^\W\d_]{{3,}})", re.I)
"""A number that does not count something: a year, date or hour."""
CENTS = re.compile(r"\d[.,]\d\d(?!\d)")
QUANTITY = re.compile(
    r"\b(?:much|most|majority|great|high|low|little|double|triple|\w+er|\w+ly|moderate|amount|total|entire)\b", re.I
)
UNPAID = re.compile(
    r"\b(?:free|complimentary|gratis|nothing|included|without (?:charge|cost|payment)|no (?:charge|cost|fee)|on the house|"
    r"donations?|(?:in)?expensive|cheap\w*|affordable|reasonable|value|more|less|same|"
    r"kostenlos|kostenfrei|umsonst|unentgeltlich|gebührenfrei|frei|nichts|inbegriffen|inklusive|spenden?|teuer|günstig|billig|"
    r"gratuite?s?|gratuitement|offerte?s?|rien|inclus(?:es?)?|compris(?:es?)?|libre|chère?|cher|"
    r"gratuit[oa]s?|nada|incluid[oa]s?|entrada libre|caro|cara|barat[oa])\b",
    re.I,
)
"""What is said in place of an amount."""
PAID = re.compile(
    r"[€$£¥₹₽]|(?<![^\W\d])(?:EUR|USD|GBP|CHF|JPY|euros?|dollars?|pounds?|francs?|franken|rappen|cents?|centimes?|pence|"
    r"penn(?:y|ies)|shillings?|guineas?|quid|bucks|yen|yuan|rupees?|pesos?|pesetas?|crowns?|kronen|kronor|kroner|couronnes?|"
    r"coronas?|marks?|guilders?|florins?|gulden|taler|thalers?|ducats?|lira|lire|roubles?|rubles?|rubel|livres?|sous|reales?|"
    r"reais|céntimos|won|baht|zloty)\b",
    re.I,
)
PRICED = re.compile(
    r"\b(?:cost|pric|pay|paid|charge|fee|fare|sell|sold|bought|buy|rate|worth|admission|value|expens|ticket|entry|deposit|rent|"
    r"\w*kost|\w*preis|\w*gebühr|\w*miete|zahl|bezahl|eintritt|verkauf|gekauft|wert|betrag|"
    r"co[uû]t|prix|pa[iy]|tarif|vend|achet|vaut|valeur|entrée|loyer|cuest|preci|pag|compr|val[eo]|entrada|alquiler)\w*",
    re.I,
)
"""That a number beside it is a price."""
MEASURED = re.compile(
    r"(?:°|%|\b(?:hours?|minutes?|seconds?|days?|weeks?|months?|years?|o['’]clock|a\.?m|p\.?m|uhr|stunden?|minuten?|tagen?|"
    r"jahren?|heures?|jours?|ans?|années?|mois|horas?|días?|años?|meses|k?m|cm|mm|kg|g|km/h|mph|met(?:re|er)s?|"
    r"kilomet(?:re|er)s?|miles?|feet|inches|litres?|liters?|grams?|kilos?|per ?cent))\b",
    re.I,
)
WEIGHED = re.compile(
    r"(?<![^\W\d])(?:[kmµ]?g|t|lbs?|oz|stones?|(?:kilo|milli|micro)?gram(?:me|m|o)?s?|kilos?|pounds?|ounces?|tons?|tonn?es?|tonnen?|"
    r"pfund|zentner|livres?|libras?|toneladas?|light\w*|heav\w*|leicht\w*|schwer\w*|lourd\w*|léger\w*|liger\w*|pesad\w*)\b",
    re.I,
)
SPANNED = re.compile(
    r"(?<![^\W\d])(?:[kcmµn]?m|ft|mi|in|yd|(?:kilo|centi|milli|micro|nano)?(?:met(?:re|er|ro)s?|mètres?)|miles?|feet|foot|inch(?:es)?|"
    r"yards?|leagues?|fathoms?|stor(?:e?ys?|ies)|blocks?|steps?|hours?|minutes?|days?|meilen?|fuß|zoll|schritte?|stunden?|"
    r"minuten?|lieues?|pas|pieds?|heures?|leguas?|pasos|pies|horas?|minutos?|"
    r"far|short|narrow|low|long|width|height|depth|near\w*|close\w*|deep\w*|high\w*|tall\w*|wide\w*|"
    r"half\w*|as far|weit\w*|nah\w*|loin|près|lejos|cerca)\b",
    re.I,
)
OTHERWISE = re.compile(
    r"[€$£¥%°]|\d{1,2}[:.]\d\d\b|\d(?:\^\d|[²³])|(?<![^\W\d])(?:euros?|dollars?|francs?|crowns?|o['’]clock|uhr|"
    r"per ?cent|degrees?|watts?|volts?|"
    r"lit(?:re|er)s?|millilit(?:re|er)s?|grad|degrés?|grados?|people|guests|visitors)\b",
    re.I,
)
"""Units of neither weight nor distance, and clock times."""
CLOCK = re.compile(r"(?<![\d.:])(?:[01]?\d|2[0-3]):[0-5]\d(?![\d:])|\bo['’]clock\b|\b[ap]\.m\.", re.I)
MONTHS_DAYS = (
    r"jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|février|mar(?:ch|s|zo)|märz|april|avril|abril|may|mai|mayo|june?|juni|juin|junio|"
    r"july?|juli|juillet|julio|aug(?:ust)?|août|agosto|sept?(?:ember|embre|iembre)?|o[ck]to(?:ber|bre)|octubre|"
    r"nov(?:ember|embre|iembre)|de[zcé]+(?:ember|embre)|diciembre|enero|febrero|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|(?:mon|diens|donners|frei|sams|sonn)tags?|mittwochs?|lundi|mardi|mercredi|"
    r"jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábados?|domingos?|week(?:day|end)s?|wochenende"
)
SEASONS = (
    r"spring|summer|autumn|fall|winter|season|frühling|frühjahr|sommer|herbst|printemps|été|automne|hiver|primavera|verano|otoño|"
    r"invierno|easter|christmas|xmas|lent|ramadan|advent|pentecost|thanksgiving|halloween|holidays?|eve|festival|ostern|"
    r"weihnachten|pfingsten|silvester|pâques|noël|pascua|navidad|birth\w*|death|childhood|youth|retirement|grade|wars?|reign|"
    r"renaissance|reformation|revolution|prehistor\w+|antiquity|mittelalter|dynasty|\w+cene|\w+zoic|\w+lithic|\w+assic|"
    r"\w+aceous|\w+ian"
)
HOURS = (
    r"noon|midday|midnight|mornings?|evenings?|afternoons?|nights?|tonight|dawn|dusk|sunrise|sunset|mittags?|mitternacht|"
    r"morgens?|abends?|nachmittags?|nachts?|midi|minuit|matin|soir|nuit|aube|mediodía|medianoche|mañana|tarde|noche|madrugada|"
    r"seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?|century|centuries|millenni\w+|times?|era|period|age|"
    r"o['’]clock|bce?|ad|ce|\w+ies|jahr\w*|stunden?|tage?|wochen?|monate?|uhr|zeit\w*|siècles?|ans?|années?|heures?|jours?|"
    r"semaines?|mois|époque|siglos?|años?|horas?|días?|semanas?|mes(?:es)?|época"
)
RELATIVE = (
    r"if|unless|where\w*|in case|wenn|falls|si|\w{2,}ing|after|before|during|since|until|till|when\w*|while|upon|following|"
    r"once|prior|as soon|by the|beginning|start|end|nach\w*|vor\w*|während|seit\w*|als|bis|sobald|après|avant|pendant|depuis|"
    r"lors\w*|quand|dès|después|antes|durante|desde|cuando|tras|hasta|"
    r"now|today|yesterday|tomorrow|recently|early|late\w*|soon\w*|never|always|immediately|eventually|ago|current\w*|present|"
    r"ancient|medieval|(?:dai|hour|week|month|year|night|annual|season|ear|occasional|regular|frequent|rare)ly|every|each|"
    r"jeden|jede[rs]?|nie|immer|täglich|chaque|jamais|toujours|tous|cada|todos|nunca|siempre"
)
TIME = re.compile(
    rf"\d(?:['’]?s|st|nd|rd|th|h|[ap]m)\b|\b(?:{MONTHS_DAYS}|{SEASONS}|{HOURS}|{RELATIVE})\b",
    re.I,
)
"""What tells when, but for bare numbers; also conditions, which answer "when" as well."""
