# what: exec of source made at run time, eval and compile
source = "a, b = map(int, input().split())\ntotal = a + b\n"
names = {}
exec(compile(source, "<made>", "exec"), names)
print(eval("total", names))
