# what: warnings on stderr, also from the compiler
import warnings

warnings.simplefilter("always")
warnings.warn("this is only a warning", DeprecationWarning)
pattern = "\d+ \d+"
if input() is "never":
    pass
print(42)
