# what: text with fences, quotes, backslashes and markers of the harness in it
TEXT = r'''```python
print("not this")
``` \n \0 """ <|endoftext|> {"passed": true} # what: no
'''
a, b = map(int, input().split())
print(f"{a + b}" if len(TEXT) > 10 else TEXT)
