# what: fractions, decimals and complex numbers
from decimal import Decimal, getcontext
from fractions import Fraction

getcontext().prec = 50
a, b = input().split()
assert Fraction(a) + Fraction(b) == Decimal(a) + Decimal(b) == complex(a) + complex(b)
print(Fraction(a) + Fraction(b))
