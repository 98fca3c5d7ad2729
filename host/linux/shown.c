/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the lists of what a view shows of a whole system: the files that programs look for, and none
 * that tell of this machine or its users. ferry(1) lists them; scripts/check-docs compares the two. */
#include <string.h>

#include "linux/mounts.h"

/* The directories of the distribution. Not /opt, whose files are anybody's. */
#define PROGRAMS  "/bin", "/sbin", "/usr"
#define LIBRARIES "/lib", "/lib32", "/lib64", "/libx32"
#define LOADER    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld-musl-*"
/* What packages make of their files when they are installed. */
#define MADE_BY_PACKAGES                                                                           \
    "/var/cache/fontconfig", "/var/lib/aspell", "/var/lib/clamav", "/var/lib/dictionaries-common", \
        "/var/lib/ghostscript", "/var/lib/ispell", "/var/lib/texmf", "/var/lib/units"

const char *const shown_of_system[] = {
    PROGRAMS,
    LIBRARIES,
    LOADER,
    MADE_BY_PACKAGES,
    "/etc/alternatives",
    /* what this system is, where and in which language */
    "/etc/*-release",
    "/etc/debian_version",
    "/etc/dpkg/origins",
    "/etc/issue",
    "/etc/locale.*",
    "/etc/default/locale",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mtab",
    /* certificates of authorities; the keys in ssl/private are not among them */
    "/etc/ca-certificates*",
    "/etc/crypto-policies",
    "/etc/gcrypt",
    "/etc/gnutls",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    /* kinds of files, fonts, papers, pictures, sound */
    "/etc/ImageMagick-*",
    "/etc/OpenCL",
    "/etc/X11",
    "/etc/alsa",
    "/etc/fonts",
    "/etc/ghostscript",
    "/etc/gtk-*",
    "/etc/libpaper.d",
    "/etc/magic",
    "/etc/magic.mime",
    "/etc/mailcap",
    "/etc/mime.types",
    "/etc/netpbm",
    "/etc/pango",
    "/etc/paper*",
    "/etc/sgml",
    "/etc/texmf",
    "/etc/xdg",
    "/etc/xml",
    /* languages and tools */
    "/etc/R",
    "/etc/a2ps*",
    "/etc/bash.bashrc",
    "/etc/dictionaries-common",
    "/etc/elinks",
    "/etc/emacs",
    "/etc/enscript.cfg",
    "/etc/fpc*",
    "/etc/gdb",
    "/etc/gnucobol",
    "/etc/gprofng.rc",
    "/etc/groff",
    "/etc/inputrc",
    "/etc/java*",
    "/etc/libreoffice",
    "/etc/lua*",
    "/etc/lynx",
    "/etc/manpath.config",
    "/etc/maven",
    "/etc/mono",
    "/etc/nanorc",
    "/etc/octave*",
    "/etc/perl",
    "/etc/php",
    "/etc/profile",
    "/etc/python*",
    "/etc/rpm",
    "/etc/terminfo",
    "/etc/vim",
    /* numbers and names of networks, which programs ask for also without one */
    "/etc/ethertypes",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/netconfig",
    "/etc/networks",
    "/etc/protocols",
    "/etc/rpc",
    "/etc/services",
    NULL,
};

const char *const shown_bare[] = {
    LIBRARIES,      "/usr/lib",       "/usr/lib32", "/usr/lib64", "/usr/libx32",
    "/usr/libexec", "/usr/local/lib", LOADER,       NULL,
};

/* Compares a pattern, whose '*' stands for any characters but '/', with the beginning of the path.
 * The whole pattern must be met, or the whole path. */
static enum shown compare(const char *pattern, const char *path)
{
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            for (;; path++) {
                enum shown shown = compare(pattern + 1, path);

                if (shown == SHOWN || !*path || *path == '/')
                    return shown;
            }
        }
        if (!*path)
            return *pattern == '/' ? SHOWN_PARTLY : HIDDEN;
        if (*path++ != *pattern)
            return HIDDEN;
    }
    return !*path || *path == '/' ? SHOWN : HIDDEN;
}

enum shown shown(const char *const *list, const char *path)
{
    enum shown best = list && strcmp(path, "/") != 0 ? HIDDEN : list ? SHOWN_PARTLY : SHOWN;

    for (; list && *list && best != SHOWN; list++) {
        enum shown now = compare(*list, path);

        best = now > best ? now : best;
    }
    return best;
}

bool shown_is_library(const char *path)
{
    const char *slash = strrchr(path, '/'), *at = strstr(slash ? slash : path, ".so");

    return strncmp(path, "/etc/", 5) == 0 || (at && (!at[3] || at[3] == '.'));
}
