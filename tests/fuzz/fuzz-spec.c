/* The gate in front of fc-sandbox: what spec_check() lets through can be walked without another check. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink;

/* Touch every byte of every section and every string, as readers would. */
static void walk(const struct spec *s)
{
	static const size_t record[SPEC_SECT_MAX] = {
#define X(upper, lower, type) [SPEC_SECT_##upper] = sizeof(type),
		SPEC_SECTION_LIST(X)
#undef X
	};
	unsigned sum = 0;
	for (int i = 0; i < SPEC_SECT_MAX; i++) {
		uint32_t count;
		const unsigned char *p = spec_section(s, (enum spec_section)i, &count);
		assert(count <= spec_section_limit((enum spec_section)i));
		assert((uintptr_t)p % 8 == 0);
		for (size_t k = 0; k < count * record[i]; k++)
			sum += p[k];
	}
	SPEC_EACH(s, WORD, struct spec_word, w)
		sum += (unsigned)strlen(spec_text(s, w->text));
	SPEC_EACH(s, MOUNT, struct spec_mount, m)
		sum += (unsigned)(strlen(spec_text(s, m->dst)) + strlen(spec_text(s, m->data)));
	sink = sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autobuf struct buf text = BUF_INIT(16 << 20);
	const char *what = NULL;
	uint64_t *copy = malloc(size + 8); /* aligned, as a mapping is */
	assert(copy);
	memcpy(copy, data, size);
	if (spec_check(copy, size, &what) == 0) {
		walk((const struct spec *)copy);
		dump_spec((const struct spec *)copy, DUMP_BPF, &text);
	} else {
		assert(what);
	}
	what = NULL;
	if (payload_check(copy, size, &what) == 0)
		dump_payload((const struct payload *)copy, &text);
	else
		assert(what);
	free(copy);
	return 0;
}
