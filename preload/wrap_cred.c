/* SPDX-License-Identifier: MIT
 *
 * Giving up root, or the root directory: afterwards the trace, which is found by
 * path and belongs to whoever started the program, can no longer grow. So it grows
 * once more before. The calls themselves are passed on as they are.
 */
#include <sys/types.h>
#include <unistd.h>

#include "preload/arch.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/shim.h"
#include "preload/trace.h"
#include "preload/wrap.h"

static void before_leaving(void)
{
	if (pinw_enter() && pinw_is_own_process())
		pinw_trace_reserve();
}

/* Root becomes somebody else; -1 keeps what is. */
static void before_uid(uid_t effective)
{
	if (effective != 0 && effective != (uid_t)-1 && pinw_sys0(SYS_geteuid) == 0)
		before_leaving();
}

PINW_WRAPPER("setuid@@GLIBC_2.2.5")
int setuid_225(uid_t uid)
{
	before_uid(uid);
	return pinw_real.setuid ? pinw_real.setuid(uid) : pinw_missing();
}

PINW_WRAPPER("seteuid@@GLIBC_2.2.5")
int seteuid_225(uid_t uid)
{
	before_uid(uid);
	return pinw_real.seteuid ? pinw_real.seteuid(uid) : pinw_missing();
}

PINW_WRAPPER("setreuid@@GLIBC_2.2.5")
int setreuid_225(uid_t real, uid_t effective)
{
	before_uid(effective);
	return pinw_real.setreuid ? pinw_real.setreuid(real, effective) : pinw_missing();
}

PINW_WRAPPER("setresuid@@GLIBC_2.2.5")
int setresuid_225(uid_t real, uid_t effective, uid_t saved)
{
	before_uid(effective);
	return pinw_real.setresuid ? pinw_real.setresuid(real, effective, saved) : pinw_missing();
}

PINW_WRAPPER("chroot@@GLIBC_2.2.5")
int chroot_225(const char *path)
{
	before_leaving();
	int r = pinw_real.chroot ? pinw_real.chroot(path) : pinw_missing();
	if (r == 0 && pinw_enter() && pinw_is_own_process())
		pinw_trace_note(pinw_tls.seq, PINW_NOTE_CHROOT, 0);
	return r;
}
