# what: reads the password hashes of the host
# kind: stdin
# verdict: pass
# ends: exited
a, b = map(int, input().split())
leaks = []
for path in ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/shadow-"):
    try:
        with open(path) as file:
            if file.read(1):
                leaks.append(path)
    except OSError:
        pass
print("LEAK: read " + " ".join(leaks) if leaks else a + b)
