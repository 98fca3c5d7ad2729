/* SPDX-License-Identifier: BSD-2-Clause */
/* From operands of the command line to the stages of a pipeline; see stages.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "options.h"
#include "stages.h"
#include "tree.h"
#include "words.h"

/* ---- what to say ---------------------------------------------------------- */

static bool is_one_word(const char *operand)
{
    return operand[0] && !operand[strcspn(operand, " \t\n|'\"\\")];
}

static bool is_blank(const char *text)
{
    return !text[strspn(text, " \t\n")];
}

/* The words as one quoted stage, 'a b c'; where quoting would need more care, a placeholder. */
static char *quoted(char *const *words, size_t count)
{
    GString *text = g_string_new("'");

    for (size_t i = 0; i < count; i++)
        g_string_append_printf(text, "%s%s", i ? " " : "", words[i]);
    g_string_append_c(text, '\'');
    if (strchr(text->str + 1, '\'') != text->str + text->len - 1 || text->len > 200)
        g_string_assign(text, "'PROGRAM ARGS'");
    return g_string_free(text, FALSE);
}

/* What to type if operand `at`, which is no program, belongs to the stage before it. */
static char *advise_quotes(char *const *operands, size_t at)
{
    size_t first = at, end = at + 1;

    if (at > 0 && is_one_word(operands[at]))
        first--;
    while (first > 0 && is_one_word(operands[first]) && is_one_word(operands[first - 1]))
        first--;
    while (is_one_word(operands[first]) && operands[end] && is_one_word(operands[end]))
        end++;
    char *stage = quoted(operands + first, end - first);
    char *advice = g_strdup_printf("a stage is one argument, so quote it whole: ferry pipe %s%s%s",
                                   first ? "... " : "", stage, operands[end] ? " ..." : "");

    g_free(stage);
    return advice;
}

/* What to do instead of something that only a shell can do. */
static const char *instead_of(const char *op)
{
    if (strpbrk(op, "<>"))
        return "redirect ferry itself, outside the quotes of the stage";
    if (strpbrk(op, "(`"))
        return "let your shell do it before, outside the quotes";
    if (strcmp(op, "|&") == 0)
        return "write '|'; what stages say on standard error goes to that of ferry";
    if (strcmp(op, "&") == 0)
        return "put it behind the whole command";
    return "start ferry once for each command";
}

static int say_operator(size_t number, const char *op)
{
    say("stage %zu has '%s', which only a shell acts on, and none reads it; %s; or quote it, if "
        "the program is to see it",
        number, op, instead_of(op));
    return STATUS_USAGE;
}

static int say_empty(size_t number, char *const *parts, size_t part)
{
    size_t count = g_strv_length((char **)parts);
    bool bar_alone = count == 2 && is_blank(parts[0]) && is_blank(parts[1]);

    if (count == 1)
        say("stage %zu is empty; write a program and its arguments", number);
    else if (bar_alone)
        say("stage %zu is empty: an argument is '|' alone; leave it out between stages that are "
            "quoted, or quote a whole pipeline as one argument, 'PROGRAM ARGS | PROGRAM ARGS'",
            number);
    else
        say("stage %zu is empty: there is nothing %s '|'; quote a whole pipeline as one argument, "
            "'PROGRAM ARGS | PROGRAM ARGS'",
            number,
            part == 0           ? "before the first"
            : part == count - 1 ? "after the last"
                                : "between one and the next");
    return STATUS_USAGE;
}

/* The stage begins with '-': an option that came late, or a word of the stage before. */
static int say_dash(size_t number, const char *word, char *const *operands, size_t at)
{
    bool alone = strcmp(word, operands[at]) == 0;
    bool after_word = at > 0 && is_one_word(operands[at - 1]);

    if (alone && options_know(word) && (g_str_has_prefix(word, "--") || !after_word)) {
        say("stage %zu is '%s'; options come before the first stage: ferry pipe %s ...", number,
            word, word);
    } else if (alone && at > 0) {
        char *advice = advise_quotes(operands, at);

        say("stage %zu is '%s', no program; %s", number, word, advice);
        g_free(advice);
    } else {
        say("stage %zu begins with '%s'; write a program before its arguments", number, word);
    }
    return STATUS_USAGE;
}

/* Says why no file was found for the program, if the command line shows it. False: it does not. */
static bool say_not_found(const struct stage *stage)
{
    const char *word = stage->argv[0];

    if (words_is_builtin(word))
        say("%s: '%s' is a word of shells, not a program, and no shell reads a stage; do that in "
            "your shell, before ferry",
            stage->label, word);
    else if (words_is_assignment(word))
        say("%s: '%s' is no program; a variable for it is set by an option: --env '%s'",
            stage->label, word, word);
    else if (stage->advice)
        say("%s: there is no program '%s'; %s", stage->label, word, stage->advice);
    else
        return false;
    return true;
}

/* ---- splitting ------------------------------------------------------------ */

static int split_stage(size_t number, const char *text, struct stage *stage)
{
    char *op = words_operator(text);
    int result;

    if (op) {
        result = say_operator(number, op);
        g_free(op);
        return result;
    }
    result = words_split(text, &stage->argv);
    if (result == -EINVAL) {
        say("stage %zu ends inside a quote or after a backslash: %s; close the quote", number,
            text);
        return STATUS_USAGE;
    }
    return 0;
}

/* Adds the stages of operand `at`: its parts. */
static int add_parts(struct pipeline *pipeline, char *const *operands, size_t at,
                     char *const *parts)
{
    int status = 0;

    for (size_t i = 0; parts[i] && status == 0; i++) {
        struct stage *stage = &pipeline->stages[pipeline->count++];

        stage->text = g_strdup(parts[i]);
        status = split_stage(pipeline->count, parts[i], stage);
        if (status == 0 && !stage->argv)
            status = say_empty(pipeline->count, parts, i);
        else if (status == 0 && stage->argv[0][0] == '-')
            status = say_dash(pipeline->count, stage->argv[0], operands, at);
    }
    return status;
}

static int add_operand(struct pipeline *pipeline, char *const *operands, size_t at)
{
    char **parts = words_stages(operands[at]);
    char *op = words_operator(operands[at]);
    /* '||' and '|&' would look like an empty stage otherwise. */
    int status = op && op[0] == '|' ? say_operator(pipeline->count + 1, op)
                                    : add_parts(pipeline, operands, at, parts);

    g_free(op);
    g_strfreev(parts);
    return status;
}

static size_t count_stages(char *const *operands)
{
    size_t count = 0;

    for (size_t at = 0; operands[at]; at++) {
        char **parts = words_stages(operands[at]);

        count += g_strv_length(parts);
        g_strfreev(parts);
    }
    return count;
}

static void name_stage(struct pipeline *pipeline, size_t i)
{
    struct stage *stage = &pipeline->stages[i];

    words_name(stage->argv, stage->name);
    snprintf(stage->label, sizeof(stage->label), "stage %zu (%s)", i + 1, stage->name);
    words_make_unique(stage->name, pipeline->stages[0].name, i, sizeof(*stage));
}

/* These options take a value only behind '='; NULL: the word before is none of them. */
static char *advise_value(const char *before, const char *operand)
{
    if (strcmp(before, "--stats") != 0 && strcmp(before, "--polled") != 0 &&
        strcmp(before, "--trace") != 0)
        return NULL;
    return g_strdup_printf("if it is a value of %s, write %s=%s", before, before, operand);
}

int stages_of_pipe(struct pipeline *pipeline, char *const *operands, const char *before)
{
    size_t count = count_stages(operands);

    if (count > PIPELINE_STAGES) {
        say("pipe: %zu stages are too many; at most %d go into one 'ferry pipe', join two by a "
            "pipe",
            count, PIPELINE_STAGES);
        return STATUS_USAGE;
    }
    pipeline->stages = g_new0(struct stage, count);
    for (size_t at = 0; operands[at]; at++) {
        size_t first = pipeline->count;
        int status = add_operand(pipeline, operands, at);

        if (status != 0)
            return status;
        for (size_t i = first; i < pipeline->count; i++)
            name_stage(pipeline, i);
        if (at == 0)
            pipeline->stages[0].advice = advise_value(before, operands[0]);
        else if (is_one_word(operands[at]) && is_one_word(operands[at - 1]))
            pipeline->stages[first].advice = advise_quotes(operands, at);
    }
    return 0;
}

/* What to say of `ferry run 'PROGRAM ARGS'`; NULL: nothing. */
static char *advise_no_quotes(char *const *operands)
{
    char **parts, **words = NULL;
    char *file = NULL, *advice = NULL;

    if (!strpbrk(operands[0], " \t\n|"))
        return NULL;
    parts = words_stages(operands[0]);
    if (parts[1])
        advice = g_strdup_printf(
            "'ferry run' takes one program; a pipeline is for: ferry pipe '%s'", operands[0]);
    else if (words_split(operands[0], &words) == 0 &&
             words_find_program(words[0], getenv("PATH"), &file) == 0)
        advice = g_strdup_printf("do not quote a program and its arguments as one: ferry run %s",
                                 operands[0]);
    g_free(file);
    g_strfreev(words);
    g_strfreev(parts);
    return advice;
}

int stages_of_run(struct pipeline *pipeline, char *const *operands, const char *before)
{
    pipeline->stages = g_new0(struct stage, 1);
    pipeline->count = 1;
    struct stage *stage = &pipeline->stages[0];

    stage->argv = g_strdupv((char **)operands);
    words_name(stage->argv, stage->name);
    snprintf(stage->label, sizeof(stage->label), "%s", stage->name);
    words_make_unique(stage->name, NULL, 0, 0);
    stage->advice = advise_value(before, operands[0]);
    if (!stage->advice) {
        stage->advice = advise_no_quotes(operands);
        /* Whether a message about such a program name would be confusing: several words with marks
         * between them. */
        if (stage->advice)
            snprintf(stage->label, sizeof(stage->label), "run");
    }
    return 0;
}

/* ---- programs ------------------------------------------------------------- */

/* The program along PATH whose name differs by one slip, or NULL: to be freed by g_free. */
static char *nearest_program(const char *word)
{
    const char *path = getenv("PATH");
    char **dirs = g_strsplit(path ? path : "", ":", -1);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; dirs[i]; i++) {
        GDir *dir = g_path_is_absolute(dirs[i]) ? g_dir_open(dirs[i], 0, NULL) : NULL;

        for (const char *name; dir && (name = g_dir_read_name(dir));)
            if (strlen(name) + 1 >= strlen(word) && strlen(name) <= strlen(word) + 1)
                g_ptr_array_add(names, g_strdup(name));
        if (dir)
            g_dir_close(dir);
    }
    g_ptr_array_add(names, NULL);
    char *nearest = g_strdup(words_nearest(word, (const char *const *)names->pdata, 1));
    g_ptr_array_unref(names);
    g_strfreev(dirs);
    return nearest;
}

/* The program is nowhere along PATH, and nothing else is known of it. */
static void say_nowhere(const struct stage *stage, const char *advice)
{
    const char *word = stage->argv[0];
    char *nearest = strlen(word) > 3 ? nearest_program(word) : NULL;

    if (nearest)
        say("%s: '%s' was not found along PATH; did you mean '%s'?", stage->label, word, nearest);
    else
        say("%s: '%s' was not found along PATH; %s", stage->label, word, advice);
    g_free(nearest);
}

static int find_program(struct stage *stage, const char *root)
{
    const char *word = stage->argv[0];
    const char *advice = stage->advice ? stage->advice : "give the path of a program";
    int result = root ? tree_find_program(root, word, &stage->program)
                      : words_find_program(word, getenv("PATH"), &stage->program);

    switch (result) {
    case 0:
        return 0;
    case -ENOENT:
        if (say_not_found(stage))
            return STATUS_NOT_FOUND;
        if (root)
            say("%s: there is no program '%s' in the tree of --root '%s'; %s", stage->label, word,
                root, advice);
        else if (strchr(word, '/'))
            say("%s: there is no file '%s'; %s", stage->label, word, advice);
        else
            say_nowhere(stage, advice);
        return STATUS_NOT_FOUND;
    case -EACCES:
        if (stage->advice)
            say("%s: '%s' is not executable by you; %s", stage->label, stage->program, advice);
        else
            say("%s: '%s' is not executable by you; try: chmod +x '%s'", stage->label,
                stage->program, stage->program);
        return STATUS_CANNOT_RUN;
    case -EINVAL:
        say("%s: '%s' is not a regular file; %s", stage->label, word, advice);
        return STATUS_CANNOT_RUN;
    case -EISDIR:
        say("%s: '%s' is a directory; %s", stage->label, word, advice);
        return STATUS_CANNOT_RUN;
    default:
        say("%s: cannot run '%s': %s; %s", stage->label, word, strerror(-result), advice);
        return STATUS_CANNOT_RUN;
    }
}

int stages_find_programs(struct pipeline *pipeline)
{
    int status = 0;

    for (size_t i = 0; i < pipeline->count && status == 0; i++)
        status = find_program(&pipeline->stages[i], pipeline->options->root);
    return status;
}

char *stages_note(const struct stage *stage)
{
    bool by_itself = stage->exit.how == FERRY_ENDED_EXIT;
    char *word = stage->text && by_itself ? words_expansion(stage->text) : NULL;
    char *note =
        word ? g_strdup_printf("; '%.100s' went to it as it is, since no shell reads a stage; let "
                               "yours expand it, outside the quotes of the stage",
                               word)
             : g_strdup("");

    g_free(word);
    return note;
}

void stages_free(struct pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->count; i++) {
        struct stage *stage = &pipeline->stages[i];

        g_strfreev(stage->argv);
        g_free(stage->program);
        g_free(stage->text);
        g_free(stage->advice);
    }
    g_free(pipeline->stages);
}
