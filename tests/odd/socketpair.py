# what: a socket pair and a select loop inside one process
import selectors
import socket

a, b = input().split()
left, right = socket.socketpair()
selector = selectors.DefaultSelector()
selector.register(right, selectors.EVENT_READ)
left.sendall(f"{a} {b}\n".encode())
selector.select(timeout=5)
print(sum(map(int, right.recv(100).split())))
left.close()
right.close()
