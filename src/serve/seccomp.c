/* seccomp.c - system calls that a responder never makes once it runs, refused by the kernel.
 *
 * A deny list, not an allow list: SQLite, libuv and the C library change the calls that they use
 * from version to version, and a call that is missing in an allow list ends a service at an
 * upgrade. What is on it is what a program that was taken over would want: another program, other
 * processes' memory, a namespace of its own, kernel interfaces with a history of holes, sockets
 * other than the Unix ones to the log and the service manager. A refused call fails with EPERM.
 * Called by serve.c at the end of its start; see sandbox.h. */
#include "config.h"

#include "serve/sandbox.h"

#if defined HAVE_LINUX_SECCOMP_H && (defined __x86_64__ || defined __aarch64__)

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifdef __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#else
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* The same numbers on all architectures, for headers that do not have them yet. */
#define NR_IO_URING_SETUP 425
#define NR_IO_URING_ENTER 426
#define NR_IO_URING_REGISTER 427
#define NR_CLONE3 435

#define X32_BIT 0x40000000U /* a second set of numbers for the same calls, on x86_64 */

#define NEW_NAMESPACES                                                                     \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |            \
     CLONE_NEWUTS | CLONE_NEWCGROUP)

#define INSTRUCTIONS_MAX 128
#define ARGUMENT_0                                                                         \
    offsetof(struct seccomp_data, args[0]) /* low half: both are little-endian */

static const unsigned denied[] = {
#ifndef __SANITIZE_ADDRESS__ /* LeakSanitizer traces, and starts a symbolizer */
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
#endif
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    NR_IO_URING_SETUP,
    NR_IO_URING_ENTER,
    NR_IO_URING_REGISTER,
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_bind, /* and listen: no new listening sockets */
    SYS_listen,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_open_by_handle_at,
};

struct filter_program {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short len;
};

static void
put(struct filter_program *program, struct sock_filter instruction)
{
    program->code[program->len++] = instruction;
}

static void
put_load(struct filter_program *program, size_t at)
{
    put(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)at));
}

static void
put_return(struct filter_program *program, uint32_t action)
{
    put(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* When the loaded number is `value`, the next `count` instructions are run, else passed over. */
static void
put_if(struct filter_program *program, uint32_t value, uint8_t count)
{
    put(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count));
}

/* Calls of another architecture would have other numbers: there are none in this program. */
static void
put_arch(struct filter_program *program)
{
    put_load(program, offsetof(struct seccomp_data, arch));
    put(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
    put_return(program, SECCOMP_RET_ERRNO | EPERM);
    put_load(program, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    put(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
    put_return(program, SECCOMP_RET_ERRNO | EPERM);
#endif
}

/* Only Unix sockets: syslog, the journal, NOTIFY_SOCKET, libuv's own pairs. */
static void
put_socket(struct filter_program *program)
{
    put_if(program, SYS_socket, 4);
    put_load(program, ARGUMENT_0);
    put_if(program, AF_UNIX, 1);
    put_return(program, SECCOMP_RET_ALLOW);
    put_return(program, SECCOMP_RET_ERRNO | EPERM);
}

/* Threads and processes, but in no namespace of their own. The arguments of clone3 are in memory,
 * where a filter cannot look: the C library takes clone when the kernel has no clone3. */
static void
put_clone(struct filter_program *program)
{
    put_if(program, NR_CLONE3, 1);
    put_return(program, SECCOMP_RET_ERRNO | ENOSYS);
    put_if(program, SYS_clone, 4);
    put_load(program, ARGUMENT_0);
    put(program,
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1));
    put_return(program, SECCOMP_RET_ERRNO | EPERM);
    put_return(program, SECCOMP_RET_ALLOW);
}

int
sandbox_filter_calls(struct error *error)
{
    struct filter_program program = {.len = 0};
    _Static_assert(2 * sizeof denied / sizeof *denied + 32 < INSTRUCTIONS_MAX, "they fit");
    put_arch(&program);
    put_socket(&program);
    put_clone(&program);
    for (size_t i = 0; i < sizeof denied / sizeof *denied; i++) {
        put_if(&program, denied[i], 1);
        put_return(&program, SECCOMP_RET_ERRNO | EPERM);
    }
    put_return(&program, SECCOMP_RET_ALLOW);

    struct sock_fprog filter = {program.len, program.code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0)
        return 1;
    if (errno == EINVAL || errno == ENOSYS) /* a kernel without it */
        return 0;
    return error_set(error, "seccomp: %s", strerror(errno));
}

#else

int
sandbox_filter_calls(struct error *error)
{
    (void)error;
    return 0;
}

#endif
