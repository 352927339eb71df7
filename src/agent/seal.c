#include "agent/seal.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>

enum { NONCE = 12, TAG = 16 };
_Static_assert((int)SEAL_EXTRA == (int)NONCE + (int)TAG, "nonce, text, tag");

static int cipher_new(gnutls_aead_cipher_hd_t *h, const struct keyring_key *k)
{
	const gnutls_datum_t key = { (unsigned char *)(uintptr_t)k->key, sizeof(k->key) };
	return gnutls_aead_cipher_init(h, GNUTLS_CIPHER_AES_256_GCM, &key) < 0 ? -ENOMEM : 0;
}

int seal_text(const struct keyring_key *k, const void *about, size_t about_len, const void *text, size_t len, struct buf *sealed)
{
	gnutls_aead_cipher_hd_t h;
	uint8_t nonce[NONCE];
	size_t start = sealed->len, n = len + TAG;
	if (gnutls_rnd(GNUTLS_RND_NONCE, nonce, sizeof(nonce)) < 0)
		return -EIO;
	int r = buf_append(sealed, nonce, sizeof(nonce));
	if (r >= 0)
		r = buf_reserve(sealed, n);
	if (r >= 0)
		r = cipher_new(&h, k);
	if (r < 0) {
		sealed->len = start;
		return r;
	}
	r = gnutls_aead_cipher_encrypt(h, nonce, sizeof(nonce), about, about_len, TAG, text, len, sealed->data + sealed->len, &n);
	gnutls_aead_cipher_deinit(h);
	sealed->len = r < 0 ? start : sealed->len + n;
	sealed->data[sealed->len] = '\0';
	return r < 0 ? -EIO : 0;
}

int seal_open(const struct keyring_key *k, const void *about, size_t about_len, const void *sealed, size_t len, struct buf *ret)
{
	gnutls_aead_cipher_hd_t h;
	const uint8_t *nonce = sealed;
	size_t n = len - SEAL_EXTRA;
	if (len < SEAL_EXTRA)
		return -EBADMSG;
	int r = buf_reserve(ret, n ? n : 1);
	if (r >= 0)
		r = cipher_new(&h, k);
	if (r < 0)
		return r;
	r = gnutls_aead_cipher_decrypt(h, nonce, NONCE, about, about_len, TAG, nonce + NONCE, len - NONCE, ret->data + ret->len, &n);
	gnutls_aead_cipher_deinit(h);
	if (r < 0)
		return -EBADMSG;
	ret->len += n;
	ret->data[ret->len] = '\0';
	return 0;
}
