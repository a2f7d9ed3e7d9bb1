# what: the locale module
import locale

locale.setlocale(locale.LC_ALL, "C")
a, b = map(int, input().split())
print(locale.format_string("%d", a + b, grouping=True))
