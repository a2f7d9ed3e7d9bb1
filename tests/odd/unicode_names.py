# what: identifiers beyond ASCII
größe, β = map(int, input().split())
合計 = größe + β
print(合計)
