# what: looks for mounts left writable beside /tmp, /dev and /proc
# kind: stdin
# verdict: pass
# ends: exited
a, b = map(int, input().split())
leaks = []
with open("/proc/self/mountinfo") as file:
    for line in file:
        fields = line.split()
        place, options = fields[4], fields[5].split(",")
        allowed = any(place == top or place.startswith(top + "/") for top in ("/tmp", "/dev", "/proc"))
        if "rw" in options and not allowed:
            leaks.append(place)
print("LEAK: writable " + " ".join(leaks) if leaks else a + b)
