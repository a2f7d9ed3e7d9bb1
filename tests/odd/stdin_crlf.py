# what: input with CRLF line ends
# input: '40 2\r\n'
a, b = input().split(" ")
print(int(a) + int(b))
