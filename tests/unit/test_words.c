/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the tests of cli/words.c: what words of the command line mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "words.h"

static void test_split(void **state)
{
    static const struct {
        const char *stage;
        int rc;
        const char *words[5];
    } rows[] = {
        {"gzip -c", 0, {"gzip", "-c"}},
        {"  tr\t a-z  A-Z\n", 0, {"tr", "a-z", "A-Z"}},
        {"awk '{ print $1 }'", 0, {"awk", "{ print $1 }"}},
        {"echo \"a 'b'\" c\\ d e''f", 0, {"echo", "a 'b'", "c d", "ef"}},
        {"echo '' \"\"", 0, {"echo", "", ""}},
        {"echo $HOME * | cat", 0, {"echo", "$HOME", "*", "|", "cat"}},
        {"", -ENODATA, {NULL}},
        {"  ", -ENODATA, {NULL}},
        {"''", -ENODATA, {NULL}},
        {"'' x", -ENODATA, {NULL}},
        {"echo 'open", -EINVAL, {NULL}},
        {"echo \"open", -EINVAL, {NULL}},
        {"echo \\", -EINVAL, {NULL}},
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        char **argv = NULL;

        assert_int_equal(words_split(rows[i].stage, &argv), rows[i].rc);
        if (rows[i].rc != 0) {
            assert_null(argv);
            continue;
        }
        for (size_t w = 0; w < G_N_ELEMENTS(rows[i].words) && rows[i].words[w]; w++)
            assert_string_equal(argv[w], rows[i].words[w]);
        g_strfreev(argv);
    }
}

/* A pipeline is pasted as one word, and is cut at its bars. */
static void test_stages(void **state)
{
    static const struct {
        const char *text;
        const char *stages[5];
    } rows[] = {
        {"gzip -c", {"gzip -c"}},
        {"gzip -dc | grep -c the", {"gzip -dc ", " grep -c the"}},
        {"a|b|c", {"a", "b", "c"}},
        {"a |\n b", {"a ", "\n b"}},
        {"tr '|' x|tr \"|\" y|tr \\| z", {"tr '|' x", "tr \"|\" y", "tr \\| z"}},
        {"awk '{ print | \"x\" }' | wc", {"awk '{ print | \"x\" }' ", " wc"}},
        {"echo \"a\\\"|b\" | c", {"echo \"a\\\"|b\" ", " c"}},
        {"a # x | y\n| b", {"a # x | y\n", " b"}},
        {"a#|b", {"a#", "b"}},
        {"a |# b | c", {"a ", "# b | c"}},
        {"", {""}},
        {"|", {"", ""}},
        {"a | | b", {"a ", " ", " b"}},
        {"a '|", {"a '|"}},
        {"a \\", {"a \\"}},
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        char **stages = words_stages(rows[i].text);
        size_t count = 0;

        for (; count < 5 && rows[i].stages[count]; count++) {
            assert_non_null(stages[count]);
            assert_string_equal(stages[count], rows[i].stages[count]);
        }
        assert_null(stages[count]);
        g_strfreev(stages);
    }
}

typedef char *(*finder)(const char *text);

struct find_row {
    const char *text;
    const char *found; /* NULL: none */
};

static void check_find(finder find, const struct find_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *found = find(rows[i].text);

        if (rows[i].found && found)
            assert_string_equal(found, rows[i].found);
        if (!rows[i].found != !found)
            fail_msg("'%s': found '%s'", rows[i].text, found ? found : "nothing");
        g_free(found);
    }
}

static void test_operator(void **state)
{
    static const struct find_row rows[] = {
        {"cat >out", ">"},
        {"cat\t<in", "<"},
        {"cat>out", ">"},
        {"echo 'a'\n>>b", ">>"},
        {"cat 2>/dev/null", "2>"},
        {"cat a2>/dev/null", ">"},
        {"cat 2>&1", "2>&1"},
        {"cat >&2 x", ">&2"},
        {"cat <&-", "<&-"},
        {"cat << END", "<<"},
        {"cat <<< word", "<<<"},
        {"cat &> all", "&>"},
        {"cat >| all", ">|"},
        {"a; b", ";"},
        {"a && b", "&&"},
        {"a || b", "||"},
        {"a |& b", "|&"},
        {"a &", "&"},
        {"a | b ; c", ";"},
        {"echo $(date)", "$("},
        {"echo `date`", "`"},
        {"diff <(a) b", "<"},
        {"(a)", "("},
        {"echo \\\\ > a", ">"},
        {"echo # >a\n<b", "<"},
        {"a | b | c", NULL},
        {"awk '{print;}'", NULL},
        {"awk \"{print $(NF-1);}\" | tr ';' '&'", NULL},
        {"tr '<' \">\"", NULL},
        {"echo \"\\\" > a\"", NULL},
        {"echo '\\' \\> \\| \\;", NULL},
        {"cat # > a", NULL},
        {"echo $HOME * ~ {a,b} a=b !", NULL},
        {"cat", NULL},
        {"", NULL},
    };

    (void)state;
    check_find(words_operator, rows, G_N_ELEMENTS(rows));
}

static void test_expansion(void **state)
{
    static const struct find_row rows[] = {
        {"cat *.txt", "*.txt"}, {"cat a/b?", "a/b?"},          {"cat x[ab] c", "x[ab]"},
        {"cat ~/f", "~/f"},     {"cat $HOME/f g", "$HOME/f"},  {"cat \"a $HOME b\"", "$HOME"},
        {"cat ${X}", "${X}"},   {"echo \"`date`\"", "`date`"}, {"echo $?", "$?"},
        {"grep 'a*b$x'", NULL}, {"grep \"a*b\"", NULL},        {"grep a\\*b", NULL},
        {"grep end$", NULL},    {"grep a~ b[", NULL},          {"cat # *", NULL},
        {"cat", NULL},
    };

    (void)state;
    check_find(words_expansion, rows, G_N_ELEMENTS(rows));
}

static void test_words_of_shells(void **state)
{
    (void)state;
    assert_true(words_is_builtin("cd"));
    assert_true(words_is_builtin("[["));
    assert_false(words_is_builtin("cat"));
    assert_false(words_is_builtin(""));
    assert_true(words_is_assignment("A=b"));
    assert_true(words_is_assignment("_a1="));
    assert_false(words_is_assignment("1=b"));
    assert_false(words_is_assignment("=b"));
    assert_false(words_is_assignment("a-b=c"));
    assert_false(words_is_assignment("A"));
}

static void test_nearest(void **state)
{
    static const char *const list[] = {"mem",    "ro",    "env",     "timeout",
                                       "direct", "stats", "verbose", NULL};
    static const struct {
        const char *word, *nearest;
    } rows[] = {
        {"memory", "mem"},
        {"men", "mem"},
        {"timeot", "timeout"},
        {"itmeout", "timeout"},
        {"time", "timeout"},
        {"stat", "stats"},
        {"verbos", "verbose"},
        {"drect", "direct"},
        {"or", "ro"},
        {"frobnicate", NULL},
        {"", NULL},
        {"s", NULL},
        {"0123456789012345678901234567890123456789", NULL},
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *nearest = words_nearest(rows[i].word, list, 2);

        if (!rows[i].nearest)
            assert_null(nearest);
        else if (!nearest || strcmp(nearest, rows[i].nearest) != 0)
            fail_msg("'%s': '%s'", rows[i].word, nearest ? nearest : "nothing");
    }
}

static void test_name(void **state)
{
    static const struct {
        const char *argv[3];
        const char *name;
    } rows[] = {
        {{"gzip", "-c"}, "gzip"},
        {{"/usr/bin/scan", "x"}, "scan"},
        {{"busybox", "gzip"}, "gzip"},
        {{"/bin/busybox-static", "wc"}, "wc"},
        {{"busybox"}, "busybox"},
        {{"busybox", "--list"}, "busybox"},
        {{"busybox", ""}, "busybox"},
        {{"./a b\n\x7f\xc3\xa4"}, "a?b????"},
        {{"bin/"}, "vm"},
        {{"0123456789012345678901234567890123456789"}, "0123456789012345678901234567890"},
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        char name[WORDS_NAME_BYTES];

        words_name((char *const *)rows[i].argv, name);
        assert_string_equal(name, rows[i].name);
    }
}

static void test_unique_names(void **state)
{
    static const char *const expected[] = {"cat", "cat.2", "cat.3", "host.2"};
    struct {
        int other;
        char name[WORDS_NAME_BYTES];
    } vms[4] = {{1, "cat"}, {2, "cat"}, {3, "cat"}, {4, "host"}};

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(vms); i++) {
        words_make_unique(vms[i].name, vms[0].name, i, sizeof(vms[0]));
        assert_string_equal(vms[i].name, expected[i]);
    }
}

/* A name that fills its room gives way to the suffix. */
static void test_unique_long_names(void **state)
{
    char names[2][WORDS_NAME_BYTES] = {"0123456789012345678901234567890",
                                       "0123456789012345678901234567890"};

    (void)state;
    words_make_unique(names[1], names[0], 1, sizeof(names[0]));
    assert_string_equal(names[1], "01234567890123456789012345678.2");
}

static void test_size(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } rows[] = {
        {"1", 1},
        {"4096", 4096},
        {"64K", 64 << 10},
        {"256M", 256 << 20},
        {"2g", 2ull << 30},
        {"17179869183G", 17179869183ull << 30},
        {"17179869184G", 0},
        {"18446744073709551615", UINT64_MAX},
        {"18446744073709551616", 0},
        {"0", 0},
        {"0M", 0},
        {"", 0},
        {"M", 0},
        {"-1", 0},
        {"+1", 0},
        {" 1", 0},
        {"1 ", 0},
        {"1T", 0},
        {"1MB", 0},
        {"0x10", 0},
        {"1.5G", 0},
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t bytes = 0;

        assert_int_equal(words_size(rows[i].text, &bytes), rows[i].bytes != 0);
        assert_int_equal(bytes, rows[i].bytes);
    }
}

static void test_duration(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t ns;
    } rows[] = {
        {"0", true, 0},
        {"5", true, 5000000000},
        {"5s", true, 5000000000},
        {"0.5", true, 500000000},
        {".25", true, 250000000},
        {"300ms", true, 300000000},
        {"1.5m", true, 90000000000},
        {"2h", true, 7200000000000},
        {"0.0000000001", true, 1},
        {"2500000h", false, 0},
        {"99999999999999999999999", false, 0},
        {"", false, 0},
        {".", false, 0},
        {"s", false, 0},
        {"1.2.3", false, 0},
        {"-1", false, 0},
        {"1e3", false, 0},
        {"0x1", false, 0},
        {"inf", false, 0},
        {"nan", false, 0},
        {"1 s", false, 0},
        {"1us", false, 0},
        {"1msx", false, 0},
        {"1sm", false, 0},
        {"1d", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t ns = 0;

        assert_int_equal(words_duration(rows[i].text, &ns), rows[i].ok);
        assert_int_equal(ns, rows[i].ns);
    }
}

/* ---- finding programs ------------------------------------------------------ */

static char *directory;

static char *make_file(const char *folder, const char *name, mode_t mode)
{
    char *dir = g_build_filename(directory, folder, NULL);
    char *path = g_build_filename(dir, name, NULL);

    assert_int_equal(g_mkdir_with_parents(dir, 0755), 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    g_free(dir);
    return path;
}

/* Files a and d are not executable, b and e are; c is a directory; and there is a FIFO. */
static int make_files(void **state)
{
    GError *error = NULL;

    (void)state;
    directory = g_dir_make_tmp("words-XXXXXX", &error);
    assert_non_null(directory);
    g_free(make_file("a", "tool", 0644));
    g_free(make_file("b", "tool", 0755));
    g_free(make_file("c/tool", "inside", 0755));
    g_free(make_file("d", "tool", 0644));
    g_free(make_file("e", "tool", 0755));
    char *fifo = g_build_filename(directory, "fifo", NULL);
    assert_int_equal(mkfifo(fifo, 0755), 0);
    g_free(fifo);
    return 0;
}

static int remove_files(void **state)
{
    static const char *const paths[] = {"a/tool", "a", "b/tool", "b", "c/tool/inside",
                                        "c/tool", "c", "fifo",   "."};

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        char *path = g_build_filename(directory, paths[i], NULL);

        (void)remove(path);
        g_free(path);
    }
    (void)rmdir(directory);
    g_free(directory);
    return 0;
}

static void check_found(const char *program, const char *search, int rc, const char *found)
{
    char *file;
    GString *path = g_string_new(search);
    char *expected = found ? g_build_filename(directory, found, NULL) : NULL;

    g_string_replace(path, "@", directory, 0);
    assert_int_equal(words_find_program(program, path->str, &file), rc);
    if (found)
        assert_string_equal(file, expected);
    else
        assert_null(file);
    g_free(file);
    g_free(expected);
    g_string_free(path, TRUE);
}

static void test_find_along_path(void **state)
{
    (void)state;
    check_found("tool", "@/b", 0, "b/tool");
    check_found("tool", "@/none:@/a:@/c:@/b", 0, "b/tool");
    check_found("tool", "@/b:@/e", 0, "b/tool");
    check_found("tool", "@/a:@/c:@/d", -EACCES, "a/tool");
    check_found("tool", "@/c", -ENOENT, NULL);
    check_found("tool", "@/none", -ENOENT, NULL);
    check_found("other", "@/a:@/b", -ENOENT, NULL);
}

static void test_find_in_working_directory(void **state)
{
    char *file;
    char *dir = g_build_filename(directory, "b", NULL);

    (void)state;
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(words_find_program("tool", "/none:", &file), 0);
    assert_string_equal(file, "./tool");
    g_free(file);
    assert_int_equal(words_find_program("tool", NULL, &file), -ENOENT);
    assert_null(file);
    assert_int_equal(chdir("/"), 0);
    g_free(dir);
}

static void test_find_without_path(void **state)
{
    char *file;

    (void)state;
    assert_int_equal(words_find_program("sh", NULL, &file), 0);
    assert_string_equal(file, "/bin/sh");
    g_free(file);
}

static void test_find_by_path(void **state)
{
    static const struct {
        const char *path;
        int rc;
    } rows[] = {
        {"b/tool", 0},     {"a/tool", -EACCES},   {"c/tool", -EISDIR},
        {"none", -ENOENT}, {"b/tool/x", -ENOENT}, {"fifo", -EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        char *path = g_build_filename(directory, rows[i].path, NULL);
        char *file;

        /* A name with a slash is not looked up. */
        assert_int_equal(words_find_program(path, "/none", &file), rows[i].rc);
        if (rows[i].rc == -ENOENT)
            assert_null(file);
        else
            assert_string_equal(file, path);
        g_free(file);
        g_free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_operator),
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_words_of_shells),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_unique_names),
        cmocka_unit_test(test_unique_long_names),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_find_along_path),
        cmocka_unit_test(test_find_in_working_directory),
        cmocka_unit_test(test_find_without_path),
        cmocka_unit_test(test_find_by_path),
    };

    return cmocka_run_group_tests_name("words", tests, make_files, remove_files);
}
