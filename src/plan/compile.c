#include "plan/compile.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const uint32_t record_size[SPEC_SECT_MAX] = {
#define X(upper, lower, type) [SPEC_SECT_##upper] = sizeof(type),
	SPEC_SECTION_LIST(X)
#undef X
};

static const char *const section_names[SPEC_SECT_MAX] = {
#define X(upper, lower, type) [SPEC_SECT_##upper] = #lower,
	SPEC_SECTION_LIST(X)
#undef X
};

void plan_init(struct plan *p)
{
	memset(p, 0, sizeof(*p));
	p->head.magic = SPEC_MAGIC;
	p->head.version = SPEC_VERSION;
	p->head.payload_fds = 3;
	p->head.umask = 022;
	p->head.personality = UINT32_MAX;
	p->head.oom_score_adj = INT32_MIN;
	for (int i = 0; i < SPEC_SECT_MAX; i++)
		p->section[i].max = SPEC_SIZE_MAX;
	p->strings.max = SPEC_SIZE_MAX;
}

void plan_fini(struct plan *p)
{
	for (int i = 0; i < SPEC_SECT_MAX; i++)
		buf_fini(&p->section[i]);
	buf_fini(&p->strings);
	free(p->index);
	p->index = NULL;
	p->index_size = p->index_used = 0;
}

int plan_fail(struct plan *p, int code, const char *fmt, ...)
{
	if (p->status < 0)
		return p->status;
	char text[ERR_TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->status = err_set(&p->err, code, "%s", text);
	return p->status;
}

/* FNV-1a */
static uint32_t hash(const char *s)
{
	uint32_t h = 2166136261u;
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

/* The slot that holds text, or the free one where it belongs. */
static uint32_t *find_slot(const struct plan *p, const char *text)
{
	uint32_t i = hash(text) & (p->index_size - 1);
	while (p->index[i] && strcmp(p->strings.data + p->index[i], text) != 0)
		i = (i + 1) & (p->index_size - 1);
	return &p->index[i];
}

static int grow_index(struct plan *p)
{
	uint32_t old_size = p->index_size, *old = p->index;
	uint32_t size = old_size ? old_size * 2 : 64;
	uint32_t *slots = calloc(size, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	p->index = slots;
	p->index_size = size;
	for (uint32_t i = 0; i < old_size; i++)
		if (old[i])
			*find_slot(p, p->strings.data + old[i]) = old[i];
	free(old);
	return 0;
}

spec_str plan_str(struct plan *p, const char *text)
{
	if (!text || !*text || p->status < 0)
		return 0;
	int r = p->strings.len ? 0 : buf_append(&p->strings, "", 1);
	if (r == 0 && p->index_used * 2 >= p->index_size)
		r = grow_index(p);
	if (r == 0) {
		uint32_t *slot = find_slot(p, text);
		if (*slot)
			return *slot;
		uint32_t at = (uint32_t)p->strings.len;
		r = buf_append(&p->strings, text, strlen(text) + 1);
		if (r == 0) {
			*slot = at;
			p->index_used++;
			return at;
		}
	}
	plan_fail(p, -r, "the sandbox's strings (at most %d bytes)", SPEC_SIZE_MAX);
	return 0;
}

spec_str plan_strf(struct plan *p, const char *fmt, ...)
{
	autofree char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		plan_fail(p, ENOMEM, "a string of the sandbox");
		return 0;
	}
	return plan_str(p, text);
}

static uint32_t add_record(struct plan *p, enum spec_section which, const void *record)
{
	struct buf *b = &p->section[which];
	uint32_t at = (uint32_t)(b->len / record_size[which]);
	if (p->status < 0)
		return at;
	if (at >= spec_section_limit(which)) {
		plan_fail(p, 0, "more than %u %s records", spec_section_limit(which), section_names[which]);
		return 0;
	}
	int r = buf_append(b, record, record_size[which]);
	if (r < 0)
		plan_fail(p, -r, "the sandbox's %s records", section_names[which]);
	return at;
}

#define X(upper, lower, type)                                                \
	uint32_t plan_add_##lower(struct plan *p, const type *record)        \
	{                                                                    \
		return add_record(p, SPEC_SECT_##upper, record);             \
	}
SPEC_SECTION_LIST(X)
#undef X

uint32_t plan_count(const struct plan *p, enum spec_section which)
{
	return (uint32_t)(p->section[which].len / record_size[which]);
}

struct spec_mount plan_mount(struct plan *p, enum spec_mount_op op, const char *dst)
{
	struct spec_mount m;
	memset(&m, 0, sizeof(m)); /* padding too: the block is compared byte by byte */
	m.op = op;
	m.dst = plan_str(p, dst);
	m.tree = SPEC_NO_TREE;
	return m;
}

/* Pad to 8 bytes; the block's start is aligned, so offsets decide. */
static int align(struct buf *out)
{
	static const char zero[8];
	return buf_append(out, zero, -out->len & 7);
}

static int lay_out(struct plan *p, struct buf *out)
{
	int r = buf_append(out, &p->head, sizeof(p->head));
	for (int i = 0; i < SPEC_SECT_MAX && r == 0; i++) {
		r = align(out);
		p->head.section[i] = (struct spec_span){ (uint32_t)out->len, plan_count(p, i) };
		if (r == 0)
			r = buf_append(out, p->section[i].data, p->section[i].len);
	}
	if (r == 0 && p->strings.len == 0)
		r = buf_append(&p->strings, "", 1);
	if (r < 0)
		return r;
	p->head.strings = (struct spec_span){ (uint32_t)out->len, (uint32_t)p->strings.len };
	r = buf_append(out, p->strings.data, p->strings.len);
	if (r < 0)
		return r;
	p->head.size = (uint32_t)out->len;
	memcpy(out->data, &p->head, sizeof(p->head));
	return 0;
}

int plan_finish(struct plan *p, struct buf *out, struct err *err)
{
	assert(out->len == 0);
	if (p->status < 0) {
		if (err)
			*err = p->err;
		return p->status;
	}
	int r = lay_out(p, out);
	if (r < 0)
		return err_set(err, -r, "the sandbox's description (at most %d bytes)", SPEC_SIZE_MAX);

	const char *what;
	r = spec_check(out->data, out->len, &what);
	if (r < 0)
		return err_set(err, -r, "the sandbox's description is not well formed (%s)", what);
	return 0;
}

/* Words are packed NUL-terminated; their number, or -errno. */
static int pack(const char *const *words, struct buf *out, const char *kind, struct err *err)
{
	int n = 0;
	for (; words && words[n]; n++) {
		size_t len = strlen(words[n]);
		if (len >= PAYLOAD_WORD_MAX)
			return err_set(err, E2BIG, "%s %d has %zu bytes; at most %d can be passed to a program", kind, n,
				       len, PAYLOAD_WORD_MAX - 1);
		if (n >= PAYLOAD_WORDS_MAX)
			return err_set(err, E2BIG, "more than %d %ss", PAYLOAD_WORDS_MAX, kind);
		int r = buf_append(out, words[n], len + 1);
		if (r < 0)
			return err_set(err, r == -EMSGSIZE ? E2BIG : -r, "%ss (at most %d bytes in all)", kind,
				       PAYLOAD_SIZE_MAX);
	}
	return n;
}

int payload_build(const char *const *argv, const char *const *env, const char *cwd, struct buf *out, struct err *err)
{
	assert(out->len == 0);
	if (out->max > PAYLOAD_SIZE_MAX)
		out->max = PAYLOAD_SIZE_MAX;
	struct payload head = { .magic = PAYLOAD_MAGIC, .version = SPEC_VERSION };
	int r = buf_append(out, &head, sizeof(head));
	if (r < 0)
		return err_set(err, -r, "the payload");

	int argc = pack(argv, out, "argument", err);
	if (argc < 0)
		return argc;
	if (argc == 0)
		return err_set(err, 0, "no program to run (empty argument list)");
	int envc = pack(env, out, "environment variable", err);
	if (envc < 0)
		return envc;
	const char *const dir[] = { cwd && *cwd ? cwd : "/", NULL };
	r = pack(dir, out, "working directory", err);
	if (r < 0)
		return r;

	head.argc = (uint32_t)argc;
	head.envc = (uint32_t)envc;
	head.size = (uint32_t)out->len;
	memcpy(out->data, &head, sizeof(head));

	const char *what;
	r = payload_check(out->data, out->len, &what);
	if (r < 0)
		return err_set(err, -r, "the payload is not well formed (%s)", what);
	return 0;
}
