# what: source in latin-1 (the file is not UTF-8)
# -*- coding: latin-1 -*-
text = 'éüß'
a, b = map(int, input().split())
print(a + b if text else text)  # §
