# what: opens the kernel's switches for writing (and writes nothing)
# kind: stdin
# verdict: pass
# ends: exited
import os

a, b = map(int, input().split())
leaks = []
paths = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches"]
paths += ["/proc/sys/kernel/hostname", "/proc/sys/vm/panic_on_oom", "/proc/sys/fs/binfmt_misc/register", "/proc/irq/default_smp_affinity"]
paths += ["/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/release_agent"]
for path in paths:
    try:
        os.close(os.open(path, os.O_WRONLY))
        leaks.append(path)
    except OSError:
        pass
print("LEAK: may write " + " ".join(leaks) if leaks else a + b)
