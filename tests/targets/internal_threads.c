/* SPDX-License-Identifier: MIT
 *
 * Shows: libc's own worker threads, made past every symbol by aio_read and getaddrinfo_a and still waiting for
 * more work when the process ends: only a census finds them.
 */
#include "tests/targets/common/common.h"

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static void read_in_background(void)
{
	char byte = 1;
	struct aiocb request = {.aio_buf = &byte, .aio_nbytes = 1};
	const struct aiocb *const list[] = {&request};

	request.aio_fildes = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	CHECK(request.aio_fildes >= 0);
	CHECK(aio_read(&request) == 0);
	while (aio_error(&request) == EINPROGRESS)
		CHECK(aio_suspend(list, 1, NULL) == 0 || errno == EINTR);
	CHECK(aio_return(&request) == 1 && byte == 0);
}

static void resolve_in_background(void)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct gaicb request = {.ar_name = "127.0.0.1", .ar_request = &hints};
	struct gaicb *list[] = {&request};

	CHECK(getaddrinfo_a(GAI_WAIT, list, 1, NULL) == 0);
	CHECK(gai_error(&request) == 0 && request.ar_result != NULL);
	freeaddrinfo(request.ar_result);
}

int main(void)
{
	read_in_background();
	resolve_in_background();
	puts("two helpers");
	return 0;
}
