/* scan.c - cuts SQL into tokens: the parts of an index, and what --where may say.
 *
 * Called by track/table.c and track/bind.c. SQLite has no way to ask for the expressions of an
 * index but the text of its CREATE INDEX. That text has been through SQLite's parser, so what
 * is looked for here is only where parts begin and end (sqlite.org/lang_createindex.html); it
 * is no parser. */
#include "config.h"

#include "track/internal.h"

#include <ctype.h>
#include <string.h>

#include "base/sql_text.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_SIGN
};

struct token {
    enum token_kind kind;
    struct slice text;
};

/* Behind a quoted piece that begins at p; within it the quote is doubled. */
static const char *
skip_quoted(const char *p)
{
    char quote = *p == '[' ? ']' : *p;

    for (p++; *p != '\0'; p++) {
        if (*p == quote && (quote == ']' || p[1] != quote))
            return p + 1;
        if (*p == quote)
            p++;
    }
    return p;
}

/* The token at *p, and *p behind it. */
static struct token
next_token(const char **p)
{
    const char *start = sql_skip_space(*p);
    struct token token = {.kind = TOKEN_SIGN, .text = {start, 1}};
    const char *end = start + 1;

    if (*start == '\0') {
        token.kind = TOKEN_END;
        end = start;
    } else if (strchr("\"`[", *start) != NULL) {
        token.kind = TOKEN_NAME;
        end = skip_quoted(start);
    } else if (*start == '\'') {
        token.kind = TOKEN_STRING;
        end = skip_quoted(start);
    } else if (sql_is_word_byte(*start)) {
        token.kind = isdigit((unsigned char)*start) ? TOKEN_NUMBER : TOKEN_WORD;
        while (sql_is_word_byte(*end) || (token.kind == TOKEN_NUMBER && *end == '.'))
            end++;
    }
    token.text.len = (size_t)(end - start);
    *p = end;
    return token;
}

static bool
is_word(struct token token, const char *word)
{
    return token.kind == TOKEN_WORD && token.text.len == strlen(word) &&
           sqlite3_strnicmp(token.text.p, word, (int)token.text.len) == 0;
}

static bool
is_sign(struct token token, char sign)
{
    return token.kind == TOKEN_SIGN && *token.text.p == sign;
}

/* --- indexes ------------------------------------------------------------------------------------
 */

static bool
is_direction(struct token token)
{
    return is_word(token, "ASC") || is_word(token, "DESC");
}

/* The part without ASC or DESC at its end. */
static struct slice
cut_direction(struct slice part)
{
    const char *p = part.p;
    const char *end = part.p + part.len;
    const char *last_end = p;
    struct token last = {TOKEN_END, {p, 0}};

    while (p < end) {
        const char *before = p;
        struct token token = next_token(&p);
        if (token.kind == TOKEN_END || token.text.p >= end)
            break;
        last_end = is_direction(token) ? before : p;
        last = token;
    }
    if (is_direction(last))
        end = last_end;
    return slice_trim((struct slice){part.p, (size_t)(end - part.p)});
}

static bool
add_part(struct track_index_text *text, const char *start, const char *end)
{
    if (text->count == TRACK_COLUMNS_MAX)
        return false;
    text->parts[text->count++] =
        cut_direction((struct slice){start, (size_t)(end - start)});
    return true;
}

bool
track_scan_index(const char *sql, struct track_index_text *text)
{
    const char *p = sql;
    const char *start = NULL;
    int depth = 0;

    *text = (struct track_index_text){0};
    for (;;) {
        const char *before = sql_skip_space(p);
        struct token token = next_token(&p);
        if (token.kind == TOKEN_END)
            return start != NULL && depth == 0;
        if (depth == 0 && start != NULL && is_word(token, "WHERE")) {
            text->where = slice_trim(slice_of(sql_skip_space(p)));
            return true;
        }
        if (is_sign(token, '(') && depth++ == 0)
            start = p;
        bool ends = is_sign(token, ')') && --depth == 0;
        if (ends || (is_sign(token, ',') && depth == 1)) {
            if (!add_part(text, start, before))
                return false;
            start = p;
        }
    }
}

/* --- --where ------------------------------------------------------------------------------------
 */

/* Functions that give the same for every connection and at every time, and fail on no value. */
static const char *const functions[] = {
    "coalesce", "hex",       "ifnull", "iif",    "instr",   "length", "lower",
    "ltrim",    "max",       "min",    "nullif", "quote",   "round",  "rtrim",
    "substr",   "substring", "trim",   "typeof", "unicode", "upper",
};

/* Words that may stand before a parenthesis and are no functions. */
static const char *const operators[] = {
    "and", "or",      "not",  "in",   "case", "when",     "then", "else",
    "is",  "between", "cast", "null", "from", "distinct", "glob",
};

/* Why a word may not stand there. */
static const struct {
    const char *word, *reason;
} refused[] = {
    {"select", "a trigger's condition cannot look at other rows"},
    {"like",
     "what it means depends on the connection (PRAGMA case_sensitive_like): use GLOB"},
    {"match", "it is a function of the application's"},
    {"regexp", "it is a function of the application's"},
    {"current_time", "what is visible may change only when a row changes"},
    {"current_date", "what is visible may change only when a row changes"},
    {"current_timestamp", "what is visible may change only when a row changes"},
    {"raise", "a trigger must not make the application's statement fail"},
};

static bool
is_one_of(struct token token, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_word(token, words[i]))
            return true;
    return false;
}

static int
refuse(struct error *error, struct token token, const char *reason)
{
    return error_set(error, "--where: \"%.*s\" cannot stand there: %s",
                     (int)(token.text.len < 40 ? token.text.len : 40), token.text.p,
                     reason);
}

static int
check_word(struct token token, struct token next, struct error *error)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (is_word(token, refused[i].word))
            return refuse(error, token, refused[i].reason);
    if (is_word(token, "in") &&
        !is_sign(next, '(')) /* IN may be followed by a table's name */
        return refuse(error, token, "a trigger's condition cannot look at other rows");
    if (is_word(token, "glob") && next.kind != TOKEN_STRING)
        return refuse(error, token, "its pattern must be a text in single quotes");
    if (is_sign(next, '(') &&
        !is_one_of(token, operators, sizeof operators / sizeof *operators) &&
        !is_one_of(token, functions, sizeof functions / sizeof *functions))
        return refuse(error, token,
                      "of functions only those can be used that never fail and depend on "
                      "nothing but the row (rowcast(1) names them)");
    return 0;
}

static int
check_token(struct token token, struct token next, struct error *error)
{
    if (token.kind == TOKEN_WORD)
        return check_word(token, next, error);
    if (token.kind == TOKEN_NAME &&
        is_sign(next, '(')) /* a function's name may be quoted, too */
        return refuse(error, token, "write the names of functions without quotes");
    if (token.kind != TOKEN_SIGN)
        return 0;
    if (strchr("?:@$;#", *token.text.p) != NULL)
        return refuse(error, token, "it is no part of an expression of columns");
    if (*token.text.p == '-' && token.text.p[1] == '>')
        return refuse(error, token, "it fails on a text that is not JSON");
    return 0;
}

int
track_scan_where(const char *where, struct error *error)
{
    const char *p = where;
    int depth = 0;

    for (;;) {
        const char *start = p;
        struct token token = next_token(&p);
        const char *ahead = p;
        struct token next = next_token(&ahead);
        if (sql_skip_space(start) != start + strspn(start, " \t\r\n\f"))
            return error_set(error, "--where: leave comments out");
        if (token.kind == TOKEN_END)
            break;
        depth += is_sign(token, '(') ? 1 : is_sign(token, ')') ? -1 : 0;
        if (depth < 0)
            break;
        if (check_token(token, next, error) != 0)
            return -1;
    }
    return depth == 0 ? 0 : error_set(error, "--where: its parentheses do not match");
}
