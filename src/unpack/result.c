#include "unpack/result.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

static const struct {
	const char *name;
	bool blame;
	const char *text;
} outcomes[] = {
#define X(name, blame, text) [UNPACK_##name] = { #name, blame, text },
	UNPACK_OUTCOMES(X)
#undef X
};
_Static_assert(ARRAY_LEN(outcomes) == UNPACK_OUTCOME_MAX, "each outcome has a name");

static const char *const confinements[] = {
#define X(name, text) [UNPACK_BIT_##name] = text,
	UNPACK_CONFINEMENTS(X)
#undef X
};
_Static_assert(ARRAY_LEN(confinements) == UNPACK_BIT_MAX && UNPACK_BIT_MAX <= 32, "each confinement has a text");

const char *unpack_outcome_name(unsigned outcome)
{
	return outcome < UNPACK_OUTCOME_MAX ? outcomes[outcome].name : "unknown";
}

const char *unpack_outcome_text(unsigned outcome)
{
	return outcome < UNPACK_OUTCOME_MAX ? outcomes[outcome].text : "unknown outcome";
}

bool unpack_outcome_blames_bundle(unsigned outcome)
{
	return outcome < UNPACK_OUTCOME_MAX && outcomes[outcome].blame;
}

const char *unpack_confinement_text(unsigned bit)
{
	return bit < UNPACK_BIT_MAX ? confinements[bit] : "unknown";
}

void unpack_printable(char *text)
{
	for (char *p = text; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
}

int unpack_result_check(struct unpack_result *r)
{
	if (r->magic != UNPACK_MAGIC || r->version != UNPACK_VERSION || r->outcome >= UNPACK_OUTCOME_MAX)
		return -EPROTO;
	if (r->error < 0 || r->error > 4095 || r->confinements >> UNPACK_BIT_MAX)
		return -EPROTO;
	if (r->outcome == UNPACK_ok && r->error)
		return -EPROTO;
	r->text[sizeof(r->text) - 1] = '\0';
	unpack_printable(r->text);
	return 0;
}
