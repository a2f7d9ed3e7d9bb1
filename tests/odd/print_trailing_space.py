# what: trailing blanks and empty lines at the end
print(sum(map(int, input().split())), "", "", sep=" ", end=" \t\n\n\n")
