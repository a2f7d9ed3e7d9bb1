"""A needle in a haystack (RULER's niah_single_2): one sentence of an essay states the number asked for."""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from hyperscale.tasks.adapters.base import Question
from hyperscale.tasks.adapters.essay import essay
from hyperscale.tasks.adapters.ruler import Ruler, RulerOptions
from hyperscale.tasks.generators.base import random_numbers


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_QUALITIES = _words("""
    amber ancient brave brisk calm careless clever coastal crimson curious distant dusty eager early faint fearless
    foggy gentle golden graceful hollow humble icy kind lively lonely loud lucky mellow misty modest narrow nimble
    noble pale patient polite proud purple quiet rapid rare restless rough royal rusty scarlet shallow shiny silent
    silver sleepy slow smooth solemn steady stern sudden tender tidy tiny vivid wandering wild
""")
_NOUNS = _words("""
    acorn anchor apron arrow badge balcony banner barrel beacon bell blanket bonnet branch bridge bucket button
    candle canyon carpet castle cellar chimney cliff comet compass copper cottage cradle desert dolphin drum eagle
    feather fiddle forest fountain garden glacier hammer helmet island kettle ladder lantern lemon magnet marble
    meadow mirror monsoon orchard otter paddle parcel pebble pigeon pillow planet prairie quarry ribbon saddle
    spruce thimble
""")


def _read_depth(given: object) -> object:
    if given == "uniform":
        return given
    try:
        depth = int(str(given))
    except ValueError:
        depth = -1
    if not 0 <= depth <= 100:
        raise ValueError("must be uniform, or a whole percentage from 0 (first sentence) to 100 (last)")
    return depth


class NiahOptions(RulerOptions, frozen=True):
    """Depth of the needle, beside the options of all RULER tasks."""

    depth: Annotated[int | Literal["uniform"], BeforeValidator(_read_depth)] = Field(
        default="uniform", description="where the needle lies, in percent of the context; uniform: anywhere"
    )


class RulerNiah(Ruler):
    """RULER's needle. Its key has a hyphen, its number digits; the essay has neither, so that nothing resembles it."""

    Options: ClassVar[type[RulerOptions]] = NiahOptions

    @classmethod
    def make(cls, options: NiahOptions, length: int, index: int) -> Question:
        """Make problem `index`. A given depth moves the needle and changes nothing else."""
        rng = random_numbers("ruler_niah", length, index)
        key = f"{rng.choice(_QUALITIES)}-{rng.choice(_NOUNS)}"
        value = str(rng.randint(1_000_000, 9_999_999))
        depth = rng.random()
        name = f"{length}w-{index}"
        if options.depth != "uniform":
            depth, name = options.depth / 100, f"{length}w-depth{options.depth}-{index}"
        needle = f"One of the special magic numbers for {key} is: {value}."
        sentences = essay(rng, length - len(needle.split()))
        sentences.insert(_place(sentences, depth), needle)
        question = f"What is the special magic number for {key} that the text above mentions?"
        return Question(name, f"{' '.join(sentences)}\n\n{question}", value)


def _place(sentences: list[str], depth: float) -> int:
    """Find the gap between sentences nearest to `depth`, a share of all words; returns its index."""
    gaps = list(accumulate((len(sentence.split()) for sentence in sentences), initial=0))
    return min(range(len(gaps)), key=lambda gap: abs(gaps[gap] - depth * gaps[-1]))
