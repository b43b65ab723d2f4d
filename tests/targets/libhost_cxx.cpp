/* SPDX-License-Identifier: MIT
 *
 * A host in C++, for the recorder's unit tests: no frame pointers, rbp in use as any other register, and
 * destructors waiting on the way out.
 */
typedef int host_fn(void *arg);

extern "C" int host_cxx(host_fn *fn, void *arg);

namespace
{

int alive;

struct Guard {
	Guard()
	{
		alive++;
	}
	~Guard()
	{
		alive--;
	}
};

} // namespace

namespace host
{

__attribute__((noinline, noclone)) int inner(host_fn *fn, void *arg)
{
	Guard guard;
	int r = fn(arg);

	__asm__ volatile("mov $0x7ead, %%rbp" : "+r"(r) : : "rbp");
	return r + alive;
}

__attribute__((noinline, noclone)) int outer(host_fn *fn, void *arg)
{
	Guard guard;

	__asm__ volatile("mov $0xdead, %%rbp" : : : "rbp");
	int r = inner(fn, arg);
	__asm__ volatile("" : "+r"(r));
	return r + alive;
}

} // namespace host

int host_cxx(host_fn *fn, void *arg)
{
	try {
		int r = host::outer(fn, arg);
		__asm__ volatile("" : "+r"(r));
		return r + 1;
	} catch (int) {
		return -1;
	}
}
