/* SPDX-License-Identifier: MIT */
#include "reports/elf_probe.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kernel refuses program headers of more than 64 KiB (fs/binfmt_elf.c). */
#define PHDR_BYTES_MAX (64u << 10)
#define DYNAMIC_BYTES_MAX (64u << 10)
#define STRINGS_BYTES_MAX (64u << 20)
#define NOTES_BYTES_MAX (64u << 10)
#define SECTIONS_BYTES_MAX (4u << 20)

struct image {
	int fd;
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdrs;
};

/* Reads exactly `len` bytes. Returns 0, -EBADMSG when the file is too short, or -errno. */
static int read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	if (offset > INT64_MAX - len)
		return -EBADMSG;
	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

/* Reads `len` bytes into new memory, one NUL added. Returns 0, -EBADMSG, -ENOMEM or -errno. */
static int read_new(int fd, uint64_t offset, uint64_t len, uint64_t max, char **ret)
{
	char *buf;
	int r;

	if (len > max)
		return -EBADMSG;
	buf = malloc((size_t)len + 1);
	if (!buf)
		return -ENOMEM;
	r = read_at(fd, buf, (size_t)len, offset);
	if (r < 0) {
		free(buf);
		return r;
	}
	buf[len] = '\0';
	*ret = buf;
	return 0;
}

static const Elf64_Phdr *find_segment(const struct image *img, uint32_t type)
{
	for (unsigned i = 0; i < img->ehdr.e_phnum; i++)
		if (img->phdrs[i].p_type == type)
			return &img->phdrs[i];
	return NULL;
}

/* Where a virtual address lies in the file. Returns 0 or -EBADMSG. */
static int file_offset(const struct image *img, uint64_t vaddr, uint64_t len, uint64_t *ret)
{
	for (unsigned i = 0; i < img->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &img->phdrs[i];

		if (p->p_type != PT_LOAD || vaddr < p->p_vaddr || vaddr - p->p_vaddr > p->p_filesz)
			continue;
		if (len > p->p_filesz - (vaddr - p->p_vaddr))
			continue;
		*ret = p->p_offset + (vaddr - p->p_vaddr);
		return 0;
	}
	return -EBADMSG;
}

static int read_interpreter(const struct image *img, struct pinw_elf_facts *facts)
{
	const Elf64_Phdr *p = find_segment(img, PT_INTERP);
	int r;

	if (!p)
		return 0;
	if (p->p_filesz < 2 || p->p_filesz > sizeof(facts->interpreter))
		return -EBADMSG;
	r = read_at(img->fd, facts->interpreter, (size_t)p->p_filesz, p->p_offset);
	if (r < 0)
		return r;
	if (facts->interpreter[p->p_filesz - 1])
		return -EBADMSG;
	facts->has_interpreter = true;
	return 0;
}

static bool holds_string(const char *strings, size_t len, const char *name)
{
	size_t n = strlen(name) + 1;

	for (const char *p = strings; (p = memmem(p, len - (size_t)(p - strings), name, n)); p++)
		if (p > strings && p[-1] == '\0')
			return true;
	return false;
}

/* The dynamic section's strings: the soname and imported names. Without a usable table nothing is known. A name may be
 * the tail of another that the linker merged it with ("_cgo_try_pthread_create"). */
static int read_dynamic(const struct image *img, struct pinw_elf_facts *facts)
{
	static const char import[] = "pthread_create";
	const Elf64_Phdr *p = find_segment(img, PT_DYNAMIC);
	uint64_t table = 0, table_len = 0, soname = UINT64_MAX, offset;
	char *raw = NULL, *strings = NULL;
	int r;

	if (!p)
		return 0;
	facts->has_dynamic = true;
	r = read_new(img->fd, p->p_offset, p->p_filesz, DYNAMIC_BYTES_MAX, &raw);
	if (r < 0)
		return r;
	for (size_t at = 0; at + sizeof(Elf64_Dyn) <= p->p_filesz; at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn dyn;

		memcpy(&dyn, raw + at, sizeof(dyn));
		if (dyn.d_tag == DT_NULL)
			break;
		if (dyn.d_tag == DT_STRTAB)
			table = dyn.d_un.d_ptr;
		else if (dyn.d_tag == DT_STRSZ)
			table_len = dyn.d_un.d_val;
		else if (dyn.d_tag == DT_SONAME)
			soname = dyn.d_un.d_val;
	}
	free(raw);
	if (!table_len)
		return 0;
	r = file_offset(img, table, table_len, &offset);
	if (r == 0)
		r = read_new(img->fd, offset, table_len, STRINGS_BYTES_MAX, &strings);
	if (r < 0 || !strings)
		return r;
	facts->names_pthread_create = memmem(strings, (size_t)table_len, import, sizeof(import)) != NULL;
	if (soname < table_len && strlen(strings + soname) < sizeof(facts->soname))
		memcpy(facts->soname, strings + soname, strlen(strings + soname) + 1);
	free(strings);
	return 0;
}

/* Go's linker leaves a note of the owner "Go". */
static bool has_go_note(const struct image *img)
{
	for (unsigned i = 0; i < img->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &img->phdrs[i];
		char *notes;
		bool found;

		if (p->p_type != PT_NOTE ||
		    read_new(img->fd, p->p_offset, p->p_filesz, NOTES_BYTES_MAX, &notes) < 0)
			continue;
		found = false;
		for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) + 4 <= p->p_filesz && !found;) {
			Elf64_Nhdr note;

			memcpy(&note, notes + at, sizeof(note));
			found = note.n_namesz == 4 && memcmp(notes + at + sizeof(note), "Go\0", 4) == 0;
			at += sizeof(note) + ((uint64_t)note.n_namesz + 3) / 4 * 4 +
			      ((uint64_t)note.n_descsz + 3) / 4 * 4;
		}
		free(notes);
		if (found)
			return true;
	}
	return false;
}

/* Binaries linked by another linker may lack the note but keep Go's build information. */
static bool has_go_section(const struct image *img)
{
	const Elf64_Ehdr *e = &img->ehdr;
	uint64_t bytes = (uint64_t)e->e_shnum * sizeof(Elf64_Shdr);
	char *sections = NULL, *names = NULL;
	Elf64_Shdr sh;
	bool found = false;

	if (e->e_shentsize != sizeof(sh) || e->e_shstrndx >= e->e_shnum ||
	    read_new(img->fd, e->e_shoff, bytes, SECTIONS_BYTES_MAX, &sections) < 0)
		return false;
	memcpy(&sh, sections + (size_t)e->e_shstrndx * sizeof(sh), sizeof(sh));
	if (read_new(img->fd, sh.sh_offset, sh.sh_size, SECTIONS_BYTES_MAX, &names) == 0)
		found = holds_string(names, (size_t)sh.sh_size, ".go.buildinfo");
	free(names);
	free(sections);
	return found;
}

static int read_program_headers(struct image *img)
{
	uint64_t bytes = (uint64_t)img->ehdr.e_phnum * sizeof(Elf64_Phdr);
	char *raw = NULL;
	int r;

	if (img->ehdr.e_phnum && img->ehdr.e_phentsize != sizeof(Elf64_Phdr))
		return -EBADMSG;
	r = read_new(img->fd, img->ehdr.e_phoff, bytes, PHDR_BYTES_MAX, &raw);
	if (r == 0)
		img->phdrs = (Elf64_Phdr *)raw;
	return r;
}

int pinw_elf_probe(int fd, struct pinw_elf_facts *ret_facts)
{
	struct image img = {.fd = fd};
	struct pinw_elf_facts facts = {0};
	unsigned char head[20];
	int r = read_at(fd, head, sizeof(head), 0);

	if (r == -EBADMSG || (r == 0 && memcmp(head, ELFMAG, SELFMAG) != 0))
		return -ENOEXEC;
	if (r < 0)
		return r;
	facts.elf_class = head[EI_CLASS];
	facts.data = head[EI_DATA];
	bool big = facts.data == ELFDATA2MSB;
	facts.type = (uint16_t)(big ? head[16] << 8 | head[17] : head[17] << 8 | head[16]);
	facts.machine = (uint16_t)(big ? head[18] << 8 | head[19] : head[19] << 8 | head[18]);
	if (facts.elf_class != ELFCLASS64 || big) {
		*ret_facts = facts;
		return 0;
	}
	r = read_at(fd, &img.ehdr, sizeof(img.ehdr), 0);
	if (r == 0)
		r = read_program_headers(&img);
	if (r == 0)
		r = read_interpreter(&img, &facts);
	if (r == 0)
		r = read_dynamic(&img, &facts);
	if (r == 0) {
		facts.go = has_go_note(&img) || has_go_section(&img);
		*ret_facts = facts;
	}
	free(img.phdrs);
	return r;
}
