/* keys.c - reads the key file, line by line.
 *
 * serve calls it at its start and when it is to read the file again, `rowcast ticket` for
 * the key to sign with. A line is a comment, a `kid:`, a PEM block's, or a secret. A secret is
 * taken to the letter, so what an editor may have left at its ends is refused, not cut off:
 * the application would sign with other bytes than we verify with. */
#include "config.h"

#include "access/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/json.h"
#include "access/pem.h"

struct reader {
    struct slice rest;
    struct slice line; /* without its line end */
    int number;        /* of the line, from 1 */
    const char *path;
    enum ticket_use use;
    const struct log *log;
    struct error *error;
    struct ticket_keys *keys;
    char *kid; /* of the section at hand, until it has its key; NULL: none */
    int kid_line;
    bool has_key; /* the section at hand has it */
};

const char *
ticket_alg_name(enum ticket_alg alg)
{
    static const char *const names[] = {
        [TICKET_HS256] = "HS256", [TICKET_RS256] = "RS256", [TICKET_ES256] = "ES256"};
    return names[alg];
}

/* --- lines --------------------------------------------------------------------------- */

static bool
next_line(struct reader *reader)
{
    if (reader->rest.len == 0)
        return false;
    const char *end = memchr(reader->rest.p, '\n', reader->rest.len);
    size_t len = end != NULL ? (size_t)(end - reader->rest.p) : reader->rest.len;
    reader->line = (struct slice){reader->rest.p, len};
    len += end != NULL ? 1 : 0;
    reader->rest.p += len;
    reader->rest.len -= len;
    reader->number++;
    return true;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice
trimmed(struct slice text)
{
    while (text.len > 0 && is_blank(text.p[text.len - 1]))
        text.len--;
    while (text.len > 0 && is_blank(text.p[0])) {
        text.p++;
        text.len--;
    }
    return text;
}

static bool
begins_with(struct slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.p, prefix, len) == 0;
}

static int
refuse(const struct reader *reader, int line, const char *problem)
{
    return error_set(reader->error, "%s: line %d: %s", reader->path, line, problem);
}

/* --- keys ---------------------------------------------------------------------------- */

static int
check_room(const struct reader *reader)
{
    if (reader->has_key)
        return refuse(reader, reader->number,
                      "a second key; begin it with a line kid: NAME of its own");
    if (reader->keys->count == TICKET_KEYS_MAX)
        return refuse(reader, reader->number, "more than 16 keys; take out the old ones");
    return 0;
}

/* Takes parsed->pkey over where it returns 0. */
static int
add_key(struct reader *reader, const struct ticket_key *parsed, struct slice bytes)
{
    struct ticket_key *key = &reader->keys->items[reader->keys->count];
    char *copy = secret_copy(bytes);
    if (copy == NULL)
        return error_set(reader->error, "out of memory");
    *key = (struct ticket_key){.kid = reader->kid,
                               .alg = parsed->alg,
                               .bytes = copy,
                               .len = bytes.len,
                               .pkey = parsed->pkey};
    reader->kid = NULL;
    reader->keys->count++;
    reader->has_key = true;
    return 0;
}

static int
take_secret(struct reader *reader)
{
    struct slice secret = reader->line;
    for (size_t i = 0; i < secret.len; i++)
        if ((unsigned char)secret.p[i] < ' ' && !is_blank(secret.p[i]))
            return refuse(reader, reader->number, "a control character in a secret");
    if (trimmed(secret).len != secret.len)
        return refuse(reader, reader->number,
                      "a space, tab or carriage return before or behind a secret: it "
                      "would be part of it; take it away");
    if (check_room(reader) != 0)
        return -1;
    if (secret.len < TICKET_SECRET_GOOD && reader->log != NULL)
        log_line(
            reader->log, LOG_WARN,
            "%s: line %d: a secret of %zu bytes can be guessed from a ticket; make one "
            "with: openssl rand -hex 32",
            reader->path, reader->number, secret.len);
    return add_key(reader, &(struct ticket_key){.alg = TICKET_HS256}, secret);
}

/* From the BEGIN line, at which the reader is, to the END line. */
static int
read_block(struct reader *reader, struct slice *block)
{
    int first = reader->number;
    const char *start = reader->line.p;
    while (next_line(reader)) {
        if (!begins_with(reader->line, "-----END "))
            continue;
        *block = (struct slice){start, (size_t)(reader->line.p + reader->line.len - start)};
        return 0;
    }
    return refuse(reader, first, "a PEM block without its -----END line");
}

static int
take_block(struct reader *reader)
{
    struct slice block;
    struct error problem = {""};
    struct ticket_key key = {NULL};
    int first = reader->number;

    if (read_block(reader, &block) != 0)
        return -1;
    /* `openssl ecparam -genkey` writes the curve before the key, which names it again. */
    if (begins_with(block, "-----BEGIN EC PARAMETERS-----"))
        return 0;
    if (ticket_pem_parse(block, reader->use, &key, &problem) != 0)
        return refuse(reader, first, problem.text);
    if (check_room(reader) == 0 && add_key(reader, &key, block) == 0)
        return 0;
    ticket_pem_free(&key);
    return -1;
}

/* --- sections ------------------------------------------------------------------------ */

/* A section ends: by the next kid, or with the file. */
static int
end_section(struct reader *reader)
{
    if (reader->kid == NULL)
        return 0;
    return refuse(reader, reader->kid_line, "a kid: without a key below it");
}

static int
check_kid(const struct reader *reader, struct slice kid)
{
    if (kid.len == 0 || kid.len > TICKET_KID_MAX || !utf8_is_valid(kid))
        return refuse(reader, reader->number, "kid: needs a name, of at most 128 bytes");
    for (size_t i = 0; i < reader->keys->count; i++) {
        const char *known = reader->keys->items[i].kid;
        if (known != NULL && slice_equal(slice_of(known), kid))
            return refuse(reader, reader->number, "this kid is there already, further up");
    }
    return 0;
}

static int
take_kid(struct reader *reader, struct slice kid)
{
    if (end_section(reader) != 0 || check_kid(reader, kid) != 0)
        return -1;
    reader->kid = strndup(kid.p, kid.len);
    if (reader->kid == NULL)
        return error_set(reader->error, "out of memory");
    reader->kid_line = reader->number;
    reader->has_key = false;
    return 0;
}

static int
take_line(struct reader *reader)
{
    struct slice text = trimmed(reader->line);
    if (text.len == 0 || text.p[0] == '#')
        return 0;
    if (begins_with(text, "kid:"))
        return take_kid(reader, trimmed((struct slice){text.p + 4, text.len - 4}));
    if (begins_with(text, "-----BEGIN "))
        return take_block(reader);
    return take_secret(reader);
}

static int
take_lines(struct reader *reader)
{
    while (next_line(reader))
        if (take_line(reader) != 0)
            return -1;
    if (end_section(reader) != 0)
        return -1;
    if (reader->keys->count == 0)
        return error_set(reader->error,
                         "%s: no key in it; make a secret with: openssl rand -hex 32",
                         reader->path);
    return 0;
}

struct ticket_keys *
ticket_keys_parse(struct slice text, const char *path, enum ticket_use use,
                  const struct log *log, struct error *error)
{
    struct reader reader = {
        .rest = text, .path = path, .use = use, .log = log, .error = error};
    if (text.len > 0 && memchr(text.p, '\0', text.len) != NULL) {
        error_set(error,
                  "%s: not a text file; a key in DER form becomes one with: openssl "
                  "pkey -pubin -inform DER",
                  path);
        return NULL;
    }
    reader.keys = calloc(1, sizeof *reader.keys);
    if (reader.keys == NULL) {
        error_set(error, "out of memory");
        return NULL;
    }
    int result = take_lines(&reader);
    free(reader.kid);
    if (result == 0)
        return reader.keys;
    ticket_keys_free(reader.keys);
    return NULL;
}

/* --- the file ------------------------------------------------------------------------ */

static int
read_all(int fd, const char *path, struct buf *text, struct error *error)
{
    while (text->len <= TICKET_KEY_FILE_MAX) {
        char *to = buf_reserve(text, TICKET_KEY_FILE_MAX);
        if (to == NULL)
            return error_set(error, "out of memory");
        ssize_t len = read(fd, to, TICKET_KEY_FILE_MAX);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return error_set(error, "%s: cannot read the keys: %s", path, strerror(errno));
        if (len == 0)
            return 0;
        text->len += (size_t)len;
    }
    return error_set(error, "%s: larger than a key file may be (64 KiB)", path);
}

/* Public keys may be readable for all users; secrets and private keys may not. */
static void
warn_of_readers(int fd, const char *path, const struct ticket_keys *keys,
                const struct log *log)
{
    struct stat status;
    bool secret = false;
    for (size_t i = 0; i < keys->count; i++)
        secret = secret || keys->items[i].alg == TICKET_HS256 ||
                 strstr(keys->items[i].bytes, "PRIVATE KEY-----") != NULL;
    if (secret && log != NULL && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (status.st_mode & (S_IROTH | S_IWOTH)) != 0)
        log_line(log, LOG_WARN,
                 "%s: every user of this machine may read or change it, and so sign "
                 "tickets: chmod o-rw",
                 path);
}

struct ticket_keys *
ticket_keys_load(const char *path, enum ticket_use use, const struct log *log,
                 struct error *error)
{
    struct ticket_keys *keys = NULL;
    struct buf text = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set(error, "%s: cannot read the keys: %s", path, strerror(errno));
        return NULL;
    }
    if (read_all(fd, path, &text, error) == 0)
        keys = ticket_keys_parse(buf_slice(&text), path, use, log, error);
    if (keys != NULL)
        warn_of_readers(fd, path, keys, log);
    if (text.p != NULL)
        explicit_bzero(text.p, text.cap);
    buf_fini(&text);
    close(fd);
    return keys;
}

void
ticket_keys_free(struct ticket_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        secret_free(keys->items[i].bytes, keys->items[i].len);
        free(keys->items[i].kid);
        ticket_pem_free(&keys->items[i]);
    }
    free(keys);
}
