/* SPDX-License-Identifier: BSD-2-Clause */
/* What words of the command line mean; see words.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "words.h"

#define DEFAULT_PATH "/bin:/usr/bin" /* of execvp, if PATH is not set */

int words_split(const char *stage, char ***argv)
{
    GError *error = NULL;

    if (!g_shell_parse_argv(stage, NULL, argv, &error)) {
        int result =
            g_error_matches(error, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING) ? -ENODATA : -EINVAL;
        g_error_free(error);
        return result;
    }
    if ((*argv)[0][0] == '\0') {
        g_strfreev(*argv);
        *argv = NULL;
        return -ENODATA;
    }
    return 0;
}

/* How far a shell would have read a stage. */
struct scan {
    const char *at; /* the next character to look at */
    char quote;     /* the quote it is in, or 0 */
    bool between;   /* it is between two words */
};

static void skip_comment(struct scan *scan)
{
    scan->at += strcspn(scan->at, "\n");
}

/* The next character that is neither quoted by '' or a backslash nor in a comment; NULL: the end.
 * What is in "" is given out, with scan->quote set: a shell expands there. */
static const char *scan_next(struct scan *scan)
{
    while (*scan->at) {
        const char *c = scan->at;

        if (scan->between && *c == '#' && !scan->quote) {
            skip_comment(scan);
            continue;
        }
        scan->at++;
        scan->between = !scan->quote && strchr(" \t\n|&;()<>", *c);
        if (*c == scan->quote)
            scan->quote = 0;
        else if (!scan->quote && (*c == '\'' || *c == '"'))
            scan->quote = *c;
        else if (*c == '\\' && scan->quote != '\'')
            scan->at += *scan->at != '\0';
        else if (scan->quote != '\'')
            return c;
    }
    return NULL;
}

char **words_stages(const char *text)
{
    GPtrArray *stages = g_ptr_array_new();
    struct scan scan = {.at = text, .between = true};
    const char *start = text, *c;

    while ((c = scan_next(&scan))) {
        if (*c != '|' || scan.quote)
            continue;
        g_ptr_array_add(stages, g_strndup(start, (gsize)(c - start)));
        start = c + 1;
    }
    g_ptr_array_add(stages, g_strdup(start));
    g_ptr_array_add(stages, NULL);
    return (char **)g_ptr_array_free(stages, FALSE);
}

/* A number right before < or > is the descriptor it redirects, if it is a word of its own. */
static const char *redirected(const char *text, const char *c)
{
    const char *start = c;

    while (start > text && g_ascii_isdigit(start[-1]))
        start--;
    return start == text || strchr(" \t\n|&;()", start[-1]) ? start : c;
}

char *words_operator(const char *text)
{
    struct scan scan = {.at = text, .between = true};
    const char *c;

    while ((c = scan_next(&scan))) {
        const char *start = c;
        size_t length = 1;

        if (scan.quote || !strchr("|&;()<>`", *c))
            continue;
        if (*c == '|' && c[1] != '|' && c[1] != '&')
            continue;
        if (*c == '<' || *c == '>') {
            start = redirected(text, c);
            length = strspn(c, "<>&|");
            if (c[length - 1] == '&')
                length += strspn(c + length, "0123456789-");
        } else if (*c == '(' && c > text && c[-1] == '$') {
            start--;
        } else if (*c == '&' && c[1] == '>') {
            length = 1 + strspn(c + 1, ">");
        } else {
            length += c[1] == *c || (*c == '|' && c[1] == '&');
        }
        return g_strndup(start, (gsize)(c - start) + length);
    }
    return NULL;
}

/* Whether a shell that meets `c` puts something else in its place. */
static bool expands(const struct scan *scan, const char *text, const char *c)
{
    bool begins = c == text || strchr(" \t\n|", c[-1]);

    if (*c == '$')
        return g_ascii_isalnum(c[1]) || (c[1] && strchr("_{(?#@*$!", c[1]));
    if (*c == '`')
        return true;
    if (scan->quote)
        return false;
    return *c == '*' || *c == '?' || (*c == '[' && strchr(c, ']')) || (*c == '~' && begins);
}

char *words_expansion(const char *text)
{
    struct scan scan = {.at = text, .between = true};
    const char *c;

    while ((c = scan_next(&scan))) {
        if (!expands(&scan, text, c))
            continue;
        const char *start = c;

        while (start > text && !strchr(" \t\n|\"", start[-1]))
            start--;
        return g_strndup(start, (gsize)(c - start) + strcspn(c, " \t\n|\""));
    }
    return NULL;
}

bool words_is_builtin(const char *word)
{
    /* Those of POSIX and of bash that are no programs as well, and reserved words. */
    static const char *const builtins[] = {
        "!",       ".",       ":",        "[[",      "alias",    "bg",      "bind",     "break",
        "builtin", "case",    "cd",       "command", "continue", "declare", "dirs",     "disown",
        "do",      "done",    "elif",     "else",    "enable",   "esac",    "eval",     "exec",
        "exit",    "export",  "fc",       "fg",      "fi",       "for",     "function", "getopts",
        "hash",    "history", "if",       "jobs",    "let",      "local",   "logout",   "popd",
        "pushd",   "read",    "readonly", "return",  "select",   "set",     "shift",    "shopt",
        "source",  "suspend", "then",     "time",    "times",    "trap",    "type",     "typeset",
        "ulimit",  "umask",   "unalias",  "unset",   "until",    "wait",    "while",    "{",
        "}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(builtins); i++)
        if (strcmp(word, builtins[i]) == 0)
            return true;
    return false;
}

bool words_is_assignment(const char *word)
{
    size_t length = 0;

    while (g_ascii_isalnum(word[length]) || word[length] == '_')
        length++;
    return length > 0 && word[length] == '=' && !g_ascii_isdigit(word[0]);
}

/* How many letters have to be changed, added, left out or swapped with the next. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][WORDS_NAME_BYTES + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > WORDS_NAME_BYTES || lb > WORDS_NAME_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t *row = rows[i % 3], *before = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            row[j] = MIN(before[j - 1] + (a[i - 1] != b[j - 1]), MIN(before[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], older[j - 2] + 1);
        }
    }
    return rows[la % 3][lb];
}

const char *words_nearest(const char *word, const char *const *list, size_t slips)
{
    const char *best = NULL;
    size_t least = slips + 1;

    for (size_t i = 0; list[i]; i++) {
        size_t length = strlen(list[i]), d = distance(word, list[i]);

        /* A word cut short or written out is one slip; one or two letters are too few to tell. */
        size_t common = MIN(strlen(word), length);
        if (common > 2 && strncmp(word, list[i], common) == 0)
            d = MIN(d, 1);
        if (d < least && d < length && d < strlen(word)) {
            least = d;
            best = list[i];
        }
    }
    return best;
}

/* Whether `file` could be run, as execve would judge it. */
static int judge(const char *file)
{
    struct stat st;

    if (stat(file, &st) != 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    return access(file, X_OK) != 0 ? -errno : 0;
}

/* Whether there may be a program of that name that cannot be looked at. */
static bool is_unknown(int result)
{
    return result < 0 && result != -ENOENT && result != -ENOTDIR && result != -EISDIR &&
           result != -EINVAL;
}

int words_find_program(const char *program, const char *path, char **file)
{
    *file = NULL;
    if (strchr(program, '/')) {
        int result = judge(program);

        if (result == -ENOTDIR)
            result = -ENOENT;
        if (result != -ENOENT)
            *file = g_strdup(program);
        return result;
    }
    char **dirs = g_strsplit(path ? path : DEFAULT_PATH, ":", -1);
    int best = -ENOENT;

    for (size_t i = 0; dirs[i]; i++) {
        /* An empty entry is the working directory. */
        char *candidate = g_build_filename(dirs[i][0] ? dirs[i] : ".", program, NULL);
        int result = judge(candidate);

        /* As execvp does: a file that cannot be run is remembered, and the search goes on. */
        if (result == 0 || (is_unknown(result) && best == -ENOENT)) {
            g_free(*file);
            *file = candidate;
            best = result;
        } else {
            g_free(candidate);
        }
        if (best == 0)
            break;
    }
    g_strfreev(dirs);
    return best;
}

void words_name(char *const *argv, char name[WORDS_NAME_BYTES])
{
    const char *slash = strrchr(argv[0], '/');
    const char *base = slash ? slash + 1 : argv[0];

    if (strncmp(base, "busybox", 7) == 0 && argv[1] && argv[1][0] && argv[1][0] != '-')
        base = argv[1];
    snprintf(name, WORDS_NAME_BYTES, "%s", base[0] ? base : "vm");
    /* Names go into messages and JSON: plain characters only. */
    for (char *c = name; *c; c++)
        if (*c < 0x21 || *c > 0x7e)
            *c = '?';
}

static bool is_taken(const char *name, const char *taken, size_t count, size_t stride)
{
    if (strcmp(name, "host") == 0)
        return true;
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, taken + i * stride) == 0)
            return true;
    return false;
}

void words_make_unique(char name[WORDS_NAME_BYTES], const char *taken, size_t count, size_t stride)
{
    char base[WORDS_NAME_BYTES];

    memcpy(base, name, sizeof(base));
    for (size_t n = 2; is_taken(name, taken, count, stride); n++) {
        char suffix[24];
        int length = snprintf(suffix, sizeof(suffix), ".%zu", n);

        snprintf(name, WORDS_NAME_BYTES, "%.*s%s", WORDS_NAME_BYTES - 1 - length, base, suffix);
    }
}

bool words_size(const char *text, uint64_t *bytes)
{
    static const char suffixes[] = "kmg";
    char *end;
    unsigned shift = 0;

    if (!g_ascii_isdigit(text[0]))
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || number == 0)
        return false;
    if (*end) {
        const char *suffix = strchr(suffixes, g_ascii_tolower(*end));

        if (!suffix || end[1])
            return false;
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    if (number > UINT64_MAX >> shift)
        return false;
    *bytes = (uint64_t)number << shift;
    return true;
}

bool words_duration(const char *text, uint64_t *ns)
{
    size_t length = strspn(text, "0123456789.");
    const char *suffix = text + length;
    double unit = 1e9;
    char *end;

    if (length == 0)
        return false;
    double number = g_ascii_strtod(text, &end);
    if (end != suffix)
        return false;
    if (strcmp(suffix, "ms") == 0)
        unit /= 1000;
    else if (strcmp(suffix, "m") == 0)
        unit *= 60;
    else if (strcmp(suffix, "h") == 0)
        unit *= 3600;
    else if (suffix[0] && strcmp(suffix, "s") != 0)
        return false;
    if (number * unit >= 9e18) /* 285 years; and fits 64 bits */
        return false;
    *ns = (uint64_t)(number * unit);
    if (*ns == 0 && number > 0)
        *ns = 1;
    return true;
}
