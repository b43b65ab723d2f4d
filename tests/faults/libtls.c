/* SPDX-License-Identifier: MIT
 *
 * A library with 64 bytes of static TLS, which dlopen must find room for.
 */
static __thread char room[64] __attribute__((tls_model("initial-exec")));

char *tls_room(void);

char *tls_room(void)
{
	return room;
}
