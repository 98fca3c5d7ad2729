/* SPDX-License-Identifier: BSD-2-Clause */
#include "files.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0640 /* that nothing would give it by itself */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fchmod(fileno(file), FILE_MODE), 0);
    assert_int_equal(fclose(file), 0);
}

void hostile_files_make(struct hostile_files *files, const char *secret, struct world *world)
{
    const char *top = getenv("TMPDIR");

    snprintf(files->top, sizeof files->top, "%s/hostile-XXXXXX", top ? top : "/tmp");
    if (!mkdtemp(files->top))
        fail_msg("no directory %s", files->top);
    snprintf(files->read_only, sizeof files->read_only, "%s/ro", files->top);
    snprintf(files->read_write, sizeof files->read_write, "%s/rw", files->top);
    snprintf(files->secret_path, sizeof files->secret_path, "%s/secret", files->top);
    assert_int_equal(mkdir(files->read_only, 0755), 0);
    assert_int_equal(mkdir(files->read_write, 0755), 0);
    write_file(files->secret_path, secret);
    files->read_only_dirs[0] = files->read_only;
    files->read_write_dirs[0] = files->read_write;
    world->read_only_dirs = files->read_only_dirs;
    world->read_write_dirs = files->read_write_dirs;
    /* A trap that the user left: a link out of each directory. */
    char link[400];
    snprintf(link, sizeof link, "%s/out", files->read_only);
    assert_int_equal(symlink("../secret", link), 0);
    snprintf(link, sizeof link, "%s/out", files->read_write);
    assert_int_equal(symlink(files->secret_path, link), 0);
    snprintf(link, sizeof link, "%s/file", files->read_only);
    write_file(link, "read only\n");
}

/* Nor was it linked, given other rights, or another time. */
static void expect_text(const char *path, const char *expected)
{
    char text[64] = "";
    struct stat stat_now;
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    assert_int_equal(fstat(fileno(file), &stat_now), 0);
    fclose(file);
    assert_string_equal(text, expected);
    assert_int_equal(stat_now.st_nlink, 1);
    assert_int_equal(stat_now.st_mode, S_IFREG | FILE_MODE);
    assert_true(stat_now.st_mtime > 1);
    assert_int_equal(stat_now.st_uid, getuid());
}

static void expect_entries(const char *path, unsigned expected)
{
    DIR *directory = opendir(path);
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    if (count != expected)
        fail_msg("%s has %u entries", path, count);
}

void hostile_files_expect(struct hostile_files *files, const char *secret)
{
    char path[400];

    snprintf(path, sizeof path, "%s/file", files->read_only);
    expect_text(path, "read only\n");
    expect_text(files->secret_path, secret);
    expect_entries(files->top, 5);       /* ., .., ro, rw, secret */
    expect_entries(files->read_only, 4); /* ., .., out, file */
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *place)
{
    (void)stat, (void)kind, (void)place;
    return remove(path);
}

void hostile_files_remove(struct hostile_files *files)
{
    if (files->top[0])
        (void)nftw(files->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    files->top[0] = '\0';
}
