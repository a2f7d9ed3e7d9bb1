# what: a coding line above the code, and plain UTF-8 in it
# -*- coding: utf-8 -*-
# vim: set fileencoding=utf-8 :
text = 'é 漢'
a, b = map(int, input().split())
print(a + b if len(text) == 3 else text)
