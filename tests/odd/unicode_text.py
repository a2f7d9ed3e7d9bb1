# what: reads and writes letters beyond ASCII
# input: 'žluťoučký 漢字 🐍\n'
# output: '🐍 漢字 žluťoučký\nß → SS\n'
print(*reversed(input().split()))
print("ß", "→", "ß".upper())
