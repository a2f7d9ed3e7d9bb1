# what: source so deeply nested that compiling it fails or crashes
# kind: stdin
# verdict: fail
# ends: exited | signal | memory
eval(compile("x = " + "-" * 200_000 + "1", "deep", "exec"))
