# After normalise.sed, for Go programs: how many threads the runtime makes, and from where, is its own business.
s#threads: [0-9]+ created, peak N, [0-9]+ at the end#threads: N created, peak N, N at the end#
s#coverage: [0-9]+ of the kernel's [0-9]+ threads#coverage: N of the kernel's N threads#
# Which goroutine on which thread; how closures and assembly are called by this version of Go.
s#goroutine [0-9]+#goroutine N#
/^  the main thread$/d
s#\.abi0##
s#\.(func|gowrap|deferwrap)[0-9]+#.funcN#g
/^  created at:$/{
:frame
N
s#^.*\n(    .*)$#\1#
t frame
s#^.*\n##
}
# Requests are served at once: which of them is the first, and how many the log left out before it.
/^  number N from this site/d
