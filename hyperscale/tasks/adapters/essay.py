"""Haystack prose: sentences about work and habits, from a small grammar. No digits, no hyphens."""

from __future__ import annotations

import re
from random import Random


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def _entries(text: str) -> tuple[str, ...]:
    return tuple(" ".join(entry.split()) for entry in text.split(","))


_SENTENCES = _lines("""
    {Who} once told me that {claim}.
    {Who} used to say that {claim}, and I have found it true of {craft} as well.
    {Who} learned {craft} {where} and never regretted it.
    {Who} gave up {craft} {when}, because {reason}.
    {Who} began with {craft} {when} and stayed with it for the rest of a long life.
    {Who} kept the {things} {where}, where nobody but the cat ever looked for them.
    {Who} believed in {virtue} more than in {virtue}, though both were needed {where}.
    {Who} spent years {where}, and what remained of it were a few {things} and much {virtue}.
    {Who} had no {virtue} for {craft}, but plenty of it for {craft}.
    {Who} showed me how {craft} is done {when}, and I understood it only much later.
    What {who} knew about {craft} would not fit into a book, since {reason}.
    When {who} came back, the {things} were still {where}, a little dusty but complete.
    It was {who} who noticed that {claim}.
    I met {who} {where}, and we spoke about {craft} until it grew dark.
    I asked {who} about {craft}, and the answer was that {claim}.
    I have often watched {who} {where} and wondered how much {virtue} it takes.
    I used to think that {claim}, until {who} proved the opposite with nothing but {adjective} {things}.
    My own attempts at {craft} ended {where}, mostly because {reason}.
    My first lesson in {virtue} came from {who}, who was busy with {craft} at the time.
    Nobody {where} could explain why {claim}, but all of them acted on it.
    Few people {where} cared for {craft}, and those who did had {adjective} {things} at home.
    Most of what is said about {craft} is only half true, because {reason}.
    Much of the pleasure in {craft} comes from {virtue}, and the rest comes from {adjective} {things}.
    There is a kind of {virtue} that only {craft} can teach.
    There was a time when {craft} was common {where}, and {adjective} {things} were found in every house.
    There are days {when} when even {craft} feels easy and the {things} seem to arrange themselves.
    The best {things} are {adjective} ones, since {reason}.
    The trouble with {craft} is that {claim}.
    The difference between {craft} and {craft} is mostly a matter of {virtue}.
    The {things} that {who} left behind were {adjective}, and somebody still uses them {where}.
    The {things} were sold {when}, and with them went the {virtue} that had made them.
    The people {where} hold that {claim}, and they have seen enough to know.
    The older I get, the more I trust {virtue}, and the less I trust {adjective} {things}.
    The secret of {craft}, if it has one, is {virtue} {when}.
    To begin with {craft} is simple, but to go on with it {when} takes {virtue}.
    To judge {things} well, one needs {virtue} first and {adjective} {things} to compare them with.
    If {craft} were easy, {who} would not have needed so many {things}.
    If {claim}, then {virtue} is worth more than all the {things} that money buys.
    Because {reason}, {who} preferred {craft} to anything that was done {where}.
    Since {reason}, I carry {adjective} {things} with me wherever I go.
    Although {claim}, {who} went on with {craft} {when}.
    Although the {things} were {adjective}, nobody {where} wanted to part with them.
    As long as there is {virtue}, {craft} will not die out {where}.
    Long before {craft} became a business, it was done {where} by anyone who had {adjective} {things}.
    Years later I found the same {things} {where}, and {who} remembered each of them.
    {When}, {who} would lay out the {things} and talk about {virtue}.
    {When}, the talk {where} turned to {craft}, and everybody had an opinion.
    {When}, when the work was done, {who} still found an hour for {craft}.
    In the end it is {virtue} that decides, because {reason}.
    In {craft}, as in {craft}, it helps to remember that {claim}.
    With {adjective} {things} and some {virtue}, almost anyone can take up {craft}.
    Without {virtue} the {adjective} {things} of {who} would have been worth nothing.
    One can learn {craft} from books, but {virtue} must be learned {where}.
    Anyone who has tried {craft} knows that {claim}.
    Somebody should write down how {who} went about {craft}, before the last {things} are lost.
    Perhaps {claim}, or perhaps {who} simply had more {virtue} than the rest of us.
    Of all the {things} that I have owned, the {adjective} ones taught me the most about {virtue}.
    It takes {virtue} to admit that {claim}.
    It is easy to praise {virtue} {where} and hard to show it {when}.
    It is no accident that {craft} attracts people with {virtue}, for {reason}.
    We moved the {things} to a room {where}, and {who} complained about it {when}.
    We were all a little afraid of {who}, until we saw what {virtue} had gone into the {adjective} {things}.
    Even {who} agreed that {claim}, though it took an argument that lasted a whole week.
    Even the {adjective} {things} wear out, and then {virtue} has to make up for them.
""")

_RULES = {
    "who": _entries("""
        a carpenter from the next village, the baker on our street, my grandfather, an old teacher of mine, the
        woman who ran the ferry, a friend who repairs clocks, my first employer, the gardener of the old estate,
        a young engineer, the librarian, a neighbour of ours, the captain of a small ship, a painter whom I knew
        well, the village doctor, the editor of the local paper, the man who kept bees, a student with little
        money, my elder sister, the owner of the mill, a cook of some reputation, the clerk at the post office,
        a retired judge
    """),
    "craft": _entries("""
        baking bread, mending nets, drawing maps, writing letters, growing beans, teaching children, building
        boats, keeping accounts, tuning pianos, planting trees, cutting stone, binding books, making cheese,
        repairing shoes, telling stories, measuring land, sailing alone, weaving cloth, setting type, raising
        sheep, grinding lenses, singing in a choir
    """),
    "virtue": _entries("""
        patience, curiosity, honesty, courage, attention, modesty, practice, good humour, discipline, memory,
        kindness, silence, judgement, endurance, imagination, trust
    """),
    "things": _entries("""
        tools, plans, letters, notebooks, ropes, lamps, chairs, seeds, recipes, drawings, boots, baskets,
        instruments, photographs, knives, maps, bottles, keys
    """),
    "adjective": _entries("""
        plain, well made, borrowed, heavy, old, carefully chosen, inexpensive, unfinished, sturdy, forgotten,
        simple, worn, foreign, bright
    """),
    "where": _entries("""
        in the harbour, behind the church, at the edge of the town, on the island, under the roof of a barn,
        near the railway station, in a narrow valley, by the river, in the back of the shop, across the square,
        on the upper floor, at the market, in the north of the country, beside the canal, along the coast, in
        the old quarter
    """),
    "when": _entries("""
        before sunrise, on winter evenings, early in spring, after the harvest, during the long rains, on quiet
        Sundays, towards the end of summer, in difficult years, late at night, when the shops were closed,
        between two journeys, in the first cold week, after supper, while others slept
    """),
    "claim": _entries("""
        good work takes longer than anybody plans, small mistakes teach more than large ones, a short answer is
        seldom the whole one, nothing is finished on the day it is promised, most problems are older than the
        people who have them, the weather decides more than the calendar, a thing that is used every day lasts
        longest, the first attempt is only a way of finding the second, people remember how a task began and
        forget how it ended, it is cheaper to repair than to regret, one careful look is worth an hour of
        guessing, what cannot be explained cannot be improved, rules are made by those who arrive late, success
        is mostly a matter of staying, a clean table is the beginning of every plan, advice is useful only after
        the event, the best ideas come while doing something else, every road seems shorter on the way home, a
        good question outlives its answers, nobody becomes a master in a hurry
    """),
    "reason": _entries("""
        the materials had become too expensive, habits are stronger than intentions, nobody had asked for
        anything better, the light is never good enough, what is learned slowly is kept for long, there is
        always one more detail to settle, the hands know more than the head, a single error can spoil a week, it
        leaves the mind free to wander, the old ways had simply been forgotten, everything else could wait until
        the next day, good company makes any labour lighter, time passes differently for those who are busy, the
        results can be seen by everyone, no two days are ever quite the same, a promise had been given and had
        to be kept
    """),
}
_SLOT = re.compile(r"\{(\w+)\}")


def essay(rng: Random, words: int) -> list[str]:
    """Write distinct sentences of at most `words` words together, as near to it as whole sentences come."""
    sentences: dict[str, int] = {}
    left = words
    while True:
        sentence = _sentence(rng)
        if sentence in sentences:
            continue
        if (size := len(sentence.split())) > left:
            return list(sentences)
        sentences[sentence] = size
        left -= size


def _sentence(rng: Random) -> str:
    """Write one sentence from a random pattern, no two of its places filled with the same words."""
    used: set[str] = set()

    def fill(slot: re.Match[str]) -> str:
        name = slot[1]
        filling = rng.choice([entry for entry in _RULES[name.lower()] if entry not in used])
        used.add(filling)
        return filling if name[0].islower() else filling[0].upper() + filling[1:]

    return _SLOT.sub(fill, rng.choice(_SENTENCES))
