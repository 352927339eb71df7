#include "agent/keyring.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

enum { LINE_BYTES = 512 };

static bool is_id(const char *text)
{
	size_t n = strlen(text);
	return n > 0 && n <= KEYRING_ID_MAX &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hex(const char *text, uint8_t key[KEYRING_KEY_BYTES])
{
	if (strlen(text) != 2 * KEYRING_KEY_BYTES)
		return false;
	for (size_t i = 0; i < KEYRING_KEY_BYTES; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		key[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* key ID HEX; the key is in no message, nor the word at the begin of the line: it may be one that slipped there */
static int read_line(struct keyring *k, char *line, struct err *err)
{
	char *word[4], *save, *w = strtok_r(line, " \t\r", &save);
	size_t words = 0;
	for (; w && words < ARRAY_LEN(word); w = strtok_r(NULL, " \t\r", &save))
		word[words++] = w;
	if (words == 0 || word[0][0] == '#')
		return 0;
	if (words != 3 || strcmp(word[0], "key") != 0)
		return err_set(err, 0, "not \"key ID HEX\"");
	if (!is_id(word[1]))
		return err_set(err, 0, "the id of a key has letters, digits, \".\", \"_\" and \"-\", at most %d", KEYRING_ID_MAX);
	if (keyring_find(k, word[1]))
		return err_set(err, 0, "key %s stands here twice", word[1]);
	if (k->count == KEYRING_KEYS_MAX)
		return err_set(err, 0, "more than %d keys", KEYRING_KEYS_MAX);
	struct keyring_key *new = &k->key[k->count];
	if (!read_hex(word[2], new->key)) {
		err_set(err, 0, "key %s: must be %d bytes in hex digits", word[1], KEYRING_KEY_BYTES);
		return err_hint(err, "openssl rand -hex %d makes one", KEYRING_KEY_BYTES);
	}
	str_copy(new->id, sizeof(new->id), word[1]);
	k->count++;
	return 0;
}

int keyring_parse(const char *text, size_t len, struct keyring *ret, struct err *err)
{
	char line[LINE_BYTES];
	unsigned number = 0;
	int r = 0;
	memset(ret, 0, sizeof(*ret));
	for (size_t at = 0; r == 0 && at < len;) {
		const char *from = text + at, *newline = memchr(from, '\n', len - at);
		size_t n = newline ? (size_t)(newline - from) : len - at;
		number++;
		if (n >= sizeof(line) || memchr(from, '\0', n)) {
			r = err_set(err, 0, "a line is longer than %d bytes, or holds a NUL", LINE_BYTES - 1);
		} else {
			memcpy(line, from, n);
			line[n] = '\0';
			r = read_line(ret, line, err);
		}
		at += n + 1;
	}
	explicit_bzero(line, sizeof(line));
	if (r == 0)
		return 0;
	keyring_wipe(ret);
	return err_wrap(err, "line %u", number);
}

void keyring_wipe(struct keyring *k) { explicit_bzero(k, sizeof(*k)); }

const struct keyring_key *keyring_find(const struct keyring *k, const char *id)
{
	for (size_t i = 0; i < k->count; i++)
		if (strcmp(k->key[i].id, id) == 0)
			return &k->key[i];
	return NULL;
}
