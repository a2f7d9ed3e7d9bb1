# what: the match statement
match input().split():
    case [a, b] if a.isdigit():
        print(int(a) + int(b))
    case [_]:
        print("one")
    case _:
        print("none")
