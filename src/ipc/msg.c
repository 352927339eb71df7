#include "ipc/msg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/str.h"

enum kind { KIND_U32, KIND_I32, KIND_U64, KIND_ENUM, KIND_NAME, KIND_UUID, KIND_DIGEST, KIND_DIGESTS, KIND_TEXT,
	    KIND_NUMBERS, KIND_MARKS };

struct field {
	enum kind kind;
	uint32_t offset, size; /* size: bytes of the field, or of one element */
	uint32_t count;
	int64_t low;           /* I32 */
	uint64_t min, max;
	const char *what;      /* "LAUNCH.tenant: not a name", ready for the log */
};

#define ROW(knd, m, fld, sz, cnt, lo, mn, mx, problem) \
	{ knd, offsetof(struct msg_##m, fld), sz, cnt, lo, mn, mx, #m "." #fld ": " problem },

#define MSG(upper, lower, to, phases, nfds) static const struct field lower##_fields[] = {
#define U32(m, f, lo, hi) ROW(KIND_U32, m, f, 4, 1, 0, lo, hi, "out of range")
#define I32(m, f, lo, hi) ROW(KIND_I32, m, f, 4, 1, lo, 0, hi, "out of range")
#define U64(m, f, lo, hi) ROW(KIND_U64, m, f, 8, 1, 0, lo, hi, "out of range")
#define ENUM(m, f, hi) ROW(KIND_ENUM, m, f, 4, 1, 0, 0, (hi) - 1, "unknown value")
#define NAME(m, f, sz) ROW(KIND_NAME, m, f, sz, 1, 0, 0, 0, "not a name")
#define UUID(m, f) ROW(KIND_UUID, m, f, MSG_UUID_SIZE, 1, 0, 0, 0, "not a UUID")
#define DIGEST(m, f) ROW(KIND_DIGEST, m, f, MSG_DIGEST_SIZE, 1, 0, 0, 0, "not a digest")
#define DIGESTS(m, f, n) ROW(KIND_DIGESTS, m, f, MSG_DIGEST_SIZE, n, 0, 0, 0, "not a list of digests")
#define TEXT(m, f, sz) ROW(KIND_TEXT, m, f, sz, 1, 0, 0, 0, "not printable text")
#define NUMBERS(m, f, n) ROW(KIND_NUMBERS, m, f, 8, n, 0, 0, UINT64_MAX, "out of range")
#define MARKS(m, f, n) ROW(KIND_MARKS, m, f, sizeof(struct msg_mark), n, 0, 0, 0, "not a list of marks")
#define END(upper, lower) };
#include "ipc/messages.def"

/* No padding: every byte of a message belongs to a field, so every byte is checked. */
#define MSG(upper, lower, to, phases, nfds) _Static_assert(sizeof(struct msg_##lower) == sizeof(struct msg_head)
#define U32(m, f, lo, hi) + 4
#define I32(m, f, lo, hi) + 4
#define U64(m, f, lo, hi) + 8
#define ENUM(m, f, hi) + 4
#define NAME(m, f, sz) + (sz)
#define UUID(m, f) + MSG_UUID_SIZE
#define DIGEST(m, f) + MSG_DIGEST_SIZE
#define DIGESTS(m, f, n) + MSG_DIGEST_SIZE * (n)
#define TEXT(m, f, sz) + (sz)
#define NUMBERS(m, f, n) + 8 * (n)
#define MARKS(m, f, n) + sizeof(struct msg_mark) * (n)
#define END(upper, lower) , #upper " has padding");
#include "ipc/messages.def"

_Static_assert(sizeof(struct msg_mark) == 32, "marks have no padding");
_Static_assert(MSG_COUNTER_COUNT <= (int)MSG_COUNTER_MAX, "every counter has its place");

struct row {
	const char *name;
	const struct field *fields;
	size_t nfields;
	size_t size, nfds;
	enum msg_side to;
	unsigned phases;
};

static const struct row rows[MSG_TYPE_MAX] = {
#define MSG(upper, lower, side, in, fds) \
	[MSG_##upper] = { #upper, lower##_fields, ARRAY_LEN(lower##_fields), sizeof(struct msg_##lower), fds, \
			  MSG_TO_##side, in },
#include "ipc/messages.def"
};

static const struct row *row_of(uint32_t type)
{
	assert(type > MSG_NONE && type < MSG_TYPE_MAX);
	return &rows[type];
}

/* ---- fields ------------------------------------------------------------- */

static bool is_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* Terminated, and zero behind: nothing travels that no reader looks at. */
static bool is_padded(const char *s, size_t size)
{
	size_t n = strnlen(s, size);
	return n < size && is_zero(s + n, size - n);
}

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static bool is_uuid(const char *s)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	for (size_t i = 0; i < sizeof(form); i++) {
		bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
		if (form[i] == 'x' ? !hex : s[i] != form[i])
			return false;
	}
	return true;
}

static bool is_digest(const char *s, size_t size)
{
	return is_padded(s, size) && (*s == '\0' || str_is_hex(s, 64));
}

/* Used ones first: readers stop at the first empty one. */
static bool is_digest_list(const char *s, size_t size, size_t count)
{
	bool ended = false;
	for (size_t i = 0; i < count; i++, s += size) {
		if (!is_digest(s, size) || (ended && *s))
			return false;
		ended = *s == '\0';
	}
	return true;
}

static bool is_mark_list(const struct msg_mark *m, size_t count)
{
	bool ended = false;
	for (size_t i = 0; i < count; i++, m++) {
		bool used = m->name[0] != '\0';
		if (!is_padded(m->name, sizeof(m->name)) || !is_printable(m->name) || (used && ended))
			return false;
		if (!used && (m->wall_ns || m->cpu_ns))
			return false;
		ended = !used;
	}
	return true;
}

static bool field_ok(const struct field *f, const void *base)
{
	const char *p = (const char *)base + f->offset;
	uint32_t u32;
	int32_t i32;
	uint64_t u64;

	switch (f->kind) {
	case KIND_U32:
	case KIND_ENUM:
		memcpy(&u32, p, sizeof(u32));
		return u32 >= f->min && u32 <= f->max;
	case KIND_I32:
		memcpy(&i32, p, sizeof(i32));
		return i32 >= f->low && i32 <= (int64_t)f->max;
	case KIND_U64:
		memcpy(&u64, p, sizeof(u64));
		return u64 >= f->min && u64 <= f->max;
	case KIND_NAME:
		return is_padded(p, f->size) && str_is_name(p, MSG_NAME_MAX);
	case KIND_UUID:
		return is_padded(p, f->size) && is_uuid(p);
	case KIND_DIGEST:
		return is_digest(p, f->size);
	case KIND_DIGESTS:
		return is_digest_list(p, f->size, f->count);
	case KIND_TEXT:
		return is_padded(p, f->size) && is_printable(p);
	case KIND_NUMBERS:
		return true;
	case KIND_MARKS:
		return is_mark_list((const struct msg_mark *)(const void *)p, f->count);
	}
	return false;
}

/* ---- messages ----------------------------------------------------------- */

static const char *fields_problem(const struct row *row, const void *data)
{
	for (size_t i = 0; i < row->nfields; i++)
		if (!field_ok(&row->fields[i], data))
			return row->fields[i].what;
	return NULL;
}

static int problem(const char **what, const char *text)
{
	*what = text;
	return -EPROTO;
}

int msg_check(const void *data, size_t len, size_t nfds, enum msg_side side, enum msg_phase phase, const char **what)
{
	struct msg_head head;

	if (len < sizeof(head))
		return problem(what, "shorter than a header");
	memcpy(&head, data, sizeof(head));
	if (head.magic != MSG_MAGIC)
		return problem(what, "not a message");
	if (head.type == MSG_NONE || head.type >= MSG_TYPE_MAX)
		return problem(what, "unknown type");

	const struct row *row = row_of(head.type);
	if (row->to != side)
		return problem(what, "a message for the other side");
	if (!(row->phases >> phase & 1))
		return problem(what, "not allowed in this phase");
	if (len != row->size)
		return problem(what, "wrong length");
	if (nfds != row->nfds)
		return problem(what, "wrong number of descriptors");
	const char *bad = fields_problem(row, data);
	return bad ? problem(what, bad) : (int)head.type;
}

void msg_init(union msg *m, enum msg_type type)
{
	assert(type > MSG_NONE && type < MSG_TYPE_MAX);
	memset(m, 0, sizeof(*m));
	m->head.magic = MSG_MAGIC;
	m->head.type = type;
}

size_t msg_size(enum msg_type type) { return row_of(type)->size; }
size_t msg_nfds(enum msg_type type) { return row_of(type)->nfds; }
const char *msg_name(enum msg_type type) { return row_of(type)->name; }
enum msg_side msg_receiver(enum msg_type type) { return row_of(type)->to; }
bool msg_allowed(enum msg_type type, enum msg_phase phase) { return row_of(type)->phases >> phase & 1; }

int msg_send(int sock, const union msg *m, const int *fds, size_t nfds)
{
	const struct row *row = row_of(m->head.type);
	assert(m->head.magic == MSG_MAGIC && nfds == row->nfds);
	assert(!fields_problem(row, m));
	return fd_send_msg(sock, m, row->size, fds, nfds);
}

/* How many came is not known when they are lost; some did, so a type that carries none is still wrong. */
static size_t nfds_promised(const union msg *m, size_t len)
{
	bool known = len >= sizeof(m->head) && m->head.type > MSG_NONE && m->head.type < MSG_TYPE_MAX;
	size_t n = known ? rows[m->head.type].nfds : 0;
	return n ? n : 1;
}

int msg_recv(int sock, enum msg_side side, enum msg_phase phase, union msg *ret, int fds[MSG_FDS_MAX], size_t *nfds,
	     const char **what)
{
	int got[MSG_FDS_MAX];
	size_t ngot = MSG_FDS_MAX;

	ssize_t n = fd_recv_msg(sock, ret, sizeof(*ret), got, &ngot, MSG_DONTWAIT);
	*nfds = 0;
	if (n == -EPROTO)
		return problem(what, "longer than any message, or with too many descriptors");
	if (n < 0)
		return (int)n;
	if (n == 0 && ngot == 0)
		return 0;
	bool lost = ngot == FD_LOST;
	if (lost)
		ngot = 0;
	int type = msg_check(ret, (size_t)n, lost ? nfds_promised(ret, (size_t)n) : ngot, side, phase, what);
	if (type >= 0 && lost)
		memset(fds, 0xff, sizeof(fds[0]) * MSG_FDS_MAX); /* -1 each */
	if (type < 0) {
		while (ngot > 0)
			fd_close_foreign(got[--ngot]);
		return type;
	}
	memcpy(fds, got, sizeof(got[0]) * ngot);
	*nfds = ngot;
	return type;
}

void msg_text(char *dst, size_t size, const char *src)
{
	memset(dst, 0, size);
	str_copy(dst, size, src);
	for (char *p = dst; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

const char *msg_layer_outcome_name(uint32_t outcome)
{
	static const char *const names[] = {
#define X(upper, lower) #lower,
		MSG_LAYER_OUTCOMES(X)
#undef X
	};
	_Static_assert(ARRAY_LEN(names) == MSG_LAYER_MAX, "a name for each outcome");
	return outcome < MSG_LAYER_MAX ? names[outcome] : "?";
}

const char *msg_fault_name(uint32_t fault)
{
	static const char *const names[] = {
#define X(upper, lower) #lower,
		MSG_FAULTS(X)
#undef X
	};
	_Static_assert(ARRAY_LEN(names) == MSG_FAULT_MAX, "a name for each fault");
	return fault < MSG_FAULT_MAX ? names[fault] : "?";
}
