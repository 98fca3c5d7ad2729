/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns what it takes to run a file: from a script to its interpreter, and from a dynamic program to
 * its loader. */
#include "program/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bits.h"
#include "program/image_internal.h"
#include "program/images.h"
#include "program/script.h"

#define SCRIPTS_MAX 5 /* as on Linux: so many before the file that is no script */

/* ---- arguments ----------------------------------------------------------- */

/* Puts `count` words in the place of the first one. */
static int put_first(struct program *program, const char *const *words, size_t count)
{
    size_t kept = 0;
    char **argv;

    while (program->argv[kept])
        kept++;
    kept -= kept > 0;
    argv = calloc(count + kept + 1, sizeof(*argv));
    if (!argv)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        argv[i] = strdup(words[i]);
        if (!argv[i]) {
            while (i > 0)
                free(argv[--i]);
            free(argv);
            return -ENOMEM;
        }
    }
    if (program->argv[0])
        memcpy(argv + count, program->argv + 1, kept * sizeof(*argv));
    free(program->argv[0]);
    free(program->argv);
    program->argv = argv;
    return 0;
}

static int copy_arguments(struct program *program, char *const *argv)
{
    size_t count = 0;

    while (argv[count])
        count++;
    program->argv = calloc(count + 1, sizeof(*program->argv));
    for (size_t i = 0; program->argv && i < count; i++) {
        program->argv[i] = strdup(argv[i]);
        if (!program->argv[i])
            return -ENOMEM;
    }
    return program->argv ? 0 : -ENOMEM;
}

/* ---- what runs ----------------------------------------------------------- */

/* Opens a file that `user` names. */
static int open_named(const struct program *program, const struct program_opener *opener,
                      const char *kind, const char *name, struct image_source *out,
                      struct ferry_error *err)
{
    int result = opener->open(opener->arg, name, out);

    switch (result) {
    case 0:
        return 0;
    case -ENOENT:
    case -ENOTDIR:
        return image_fail(err, -ENOENT, program->file,
                          "its %s '%.150s' is not there, or where it may not read; install it, or "
                          "add --ro for its directory",
                          kind, name);
    case -EACCES:
        return image_fail(err, result, program->file,
                          "its %s '%.150s' is no file that may be run; try chmod +rx", kind, name);
    default:
        return image_fail(err, result, program->file, "its %s '%.150s': %s", kind, name,
                          strerror(-result));
    }
}

/* Reads the head of the file, as far as it has one. */
static int read_head(const struct program *program, const struct image_source *source,
                     char head[SCRIPT_HEAD_BYTES], struct ferry_error *err)
{
    uint64_t all = source->key.bytes;
    size_t bytes = all < SCRIPT_HEAD_BYTES ? (size_t)all : SCRIPT_HEAD_BYTES;
    int result = image_pread(source->fd, head, bytes, 0);

    if (result == -ENODATA)
        return image_fail(err, -EAGAIN, program->file,
                          "it was cut short while it was read; try again");
    return result ? image_fail(err, result, program->file, "reading it: %s", strerror(-result)) : 0;
}

/* The file is a script: its interpreter, with other arguments, takes its place. */
static int take_interpreter(struct program *program, const struct program_opener *opener,
                            const char head[SCRIPT_HEAD_BYTES], struct image_source *source,
                            struct ferry_error *err)
{
    const char *words[3];
    struct script script;
    size_t count = 0;
    char *interpreter;
    int result;

    close(source->fd);
    source->fd = -1;
    if (script_read(&script, head))
        return image_fail(err, -ENOEXEC, program->file,
                          "its first line names no interpreter, or a longer one than Linux takes; "
                          "write '#!' and a path");
    words[count++] = script.interpreter;
    if (script.argument)
        words[count++] = script.argument;
    words[count++] = program->file;
    interpreter = strdup(script.interpreter);
    if (!interpreter || put_first(program, words, count)) {
        free(interpreter);
        return image_fail(err, -ENOMEM, program->file, "out of memory");
    }
    result = open_named(program, opener, "interpreter", interpreter, source, err);
    free(program->file);
    program->file = interpreter;
    return result;
}

/* Goes from script to interpreter until there is a file that is no script. */
static int find_file(struct program *program, const struct program_opener *opener,
                     struct image_source *source, struct ferry_error *err)
{
    for (int scripts = 0;; scripts++) {
        char head[SCRIPT_HEAD_BYTES] = {0};
        int result = read_head(program, source, head, err);

        if (result || !script_is(head))
            return result;
        if (scripts == SCRIPTS_MAX)
            return image_fail(err, -ELOOP, program->name,
                              "it is a script, and so are its interpreter and those of that, more "
                              "than %d in all; name a program in its first line",
                              SCRIPTS_MAX);
        result = take_interpreter(program, opener, head, source, err);
        if (result)
            return result;
    }
}

/* ---- images -------------------------------------------------------------- */

/* Charges for the copy before anybody else is served. Takes over the source. */
static int open_image(const struct program *program, const struct program_opener *opener,
                      const char *name, struct image_source *source, uint64_t limit_bytes,
                      struct image **out, struct ferry_error *err)
{
    int result;

    source->stopping = opener->stopping;
    source->stopping_arg = opener->arg;
    if (opener->space)
        source->room_bytes = max_u64(space_room(opener->space), 1);
    result = images_open(program->images, name, source, limit_bytes, out, err);
    /* The room was asked for a copy that is made now: there may be one already. */
    if (result || !opener->space || !space_charge(opener->space, (*out)->copied_bytes))
        return result;
    image_no_room(*out, err);
    images_release(program->images, *out);
    *out = NULL;
    return -ENOMEM;
}

/* ---- the loader ---------------------------------------------------------- */

static uint64_t first_address(const struct image *image)
{
    return page_down(image->segments[0].addr + image->bias);
}

/* A loader that is linked to fixed addresses may be where the program is. */
static bool overlap(const struct program *program)
{
    const struct image *image = program->image, *loader = program->loader;

    return first_address(loader) + program->loader_shift < image->end &&
           first_address(image) < loader->end + program->loader_shift;
}

/* The message of a loader that cannot be one, for the program that names it. */
static int refuse_loader(const struct program *program, int result, struct ferry_error *err)
{
    struct ferry_error why;

    if (err) {
        why = *err;
        image_fail(err, result, program->file, "it needs a loader; %s", why.text);
    }
    return result == -ENOEXEC ? -ELIBBAD : result;
}

static int open_loader(struct program *program, const struct program_opener *opener,
                       uint64_t limit_bytes, struct ferry_error *err)
{
    const char *name = program->image->loader;
    struct image_source source;
    int result = open_named(program, opener, "loader", name, &source, err);

    if (result)
        return result;
    result = open_image(program, opener, name, &source, limit_bytes, &program->loader, err);
    if (result)
        return refuse_loader(program, result, err);
    program->loader_shift = image_shift_of_loader(program->loader);
    if (overlap(program))
        return image_fail(err, -ELIBBAD, program->file,
                          "its loader '%.150s' is linked to addresses of the program; link one of "
                          "the two elsewhere",
                          name);
    return 0;
}

/* ---- opening and closing ------------------------------------------------- */

static int open_images(struct program *program, const struct program_opener *opener,
                       struct image_source *source, uint64_t limit_bytes, struct ferry_error *err)
{
    int result = find_file(program, opener, source, err);

    if (result) {
        if (source->fd >= 0)
            close(source->fd);
        return result;
    }
    result = open_image(program, opener, program->file, source, limit_bytes, &program->image, err);
    return result || !program->image->loader ? result
                                             : open_loader(program, opener, limit_bytes, err);
}

int program_open(struct program *out, struct images *images, const struct program_opener *opener,
                 const char *name, const struct image_source *source, char *const *argv,
                 uint64_t limit_bytes, struct ferry_error *err)
{
    struct image_source own = *source;
    int result;

    *out = (struct program){.images = images, .name = strdup(name), .file = strdup(name)};
    if (!out->name || !out->file || copy_arguments(out, argv)) {
        close(own.fd);
        result = image_fail(err, -ENOMEM, name, "out of memory");
    } else {
        result = open_images(out, opener, &own, limit_bytes, err);
    }
    if (result && opener->space)
        space_recharge(opener->space, program_copied_bytes(out), 0);
    if (result)
        program_close(out);
    return result;
}

int program_share(struct program *out, const struct program *program, struct space *space)
{
    int result = space ? space_charge(space, program_unshared_bytes(program)) : 0;

    if (result)
        return result;
    *out = (struct program){.images = program->images,
                            .image = program->image,
                            .loader = program->loader,
                            .loader_shift = program->loader_shift,
                            .name = strdup(program->name),
                            .file = strdup(program->file)};
    images_hold(out->images, out->image);
    images_hold(out->images, out->loader);
    result = copy_arguments(out, program->argv);
    return result || !out->argv || !out->name || !out->file ? -ENOMEM : 0;
}

void program_close(struct program *program)
{
    if (!program->images)
        return;
    images_release(program->images, program->image);
    images_release(program->images, program->loader);
    for (size_t i = 0; program->argv && program->argv[i]; i++)
        free(program->argv[i]);
    free(program->argv);
    free(program->name);
    free(program->file);
    *program = (struct program){0};
}

/* ---- running ------------------------------------------------------------- */

struct guest_addr program_entry(const struct program *program)
{
    const struct image *loader = program->loader;

    return guest_addr(loader ? loader->entry + program->loader_shift : program->image->entry);
}

struct guest_addr program_end(const struct program *program)
{
    return guest_addr(program->image->end);
}

static uint64_t memory_of(const struct image *image)
{
    return image ? image->memory_bytes + image->unshared_bytes : 0;
}

uint64_t program_memory_bytes(const struct program *program)
{
    return memory_of(program->image) + memory_of(program->loader);
}

uint64_t program_unshared_bytes(const struct program *program)
{
    return program->image->unshared_bytes + (program->loader ? program->loader->unshared_bytes : 0);
}

static uint64_t copied_of(const struct image *image)
{
    return image ? image->copied_bytes : 0;
}

uint64_t program_copied_bytes(const struct program *program)
{
    return copied_of(program->image) + copied_of(program->loader);
}

int program_wait(struct program *program, struct ferry_error *err)
{
    int result = image_copy_wait(program->image, err);

    return result || !program->loader ? result : image_copy_wait(program->loader, err);
}

int program_load(struct program *program, struct space *space, struct ferry_error *err)
{
    int result = image_load(program->image, 0, space, err);

    return result || !program->loader
               ? result
               : image_load(program->loader, program->loader_shift, space, err);
}

void program_symbolize(const struct program *program, struct guest_addr addr, char *text,
                       size_t bytes)
{
    image_symbolize(program->image, addr.value, text, bytes);
    if (!text[0] && program->loader && addr.value >= program->loader_shift)
        image_symbolize(program->loader, addr.value - program->loader_shift, text, bytes);
}

bool program_in_loader(const struct program *program, struct guest_addr addr, uint64_t *linked)
{
    const struct image *loader = program->loader;

    if (!loader || addr.value < program->loader_shift + loader->bias ||
        addr.value - program->loader_shift >= loader->end)
        return false;
    *linked = addr.value - program->loader_shift - loader->bias;
    return true;
}
