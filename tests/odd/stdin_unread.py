# what: leaves most of its input unread
# input: '40 2\nthe rest\nis not\nread\n'
print(sum(map(int, input().split())))
