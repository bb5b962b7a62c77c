// A power cut for one process, as a library to preload: it keeps a second copy of a storage folder that holds only
// what the process has made durable, and makes chosen calls on that folder fail. `power_cut.rs` builds it, sets its
// environment and puts the durable copy in the storage folder's place once the process has been killed.
//
//   POWER_CUT_ROOT    the watched folder, absolute; it may not exist yet, its parent does
//   POWER_CUT_SHADOW  the folder of the durable copy, outside of the watched one
//   POWER_CUT_FAULT   optional: the control file, see "Faults" below
//
// What is durable is what POSIX promises and no more:
//
// - The bytes and the length of a file as they were when fsync or fdatasync of it last succeeded, whichever descriptor
//   that call was made through. A file that was never synced is empty.
// - The names in a folder as they were when fsync of that folder last succeeded. A folder that was never synced is
//   empty. The watched folder itself is durable once it exists.
// - sync and syncfs make everything under the watched folder durable, a write through O_SYNC or O_DSYNC what it wrote
//   to. sync_file_range makes nothing durable.
// - Whatever is there when the process starts is durable, and so is the content (not yet the name) of what comes into
//   the watched folder by a rename or a link from outside.
//
// On disk the durable copy is a set of objects, each a file or a folder with a number that is never used twice:
//
//   root        "<mode> <id>\n": the watched folder; missing as long as it has never existed
//   files/<id>  content of a file, or target of a symbolic link
//   dirs/<id>   names in a folder: "<kind> <mode> <id> <name>\0" each; kind is f(ile), d(ir) or l(ink), mode is octal
//   boot_id     optional: read in place of the kernel's boot id, for a power cut is followed by another boot
//   lock        held (flock) by the process that is watched
//
// `root` and `dirs/<id>` are replaced by a rename, so that a kill at any moment leaves them whole. A kill while a file
// is copied leaves some of its dirty bytes copied and some not, as a power cut in the middle of an fsync does.
//
// Out of sight: system calls made without libc (rustix in its default build, io_uring), stdio streams, memory maps,
// child processes, and a second process with the same environment. The program has to be linked dynamically.
//
// Locks, in this order: `names`, an object's `content`, `faults`. `names` is held over each call that takes an inode's
// name away, so that no inode number is used again before its old meaning is forgotten. `content` is held over each
// call that changes a file's bytes, so that they and what is noted of them never disagree.

#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8, "offsets are passed to the kernel in one register");

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define BUCKETS 4096
#define COPY_BYTES 32768
#define RANGES_MAX 512
#define RULES_MAX 32
#define END INT64_MAX

// ---------------------------------------------------------------------------------------------------------------------
// State

struct range {
    int64_t from, to;
};

// A file or a folder under the watched one.
struct object {
    struct object *next;     // in its bucket
    dev_t dev;
    ino_t ino;
    int64_t born;            // the inode's birth in ns: tells an inode number that was used again
    uint64_t id;
    unsigned holders;        // the map, `root`, and each call at work on it; guarded by `names`
    pthread_mutex_t content; // guards the fields below and is held over calls that change the file
    int open_flags;          // of O_APPEND, O_SYNC, O_DSYNC: those that any open of it ever had
    int64_t kept;            // the shortest the file has been since it was last synced; END if never cut
    struct range *dirty;     // where file and durable copy may differ: sorted, apart
    size_t ranges, ranges_room;
};

static bool watching;
// Set while this thread works in here: a signal handler's calls then go straight through instead of waiting for a lock
// that its own thread holds.
static __thread bool inside __attribute__((tls_model("initial-exec")));

static char root_path[PATH_MAX];
static size_t root_length;
static int shadow_dir = -1, files_dir = -1, dirs_dir = -1;

static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;
static struct object *buckets[BUCKETS];
static struct object *root;
static uint64_t last_id;

static int (*next_posix_fallocate)(int, off_t, off_t);

// The durable copy would no longer say what is durable: no test may go on with it.
static _Noreturn void broken(const char *what) {
    dprintf(STDERR_FILENO, "power_cut: cannot %s: %s\n", what, strerror(errno));
    abort();
}

static void *grown(void *memory, size_t bytes) {
    memory = realloc(memory, bytes);
    if (!memory)
        broken("get memory");
    return memory;
}

static int raw_open(int dir, const char *path, int flags, mode_t mode) {
    return (int)syscall(SYS_openat, dir, path, flags | O_CLOEXEC, mode);
}

// ---------------------------------------------------------------------------------------------------------------------
// Paths

static bool descriptor_path(int fd, char path[PATH_MAX]) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0)
        return false;
    path[n] = 0;
    return path[0] == '/';
}

// The path of a name that may not exist, with everything before its last part free of links.
static bool name_path(int dir, const char *given, char path[PATH_MAX]) {
    char parent[PATH_MAX];
    size_t n = strlen(given);
    while (n > 1 && given[n - 1] == '/')
        n--;
    if (n == 0 || n >= sizeof parent)
        return false;
    size_t name = n;
    while (name > 0 && given[name - 1] != '/')
        name--;
    memcpy(parent, given, name);
    parent[name] = 0;
    int fd = raw_open(dir, name ? parent : ".", O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return false;
    bool found = descriptor_path(fd, path);
    close(fd);
    size_t length = found ? strlen(path) : 0;
    if (!found || length + 1 + (n - name) >= PATH_MAX)
        return false;
    if (length > 1)
        path[length++] = '/';
    memcpy(path + length, given + name, n - name);
    path[length + n - name] = 0;
    return true;
}

// The path that an open would reach.
static bool opened_path(int dir, const char *given, int flags, char path[PATH_MAX], bool *exists) {
    int fd = raw_open(dir, given, O_PATH | (flags & O_NOFOLLOW), 0);
    *exists = fd >= 0;
    if (fd < 0)
        return name_path(dir, given, path);
    bool found = descriptor_path(fd, path);
    close(fd);
    return found;
}

static bool under_root(const char *path) {
    return strncmp(path, root_path, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// Objects

struct ident {
    dev_t dev;
    ino_t ino;
    int64_t born;
    mode_t mode;
    unsigned links;
};

static bool identify(int dir, const char *path, int flags, struct ident *out) {
    struct statx sx;
    if (syscall(SYS_statx, dir, path, flags, STATX_BASIC_STATS | STATX_BTIME, &sx) != 0)
        return false;
    out->dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
    out->ino = sx.stx_ino;
    out->born = sx.stx_mask & STATX_BTIME ? sx.stx_btime.tv_sec * 1000000000 + sx.stx_btime.tv_nsec : 0;
    out->mode = sx.stx_mode;
    out->links = sx.stx_nlink;
    return true;
}

static struct object **bucket(dev_t dev, ino_t ino) {
    uint64_t mixed = ((uint64_t)ino ^ ((uint64_t)dev << 40)) * 0x9E3779B97F4A7C15u;
    return &buckets[mixed >> 52];
}

// The functions from here to `release` want `names` held.

static struct object *find(dev_t dev, ino_t ino) {
    for (struct object *o = *bucket(dev, ino); o; o = o->next)
        if (o->dev == dev && o->ino == ino)
            return o;
    return NULL;
}

static void let_go(struct object *o) {
    if (--o->holders > 0)
        return;
    pthread_mutex_destroy(&o->content);
    free(o->dirty);
    free(o);
}

static void forget(struct object *o) {
    struct object **at = bucket(o->dev, o->ino);
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    if (root == o) {
        root = NULL;
        o->holders--;
    }
    let_go(o);
}

static struct object *find_same(const struct ident *id) {
    struct object *o = find(id->dev, id->ino);
    if (o && o->born != id->born) {
        forget(o);
        o = NULL;
    }
    return o;
}

static void note(struct object *o, int64_t from, int64_t to);

static struct object *object_of(const struct ident *id) {
    struct object *o = find_same(id);
    if (o)
        return o;
    o = grown(NULL, sizeof *o);
    memset(o, 0, sizeof *o);
    o->dev = id->dev;
    o->ino = id->ino;
    o->born = id->born;
    o->id = ++last_id;
    o->holders = 1;
    pthread_mutex_init(&o->content, NULL);
    o->kept = END;
    note(o, 0, END);
    struct object **at = bucket(o->dev, o->ino);
    o->next = *at;
    *at = o;
    return o;
}

static void forget_if_last(const struct ident *id) {
    struct object *o = find(id->dev, id->ino);
    if (o && (S_ISDIR(id->mode) || id->links <= 1))
        forget(o);
}

static void release(struct object *o) {
    pthread_mutex_lock(&names);
    let_go(o);
    pthread_mutex_unlock(&names);
}

// ---------------------------------------------------------------------------------------------------------------------
// Content. These want the object's `content` held.

// Noting too much only costs a copy; what is copied is always what the file holds at that time.
static void note(struct object *o, int64_t from, int64_t to) {
    if (to <= from)
        return;
    size_t first = o->ranges;
    while (first > 0 && o->dirty[first - 1].to >= from)
        first--;
    size_t after = first;
    for (; after < o->ranges && o->dirty[after].from <= to; after++) {
        if (o->dirty[after].from < from)
            from = o->dirty[after].from;
        if (o->dirty[after].to > to)
            to = o->dirty[after].to;
    }
    if (first == after && o->ranges == o->ranges_room) {
        o->ranges_room = o->ranges_room ? o->ranges_room * 2 : 4;
        o->dirty = grown(o->dirty, o->ranges_room * sizeof *o->dirty);
    }
    memmove(o->dirty + first + 1, o->dirty + after, (o->ranges - after) * sizeof *o->dirty);
    o->ranges = o->ranges + 1 - (after - first);
    o->dirty[first] = (struct range){from, to};
    if (o->ranges == RANGES_MAX) {
        for (size_t i = 0; i < RANGES_MAX / 2; i++)
            o->dirty[i] = (struct range){o->dirty[2 * i].from, o->dirty[2 * i + 1].to};
        o->ranges = RANGES_MAX / 2;
    }
}

static void note_cut(struct object *o, int64_t length) {
    if (length < o->kept)
        o->kept = length;
    note(o, length, END);
}

static int64_t length_of(int fd) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        broken("see a file's length");
    return st.st_size;
}

static void copy_bytes(int from, int to, int64_t at, int64_t end) {
    char bytes[COPY_BYTES];
    while (at < end) {
        ssize_t n = pread(from, bytes, end - at < COPY_BYTES ? end - at : COPY_BYTES, at);
        if (n < 0)
            broken("read a synced file");
        if (n == 0)
            return;
        for (ssize_t done = 0; done < n;) {
            ssize_t put = syscall(SYS_pwrite64, to, bytes + done, n - done, at + done);
            if (put <= 0)
                broken("write to the durable copy");
            done += put;
        }
        at += n;
    }
}

// Makes the durable copy equal to the file, which `fd` is a descriptor of, with whatever access.
static void make_durable(struct object *o, int fd) {
    if (o->ranges == 0)
        return;
    char path[40], name[24];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    snprintf(name, sizeof name, "%llu", (unsigned long long)o->id);
    int from = raw_open(AT_FDCWD, path, O_RDONLY, 0);
    if (from < 0)
        broken("read a synced file");
    int to = raw_open(files_dir, name, O_WRONLY | O_CREAT, 0600);
    if (to < 0)
        broken("open a file of the durable copy");
    int64_t length = length_of(from), copied = length_of(to);
    if (o->kept < copied) {
        if (syscall(SYS_ftruncate, to, o->kept) != 0)
            broken("cut a file of the durable copy");
        copied = o->kept;
    }
    for (size_t i = 0; i < o->ranges; i++) {
        int64_t at = o->dirty[i].from, end = o->dirty[i].to < length ? o->dirty[i].to : length;
        while (at < end) {
            int64_t stop = end;
            if (at >= copied) {
                // A hole in the file, and beyond its end the copy is a hole already.
                int64_t data = lseek(from, at, SEEK_DATA);
                if (data < 0 && errno == ENXIO)
                    break;
                int64_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
                if (data >= end)
                    break;
                at = data < 0 ? at : data;
                stop = hole < 0 || hole > end ? end : hole;
            } else if (copied < end) {
                stop = copied;
            }
            copy_bytes(from, to, at, stop);
            at = stop;
        }
    }
    if (length_of(to) != length && syscall(SYS_ftruncate, to, length) != 0)
        broken("set a length in the durable copy");
    close(from);
    close(to);
    o->ranges = 0;
    o->kept = END;
}

// ---------------------------------------------------------------------------------------------------------------------
// Names. These want `names` held.

static void put_whole(int dir, const char *name, const char *bytes, size_t length) {
    char fresh[40];
    snprintf(fresh, sizeof fresh, "%s.new", name);
    int fd = raw_open(dir, fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        broken("open a list of the durable copy");
    for (size_t done = 0; done < length;) {
        ssize_t put = syscall(SYS_write, fd, bytes + done, length - done);
        if (put <= 0)
            broken("write a list of the durable copy");
        done += put;
    }
    close(fd);
    if (syscall(SYS_renameat2, dir, fresh, dir, name, 0) != 0)
        broken("replace a list of the durable copy");
}

static void put_target(const struct object *o, int dir, const char *name) {
    char target[PATH_MAX], id[24];
    ssize_t n = readlinkat(dir, name, target, sizeof target);
    snprintf(id, sizeof id, "%llu", (unsigned long long)o->id);
    if (n >= 0)
        put_whole(files_dir, id, target, n);
}

struct kernel_dirent {
    uint64_t ino;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

typedef void visit(int dir, const char *name, const struct ident *id, void *context);

static void each_name(int dir, visit *seen, void *context) {
    int fd = raw_open(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        broken("list a folder");
    _Alignas(struct kernel_dirent) char entries[8192];
    long n;
    while ((n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < n;) {
            const struct kernel_dirent *entry = (const struct kernel_dirent *)(entries + at);
            struct ident id;
            bool dots = strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0;
            if (!dots && identify(fd, entry->name, AT_SYMLINK_NOFOLLOW, &id))
                seen(fd, entry->name, &id, context);
            at += entry->length;
        }
    }
    if (n < 0)
        broken("list a folder");
    close(fd);
}

struct text {
    char *bytes;
    size_t length, room;
};

static void list_name(int dir, const char *name, const struct ident *id, void *context) {
    struct text *list = context;
    char kind = S_ISREG(id->mode) ? 'f' : S_ISDIR(id->mode) ? 'd' : S_ISLNK(id->mode) ? 'l' : 0;
    if (!kind)
        return;
    struct object *o = object_of(id);
    if (kind == 'l')
        put_target(o, dir, name);
    size_t most = strlen(name) + 48;
    if (list->room - list->length < most) {
        list->room = list->room * 2 + most;
        list->bytes = grown(list->bytes, list->room);
    }
    list->length += 1 + snprintf(list->bytes + list->length, most, "%c %o %llu %s", kind, id->mode & 07777u,
                                 (unsigned long long)o->id, name);
}

static void make_names_durable(const struct object *folder, int fd) {
    struct text list = {0};
    each_name(fd, list_name, &list);
    char id[24];
    snprintf(id, sizeof id, "%llu", (unsigned long long)folder->id);
    put_whole(dirs_dir, id, list.bytes, list.length);
    free(list.bytes);
}

static void make_all_durable(int dir, const char *name, const struct ident *id, void *context) {
    (void)context;
    if (!S_ISREG(id->mode) && !S_ISDIR(id->mode))
        return;
    int fd = raw_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0 && errno == ENOENT)
        return;
    if (fd < 0)
        broken("open what the watched folder holds");
    struct object *o = object_of(id);
    if (S_ISDIR(id->mode)) {
        each_name(fd, make_all_durable, NULL);
        make_names_durable(o, fd);
    } else {
        pthread_mutex_lock(&o->content);
        make_durable(o, fd);
        pthread_mutex_unlock(&o->content);
    }
    close(fd);
}

// Follows the watched folder to the inode that has its name now.
static void check_root(void) {
    struct ident id;
    if (!identify(AT_FDCWD, root_path, AT_SYMLINK_NOFOLLOW, &id) || !S_ISDIR(id.mode))
        return;
    struct object *now = object_of(&id);
    if (now == root)
        return;
    if (root)
        let_go(root);
    root = now;
    root->holders++;
    char line[48];
    int n = snprintf(line, sizeof line, "%o %llu\n", id.mode & 07777u, (unsigned long long)root->id);
    put_whole(shadow_dir, "root", line, n);
}

// The object behind `fd`, if it is one. What has no name was removed and forgotten, or is yet to get one.
static struct object *watched(int fd, const struct ident *id, bool temporary) {
    char path[PATH_MAX];
    struct object *o = find_same(id);
    if (o || !(id->links > 0 || temporary) || !descriptor_path(fd, path) || !under_root(path))
        return o;
    if (!root)
        check_root();
    return object_of(id);
}

// `to` has got a name for something that had none here.
static void arrived(const struct ident *id, int from_dir, const char *from, int to_dir, const char *to) {
    char path[PATH_MAX];
    if (find_same(id) || !name_path(to_dir, to, path) || !under_root(path))
        return;
    if (name_path(from_dir, from, path) && under_root(path))
        return;
    make_all_durable(to_dir, to, id, NULL);
}

// ---------------------------------------------------------------------------------------------------------------------
// Faults. The control file has a line OP:ERRNO[:SUBSTRING] for each rule; "#" starts a remark. As long as the file is
// there, the calls that a rule names fail and do nothing else, if their path goes through or ends in what SUBSTRING
// says. Of rules that match the first one counts.
//
//   write       write, writev, pwrite, pwritev, fallocate, copy_file_range, sendfile and splice to a file
//   sync        fsync, fdatasync, syncfs
//   sync-range  sync_file_range
//   truncate    ftruncate, truncate
//   open        every open, for reading too
//   create      an open, mkdir or link that would make a name
//   rename      rename, if either path matches
//   unlink      unlink, rmdir
//
// "write-partial" lets the first write of two bytes or more do half of its work, and from then on is "write".
// "write-done" and "sync-done" do all of it and fail all the same. "sync-lie" does nothing and says that it did: after a
// power cut nobody can keep a promise on such a disk.

enum op { OP_WRITE, OP_SYNC, OP_SYNC_RANGE, OP_TRUNCATE, OP_OPEN, OP_CREATE, OP_RENAME, OP_UNLINK, OPS };
#define HALF (-1)
#define LIE (-2)
#define DONE(error) (-1000 - (error))
#define IS_DONE(fault) ((fault) <= -1000)
#define ERROR_OF_DONE(fault) (-1000 - (fault))

static const char *const op_names[OPS] = {"write",  "sync",   "sync-range", "truncate",
                                          "open",   "create", "rename",     "unlink"};

struct rule {
    enum op op;
    int error;
    bool half_first;
    bool done;
    bool lies;
    const char *part; // of `fault_text`; empty for every path
};

static pthread_mutex_t faults = PTHREAD_MUTEX_INITIALIZER;
static const char *fault_path;
static struct rule rules[RULES_MAX];
static unsigned rule_count;
static char fault_text[8192];
static struct stat fault_seen;

static bool read_rule(char *line) {
    char *error = strchr(line, ':');
    if (!error || rule_count == RULES_MAX)
        return false;
    *error++ = 0;
    char *part = strchr(error, ':');
    if (part)
        *part++ = 0;
    struct rule rule = {.op = OPS, .part = part ? part : ""};
    if (strcmp(line, "write-partial") == 0) {
        rule.half_first = true;
        rule.op = OP_WRITE;
    }
    if (strcmp(line, "write-done") == 0 || strcmp(line, "sync-done") == 0) {
        rule.done = true;
        rule.op = line[0] == 'w' ? OP_WRITE : OP_SYNC;
    }
    if (strcmp(line, "sync-lie") == 0) {
        rule.lies = true;
        rule.op = OP_SYNC;
    }
    for (unsigned op = 0; op < OPS; op++)
        if (strcmp(line, op_names[op]) == 0)
            rule.op = op;
    rule.error = strcmp(error, "ENOSPC") == 0  ? ENOSPC
                 : strcmp(error, "EROFS") == 0 ? EROFS
                 : strcmp(error, "EIO") == 0   ? EIO
                                               : 0;
    if (rule.op == OPS || rule.error == 0)
        return false;
    rules[rule_count++] = rule;
    return true;
}

static void read_rules(void) {
    struct stat st;
    if (stat(fault_path, &st) != 0) {
        rule_count = 0;
        fault_seen.st_ino = 0;
        return;
    }
    if (st.st_ino == fault_seen.st_ino && st.st_size == fault_seen.st_size &&
        st.st_mtim.tv_sec == fault_seen.st_mtim.tv_sec && st.st_mtim.tv_nsec == fault_seen.st_mtim.tv_nsec)
        return;
    rule_count = 0;
    fault_seen.st_ino = 0;
    int fd = raw_open(AT_FDCWD, fault_path, O_RDONLY, 0);
    if (fd < 0)
        return;
    ssize_t n = read(fd, fault_text, sizeof fault_text - 1);
    close(fd);
    if (n < 0)
        return;
    fault_text[n] = 0;
    fault_seen = st;
    char *rest = NULL;
    for (char *line = strtok_r(fault_text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if (line[0] != '#' && !read_rule(line))
            dprintf(STDERR_FILENO, "power_cut: no rule: %s\n", line);
}

// Whether any rule is about `op`: what follows is then worth the path.
static bool armed(enum op op) {
    if (!fault_path)
        return false;
    bool found = false;
    pthread_mutex_lock(&faults);
    read_rules();
    for (unsigned i = 0; i < rule_count; i++)
        found |= rules[i].op == op;
    pthread_mutex_unlock(&faults);
    return found;
}

// The part has to reach below the watched folder: its own path must not make a rule match everything.
static bool matches(const char *path, const char *part) {
    if (!path || !under_root(path))
        return false;
    size_t length = strlen(part);
    if (length == 0)
        return true;
    for (const char *at = path; (at = strstr(at, part)); at++)
        if (at + length > path + root_length)
            return true;
    return false;
}

// The error to fail with, 0 to go on, HALF to do half of it.
static int injected(enum op op, const char *path, const char *other, size_t bytes) {
    int error = 0;
    pthread_mutex_lock(&faults);
    for (unsigned i = 0; i < rule_count && !error; i++) {
        struct rule *rule = &rules[i];
        if (rule->op != op || !(matches(path, rule->part) || matches(other, rule->part)))
            continue;
        error = rule->half_first && bytes >= 2 ? HALF : rule->done ? DONE(rule->error) : rule->lies ? LIE : rule->error;
        if (error == HALF)
            rule->half_first = false;
    }
    pthread_mutex_unlock(&faults);
    return error;
}

static int injected_at(enum op op, int fd, size_t bytes) {
    char path[PATH_MAX];
    return armed(op) && descriptor_path(fd, path) ? injected(op, path, NULL, bytes) : 0;
}

static int injected_by_name(enum op op, int dir, const char *name) {
    char path[PATH_MAX];
    return armed(op) && name_path(dir, name, path) ? injected(op, path, NULL, 0) : 0;
}

// ---------------------------------------------------------------------------------------------------------------------
// Start

static void empty_folder(int dir) {
    int fd = raw_open(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *names_in = fd < 0 ? NULL : fdopendir(fd);
    if (!names_in)
        broken("list the durable copy");
    for (struct dirent *entry; (entry = readdir(names_in));)
        if (entry->d_name[0] != '.' && syscall(SYS_unlinkat, dir, entry->d_name, 0) != 0)
            broken("empty the durable copy");
    closedir(names_in);
}

static int folder_of_shadow(const char *name) {
    if (syscall(SYS_mkdirat, shadow_dir, name, 0700) != 0 && errno != EEXIST)
        broken("make the durable copy's folders");
    int fd = raw_open(shadow_dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        broken("open the durable copy's folders");
    return fd;
}

static void find_root(const char *given) {
    char real[PATH_MAX], parent[PATH_MAX];
    if (realpath(given, real)) {
        snprintf(root_path, sizeof root_path, "%s", real);
    } else {
        size_t n = strlen(given);
        while (n > 1 && given[n - 1] == '/')
            n--;
        snprintf(parent, sizeof parent, "%.*s", (int)n, given);
        char *name = strrchr(parent, '/');
        if (!name)
            broken("use a watched folder without an absolute path");
        *name++ = 0;
        if (!realpath(parent[0] ? parent : "/", real))
            broken("find the watched folder's parent");
        if ((size_t)snprintf(root_path, sizeof root_path, "%s/%s", real, name) >= sizeof root_path)
            broken("use so long a path");
    }
    root_length = strlen(root_path);
}

// One process at a time: a child of the watched one, or a second one that is to be refused, must not start over.
static bool alone(void) {
    int lock = raw_open(shadow_dir, "lock", O_RDWR | O_CREAT, 0600);
    if (lock < 0)
        broken("open the durable copy's lock");
    for (int tries = 0; flock(lock, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK)
            broken("lock the durable copy");
        if (tries == 20) {
            close(lock);
            return false;
        }
        usleep(10000);
    }
    return true;
}

static void stop_watching(void) {
    watching = false;
}

__attribute__((constructor)) static void start(void) {
    const char *given = getenv("POWER_CUT_ROOT"), *shadow = getenv("POWER_CUT_SHADOW");
    next_posix_fallocate = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
    if (!given || !shadow)
        return;
    inside = true;
    fault_path = getenv("POWER_CUT_FAULT");
    if (syscall(SYS_mkdirat, AT_FDCWD, shadow, 0700) != 0 && errno != EEXIST)
        broken("make the folder of the durable copy");
    shadow_dir = raw_open(AT_FDCWD, shadow, O_RDONLY | O_DIRECTORY, 0);
    if (shadow_dir < 0)
        broken("open the folder of the durable copy");
    if (!alone()) {
        dprintf(STDERR_FILENO, "power_cut: another process is watched already, this one is not\n");
        close(shadow_dir);
        inside = false;
        return;
    }
    // Without `root` the storage folder stands as it is, and nothing has been done to it yet.
    if (syscall(SYS_unlinkat, shadow_dir, "root", 0) != 0 && errno != ENOENT)
        broken("empty the durable copy");
    files_dir = folder_of_shadow("files");
    dirs_dir = folder_of_shadow("dirs");
    empty_folder(files_dir);
    empty_folder(dirs_dir);
    find_root(given);
    struct ident id;
    if (identify(AT_FDCWD, root_path, AT_SYMLINK_NOFOLLOW, &id)) {
        make_all_durable(AT_FDCWD, root_path, &id, NULL);
        check_root();
    }
    pthread_atfork(NULL, NULL, stop_watching);
    watching = true;
    inside = false;
}

// ---------------------------------------------------------------------------------------------------------------------
// The calls: what they share

static bool passes(void) {
    return !watching || inside;
}

// The file behind `fd` if it is watched: to be given to `leave`.
static struct object *enter(int fd) {
    struct stat st;
    int error = errno;
    if (passes() || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        errno = error;
        return NULL;
    }
    inside = true;
    pthread_mutex_lock(&names);
    struct object *o = find(st.st_dev, st.st_ino);
    if (o)
        o->holders++;
    pthread_mutex_unlock(&names);
    inside = o != NULL;
    return o;
}

static void leave(struct object *o, long result, int error) {
    if (result < 0)
        error = errno;
    release(o);
    inside = false;
    errno = error;
}

static long failed(int error) {
    errno = error;
    return -1;
}

// To be called after `n` bytes were written, at `offset` or, if that is below 0, where the descriptor stood.
static void wrote(struct object *o, int fd, int64_t offset, int64_t n, int flags) {
    int modes = o->open_flags ? fcntl(fd, F_GETFL) : 0;
    if (offset < 0) {
        int64_t end = lseek(fd, 0, SEEK_CUR);
        note(o, end - n, end);
    } else {
        note(o, offset, offset + n);
    }
    // At whatever offset, the kernel puts what comes through O_APPEND at the end.
    if ((modes & O_APPEND) || (flags & RWF_APPEND)) {
        int64_t end = length_of(fd);
        note(o, end - n, end);
    }
    if ((modes & (O_SYNC | O_DSYNC)) || (flags & (RWF_DSYNC | RWF_SYNC)))
        make_durable(o, fd);
}

// Runs `call` as a write to `o` through `fd`: with its fault, under the lock, and noted.
#define WRITING(type, o, fd, bytes, halve, call, offset, flags)                                                        \
    do {                                                                                                               \
        int before = errno, fault = injected_at(OP_WRITE, fd, bytes);                                                  \
        type result;                                                                                                   \
        if (fault > 0) {                                                                                               \
            result = failed(fault);                                                                                    \
        } else {                                                                                                       \
            if (fault == HALF)                                                                                         \
                halve;                                                                                                 \
            pthread_mutex_lock(&(o)->content);                                                                         \
            result = call;                                                                                             \
            int after = errno;                                                                                         \
            if (result > 0)                                                                                            \
                wrote(o, fd, offset, result, flags);                                                                   \
            if (IS_DONE(fault)) {                                                                                      \
                result = failed(ERROR_OF_DONE(fault));                                                                 \
                after = errno;                                                                                         \
            }                                                                                                          \
            errno = after;                                                                                             \
            pthread_mutex_unlock(&(o)->content);                                                                       \
        }                                                                                                              \
        leave(o, result, before);                                                                                      \
        return result;                                                                                                 \
    } while (0)

// ---------------------------------------------------------------------------------------------------------------------
// The calls: bytes

ssize_t write(int fd, const void *bytes, size_t n) {
    struct object *o = enter(fd);
    if (!o)
        return syscall(SYS_write, fd, bytes, n);
    WRITING(ssize_t, o, fd, n, n /= 2, syscall(SYS_write, fd, bytes, n), -1, 0);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset) {
    struct object *o = enter(fd);
    if (!o)
        return syscall(SYS_pwrite64, fd, bytes, n, offset);
    WRITING(ssize_t, o, fd, n, n /= 2, syscall(SYS_pwrite64, fd, bytes, n, offset), offset, 0);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset) __attribute__((alias("pwrite")));

static size_t vector_bytes(const struct iovec *vector, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += vector[i].iov_len;
    return sum;
}

// The same vector, of half its bytes.
static const struct iovec *half_vector(const struct iovec *vector, int *count, struct iovec half[IOV_MAX]) {
    size_t left = vector_bytes(vector, *count) / 2;
    int n = 0;
    for (; left > 0; n++) {
        half[n] = vector[n];
        if (half[n].iov_len > left)
            half[n].iov_len = left;
        left -= half[n].iov_len;
    }
    *count = n;
    return half;
}

// An `offset` of -1 stands for where the descriptor stands, as pwritev2 has it.
static ssize_t write_vector(int fd, const struct iovec *vector, int count, int64_t offset, int flags) {
    struct object *o = count >= 0 && count <= IOV_MAX ? enter(fd) : NULL;
    if (!o)
        return syscall(SYS_pwritev2, fd, vector, count, offset, 0, flags);
    struct iovec half[IOV_MAX];
    WRITING(ssize_t, o, fd, vector_bytes(vector, count), vector = half_vector(vector, &count, half),
            syscall(SYS_pwritev2, fd, vector, count, offset, 0, flags), offset, flags);
}

ssize_t writev(int fd, const struct iovec *vector, int count) {
    struct stat st;
    // Pipes and sockets take the plain call.
    if (passes() || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return syscall(SYS_writev, fd, vector, count);
    return write_vector(fd, vector, count, -1, 0);
}

ssize_t pwritev(int fd, const struct iovec *vector, int count, off_t offset) {
    if (passes() || offset < 0)
        return syscall(SYS_pwritev, fd, vector, count, offset, 0);
    return write_vector(fd, vector, count, offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *vector, int count, off64_t offset) __attribute__((alias("pwritev")));

ssize_t pwritev2(int fd, const struct iovec *vector, int count, off_t offset, int flags) {
    return write_vector(fd, vector, count, offset, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *vector, int count, off64_t offset, int flags)
    __attribute__((alias("pwritev2")));

// The kernel moves an offset that is given by pointer to where the write ended.
#define ENDED(offset, n) ((offset) ? *(offset) - (n) : -1)

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t n, unsigned flags) {
    struct object *o = enter(out);
    if (!o)
        return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, n, flags);
    WRITING(ssize_t, o, out, n, n /= 2, syscall(SYS_copy_file_range, in, in_offset, out, out_offset, n, flags),
            ENDED(out_offset, result), 0);
}

ssize_t sendfile(int out, int in, off_t *in_offset, size_t n) {
    struct object *o = enter(out);
    if (!o)
        return syscall(SYS_sendfile, out, in, in_offset, n);
    WRITING(ssize_t, o, out, n, n /= 2, syscall(SYS_sendfile, out, in, in_offset, n), -1, 0);
}

ssize_t sendfile64(int out, int in, off64_t *in_offset, size_t n) __attribute__((alias("sendfile")));

ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t n, unsigned flags) {
    struct object *o = enter(out);
    if (!o)
        return syscall(SYS_splice, in, in_offset, out, out_offset, n, flags);
    int before = errno, fault = injected_at(OP_WRITE, out, n);
    ssize_t result = -1;
    if (fault > 0) {
        errno = fault;
    } else {
        // Not under the lock: the pipe may be empty for long.
        result = syscall(SYS_splice, in, in_offset, out, out_offset, fault == HALF ? n / 2 : n, flags);
        if (result > 0) {
            pthread_mutex_lock(&o->content);
            wrote(o, out, ENDED(out_offset, result), result, 0);
            pthread_mutex_unlock(&o->content);
        }
    }
    leave(o, result, before);
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// The calls: lengths and space

int ftruncate(int fd, off_t length) {
    struct object *o = enter(fd);
    if (!o)
        return (int)syscall(SYS_ftruncate, fd, length);
    int before = errno, fault = injected_at(OP_TRUNCATE, fd, 0);
    long result;
    if (fault) {
        result = failed(fault);
    } else {
        pthread_mutex_lock(&o->content);
        int64_t old = length_of(fd);
        result = syscall(SYS_ftruncate, fd, length);
        if (result == 0)
            note_cut(o, length < old ? length : old);
        pthread_mutex_unlock(&o->content);
    }
    leave(o, result, before);
    return (int)result;
}

int ftruncate64(int fd, off64_t length) __attribute__((alias("ftruncate")));

int truncate(const char *path, off_t length) {
    if (passes())
        return (int)syscall(SYS_truncate, path, length);
    int fd = raw_open(AT_FDCWD, path, O_WRONLY, 0);
    if (fd < 0)
        return -1;
    int result = ftruncate(fd, length), error = errno;
    close(fd);
    errno = error;
    return result;
}

int truncate64(const char *path, off64_t length) __attribute__((alias("truncate")));

static void note_allocated(struct object *o, int mode, off_t offset, off_t length) {
    if (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE))
        note_cut(o, offset);
    else
        note(o, offset, offset + length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    struct object *o = enter(fd);
    if (!o)
        return (int)syscall(SYS_fallocate, fd, mode, offset, length);
    int before = errno, fault = injected_at(OP_WRITE, fd, 0);
    long result;
    if (fault) {
        result = failed(fault);
    } else {
        pthread_mutex_lock(&o->content);
        result = syscall(SYS_fallocate, fd, mode, offset, length);
        if (result == 0)
            note_allocated(o, mode, offset, length);
        pthread_mutex_unlock(&o->content);
    }
    leave(o, result, before);
    return (int)result;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) __attribute__((alias("fallocate")));

int posix_fallocate(int fd, off_t offset, off_t length) {
    struct object *o = next_posix_fallocate ? enter(fd) : NULL;
    if (!o)
        return next_posix_fallocate ? next_posix_fallocate(fd, offset, length) : EINVAL;
    int before = errno, result = injected_at(OP_WRITE, fd, 0);
    if (!result) {
        pthread_mutex_lock(&o->content);
        result = next_posix_fallocate(fd, offset, length);
        note_allocated(o, 0, offset, length);
        pthread_mutex_unlock(&o->content);
    }
    leave(o, 0, before);
    return result;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) __attribute__((alias("posix_fallocate")));

// ---------------------------------------------------------------------------------------------------------------------
// The calls: durability

static int sync_descriptor(int fd, long call) {
    struct stat st;
    struct ident id;
    int before = errno;
    if (passes() || fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return (int)syscall(call, fd);
    inside = true;
    struct object *o = NULL;
    pthread_mutex_lock(&names);
    if (identify(fd, "", AT_EMPTY_PATH, &id) && (o = watched(fd, &id, false)))
        o->holders++;
    pthread_mutex_unlock(&names);
    int fault = o ? injected_at(OP_SYNC, fd, 0) : 0;
    long result = fault > 0 ? failed(fault) : fault == LIE ? 0 : syscall(call, fd);
    if (result < 0)
        before = errno;
    if (o) {
        if (fault == LIE) {
            // Nothing is durable.
        } else if (result == 0 && S_ISDIR(id.mode)) {
            pthread_mutex_lock(&names);
            make_names_durable(o, fd);
            pthread_mutex_unlock(&names);
        } else if (result == 0) {
            pthread_mutex_lock(&o->content);
            make_durable(o, fd);
            pthread_mutex_unlock(&o->content);
        }
        if (IS_DONE(fault)) {
            result = failed(ERROR_OF_DONE(fault));
            before = errno;
        }
        release(o);
    }
    inside = false;
    errno = before;
    return (int)result;
}

int fsync(int fd) {
    return sync_descriptor(fd, SYS_fsync);
}

int fdatasync(int fd) {
    return sync_descriptor(fd, SYS_fdatasync);
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    struct object *o = enter(fd);
    int fault = o ? injected_at(OP_SYNC_RANGE, fd, 0) : 0;
    if (o)
        leave(o, 0, errno);
    return (int)(fault ? failed(fault) : syscall(SYS_sync_file_range, fd, offset, length, flags));
}

static void sync_everything(void) {
    struct ident id;
    inside = true;
    pthread_mutex_lock(&names);
    check_root();
    if (root && identify(AT_FDCWD, root_path, AT_SYMLINK_NOFOLLOW, &id))
        make_all_durable(AT_FDCWD, root_path, &id, NULL);
    pthread_mutex_unlock(&names);
    inside = false;
}

void sync(void) {
    syscall(SYS_sync);
    if (!passes())
        sync_everything();
}

int syncfs(int fd) {
    char path[PATH_MAX];
    struct stat st, watched;
    int before = errno;
    if (passes() || fstat(fd, &st) != 0 || stat(root_path, &watched) != 0 || st.st_dev != watched.st_dev)
        return (int)syscall(SYS_syncfs, fd);
    int fault = armed(OP_SYNC) && descriptor_path(fd, path) ? injected(OP_SYNC, path, NULL, 0) : 0;
    if (fault)
        return (int)failed(fault);
    int result = (int)syscall(SYS_syncfs, fd);
    if (result == 0) {
        sync_everything();
        errno = before;
    }
    return result;
}

// ---------------------------------------------------------------------------------------------------------------------
// The calls: open

static void opened(int fd, int flags) {
    struct stat st;
    struct ident id;
    bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
    if ((flags & O_PATH) || fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return;
    pthread_mutex_lock(&names);
    struct object *o = identify(fd, "", AT_EMPTY_PATH, &id) ? watched(fd, &id, temporary) : NULL;
    if (o && S_ISREG(id.mode)) {
        pthread_mutex_lock(&o->content);
        o->open_flags |= flags & (O_APPEND | O_SYNC | O_DSYNC);
        if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY)
            note_cut(o, 0);
        pthread_mutex_unlock(&o->content);
    }
    pthread_mutex_unlock(&names);
}

static int open_fault(int dir, const char *path, int flags) {
    char reached[PATH_MAX];
    bool exists;
    if (!(armed(OP_OPEN) || armed(OP_CREATE)) || !opened_path(dir, path, flags, reached, &exists))
        return 0;
    int fault = injected(OP_OPEN, reached, NULL, 0);
    bool creates = (flags & O_TMPFILE) == O_TMPFILE || ((flags & O_CREAT) && !exists);
    return !fault && creates ? injected(OP_CREATE, reached, NULL, 0) : fault;
}

static int open_at(int dir, const char *path, int flags, mode_t mode) {
    if (passes())
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    int before = errno, fd;
    inside = true;
    if (strcmp(path, BOOT_ID) == 0 && (fd = (int)syscall(SYS_openat, shadow_dir, "boot_id", flags, mode)) >= 0) {
        inside = false;
        errno = before;
        return fd;
    }
    int fault = open_fault(dir, path, flags);
    inside = false;
    errno = before;
    if (fault)
        return (int)failed(fault);
    // An open may wait long, for a pipe's other end.
    fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fd >= 0) {
        inside = true;
        opened(fd, flags);
        inside = false;
        errno = before;
    }
    return fd;
}

#define MODE_OF(flags, mode)                                                                                           \
    mode_t mode = 0;                                                                                                   \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {                                                   \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode = va_arg(rest, mode_t);                                                                                   \
        va_end(rest);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int openat(int dir, const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return open_at(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...) __attribute__((alias("openat")));

int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));

// What a program built with _FORTIFY_SOURCE calls.
int __open_2(const char *path, int flags) {
    return open_at(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));

int __openat_2(int dir, const char *path, int flags) {
    return open_at(dir, path, flags, 0);
}

int __openat64_2(int dir, const char *path, int flags) __attribute__((alias("__openat_2")));

// ---------------------------------------------------------------------------------------------------------------------
// The calls: names

static bool same(const struct ident *a, const struct ident *b) {
    return a->dev == b->dev && a->ino == b->ino;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    if (passes())
        return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    int before = errno;
    inside = true;
    if (armed(OP_RENAME)) {
        char from_path[PATH_MAX], to_path[PATH_MAX];
        bool known_from = name_path(from_dir, from, from_path), known_to = name_path(to_dir, to, to_path);
        int fault = injected(OP_RENAME, known_from ? from_path : NULL, known_to ? to_path : NULL, 0);
        if (fault) {
            inside = false;
            return (int)failed(fault);
        }
    }
    pthread_mutex_lock(&names);
    struct ident moved, replaced;
    bool is = identify(from_dir, from, AT_SYMLINK_NOFOLLOW, &moved);
    bool was = identify(to_dir, to, AT_SYMLINK_NOFOLLOW, &replaced);
    long result = syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (result < 0)
        before = errno;
    if (result == 0) {
        bool exchanged = flags & RENAME_EXCHANGE;
        if (is && was && !exchanged && !same(&moved, &replaced))
            forget_if_last(&replaced);
        if (is)
            arrived(&moved, from_dir, from, to_dir, to);
        if (was && exchanged)
            arrived(&replaced, to_dir, to, from_dir, from);
        check_root();
    }
    pthread_mutex_unlock(&names);
    inside = false;
    errno = before;
    return (int)result;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    if (passes())
        return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    int before = errno;
    inside = true;
    int fault = injected_by_name(OP_CREATE, to_dir, to);
    long result;
    if (fault) {
        result = failed(fault);
    } else {
        pthread_mutex_lock(&names);
        result = syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
        int error = errno;
        struct ident id;
        if (result == 0 && identify(to_dir, to, AT_SYMLINK_NOFOLLOW, &id))
            arrived(&id, from_dir, from, to_dir, to);
        errno = error;
        pthread_mutex_unlock(&names);
    }
    if (result < 0)
        before = errno;
    inside = false;
    errno = before;
    return (int)result;
}

int link(const char *from, const char *to) {
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags) {
    if (passes())
        return (int)syscall(SYS_unlinkat, dir, path, flags);
    int before = errno;
    inside = true;
    int fault = injected_by_name(OP_UNLINK, dir, path);
    long result;
    if (fault) {
        result = failed(fault);
    } else {
        pthread_mutex_lock(&names);
        struct ident id;
        bool was = identify(dir, path, AT_SYMLINK_NOFOLLOW, &id);
        result = syscall(SYS_unlinkat, dir, path, flags);
        if (result == 0 && was)
            forget_if_last(&id);
        pthread_mutex_unlock(&names);
    }
    if (result < 0)
        before = errno;
    inside = false;
    errno = before;
    return (int)result;
}

int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path) {
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path) {
    int before = errno;
    if (unlink(path) == 0)
        return 0;
    if (errno != EISDIR)
        return -1;
    errno = before;
    return rmdir(path);
}

int mkdirat(int dir, const char *path, mode_t mode) {
    if (passes())
        return (int)syscall(SYS_mkdirat, dir, path, mode);
    int before = errno;
    inside = true;
    int fault = injected_by_name(OP_CREATE, dir, path);
    long result = fault ? failed(fault) : syscall(SYS_mkdirat, dir, path, mode);
    if (result < 0) {
        before = errno;
    } else {
        pthread_mutex_lock(&names);
        check_root();
        pthread_mutex_unlock(&names);
    }
    inside = false;
    errno = before;
    return (int)result;
}

int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}
