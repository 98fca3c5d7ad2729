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
        int rc =
            g_error_matches(error, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING) ? -ENODATA : -EINVAL;
        g_error_free(error);
        return rc;
    }
    if ((*argv)[0][0] == '\0') {
        g_strfreev(*argv);
        *argv = NULL;
        return -ENODATA;
    }
    return 0;
}

const char *words_find_operator(const char *stage)
{
    bool between = true; /* words */
    char quote = 0;

    for (const char *c = stage; *c; c++) {
        if (between && !quote && strchr("|<>", *c))
            return c;
        if (between && !quote && *c == '#') { /* a comment, to the end of the line */
            c += strcspn(c, "\n");
            if (!*c)
                break;
        }
        between = !quote && strchr(" \t\n", *c);
        if (*c == quote)
            quote = 0;
        else if (!quote && (*c == '\'' || *c == '"'))
            quote = *c;
        else if (*c == '\\' && quote != '\'' && c[1])
            c++;
    }
    return NULL;
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
    if (access(file, X_OK) != 0)
        return -EACCES;
    return 0;
}

int words_find_program(const char *program, const char *path, char **file)
{
    *file = NULL;
    if (strchr(program, '/')) {
        int rc = judge(program);

        if (rc == -ENOTDIR)
            rc = -ENOENT;
        if (rc != -ENOENT)
            *file = g_strdup(program);
        return rc;
    }
    char **dirs = g_strsplit(path ? path : DEFAULT_PATH, ":", -1);
    int best = -ENOENT;

    for (size_t i = 0; dirs[i]; i++) {
        /* An empty entry is the working directory. */
        char *candidate = g_build_filename(dirs[i][0] ? dirs[i] : ".", program, NULL);
        int rc = judge(candidate);

        /* As execvp: what cannot be run is remembered, and the search goes on. */
        if (rc == 0 || (rc == -EACCES && best == -ENOENT)) {
            g_free(*file);
            *file = candidate;
            best = rc;
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
