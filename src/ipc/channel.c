#include "ipc/channel.h"

#include <errno.h>

void channel_encode(unsigned char out[CHANNEL_HEADER], const struct channel_frame *f)
{
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(f->len >> (8 * i));
	out[4] = f->type;
	out[5] = f->flags;
	out[6] = out[7] = 0;
}

int channel_decode(const unsigned char in[CHANNEL_HEADER], struct channel_frame *ret)
{
	struct channel_frame f = {
		.len = (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24,
		.type = in[4],
		.flags = in[5],
	};
	uint32_t max;
	uint8_t flags = 0;

	switch (f.type) {
	case CHANNEL_READY:
		max = 0;
		break;
	case CHANNEL_REPLY:
		max = CHANNEL_FRAME_MAX;
		flags = CHANNEL_LAST;
		break;
	case CHANNEL_INIT_ERROR:
	case CHANNEL_ERROR:
		max = CHANNEL_ERROR_MAX;
		break;
	default:
		return -EPROTO;
	}
	if (f.len > max || (f.flags & ~flags) || in[6] || in[7])
		return -EPROTO;
	if (f.type == CHANNEL_REPLY && f.len == 0 && !f.flags)
		return -EPROTO;
	*ret = f;
	return 0;
}
