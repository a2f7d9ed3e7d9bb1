# what: faulthandler's own segmentation fault
# kind: stdin
# verdict: fail
# ends: signal
import faulthandler

faulthandler.enable()
faulthandler._sigsegv()
